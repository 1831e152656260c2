/** What the Cloud Storage emulator answers: values that the server sends, and refusals with the bodies that the service has. */
import type { FileHandle } from 'node:fs/promises'

export type Reply = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number>>
  /** `file`: read from `start`, `bytes` long, and closed. */
  readonly body: string | { readonly file: FileHandle; readonly start: number; readonly bytes: number } | undefined
}

/** Thrown by whatever finds that a request cannot be served. */
export class Refusal extends Error {
  override name = 'Refusal'
  readonly status: number
  /** As the JSON API names it. */
  readonly reason: string
  /** As the XML API names it. */
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(of: { readonly status: number; readonly reason: string; readonly code: string; readonly message: string; readonly headers?: Readonly<Record<string, string>> }) {
    super(of.message)
    this.status = of.status
    this.reason = of.reason
    this.code = of.code
    this.headers = of.headers ?? {}
  }
}

export const missing = (what: string): Refusal => new Refusal({ status: 404, reason: 'notFound', code: 'NoSuchKey', message: `No such object: ${what}` })
export const noBucket = (): Refusal => new Refusal({ status: 404, reason: 'notFound', code: 'NoSuchBucket', message: 'The specified bucket does not exist.' })
export const notMet = (): Refusal =>
  new Refusal({ status: 412, reason: 'conditionNotMet', code: 'PreconditionFailed', message: 'At least one of the pre-conditions you specified did not hold.' })
export const notModified = (): Refusal => new Refusal({ status: 304, reason: 'notModified', code: 'NotModified', message: '' })
export const invalid = (message: string): Refusal => new Refusal({ status: 400, reason: 'invalid', code: 'InvalidArgument', message })
export const conflict = (message: string): Refusal => new Refusal({ status: 409, reason: 'conflict', code: 'BucketAlreadyOwnedByYou', message })
export const forbidden = (code: string, message: string): Refusal => new Refusal({ status: 403, reason: 'forbidden', code, message })
export const notImplemented = (what: string): Refusal =>
  new Refusal({ status: 501, reason: 'notImplemented', code: 'NotImplemented', message: `${what} is not part of this emulator` })
export const beyond = (bytes: number): Refusal =>
  new Refusal({ status: 416, reason: 'requestedRangeNotSatisfiable', code: 'InvalidRange', message: 'The requested range cannot be satisfied.', headers: { 'Content-Range': `bytes */${bytes}` } })
export const unavailable = (): Refusal => new Refusal({ status: 503, reason: 'backendError', code: 'ServiceUnavailable', message: 'Backend Error' })
export const aborted = (): Refusal => new Refusal({ status: 409, reason: 'conflict', code: 'Conflict', message: 'The operation was aborted. Please try again.' })

export function jsonReply(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status, headers: { 'Content-Type': 'application/json; charset=UTF-8', ...headers }, body: JSON.stringify(body) }
}

export function refusalAsJson({ status, reason, message, headers }: Refusal): Reply {
  if (status === 304) return { status, headers, body: undefined }
  return jsonReply(status, { error: { code: status, message, errors: [{ message, domain: 'global', reason }] } }, headers)
}

/** Of a download by the JSON API: the message alone. */
export function refusalAsText({ status, message, headers }: Refusal): Reply {
  if (status === 304) return { status, headers, body: undefined }
  return { status, headers: { 'Content-Type': 'text/html; charset=UTF-8', ...headers }, body: message }
}

export function refusalAsXml({ status, code, message, headers }: Refusal): Reply {
  if (status === 304) return { status, headers, body: undefined }
  return { status, headers: { 'Content-Type': 'application/xml; charset=UTF-8', ...headers }, body: `<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code><Message>${message}</Message></Error>` }
}
