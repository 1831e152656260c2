/** The XML API of the Cloud Storage emulator, as far as signed addresses of objects go: PUT, GET, HEAD, and preflights. */
import { etagOf, mediaReply } from './media.ts'
import { conditionsOf, judgeOf, judgeRead } from './preconditions.ts'
import { forbidden, invalid, missing, noBucket, notImplemented, notModified, Refusal, type Reply } from './reply.ts'
import type { ApiRequest, Route } from './json-api.ts'
import { checkSignature, isSigned } from './signed-address.ts'
import type { Bucket, GcsStore } from './store.ts'

export type XmlRequest = ApiRequest & { readonly target: string }

const CORS_SECONDS = 3_600

export function xmlRouteOf(method: string, path: string): Route {
  const match = /^\/([^/]+)\/(.+)$/.exec(path)
  const operation = { PUT: 'objects.insert', GET: 'objects.get', HEAD: 'objects.get' }[method] ?? 'unknown'
  return { operation, bucket: decodeURIComponent(match?.[1] ?? ''), object: decodeURIComponent(match?.[2] ?? '') }
}

export class XmlApi {
  readonly #store: GcsStore
  readonly #keys: ReadonlyMap<string, string>
  readonly #now: () => number

  constructor(store: GcsStore, keys: ReadonlyMap<string, string>, now: () => number) {
    this.#store = store
    this.#keys = keys
    this.#now = now
  }

  /** Throws a refusal. */
  async answer({ bucket, object }: Route, request: XmlRequest): Promise<Reply> {
    const { method, target, headers } = request
    if (method !== 'PUT' && method !== 'GET' && method !== 'HEAD') throw notImplemented(`${method} by the XML API`)
    if (!isSigned(target)) throw forbidden('AccessDenied', 'Access denied.')
    checkSignature({ method, target, headers }, this.#keys, this.#now())
    if (this.#store.bucket(bucket) === undefined) throw noBucket()
    return method === 'PUT' ? this.#put({ bucket, name: object }, request) : this.#get({ bucket, name: object }, request)
  }

  async #put({ bucket, name }: { readonly bucket: string; readonly name: string }, { headers, body }: XmlRequest): Promise<Reply> {
    const judge = judgeOf(conditionsOf((condition) => single(headers[`x-goog-if${condition.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`])))
    const range = lengthRange(single(headers['x-goog-content-length-range']))
    const incoming = await this.#store.begin()
    try {
      // What is too long is read to its end, so that the answer can be.
      for await (const part of body) if (range === undefined || incoming.bytes <= range.most) await incoming.write(part)
      if (range !== undefined && incoming.bytes > range.most) throw new Refusal({ status: 400, reason: 'invalid', code: 'EntityTooLarge', message: 'Your proposed upload is larger than the maximum object size specified in your Policy Document.' })
      if (range !== undefined && incoming.bytes < range.least) throw new Refusal({ status: 400, reason: 'invalid', code: 'EntityTooSmall', message: 'Your proposed upload is smaller than the minimum object size specified in your Policy Document.' })
    } catch (error) {
      await incoming.discard()
      throw error
    }
    const made = await incoming.finish()
    const row = this.#store.put({ bucket, name, ...made, fields: { contentType: headers['content-type'] ?? 'application/octet-stream' } }, judge)
    return { status: 200, headers: { ETag: etagOf(row), 'x-goog-generation': row.generation, 'x-goog-metageneration': 1, 'x-goog-hash': `crc32c=${row.crc32c},md5=${row.md5}`, 'Content-Length': 0 }, body: undefined }
  }

  async #get({ bucket, name }: { readonly bucket: string; readonly name: string }, { method, query, headers }: XmlRequest): Promise<Reply> {
    const row = this.#store.object(bucket, name)
    if (row === undefined) throw missing(`${bucket}/${name}`)
    judgeRead(conditionsOf(() => undefined), row)
    const tag = etagOf(row)
    const known = headers['if-none-match']
    if (known !== undefined && known.split(',').some((each) => each.trim() === '*' || each.trim() === tag)) throw notModified()
    const ifRange = single(headers['if-range'])
    const reply = await mediaReply(this.#store, row, { range: ifRange === undefined || ifRange === tag ? headers.range : undefined, isHead: method === 'HEAD' })
    const [disposition, type] = [query.get('response-content-disposition'), query.get('response-content-type')]
    return { ...reply, headers: { ...reply.headers, ...(disposition === null ? {} : { 'Content-Disposition': disposition }), ...(type === null ? {} : { 'Content-Type': type }) } }
  }
}

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value.join(',') : value)

/** `least,most`, in bytes. */
function lengthRange(text: string | undefined): { readonly least: number; readonly most: number } | undefined {
  if (text === undefined) return undefined
  const match = /^(\d{1,15}),(\d{1,15})$/.exec(text)
  if (match === null) throw invalid('Invalid x-goog-content-length-range.')
  return { least: Number(match[1]), most: Number(match[2]) }
}

// Cross-origin requests, by the bucket's configuration

type Rule = { readonly origin?: readonly string[]; readonly method?: readonly string[]; readonly responseHeader?: readonly string[]; readonly maxAgeSeconds?: number }

/** Headers that pages of the Origin need; empty where the bucket does not allow them. */
export function corsHeaders(bucket: Bucket | undefined, { origin, method, isPreflight }: { readonly origin: string | undefined; readonly method: string; readonly isPreflight: boolean }): Record<string, string> {
  const rules = (bucket?.fields['cors'] ?? []) as readonly Rule[]
  if (origin === undefined) return {}
  const rule = rules.find((each) => (each.origin ?? []).some((allowed) => allowed === '*' || allowed === origin) && (each.method ?? []).some((allowed) => allowed === '*' || allowed === method))
  if (rule === undefined) return {}
  const listed = (rule.responseHeader ?? []).join(', ')
  const allowed = { 'Access-Control-Allow-Origin': rule.origin?.includes('*') === true ? '*' : origin, Vary: 'Origin' }
  if (!isPreflight) return { ...allowed, 'Access-Control-Expose-Headers': listed }
  return { ...allowed, 'Access-Control-Allow-Methods': (rule.method ?? []).join(','), 'Access-Control-Allow-Headers': listed, 'Access-Control-Max-Age': String(rule.maxAgeSeconds ?? CORS_SECONDS) }
}
