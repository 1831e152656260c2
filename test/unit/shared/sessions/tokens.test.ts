import { describe, expect, test } from '@jest/globals'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import { Bearers } from '#shared/sessions/bearers.ts'
import { IdTokens } from '#shared/sessions/id-tokens.ts'
import { signLocalIdToken } from '#shared/sessions/local-issuer.ts'
import { SignedTokens } from '#shared/sessions/signed-token.ts'

const secret = Buffer.alloc(32, 1)
const movable = () => {
  const clock = { nowMs: Date.parse('2026-11-24T12:00:00Z'), wallMs: () => clock.nowMs }
  return clock
}

describe('bearers', () => {
  const of = { session: 's', user: 'u', domain: 'd', provider: 'anonymous' }

  test('say what they were issued with, by a process with the same key', async () => {
    const clock = movable()
    const { token, claims } = await new Bearers({ secret, clock }).issue(of)
    expect(claims).toEqual({ ...of, expiresMs: clock.nowMs + 30 * 86_400_000 })
    expect(await new Bearers({ secret, clock }).verify(token)).toEqual(claims)
    expect(await new Bearers({ secret: Buffer.alloc(32, 2), clock }).verify(token)).toBe(undefined)
  })

  test('known ones are answered at once, and not after they expired', async () => {
    const clock = movable()
    const bearers = new Bearers({ secret, clock })
    const { token, claims } = await bearers.issue(of)
    await bearers.verify(token)
    expect(bearers.verify(token)).toEqual(claims)
    clock.nowMs = claims.expiresMs - 1
    expect(bearers.verify(token)).toEqual(claims)
    clock.nowMs = claims.expiresMs
    expect(bearers.verify(token)).toBe(undefined)
    expect(await bearers.verify(token)).toBe(undefined)
  })

  test('a token of another purpose is none', async () => {
    const clock = movable()
    const token = await new SignedTokens({ secret, purpose: 'stream', clock }).sign({ sid: 's', sub: 'u', dom: 'd', prv: 'p' }, clock.nowMs + 60_000)
    expect(await new Bearers({ secret, clock }).verify(token)).toBe(undefined)
  })
})

describe('ID tokens', () => {
  const issuer = 'https://issuer.example.com'
  const audience = 'our app'
  const clock = movable()
  const now = Math.floor(clock.nowMs / 1000)
  const sign = (key: Parameters<SignJWT['sign']>[0], alg: string, claims: object = {}) =>
    new SignJWT({ iss: issuer, aud: audience, sub: 'subject', exp: now + 60, ...claims }).setProtectedHeader({ alg, kid: 'k' }).sign(key)

  async function issued() {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }
    return { privateKey, jwks: { keys: [jwk] } }
  }

  test('of a configured issuer, for us, now', async () => {
    const { privateKey, jwks } = await issued()
    const tokens = new IdTokens({ issuers: [{ issuer, audiences: ['other', audience], keys: { jwks } }], localIssuerKey: undefined, clock })
    expect(await tokens.verify(await sign(privateKey, 'ES256'))).toEqual({ kind: 'verified', issuer, subject: 'subject' })
    for (const claims of [{ aud: 'not us' }, { iss: 'https://other.example.com' }, { exp: now }, { exp: undefined }, { sub: undefined }, { sub: '' }, { sub: 'x'.repeat(256) }, { nbf: now + 60 }]) {
      expect([claims, await tokens.verify(await sign(privateKey, 'ES256', claims))]).toEqual([claims, { kind: 'refused' }])
    }
    const other = await issued()
    expect(await tokens.verify(await sign(other.privateKey, 'ES256'))).toEqual({ kind: 'refused' })
    expect(await tokens.verify('x.y.z')).toEqual({ kind: 'refused' })
  })

  test('a public key is no secret: HS256 is refused for configured issuers', async () => {
    const { jwks } = await issued()
    const tokens = new IdTokens({ issuers: [{ issuer, audiences: [audience], keys: { jwks } }], localIssuerKey: undefined, clock })
    expect(await tokens.verify(await sign(Buffer.from(JSON.stringify(jwks.keys[0])), 'HS256'))).toEqual({ kind: 'refused' })
  })

  test('the issuer local: only where it has a key, only HS256, only for us', async () => {
    const key = Buffer.alloc(64, 3)
    const token = await signLocalIdToken({ key, user: 'alice', nowMs: clock.nowMs, validMs: 60_000 })
    const tokens = new IdTokens({ issuers: [], localIssuerKey: key, clock })
    expect(await tokens.verify(token)).toEqual({ kind: 'verified', issuer: 'local', subject: 'alice' })
    expect(await new IdTokens({ issuers: [], localIssuerKey: undefined, clock }).verify(token)).toEqual({ kind: 'refused' })
    expect(await tokens.verify(await sign(key, 'HS256', { iss: 'local', aud: 'state-platform' }))).toMatchObject({ kind: 'verified' })
    expect(await tokens.verify(await sign(key, 'HS256', { iss: 'local' }))).toEqual({ kind: 'refused' })
    expect(await tokens.verify(await sign(key, 'HS512', { iss: 'local', aud: 'state-platform' }))).toEqual({ kind: 'refused' })
  })

  test('keys from the address of the issuer; if they cannot be had, nothing is said about the token', async () => {
    const { privateKey, jwks } = await issued()
    let answer: { status: number; body: string } = { status: 200, body: JSON.stringify(jwks) }
    const server = createServer((_, res) => res.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.body))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const jwksUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
    const fresh = () => new IdTokens({ issuers: [{ issuer, audiences: [audience], keys: { jwksUri } }], localIssuerKey: undefined, clock })
    const token = await sign(privateKey, 'ES256')
    expect(await fresh().verify(token)).toMatchObject({ kind: 'verified' })
    for (const broken of [{ status: 500, body: '' }, { status: 200, body: 'x' }, { status: 200, body: '{}' }]) {
      answer = broken
      expect([broken, await fresh().verify(token)]).toEqual([broken, { kind: 'unavailable', reason: expect.any(String) }])
    }
    await new Promise((resolve) => server.close(resolve))
    expect(await fresh().verify(token)).toMatchObject({ kind: 'unavailable' })
  })
})
