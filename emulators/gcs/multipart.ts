/** Bodies of `uploadType=multipart`: a part with the metadata as JSON, then one with the content, which is streamed. */
import { invalid } from './reply.ts'

const HEAD_BYTES = 1024 * 1024

export type MultipartUpload = { readonly metadata: Record<string, unknown>; readonly contentType: string | undefined; readonly content: AsyncIterable<Uint8Array> }

/** `contentType`: of the request. Throws a refusal where the body is no such thing. */
export async function readMultipart(contentType: string, body: AsyncIterable<Uint8Array>): Promise<MultipartUpload> {
  const boundary = /^multipart\/related;.*\bboundary="?([^";]+)"?/i.exec(contentType)?.[1]
  if (boundary === undefined) throw invalid('Multipart upload without a boundary.')
  const source = body[Symbol.asyncIterator]()
  const first = await headed(source, Buffer.alloc(0), `--${boundary}`)
  const json = await until(source, first.rest, Buffer.from(`\r\n--${boundary}`))
  const second = await headed(source, json.rest, '')
  return { metadata: parseMetadata(json.before.toString('utf8')), contentType: second.contentType, content: restOf(source, second.rest, Buffer.from(`\r\n--${boundary}--`)) }
}

export function parseMetadata(text: string): Record<string, unknown> {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Said below.
  }
  throw invalid('Parse Error')
}

/** Reads the headers of a part, and the boundary before them. */
async function headed(source: AsyncIterator<Uint8Array>, start: Buffer, opening: string): Promise<{ readonly contentType: string | undefined; readonly rest: Buffer }> {
  const { before, rest } = await until(source, start, Buffer.from('\r\n\r\n'))
  const head = before.toString('latin1')
  if (!head.trimStart().startsWith(opening)) throw invalid('Malformed multipart body.')
  return { contentType: /^content-type: *(.*)$/im.exec(head)?.[1]?.trim(), rest }
}

async function until(source: AsyncIterator<Uint8Array>, start: Buffer, mark: Buffer): Promise<{ readonly before: Buffer; readonly rest: Buffer }> {
  let read = start
  for (;;) {
    const at = read.indexOf(mark)
    if (at >= 0) return { before: read.subarray(0, at), rest: read.subarray(at + mark.length) }
    const next = await source.next()
    if (next.done === true || read.length > HEAD_BYTES) throw invalid('Malformed multipart body.')
    read = Buffer.concat([read, next.value])
  }
}

/** What comes before `end`; as much as `end` is long is held back until it cannot be a part of it. */
async function* restOf(source: AsyncIterator<Uint8Array>, start: Buffer, end: Buffer): AsyncGenerator<Uint8Array> {
  let read = start
  for (;;) {
    const at = read.indexOf(end)
    if (at >= 0) {
      yield read.subarray(0, at)
      return
    }
    const sure = Math.max(0, read.length - end.length + 1)
    yield read.subarray(0, sure)
    const next = await source.next()
    if (next.done === true) throw invalid('Malformed multipart body.')
    read = Buffer.concat([read.subarray(sure), next.value])
  }
}
