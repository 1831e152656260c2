/** Objects of a bucket: the calls of both Cloud Storage adapters, with what the client rejects with as outcomes. */
import type { Bucket } from '@google-cloud/storage'
import { crc32c } from '@node-rs/crc32'
import { limits } from '#shared/limits.ts'
import type { PutOutcome } from '#shared/ports/cold-storage.ts'

/**
 * `call`, or a rejection once `requestMs` have passed. The request goes on: what it does, and whether, is not known.
 */
export async function answered<T>(call: Promise<T>, requestMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(`no answer within ${requestMs} ms`), { code: 'ETIMEDOUT' })), requestMs)
  })
  try {
    return await Promise.race([call, late])
  } finally {
    clearTimeout(timer)
  }
}

export type NewObject = { readonly name: string; readonly bytes: Uint8Array; readonly contentType: string; readonly requestMs: number }

/** Create-only. The service checks the checksum before the object is there. */
export async function createObject(bucket: Bucket, { name, bytes, contentType, requestMs }: NewObject): Promise<PutOutcome> {
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32c(content))
  try {
    // The client's own validation deletes an object that does not match: by then others may have read it.
    const saving = bucket.file(name).save(content, { resumable: false, validation: false, contentType, metadata: { crc32c: sum.toString('base64') }, preconditionOpts: { ifGenerationMatch: 0 } })
    await answered(saving, requestMs)
    return { kind: 'stored' }
  } catch (error) {
    const code = codeOf(error)
    if (code === 412) return { kind: 'exists' }
    return { kind: isRefusal(code) || NEVER_SENT.has(String(code)) ? 'not-stored' : 'unknown', reason: reasonOf(error) }
  }
}

/** Answers that say for certain that nothing was done. 408 and all of 5xx do not. */
const isRefusal = (code: unknown): boolean => typeof code === 'number' && (code === 501 || (code >= 400 && code < 500 && code !== 408 && code !== 409 && code !== 499))
/** No connection was made. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT'])

export type ReadOutcome = { readonly kind: 'read'; readonly bytes: Buffer } | { readonly kind: 'missing' } | { readonly kind: 'beyond' } | { readonly kind: 'failed'; readonly reason: string }

/**
 * The whole object, or its bytes from `start` to `end`, both inclusive: into one buffer of the length that the answer names.
 * Given up when nothing has come for `limits.storageSilenceMs`.
 */
export function readObject(bucket: Bucket, name: string, range: { readonly start: number; readonly end: number } | undefined): Promise<ReadOutcome> {
  // Records have checksums of their own, and ranges cannot be checked.
  const stream = bucket.file(name).createReadStream({ ...range, decompress: false, validation: false })
  return new Promise((resolve) => {
    let bytes: Buffer | undefined
    let read = 0
    const silence = setTimeout(() => end({ kind: 'failed', reason: `nothing came for ${limits.storageSilenceMs} ms` }), limits.storageSilenceMs)
    const end = (outcome: ReadOutcome): void => {
      clearTimeout(silence)
      resolve(outcome)
      stream.destroy()
    }
    stream.on('response', (response: { readonly headers: Readonly<Record<string, string | undefined>> }) => {
      const length = Number(response.headers['content-length'])
      if (Number.isSafeInteger(length)) bytes = Buffer.allocUnsafeSlow(length)
    })
    stream.on('data', (part: Buffer) => {
      silence.refresh()
      if (bytes === undefined || read + part.length > bytes.length) return end({ kind: 'failed', reason: `${name} is not as long as it says` })
      read += part.copy(bytes, read)
    })
    stream.on('end', () => end(bytes !== undefined && read === bytes.length ? { kind: 'read', bytes } : { kind: 'failed', reason: `${name} broke off` }))
    stream.on('error', (error) => {
      const code = codeOf(error)
      if (code === 404) return end({ kind: 'missing' })
      return end(code === 416 ? { kind: 'beyond' } : { kind: 'failed', reason: reasonOf(error) })
    })
    stream.on('close', () => end({ kind: 'failed', reason: `${name} broke off` }))
  })
}

/** A status of the answer, or the name of a fault of the system. By fields: errors come from several realms. */
export function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}

export function reasonOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error)
}
