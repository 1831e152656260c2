/**
 * Signed addresses of uploads: `/uploads/<state id>/<object id>?...`, with an HMAC over all that they allow, so that nothing of
 * it can be changed, and an address to get is none to put.
 */
import { createHmac, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { assert } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { UploadName } from '#shared/ports/uploads.ts'

export const PATH = '/uploads/'

/** What an address allows. GET stands for HEAD too. */
export type Allowed =
  | { readonly method: 'PUT'; readonly name: UploadName; readonly type: string }
  | { readonly method: 'GET'; readonly name: UploadName; readonly disposition: string }

const NAME = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function isUploadName(text: string): text is UploadName {
  return NAME.test(text)
}

export class UploadAddresses {
  readonly #key: KeyObject
  readonly #clock: { wallMs(): number }

  constructor(options: { readonly key: Uint8Array; readonly clock: { wallMs(): number } }) {
    assert(options.key.length >= 32, 'the key of addresses has at least 32 bytes')
    this.#key = createSecretKey(new Uint8Array(hkdfSync('sha256', options.key, '', 'state-platform uploads', 32)))
    this.#clock = options.clock
  }

  /** Path and query. */
  sign(of: Allowed): string {
    const expires = String(Math.floor((this.#clock.wallMs() + limits.uploadAddressMs) / 1000))
    const [member, value] = of.method === 'PUT' ? (['type', of.type] as const) : (['disposition', of.disposition] as const)
    return `${PATH}${of.name}?expires=${expires}&${member}=${encodeURIComponent(value)}&signature=${this.#signature(of, expires)}`
  }

  /** What the address in a request's target allows for `method`; undefined: forged, for another method, or too late. */
  verify(method: 'PUT' | 'GET', target: string): Allowed | undefined {
    const mark = target.indexOf('?')
    const name = target.slice(PATH.length, mark === -1 ? undefined : mark)
    if (mark === -1 || !isUploadName(name)) return undefined
    const query = new URLSearchParams(target.slice(mark + 1))
    const expires = query.get('expires') ?? ''
    const value = query.get(method === 'PUT' ? 'type' : 'disposition')
    if (value === null) return undefined
    const allowed: Allowed = method === 'PUT' ? { method, name, type: value } : { method, name, disposition: value }
    const expected = Buffer.from(this.#signature(allowed, expires))
    const given = Buffer.from(query.get('signature') ?? '')
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
    return Number(expires) * 1000 > this.#clock.wallMs() ? allowed : undefined
  }

  #signature(of: Allowed, expires: string): string {
    const text = JSON.stringify([of.method, of.name, expires, of.method === 'PUT' ? of.type : of.disposition])
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }
}
