/** The JSON API of the Cloud Storage emulator: buckets, objects, uploads. What is not named here is answered 501. */
import type { IncomingHttpHeaders } from 'node:http'
import { mediaReply } from './media.ts'
import { parseMetadata, readMultipart } from './multipart.ts'
import { conditionsOf, judgeDelete, judgeOf, judgeRead, type Conditions } from './preconditions.ts'
import { conflict, invalid, jsonReply, missing, noBucket, notImplemented, type Reply } from './reply.ts'
import { bucketResource, objectResource, partOf } from './resources.ts'
import { Resumable } from './resumable.ts'
import type { GcsStore, Incoming, ObjectRow } from './store.ts'

export type ApiRequest = {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** `http://host:port` as the client has it. */
  readonly base: string
  readonly body: AsyncIterable<Uint8Array>
}

/** What a request wants: its name, for faults, and its bucket and object. */
export type Route = { readonly operation: string; readonly bucket: string; readonly object: string }

const LIST_MOST = 1_000
const METADATA_BYTES = 1024 * 1024
/** What a client may set of an object, besides `metadata`. */
const SETTABLE = ['contentType', 'contentEncoding', 'contentDisposition', 'contentLanguage', 'cacheControl', 'metadata', 'customTime'] as const
const LIST_PARAMETERS = new Set(['prefix', 'startOffset', 'endOffset', 'pageToken', 'maxResults', 'fields', 'projection', 'prettyPrint', 'alt', 'key', 'userProject'])

/** Undefined: not of this API. */
export function routeOf(method: string, path: string, query: URLSearchParams): Route | undefined {
  const match = /^(\/upload|\/download)?(?:\/storage\/v1)?\/b(?:\/([^/]+)(?:\/o(?:\/([^/]+))?)?)?$/.exec(path)
  if (match === null) return undefined
  const [, door, bucket = '', object] = match
  const isObjects = path.replace(/^.*?\/b(?=\/|$)/, '').split('/')[2] === 'o'
  const named = decodeURIComponent(object ?? query.get('name') ?? '')
  return { operation: operationOf(method, { door, isObjects, hasBucket: bucket !== '', hasObject: object !== undefined }), bucket: decodeURIComponent(bucket), object: named }
}

function operationOf(method: string, of: { readonly door: string | undefined; readonly isObjects: boolean; readonly hasBucket: boolean; readonly hasObject: boolean }): string {
  if (of.door === '/upload') return of.isObjects && !of.hasObject ? 'objects.insert' : 'unknown'
  const room = of.isObjects ? `objects/${of.hasObject ? 'one' : 'all'}` : `buckets/${of.hasBucket ? 'one' : 'all'}`
  const known: Readonly<Record<string, string>> = {
    'GET buckets/one': 'buckets.get',
    'GET buckets/all': 'buckets.list',
    'POST buckets/all': 'buckets.insert',
    'PATCH buckets/one': 'buckets.patch',
    'GET objects/one': 'objects.get',
    'GET objects/all': 'objects.list',
    'DELETE objects/one': 'objects.delete',
  }
  return known[`${method} ${room}`] ?? 'unknown'
}

export class JsonApi {
  readonly #store: GcsStore
  readonly #resumable: Resumable

  constructor(store: GcsStore) {
    this.#store = store
    this.#resumable = new Resumable(store)
  }

  close(): Promise<void> {
    return this.#resumable.close()
  }

  /** Throws a refusal. */
  async answer(route: Route, request: ApiRequest): Promise<Reply> {
    switch (route.operation) {
      case 'buckets.insert':
        return this.#insertBucket(request)
      case 'buckets.list':
        return jsonReply(200, { kind: 'storage#buckets', items: this.#store.buckets().map((bucket) => bucketResource(bucket, request.base)) })
      case 'buckets.get':
        return this.#bucketReply(route.bucket, request)
      case 'buckets.patch':
        return this.#patchBucket(route.bucket, request)
      case 'objects.insert':
        return this.#insert(route, request)
      case 'objects.get':
        return this.#get(route, request)
      case 'objects.list':
        return this.#list(route.bucket, request)
      case 'objects.delete':
        this.#needBucket(route.bucket)
        this.#atGeneration(route, request.query)
        this.#store.delete(route.bucket, route.object, judgeDelete(conditions(request.query), `${route.bucket}/${route.object}`))
        return { status: 204, headers: {}, body: undefined }
      default:
        throw notImplemented(`${request.method} ${request.path}`)
    }
  }

  #needBucket(name: string): NonNullable<ReturnType<GcsStore['bucket']>> {
    const bucket = this.#store.bucket(name)
    if (bucket === undefined) throw noBucket()
    return bucket
  }

  #bucketReply(name: string, { base, query }: ApiRequest): Reply {
    return jsonReply(200, partOf(bucketResource(this.#needBucket(name), base), query.get('fields')))
  }

  async #insertBucket({ body, base }: ApiRequest): Promise<Reply> {
    const { name, ...fields } = parseMetadata(await textOf(body))
    if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(name)) throw invalid(`Invalid bucket name: '${String(name)}'`)
    if (this.#store.bucket(name) !== undefined) throw conflict('Your previous request to create the named bucket succeeded and you already own it.')
    return jsonReply(200, bucketResource(this.#store.putBucket(name, fields), base))
  }

  async #patchBucket(name: string, { body, base }: ApiRequest): Promise<Reply> {
    const { fields } = this.#needBucket(name)
    const merged = Object.fromEntries(Object.entries({ ...fields, ...parseMetadata(await textOf(body)) }).filter(([, value]) => value !== null))
    return jsonReply(200, bucketResource(this.#store.putBucket(name, merged), base))
  }

  // Objects

  /** The object, of the generation that is asked for, if one is. */
  #atGeneration({ bucket, object }: Route, query: URLSearchParams): ObjectRow {
    const row = this.#store.object(bucket, object)
    const generation = query.get('generation')
    if (row === undefined || (generation !== null && generation !== String(row.generation))) throw missing(`${bucket}/${object}`)
    return row
  }

  async #get(route: Route, { query, headers, base }: ApiRequest): Promise<Reply> {
    this.#needBucket(route.bucket)
    const row = this.#atGeneration(route, query)
    judgeRead(conditions(query), row)
    if (query.get('alt') === 'media') return mediaReply(this.#store, row, { range: headers.range, isHead: false })
    return jsonReply(200, partOf(objectResource(row, base), query.get('fields')))
  }

  #list(bucket: string, { query, base }: ApiRequest): Reply {
    this.#needBucket(bucket)
    for (const name of query.keys()) if (!LIST_PARAMETERS.has(name)) throw notImplemented(`objects.list with ${name}`)
    const asked = query.get('maxResults') ?? String(LIST_MOST)
    if (!/^\d+$/.test(asked) || Number(asked) < 1) throw invalid(`Invalid value for maxResults: ${asked}`)
    const most = Math.min(Number(asked), LIST_MOST)
    const startOffset = query.get('startOffset') ?? ''
    const token = query.get('pageToken')
    const from = token === null ? startOffset : Buffer.from(token, 'base64url').toString('utf8')
    const endOffset = query.get('endOffset') ?? ''
    const found = this.#store.list(bucket, { prefix: query.get('prefix') ?? '', from, most: most + 1 }).filter(({ name }) => endOffset === '' || name < endOffset)
    const next = found[most]
    const answer = {
      kind: 'storage#objects',
      ...(next === undefined ? {} : { nextPageToken: Buffer.from(next.name).toString('base64url') }),
      ...(found.length === 0 ? {} : { items: found.slice(0, most).map((row) => objectResource(row, base)) }),
    }
    return jsonReply(200, partOf(answer, query.get('fields')))
  }

  async #insert(route: Route, request: ApiRequest): Promise<Reply> {
    this.#needBucket(route.bucket)
    const { query, headers, body } = request
    const contentType = headers['content-type']
    switch (query.get('uploadType')) {
      case 'media':
        return this.#insertContent(route, { metadata: contentType === undefined ? {} : { contentType }, content: body, conditions: conditions(query) }, request)
      case 'multipart': {
        const { metadata, contentType: typed, content } = await readMultipart(contentType ?? '', body)
        return this.#insertContent(route, { metadata: { ...(typed === undefined ? {} : { contentType: typed }), ...metadata }, content, conditions: conditions(query) }, request)
      }
      case 'resumable':
        return this.#resume(route, request)
      default:
        throw invalid(`Invalid uploadType: ${query.get('uploadType')}`)
    }
  }

  async #insertContent(
    { bucket, object }: Route,
    { metadata, content, conditions: judged }: { readonly metadata: Record<string, unknown>; readonly content: AsyncIterable<Uint8Array>; readonly conditions: Conditions },
    { base, query }: ApiRequest,
  ): Promise<Reply> {
    const name = object !== '' ? object : String(metadata['name'] ?? '')
    const incoming = await this.#store.begin()
    try {
      for await (const part of content) await incoming.write(part)
    } catch (error) {
      await incoming.discard()
      throw error
    }
    const row = await this.#finish({ bucket, name, fields: metadata, conditions: judged, incoming })
    return jsonReply(200, partOf(objectResource(row, base), query.get('fields')))
  }

  async #finish({ bucket, name, fields, conditions: judged, incoming }: { readonly bucket: string; readonly name: string; readonly fields: Readonly<Record<string, unknown>>; readonly conditions: Conditions; readonly incoming: Incoming }): Promise<ObjectRow> {
    const made = await incoming.finish()
    const wrongSum = (field: 'crc32c' | 'md5Hash', sum: string): boolean => typeof fields[field] === 'string' && fields[field] !== sum
    const kept = Object.fromEntries(SETTABLE.flatMap((field) => (fields[field] === undefined ? [] : [[field, fields[field]]])))
    return this.#store.put({ bucket, name, ...made, fields: { contentType: 'application/octet-stream', ...kept } }, (current) => {
      if (name === '' || Buffer.byteLength(name) > 1024) throw invalid('Required parameter: name')
      if (wrongSum('crc32c', made.crc32c)) throw invalid(`Provided CRC32C "${String(fields['crc32c'])}" doesn't match calculated CRC32C "${made.crc32c}".`)
      if (wrongSum('md5Hash', made.md5)) throw invalid(`Provided MD5 hash "${String(fields['md5Hash'])}" doesn't match calculated MD5 hash "${made.md5}".`)
      judgeOf(judged)(current)
    })
  }

  async #resume({ bucket, object }: Route, { method, query, headers, body, base, path }: ApiRequest): Promise<Reply> {
    const id = query.get('upload_id')
    if (id === null) {
      const metadata = parseMetadata(await textOf(body))
      const typed = headers['x-upload-content-type']
      const fields = { ...(typeof typed === 'string' ? { contentType: typed } : {}), ...metadata }
      const name = object !== '' ? object : String(metadata['name'] ?? '')
      const made = await this.#resumable.begin({ bucket, name, fields, conditions: conditions(query) })
      return { status: 200, headers: { Location: `${base}${path}?uploadType=resumable&name=${encodeURIComponent(name)}&upload_id=${made}`, 'X-GUploader-UploadID': made }, body: '' }
    }
    if (method === 'DELETE') return this.#resumable.cancel(id)
    const outcome = await this.#resumable.take(id, headers['content-range'], body)
    return outcome.kind === 'more' ? outcome.reply : jsonReply(200, objectResource(await this.#finish(outcome.session), base))
  }
}

const conditions = (query: URLSearchParams): Conditions => conditionsOf((name) => query.get(`if${name}`))

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.length
    if (bytes > METADATA_BYTES) throw invalid('The request is too large.')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
