/** Log-ins of published agents: what their pages encrypt for us is opened, and exchanged at the provider for a user. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { generateKeyPairSync, webcrypto } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import { cutWires, wireTo } from '../support/agents.ts'
import { startLocalServer } from '../support/local-server.ts'
import { eventually } from '../support/postgres.ts'
import type { TestServer } from './fixture.ts'

const ISSUER = 'https://provider.example.com'
const DOMAIN = 'localhost:5112'
const login = generateKeyPairSync('rsa', { modulusLength: 2048 })
const signing = generateKeyPairSync('rsa', { modulusLength: 2048 })

let server: TestServer
let provider: Provider

beforeAll(async () => {
  provider = await startProvider()
  server = await startLocalServer({
    AUTHORIZE_DEFAULT: 'allow',
    DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    LOG_LEVEL: 'error',
    AGENT_TOKEN_KEY: login.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    AGENT_PROVIDERS: JSON.stringify([{ provider: 'google', tokenUri: `http://127.0.0.1:${provider.port}/token`, clientId: 'our id', clientSecret: 'our secret', redirectUri: 'https://auth.example.com/' }]),
    ISSUERS: JSON.stringify([{ issuer: ISSUER, audiences: ['our id'], jwks: { keys: [{ ...signing.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256' }] } }]),
  })
})
afterEach(cutWires)
afterAll(async () => {
  await server?.stop()
  await provider?.stop()
})

test('a code of a provider, encrypted for us, is its user, the next page of the browser and one that resumes know them as well', async () => {
  const first = await greet({ token: await encrypted({ domain: DOMAIN, provider: 'google', code: 'ann' }), sid: 'a browser' })
  expect(first).toMatchObject({ auth: { provider: 'google', info: { name: 'ann Example', picture: 'https://example.com/ann.png' } } })
  expect(provider.asked.at(-1)).toEqual({ grant_type: 'authorization_code', code: 'ann', client_id: 'our id', client_secret: 'our secret', redirect_uri: 'https://auth.example.com/' })
  const { auth, session } = first
  expect((await greet({ token: null, sid: 'a browser' })).auth).toEqual(auth)
  expect(await greet({ token: null, sid: 'a browser', session })).toMatchObject({ session, auth })
  // One user per provider and subject, another browser or not.
  expect((await greet({ token: await encrypted({ domain: DOMAIN, provider: 'google', code: 'ann' }), sid: 'another' })).auth).toEqual(auth)
  expect((await greet({ token: await encrypted({ domain: DOMAIN, provider: 'google', code: 'bob' }), sid: 'another' })).auth.user).not.toBe(auth.user)
  // After a log-out.
  expect((await greet({ token: 'x8f2kq1z', sid: 'a browser' })).auth).toMatchObject({ provider: 'anonymous', info: { name: 'anonymous', picture: null } })
})

test('what others can read of a session says neither the secret of its browser nor who its user is', async () => {
  const sid = 'secret of a browser'
  const { session } = await greet({ token: await encrypted({ domain: DOMAIN, provider: 'google', code: 'eve' }), sid })
  const wire = await wireTo(server.port, `http://${DOMAIN}`)
  wire.send({ token: 'anonymous' })
  const other = await wire.next()
  wire.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', other.session, 'subscriptions', 'a'], value: { scope: session, ii: null } }], si: 0 })
  const record = JSON.stringify(await wire.next())
  expect(record).toContain('session_credential')
  expect(record).not.toContain(sid)
  expect(record).not.toContain('eve')
})

test('a code for another domain, of no provider of ours, not known there, or not encrypted for us is refused', async () => {
  const refusal = { error: 'First Message Must Be A Valid Auth Message' }
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const good = await encrypted({ domain: DOMAIN, provider: 'google', code: 'ann' })
  const [iv, data, key] = good.split(',')
  for (const token of [
    await encrypted({ domain: 'localhost:1', provider: 'google', code: 'ann' }),
    await encrypted({ domain: DOMAIN, provider: 'nobody', code: 'ann' }),
    await encrypted({ domain: DOMAIN, provider: 'google', code: 'refuse' }),
    await encrypted({ domain: DOMAIN, provider: 'google', code: 'forge' }),
    await encrypted({ domain: DOMAIN, provider: 'google', code: 'ann' }, stranger.publicKey),
    `${iv},${data!.slice(0, -12)},${key}`,
    `${iv},${data},${key},${key}`,
    `%,${data},${key}`,
  ]) {
    expect(await greet({ token, sid: 'refused' })).toEqual(refusal)
  }
})

test('a provider that cannot be asked sends nobody to log in again: the client finds its connection broken', async () => {
  const wire = await wireTo(server.port, `http://${DOMAIN}`)
  wire.send({ token: await encrypted({ domain: DOMAIN, provider: 'google', code: 'break' }), sid: 'waiting' })
  await wire.closed
  await eventually(() => expect(provider.asked.at(-1)).toMatchObject({ code: 'break' }))
})

// oxlint-disable-next-line typescript/no-explicit-any -- what the server answers
async function greet(message: { readonly token: string | null; readonly sid: string; readonly session?: string }): Promise<any> {
  const wire = await wireTo(server.port, `http://${DOMAIN}`)
  wire.send(message)
  const answer = await wire.next()
  wire.cut()
  return answer
}

/** As the client's page does it. */
async function encrypted(contents: object, publicKey: KeyObject = login.publicKey): Promise<string> {
  const { subtle } = webcrypto
  const key = await subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), { name: 'RSA-OAEP', hash: 'SHA-256' }, true, ['encrypt'])
  const dataKey = await subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt', 'decrypt'])
  const iv = webcrypto.getRandomValues(new Uint8Array(12))
  const data = await subtle.encrypt({ name: 'AES-GCM', iv }, dataKey, new TextEncoder().encode(JSON.stringify(contents)))
  const sealedKey = await subtle.encrypt({ name: 'RSA-OAEP' }, key, await subtle.exportKey('raw', dataKey))
  return [iv, data, sealedKey].map((part) => encodeURIComponent(Buffer.from(part as ArrayBuffer).toString('base64'))).join(',')
}

type Provider = { readonly port: number; readonly asked: object[]; readonly stop: () => Promise<void> }

/** Whoever's code is a name is that user. */
async function startProvider(): Promise<Provider> {
  const asked: object[] = []
  const http: Server = createServer((req, res) => {
    void textOf(req).then(async (text) => {
      const form = Object.fromEntries(new URLSearchParams(text))
      asked.push(form)
      const { code } = form
      if (code === 'break') return req.socket.destroy()
      res.statusCode = code === 'refuse' ? 400 : 200
      res.setHeader('Content-Type', 'application/json')
      res.end(JSON.stringify(code === 'refuse' ? { error: 'invalid_grant' } : { id_token: await idToken(code!, code === 'forge' ? login.privateKey : signing.privateKey) }))
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    port: (http.address() as AddressInfo).port,
    asked,
    stop: () =>
      new Promise((resolve) => {
        http.closeAllConnections()
        http.close(() => resolve())
      }),
  }
}

async function textOf(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of req) text += String(chunk)
  return text
}

function idToken(user: string, key: KeyObject): Promise<string> {
  return new SignJWT({ name: `${user} Example`, picture: `https://example.com/${user}.png` })
    .setProtectedHeader({ alg: 'RS256', kid: 'k' })
    .setIssuer(ISSUER)
    .setAudience('our id')
    .setSubject(`subject of ${user}`)
    .setIssuedAt()
    .setExpirationTime('10m')
    .sign(key)
}
