/**
 * Tokens that this deployment signs for itself: JWTs with HS256 under a key that is derived per purpose,
 * so that a token of one purpose never passes as one of another.
 */
import { hkdfSync } from 'node:crypto'
import { SignJWT, errors, jwtVerify } from 'jose'
import type { JWTPayload } from 'jose'
import { assert } from '#shared/assert.ts'

export type Purpose = 'bearer' | 'stream'

/** Longer texts are refused unread. */
const TOKEN_CHARACTERS = 8_192

export class SignedTokens {
  readonly #key: Uint8Array
  readonly #purpose: Purpose
  readonly #clock: { wallMs(): number }

  constructor(options: { secret: Uint8Array; purpose: Purpose; clock: { wallMs(): number } }) {
    assert(options.secret.length >= 32, 'a signing secret has at least 32 bytes')
    this.#purpose = options.purpose
    this.#clock = options.clock
    this.#key = new Uint8Array(hkdfSync('sha256', options.secret, '', `state-platform ${options.purpose}`, 32))
  }

  /** `expiresMs` is rounded down to whole seconds, which is what a JWT can say. */
  sign(claims: Record<string, string>, expiresMs: number): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: this.#purpose })
      .setIssuedAt(Math.floor(this.#clock.wallMs() / 1000))
      .setExpirationTime(Math.floor(expiresMs / 1000))
      .sign(this.#key)
  }

  /** The claims of a token that we signed and that has not expired; undefined for any other text. */
  async verify(token: string): Promise<(JWTPayload & { exp: number }) | undefined> {
    if (token.length > TOKEN_CHARACTERS) return undefined
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: ['HS256'],
        typ: this.#purpose,
        currentDate: new Date(this.#clock.wallMs()),
        requiredClaims: ['exp'],
      })
      return payload as JWTPayload & { exp: number }
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined
      throw error
    }
  }
}
