/**
 * Bearers: the signed tokens that stand for an open session.
 *
 * Owns: signing, verification, and the cache of verified tokens, which keeps cryptography off the path of
 * a patch. Does not own: whether the session is still open (open-sessions.ts).
 *
 * I1. What `verify` answers was signed by our key and has not expired at the time of the call, cached or not.
 */
import { LRUCache } from 'lru-cache'
import { limits } from '#shared/limits.ts'
import { SignedTokens } from './signed-token.ts'

export type Claims = {
  readonly session: string
  readonly user: string
  readonly domain: string
  /** `anonymous`, or the name of the issuer that vouched for the user. */
  readonly provider: string
  readonly expiresMs: number
}

const CACHED_BEARERS = 20_000

export class Bearers {
  readonly #tokens: SignedTokens
  readonly #clock: { wallMs(): number }
  readonly #verified = new LRUCache<string, Claims>({ max: CACHED_BEARERS })

  constructor(options: { secret: Uint8Array; clock: { wallMs(): number } }) {
    this.#clock = options.clock
    this.#tokens = new SignedTokens({ ...options, purpose: 'bearer' })
  }

  async issue(of: Omit<Claims, 'expiresMs'>): Promise<{ token: string; claims: Claims }> {
    const expiresMs = Math.floor(this.#clock.wallMs() / 1000) * 1000 + limits.bearerDays * 86_400_000
    const token = await this.#tokens.sign({ sid: of.session, sub: of.user, dom: of.domain, prv: of.provider }, expiresMs)
    return { token, claims: { session: of.session, user: of.user, domain: of.domain, provider: of.provider, expiresMs } }
  }

  /** Answers at once for a token seen before; undefined: forged or expired. */
  verify(token: string): Claims | undefined | Promise<Claims | undefined> {
    const known = this.#verified.get(token)
    if (known === undefined) return this.#verifyUnknown(token)
    if (known.expiresMs > this.#clock.wallMs()) return known
    this.#verified.delete(token)
    return undefined
  }

  async #verifyUnknown(token: string): Promise<Claims | undefined> {
    const payload = await this.#tokens.verify(token)
    if (payload === undefined) return undefined
    const claims: Claims = {
      session: payload['sid'] as string,
      user: payload.sub as string,
      domain: payload['dom'] as string,
      provider: payload['prv'] as string,
      expiresMs: payload.exp * 1000,
    }
    this.#verified.set(token, claims)
    return claims
  }
}
