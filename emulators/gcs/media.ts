/** Content of an object as an answer: whole or a single range. Both APIs have the same. */
import { beyond, type Reply } from './reply.ts'
import type { GcsStore, ObjectRow } from './store.ts'

/** `range`: of the request, undefined where the whole is wanted. Throws a refusal where it begins behind the end. */
export async function mediaReply(store: GcsStore, row: ObjectRow, { range, isHead }: { readonly range: string | undefined; readonly isHead: boolean }): Promise<Reply> {
  const wanted = rangeOf(range, row.bytes)
  if (wanted === 'beyond') throw beyond(row.bytes)
  const { first, last } = wanted === 'whole' ? { first: 0, last: row.bytes - 1 } : wanted
  const bytes = last - first + 1
  const headers = {
    ...headersOf(row),
    'Content-Length': bytes,
    ...(wanted === 'whole' ? {} : { 'Content-Range': `bytes ${first}-${last}/${row.bytes}` }),
  }
  const status = wanted === 'whole' ? 200 : 206
  if (isHead || bytes === 0) return { status, headers, body: undefined }
  return { status, headers, body: { file: await store.read(row), start: first, bytes } }
}

function headersOf(row: ObjectRow): Record<string, string | number> {
  const headers: Record<string, string | number> = {
    'Content-Type': textOf(row.fields['contentType']) ?? 'application/octet-stream',
    ETag: etagOf(row),
    'Accept-Ranges': 'bytes',
    'Last-Modified': new Date(row.created).toUTCString(),
    'Cache-Control': textOf(row.fields['cacheControl']) ?? 'private, max-age=0',
    'x-goog-generation': row.generation,
    'x-goog-metageneration': row.metageneration,
    'x-goog-hash': `crc32c=${row.crc32c},md5=${row.md5}`,
    'x-goog-storage-class': 'STANDARD',
    'x-goog-stored-content-encoding': textOf(row.fields['contentEncoding']) ?? 'identity',
    'x-goog-stored-content-length': row.bytes,
  }
  for (const [field, header] of [['contentEncoding', 'Content-Encoding'], ['contentDisposition', 'Content-Disposition'], ['contentLanguage', 'Content-Language']] as const) {
    const value = textOf(row.fields[field])
    if (value !== undefined) headers[header] = value
  }
  return headers
}

export function etagOf(row: ObjectRow): string {
  return `"${Buffer.from(row.md5, 'base64').toString('hex')}"`
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

/** A single range; what is none, several too, asks for the whole. */
function rangeOf(header: string | undefined, bytes: number): 'whole' | 'beyond' | { readonly first: number; readonly last: number } {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  const [from, to] = [match?.[1] ?? '', match?.[2] ?? '']
  if (from === '' && to === '') return 'whole'
  if (from === '') return Number(to) === 0 || bytes === 0 ? 'beyond' : { first: Math.max(0, bytes - Number(to)), last: bytes - 1 }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return 'whole'
  return first >= bytes ? 'beyond' : { first, last: to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1) }
}
