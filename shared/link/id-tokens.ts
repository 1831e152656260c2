/**
 * Links between services of Google Cloud: ID tokens of the caller's service account, made for the service that is called.
 *
 * Whoever calls brings one for the very address that it dials; whoever is called looks at signature, issuer, audience, expiry and
 * account. Only what is an address of a service (`https://`) is sent one.
 */
import { createRemoteJWKSet, decodeJwt, jwtVerify, type JWTPayload } from 'jose'
import type { LinkCredentials } from '#shared/link/connect.ts'

export type CalledParts = {
  /** Our own address, as callers know it. */
  readonly audience: string
  /** Service accounts that may call, by their addresses. */
  readonly callers: readonly string[]
  /** Where the issuer's keys are. `front`: whoever lets callers in has checked the signature, and nobody else reaches us. */
  readonly keys: string
}

/** `accounts.google.com` without a scheme is what older tokens say. */
const ISSUERS = ['https://accounts.google.com', 'accounts.google.com']
const KEYS_TIMEOUT_MS = 3_000

export type IdTokenParts = {
  /** An ID token of our own account for an audience, `https://host`. */
  readonly tokenFor: (audience: string) => Promise<string>
  /** Undefined: nobody may call us. */
  readonly called: CalledParts | undefined
  /** Why a token could not be had, or was refused. Holds none. */
  readonly onFault: (reason: string) => void
}

export function idTokens({ tokenFor, called, onFault }: IdTokenParts): LinkCredentials {
  const payloadOf = called && payloads(called)
  return {
    async header(address) {
      const url = URL.parse(address)
      if (url?.protocol !== 'https:') throw new Error(`a link by ID token leads to an address https://..., not ${address}`)
      try {
        return `Bearer ${await tokenFor(url.origin)}`
      } catch (error) {
        onFault(reasonOf(error))
        throw error
      }
    },
    async check(header) {
      const token = /^Bearer (\S+)$/.exec(header ?? '')?.[1]
      if (token === undefined || called === undefined || payloadOf === undefined) return false
      try {
        const payload = await payloadOf(token)
        if (payload['email_verified'] === true && called.callers.includes(String(payload['email']))) return true
        onFault('the token of an account that may not call')
      } catch (error) {
        onFault(reasonOf(error))
      }
      return false
    },
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')

/** What a valid token says. Rejects for any other. */
function payloads({ audience, keys }: CalledParts): (token: string) => Promise<JWTPayload> {
  if (keys !== 'front') {
    const keySet = createRemoteJWKSet(new URL(keys), { timeoutDuration: KEYS_TIMEOUT_MS })
    return async (token) => (await jwtVerify(token, keySet, { audience, issuer: ISSUERS, algorithms: ['RS256'], requiredClaims: ['exp'] })).payload
  }
  return async (token) => {
    const payload = decodeJwt(token)
    const isForUs = payload.aud === audience && ISSUERS.includes(payload.iss ?? '') && (payload.exp ?? 0) * 1000 > Date.now()
    if (!isForUs) throw new Error('a token for somebody else, or too late')
    return payload
  }
}
