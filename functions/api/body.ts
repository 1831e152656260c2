/**
 * Request bodies: collected within `limits.bodyBytes`, decoded once.
 *
 * A body past the limit is answered as soon as that is known. What the client still sends is read and thrown
 * away for a while: closing at once would reset the connection, and with it the answer on its way.
 */
import { isUtf8 } from 'node:buffer'
import { limits } from '#shared/limits.ts'
import type { Exchange } from './exchange.ts'

/** What a client may send on after it was told that its body is too large. */
const DISCARD_BYTES = 16 * limits.bodyBytes
const DISCARD_MS = 10_000

/** Runs `then` with the whole body, or answers 413. Never runs it when the client goes away. */
export function collectBody(x: Exchange, then: (x: Exchange, body: Buffer) => void | Promise<void>): void {
  const { req } = x
  if (req.rawBody !== undefined) {
    if (req.rawBody.length > limits.bodyBytes) tooLarge(x)
    else x.settle(then(x, req.rawBody))
    return
  }
  if (req.readableEnded) {
    x.settle(then(x, Buffer.alloc(0)))
    return
  }
  if (Number(req.headers['content-length']) > limits.bodyBytes) {
    tooLarge(x)
    discard(x)
    return
  }
  let first: Buffer | undefined
  let chunks: Buffer[] | undefined
  let bytes = 0
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > limits.bodyBytes) {
      first = chunks = undefined
      req.removeListener('data', onData)
      req.removeListener('end', onEnd)
      tooLarge(x)
      discard(x)
    } else if (first === undefined) first = chunk
    else if (chunks === undefined) chunks = [first, chunk]
    else chunks.push(chunk)
  }
  const onEnd = (): void => {
    try {
      x.settle(then(x, chunks !== undefined ? Buffer.concat(chunks, bytes) : (first ?? Buffer.alloc(0))))
    } catch (error) {
      x.broken(error)
    }
  }
  req.on('data', onData)
  req.on('end', onEnd)
}

function tooLarge(x: Exchange): void {
  x.problem('too-large', { detail: `the body is larger than ${limits.bodyBytes} bytes`, members: { limit: limits.bodyBytes } })
}

function discard(x: Exchange): void {
  const { req } = x
  let bytes = 0
  const timer = setTimeout(() => req.socket.destroy(), DISCARD_MS)
  timer.unref()
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > DISCARD_BYTES) req.socket.destroy()
  })
  req.on('close', () => clearTimeout(timer))
}

export type JsonAnswer = { readonly value: unknown; readonly fault?: never } | { readonly value?: never; readonly fault: string }

/**
 * JSON as RFC 8259 has it, in UTF-8. Numbers that no double holds (1e400) come out as infinities: whatever of a body
 * is kept goes through `shared/patch`, which refuses them. A lone surrogate that is escaped (`"\ud800"`) is JSON, and
 * is kept as it is (JSON.stringify escapes it again).
 */
export function parseJson(body: Buffer): JsonAnswer {
  if (!isUtf8(body)) return { fault: 'body: not UTF-8' }
  try {
    return { value: JSON.parse(body.toString('utf8')) }
  } catch (error) {
    return { fault: `body: ${(error as Error).message}` }
  }
}

export type ContentKind = 'json' | 'json-patch' | 'yaml'

/** RFC 9512, and what is sent for it since before. */
const YAML = new Set(['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'])

/** The kind of a Content-Type header; undefined: not one of ours, or in another charset than UTF-8. */
export function contentKind(header: string | undefined): ContentKind | undefined {
  if (header === 'application/json') return 'json'
  if (header === undefined) return undefined
  const [type, ...parameters] = header.toLowerCase().split(';')
  for (const parameter of parameters) {
    const [name, value] = parameter.split('=')
    if (name?.trim() === 'charset' && !/^"?utf-?8"?$/.test(value?.trim() ?? '')) return undefined
  }
  if (type?.trim() === 'application/json') return 'json'
  if (type?.trim() === 'application/json-patch+json') return 'json-patch'
  if (YAML.has(type?.trim() ?? '')) return 'yaml'
  return undefined
}
