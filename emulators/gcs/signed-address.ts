/**
 * V4 signed addresses, checked as Cloud Storage does, with two liberties: the host may be signed without its port, as the
 * client does, and a region is not asked for.
 */
import { createHash, verify } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { forbidden, Refusal } from './reply.ts'

export type SignedRequest = {
  readonly method: string
  /** Path and query as they came. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
}

const SEVEN_DAYS_S = 7 * 24 * 60 * 60
const CLOCKS_DIFFER_MS = 15 * 60_000

export const isSigned = (target: string): boolean => /[?&]X-Goog-Signature=/i.test(target)

/** Throws a refusal. `keys`: public keys in PEM by the service account's address. */
export function checkSignature({ method, target, headers }: SignedRequest, keys: ReadonlyMap<string, string>, nowMs: number): void {
  const mark = target.indexOf('?')
  const query = new URLSearchParams(target.slice(mark + 1))
  const of = (name: string): string => query.get(name) ?? ''
  if (of('X-Goog-Algorithm') !== 'GOOG4-RSA-SHA256') throw bad('InvalidArgument', 'The algorithm is not supported.')
  const [email, date, , service, end] = of('X-Goog-Credential').split('/')
  const key = keys.get(email ?? '')
  const begin = dateOf(of('X-Goog-Date'))
  const seconds = Number(of('X-Goog-Expires'))
  const scope = of('X-Goog-Credential').slice((email ?? '').length + 1)
  if (service !== 'storage' || end !== 'goog4_request' || begin === undefined || date !== of('X-Goog-Date').slice(0, 8)) throw bad('InvalidArgument', 'Invalid credential scope.')
  if (key === undefined) throw mismatch()
  if (!/^\d+$/.test(of('X-Goog-Expires')) || seconds > SEVEN_DAYS_S) throw bad('InvalidArgument', 'X-Goog-Expires must be at most seven days.')
  const signed = of('X-Goog-SignedHeaders').split(';')
  if (!signed.includes('host')) throw bad('MalformedSecurityHeader', 'The host header must be signed.')
  for (const name of signed) if (headers[name] === undefined) throw bad('MalformedSecurityHeader', `Header was included in signedheaders, but not in the request: ${name}`)
  for (const name of Object.keys(headers)) if (name.startsWith('x-goog-') && !signed.includes(name)) throw bad('MalformedSecurityHeader', `Header was not signed: ${name}`)
  if (!/^(?:[0-9a-f]{2})+$/i.test(of('X-Goog-Signature'))) throw mismatch()
  const given = Buffer.from(of('X-Goog-Signature'), 'hex')
  const host = String(headers.host)
  // GET signs for HEAD as well.
  const isGood = [method, ...(method === 'HEAD' ? ['GET'] : [])].some((as) =>
    [host, host.replace(/:\d+$/, '')].some((name) => {
      const request = canonical({ method: as, path: target.slice(0, mark), query, headers: { ...headers, host: name }, signed })
      const text = ['GOOG4-RSA-SHA256', of('X-Goog-Date'), scope, createHash('sha256').update(request).digest('hex')].join('\n')
      return verify('RSA-SHA256', Buffer.from(text), key, given)
    }),
  )
  if (!isGood) throw mismatch()
  if (nowMs + CLOCKS_DIFFER_MS < begin) throw forbidden('AccessDenied', 'Access denied.')
  if (nowMs > begin + seconds * 1000) throw bad('ExpiredToken', 'Invalid argument.')
}

type Canonical = { readonly method: string; readonly path: string; readonly query: URLSearchParams; readonly headers: IncomingHttpHeaders; readonly signed: readonly string[] }

function canonical({ method, path, query, headers, signed }: Canonical): string {
  const parameters = [...query]
    .filter(([name]) => name.toLowerCase() !== 'x-goog-signature')
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
  const lines = signed.map((name) => `${name}:${String(headers[name]).trim().replace(/\s{2,}/g, ' ')}\n`)
  return [method, path, parameters.join('&'), lines.join(''), signed.join(';'), headers['x-goog-content-sha256'] ?? 'UNSIGNED-PAYLOAD'].join('\n')
}

const encoded = (text: string): string => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

/** `20260131T235959Z`, ms since 1970. */
function dateOf(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (parts === null) return undefined
  const [, year, month, day, hour, minute, second] = parts.map(Number) as [number, number, number, number, number, number, number]
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

const bad = (code: string, message: string): Refusal => new Refusal({ status: 400, reason: 'invalid', code, message })
const mismatch = (): Refusal => forbidden('SignatureDoesNotMatch', 'The request signature we calculated does not match the signature you provided.')
