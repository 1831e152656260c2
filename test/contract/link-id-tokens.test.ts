/** Links between services: an ID token of the right account, for the right service, signed by the right key, opens one; nothing else does. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose'
import type { LinkCredentials } from '#shared/link/connect.ts'
import { idTokens } from '#shared/link/id-tokens.ts'

const AUDIENCE = 'https://state-process-0.example'
const CALLER = 'api@project.iam.gserviceaccount.com'

let server: Server
let ours: CryptoKey
let theirs: CryptoKey
let called: LinkCredentials
let inFront: LinkCredentials
const faults: string[] = []
const tokenFor = (audience: string): Promise<string> => Promise.resolve(`token for ${audience}`)

beforeAll(async () => {
  const [pair, other] = await Promise.all([generateKeyPair('RS256'), generateKeyPair('RS256')])
  ours = pair.privateKey
  theirs = other.privateKey
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k', alg: 'RS256', use: 'sig' }] })
  server = createServer((_, res) => res.setHeader('Content-Type', 'application/json').end(keys)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const parts = { audience: AUDIENCE, callers: [CALLER, 'state-process@project.iam.gserviceaccount.com'] }
  called = idTokens({ tokenFor, onFault: (reason) => faults.push(reason), called: { ...parts, keys: `http://127.0.0.1:${port}/` } })
  inFront = idTokens({ tokenFor, onFault: (reason) => faults.push(reason), called: { ...parts, keys: 'front' } })
})
afterAll(() => void server.close())

type Change = { readonly claims?: object; readonly key?: CryptoKey; readonly audience?: string; readonly issuer?: string; readonly seconds?: number }

async function header({ claims = {}, key = ours, audience = AUDIENCE, issuer = 'https://accounts.google.com', seconds = 3_600 }: Change = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const token = new SignJWT({ email: CALLER, email_verified: true, ...claims }).setProtectedHeader({ alg: 'RS256', kid: 'k' })
  return `Bearer ${await token.setIssuer(issuer).setAudience(audience).setIssuedAt(now).setExpirationTime(now + seconds).sign(key)}`
}

test('a caller brings a token for the service that it dials', async () => {
  expect(await called.header('https://state-process-1.example/')).toBe('Bearer token for https://state-process-1.example')
})

test('no token goes to an address that is no service', async () => {
  await expect(called.header('127.0.0.1:8080')).rejects.toThrow('https://')
  await expect(called.header('http://state-process-1.example')).rejects.toThrow('https://')
})

test('why none can be had is told, and no link comes of it', async () => {
  faults.length = 0
  const broken = idTokens({ tokenFor: () => Promise.reject(new Error('no account')), called: undefined, onFault: (reason) => faults.push(reason) })
  await expect(broken.header('https://state-process-1.example')).rejects.toThrow('no account')
  expect(faults).toEqual(['no account'])
})

test('its callers are let in', async () => {
  expect(await called.check(await header())).toBe(true)
  expect(await inFront.check(await header())).toBe(true)
})

describe.each(['by itself', 'in front'])('looked at %s', (where) => {
  test.each<[string, Change]>([
    ['of another service', { audience: 'https://state-process-1.example' }],
    ['of another issuer', { issuer: 'https://accounts.example' }],
    ['of another account', { claims: { email: 'mallory@project.iam.gserviceaccount.com' } }],
    ['of an account that nobody has verified', { claims: { email_verified: false } }],
    ['of no account', { claims: { email: undefined } }],
    ['that is too old', { seconds: -60 }],
  ])('not one %s', async (_, change) => {
    faults.length = 0
    expect(await (where === 'in front' ? inFront : called).check(await header(change))).toBe(false)
    expect(faults).toHaveLength(1)
  })

  test.each([undefined, '', 'Bearer', 'Bearer x', 'Basic eDp5', 'Bearer a.b.c'])('not %j', async (given) => {
    expect(await (where === 'in front' ? inFront : called).check(given)).toBe(false)
  })
})

test('not one that somebody else has signed, or nobody', async () => {
  expect(await called.check(await header({ key: theirs }))).toBe(false)
  const [head, payload] = (await header()).split('.')
  expect(await called.check(`${head}.${payload}.SIGNATURE_REMOVED_BY_GOOGLE`)).toBe(false)
})

test('what has no callers lets nobody in', async () => {
  expect(await idTokens({ tokenFor, onFault: (reason) => faults.push(reason), called: undefined }).check(await header())).toBe(false)
})
