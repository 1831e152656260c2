/**
 * The routes behind signed addresses of uploads: PUT once, GET and HEAD as often as one likes, in whole or a range.
 *
 * Owns: requests under way. Does not own: what addresses allow (upload-addresses.ts), files (upload-files.ts).
 * Talks to: a socket.
 *
 * I1. Nothing is looked up, read or written for an address that we did not sign, or that is too old.
 * I2. A PUT that was not answered 200 has made no file (or, after a fault of the disk, perhaps a whole one: 503).
 * I3. What is served cannot act in our name: not sniffed for another type, sandboxed, and downloaded where the api said so.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { AssertionError } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { UploadName } from '#shared/ports/uploads.ts'
import type { OnFault } from './object-writer.ts'
import { PATH } from './upload-addresses.ts'
import type { UploadAddresses } from './upload-addresses.ts'
import { only } from './upload-files.ts'
import type { FoundFile, UploadFiles } from './upload-files.ts'
import { reasonOf } from './system-error.ts'

/** A framework that has read the body itself leaves it here. */
type UploadRequest = IncomingMessage & { readonly rawBody?: Buffer }

export type UploadRoutesParts = {
  readonly files: UploadFiles
  readonly addresses: UploadAddresses
  readonly limitBytes: number
  readonly allowsOrigin: (origin: string) => boolean
  readonly onFault: OnFault
}

const ALLOW = 'GET, HEAD, PUT, OPTIONS'
/** Authorization: a page that follows a redirect of the api sends it along. */
const ALLOWED_HEADERS = 'Authorization, Content-Type, Accept, Range, If-Range, If-None-Match'
const EXPOSED_HEADERS = 'ETag, Content-Length, Content-Range, Content-Disposition, Accept-Ranges'
/** What a client may send on after its upload was refused: closing at once would cut the answer off. */
const DISCARD_BYTES = 16 * 1024 * 1024
const DISCARD_MS = 10_000

const TITLES = {
  400: 'The request is not valid',
  403: 'Not an address that is good for this',
  404: 'There is no such upload',
  405: 'Uploads have other methods',
  412: 'This has been uploaded already',
  413: 'The upload is too large',
  416: 'Not a range of this upload',
  503: 'Not served just now',
} as const
type Refusal = keyof typeof TITLES

export class UploadRoutes {
  readonly #parts: UploadRoutesParts
  readonly #underWay = new Set<ServerResponse>()
  #uploads = 0
  #isClosing = false
  #idle: () => void = () => {}

  constructor(parts: UploadRoutesParts) {
    this.#parts = parts
  }

  answers(req: IncomingMessage): boolean {
    return req.url!.startsWith(PATH)
  }

  handle(req: UploadRequest, res: ServerResponse): void {
    this.#underWay.add(res)
    this.#answer(req, res)
      .catch((error: unknown) => {
        if (error instanceof AssertionError) {
          queueMicrotask(() => {
            throw error
          })
          return
        }
        this.#parts.onFault({ what: 'an upload or download', reason: reasonOf(error) })
        if (res.headersSent) res.destroy()
        else refuse(res, 503)
      })
      .finally(() => {
        this.#underWay.delete(res)
        if (this.#underWay.size === 0) this.#idle()
      })
  }

  /** Resolves when no request is under way. Those that come from now on are refused, those that take long are cut off. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#underWay.size === 0) return
    const timer = setTimeout(() => {
      for (const res of this.#underWay) res.destroy()
    }, limits.uploadDrainMs)
    await new Promise<void>((done) => (this.#idle = done))
    clearTimeout(timer)
  }

  async #answer(req: UploadRequest, res: ServerResponse): Promise<void> {
    const { method, headers } = req
    const isAllowedOrigin = headers.origin !== undefined && this.#parts.allowsOrigin(headers.origin)
    if (headers.origin !== undefined) res.setHeader('Vary', 'Origin')
    if (isAllowedOrigin) res.setHeader('Access-Control-Allow-Origin', headers.origin!).setHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS)
    switch (method) {
      case 'OPTIONS':
        return preflight(req, res, isAllowedOrigin)
      case 'PUT':
        return this.#put(req, res)
      case 'GET':
      case 'HEAD':
        return this.#get(req, res)
      default:
        res.setHeader('Allow', ALLOW)
        return refuse(res, 405)
    }
  }

  async #put(req: UploadRequest, res: ServerResponse): Promise<void> {
    const allowed = this.#parts.addresses.verify('PUT', req.url!)
    if (allowed?.method !== 'PUT') return refuseEarly(req, res, 403)
    if (req.headers['content-type'] !== allowed.type) return refuseEarly(req, res, 403, `Content-Type: ${allowed.type}`)
    if (req.headers['content-encoding'] !== undefined) return refuseEarly(req, res, 400, 'Content-Encoding: none')
    if (Number(req.headers['content-length']) > this.#parts.limitBytes) return refuseEarly(req, res, 413, this.#limitText())
    if (this.#isClosing || this.#uploads >= limits.uploadsOpen) return refuseEarly(req, res, 503)
    this.#uploads += 1
    try {
      await this.#receive(req, res, allowed)
    } finally {
      this.#uploads -= 1
    }
  }

  async #receive(req: UploadRequest, res: ServerResponse, { name, type }: { name: UploadName; type: string }): Promise<void> {
    const { files, limitBytes, onFault } = this.#parts
    // Before the content is read; who is faster meanwhile is found by the name.
    const present = await files.find(name)
    if (present.kind === 'found') await present.handle.close()
    if (present.kind === 'found') return refuseEarly(req, res, 412)
    const content = contentOf(req)
    const outcome = await files.write(name, { type, content, limitBytes })
    await content.return?.()
    switch (outcome.kind) {
      case 'stored':
        res.writeHead(200, { ETag: etagOf(name), 'Content-Length': 0 }).end()
        return
      case 'exists':
        return refuse(res, 412)
      case 'too-large':
        return refuseEarly(req, res, 413, this.#limitText())
      case 'cut':
        res.destroy()
        return
      case 'not-stored':
      case 'unknown':
        onFault({ what: 'store an upload', reason: outcome.reason })
        return refuseEarly(req, res, 503)
    }
  }

  #limitText(): string {
    return `at most ${this.#parts.limitBytes} bytes`
  }

  async #get(req: UploadRequest, res: ServerResponse): Promise<void> {
    const allowed = this.#parts.addresses.verify('GET', req.url!)
    if (allowed?.method !== 'GET') return refuse(res, 403)
    if (this.#isClosing) return refuse(res, 503)
    const found = await this.#parts.files.find(allowed.name)
    if (found.kind === 'missing') return refuse(res, 404)
    if (found.kind === 'failed') {
      this.#parts.onFault({ what: 'read an upload', reason: found.reason })
      return refuse(res, 503)
    }
    const tag = etagOf(allowed.name)
    res
      .setHeader('ETag', tag)
      .setHeader('Accept-Ranges', 'bytes')
      .setHeader('Last-Modified', new Date(found.created).toUTCString())
      .setHeader('Cache-Control', 'private, max-age=0')
      .setHeader('Content-Disposition', allowed.disposition)
      .setHeader('X-Content-Type-Options', 'nosniff')
      .setHeader('Content-Security-Policy', 'sandbox')
    if (matches(req.headers['if-none-match'], tag)) {
      await found.handle.close()
      res.writeHead(304).end()
      return
    }
    await send(req, res, found, tag)
  }
}

/** An upload never changes: its name says which it is. */
function etagOf(name: UploadName): string {
  return `"${name.slice(37)}"`
}

function matches(header: string | undefined, tag: string): boolean {
  return header !== undefined && header.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === tag)
}

async function send(req: IncomingMessage, res: ServerResponse, found: FoundFile, tag: string): Promise<void> {
  const { handle, type, start, bytes } = found
  const ifRange = req.headers['if-range']
  const isRanged = req.method === 'GET' && (ifRange === undefined || ifRange === tag)
  const range = isRanged ? rangeOf(req.headers.range, bytes) : 'whole'
  if (range === 'beyond') {
    await handle.close()
    res.setHeader('Content-Range', `bytes */${bytes}`)
    return refuse(res, 416)
  }
  res.setHeader('Content-Type', type)
  const { first, last } = range === 'whole' ? { first: 0, last: bytes - 1 } : range
  if (range !== 'whole') res.setHeader('Content-Range', `bytes ${first}-${last}/${bytes}`)
  res.writeHead(range === 'whole' ? 200 : 206, { 'Content-Length': last - first + 1 })
  if (req.method === 'HEAD' || bytes === 0) {
    await handle.close()
    res.end()
    return
  }
  await new Promise<void>((done) => {
    // The stream closes the handle; a client that went away is nobody's fault.
    pipeline(handle.createReadStream({ start: start + first, end: start + last }), res, () => done())
  })
}

/** A single range as RFC 9110 has it; what is none of those, several too, asks for the whole. */
function rangeOf(header: string | undefined, bytes: number): 'whole' | 'beyond' | { readonly first: number; readonly last: number } {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  const [from, to] = [match?.[1] ?? '', match?.[2] ?? '']
  if (from === '' && to === '') return 'whole'
  if (from === '') return Number(to) === 0 || bytes === 0 ? 'beyond' : { first: Math.max(0, bytes - Number(to)), last: bytes - 1 }
  const first = Number(from)
  const last = to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1)
  if (to !== '' && Number(to) < first) return 'whole'
  return first >= bytes ? 'beyond' : { first, last }
}

function contentOf(req: UploadRequest): AsyncIterator<Uint8Array> {
  if (req.rawBody !== undefined) return only(req.rawBody)
  // The answer still has to go out by the same socket.
  return req.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>
}

function preflight(req: IncomingMessage, res: ServerResponse, isAllowed: boolean): void {
  const isPreflight = req.headers.origin !== undefined && req.headers['access-control-request-method'] !== undefined
  if (isPreflight && !isAllowed) return refuse(res, 403)
  if (isPreflight) {
    res.setHeader('Access-Control-Allow-Methods', ALLOW).setHeader('Access-Control-Allow-Headers', ALLOWED_HEADERS).setHeader('Access-Control-Max-Age', '600')
  }
  res.writeHead(204, { Allow: ALLOW }).end()
}

function refuse(res: ServerResponse, status: Refusal, detail?: string): void {
  const text = JSON.stringify({ type: 'about:blank', title: TITLES[status], status, detail })
  // What was meant for the file does not go with the refusal.
  for (const name of ['Content-Disposition', 'ETag', 'Last-Modified']) res.removeHeader(name)
  if (status === 503) res.setHeader('Retry-After', '1')
  res.writeHead(status, { 'Content-Type': 'application/problem+json', 'Content-Length': Buffer.byteLength(text) }).end(text)
}

/** With content still on its way: it is read and thrown away for a while. */
function refuseEarly(req: IncomingMessage, res: ServerResponse, status: Refusal, detail?: string): void {
  refuse(res, status, detail)
  if (req.readableEnded) return
  let bytes = 0
  const timer = setTimeout(() => req.socket.destroy(), DISCARD_MS)
  timer.unref()
  req.on('data', (part: Buffer) => {
    bytes += part.length
    if (bytes > DISCARD_BYTES) req.socket.destroy()
  })
  req.on('close', () => clearTimeout(timer))
  req.on('error', () => {
    // It went away: nobody is left to be told.
  })
}
