/**
 * Verification of OIDC ID tokens against the configured issuers: signature, issuer, audience, expiry.
 *
 * The algorithm is never taken from the token alone: configured issuers are asymmetric only (a public key
 * must not pass as an HMAC secret), the issuer `local` is HS256 only.
 */
import { createLocalJWKSet, createRemoteJWKSet, customFetch, decodeJwt, errors, jwtVerify } from 'jose'
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose'
import { assert } from '#shared/assert.ts'
import { LOCAL_AUDIENCE, LOCAL_ISSUER } from './local-issuer.ts'

export type Issuer = {
  /** Its `iss`, and the `provider` of sessions that it vouched for. */
  readonly issuer: string
  /** `aud` must have one of these: ours, as the issuer knows us. */
  readonly audiences: readonly string[]
  readonly keys: { readonly jwksUri: string } | { readonly jwks: JSONWebKeySet }
}

export type IdTokenAnswer =
  | { readonly kind: 'verified'; readonly issuer: string; readonly subject: string }
  /** Not a token of an issuer that we know, for us, now. */
  | { readonly kind: 'refused' }
  /** The issuer's keys could not be had: nothing is known about the token. */
  | { readonly kind: 'unavailable'; readonly reason: string }

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
const TOKEN_CHARACTERS = 16_384
/** OIDC Core, section 2: a subject has at most 255 characters. */
const SUBJECT_CHARACTERS = 255
const KEYS_TIMEOUT_MS = 3_000

type Verifier = { readonly key: JWTVerifyGetKey | Uint8Array; readonly audiences: readonly string[]; readonly algorithms: readonly string[] }

export class IdTokens {
  readonly #verifiers = new Map<string, Verifier>()
  readonly #clock: { wallMs(): number }

  constructor(options: { issuers: readonly Issuer[]; localIssuerKey: Uint8Array | undefined; clock: { wallMs(): number } }) {
    this.#clock = options.clock
    for (const { issuer, audiences, keys } of options.issuers) {
      assert(audiences.length > 0, `issuer ${issuer} has no audience`)
      assert(issuer !== LOCAL_ISSUER && issuer !== 'anonymous' && !this.#verifiers.has(issuer), `issuer ${issuer} is there already`)
      const key = 'jwks' in keys ? createLocalJWKSet(keys.jwks) : createRemoteJWKSet(new URL(keys.jwksUri), { timeoutDuration: KEYS_TIMEOUT_MS, [customFetch]: fetchKeys })
      this.#verifiers.set(issuer, { key: key as JWTVerifyGetKey, audiences, algorithms: ASYMMETRIC })
    }
    if (options.localIssuerKey !== undefined) {
      assert(options.localIssuerKey.length >= 32, 'the local issuer has a key of at least 32 bytes')
      this.#verifiers.set(LOCAL_ISSUER, { key: options.localIssuerKey, audiences: [LOCAL_AUDIENCE], algorithms: ['HS256'] })
    }
  }

  async verify(token: string): Promise<IdTokenAnswer> {
    if (token.length > TOKEN_CHARACTERS) return { kind: 'refused' }
    try {
      const issuer = decodeJwt(token).iss
      const verifier = issuer === undefined ? undefined : this.#verifiers.get(issuer)
      if (issuer === undefined || verifier === undefined) return { kind: 'refused' }
      const { payload } = await jwtVerify(token, verifier.key, {
        issuer,
        audience: [...verifier.audiences],
        algorithms: [...verifier.algorithms],
        currentDate: new Date(this.#clock.wallMs()),
        requiredClaims: ['sub', 'exp'],
      })
      const subject = payload.sub
      if (typeof subject !== 'string' || subject === '' || subject.length > SUBJECT_CHARACTERS || !subject.isWellFormed()) return { kind: 'refused' }
      return { kind: 'verified', issuer, subject }
    } catch (error) {
      return judge(error)
    }
  }
}

function judge(error: unknown): IdTokenAnswer {
  const isAboutToken =
    error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) &&
    error.code !== 'ERR_JOSE_GENERIC' // what the fetch of keys throws for an answer that is no 200 or no JSON
  if (isAboutToken) return { kind: 'refused' }
  if (error instanceof errors.JOSEError) return { kind: 'unavailable', reason: error.message }
  if (error instanceof KeysUnreachable) return { kind: 'unavailable', reason: error.message }
  throw error
}

class KeysUnreachable extends Error {
  override name = 'KeysUnreachable'
}

/** `fetch`, with its failures told apart from faults of the token. A time-out stays what it is: jose knows it. */
async function fetchKeys(url: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(url, options)
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') throw error
    throw new KeysUnreachable(`the issuer's keys: ${(error as Error).message}`)
  }
}
