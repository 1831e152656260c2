/** The api under other settings than those of `npm start`, and under faults that a client cannot bring about. */
import { afterEach, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { Client, call, openSession } from '../../../api/client.ts'
import { startMemoryServer } from '../../../support/memory-server.ts'
import type { MemoryServer } from '../../../support/memory-server.ts'

let server: MemoryServer
afterEach(() => server.stop())

describe('settings', () => {
  test('closed domains: only claimed ones, also for CORS; localhost is none', async () => {
    server = await startMemoryServer({ settings: { openDomains: false, corsOrigins: ['https://console.example.com'] }, claimed: ['app.example.com'] })
    expect((await openSession(server, { token: 'anonymous', domain: 'localhost' })).status).toBe(404)
    expect((await openSession(server, { token: 'anonymous' }, { Origin: 'http://localhost' })).status).toBe(404)
    expect((await openSession(server, { token: 'anonymous' }, { Origin: 'https://app.example.com' })).body.domain).toBe('app.example.com')
    const allowed = async (Origin: string) => (await call(`${server.url}/v1/health`, { headers: { Origin } })).headers.get('access-control-allow-origin')
    expect(await Promise.all(['https://app.example.com', 'https://console.example.com', 'http://localhost', 'https://x.example.com'].map(allowed))).toEqual(['https://app.example.com', 'https://console.example.com', null, null])
  })

  test('authorizeDefault allow: everybody reads and follows everything, and writes nothing', async () => {
    server = await startMemoryServer({ settings: { authorizeDefault: 'allow' } })
    const [alice, bob] = [await Client.open(server), await Client.open(server, { domain: 'b.localhost' })]
    const { id } = (await alice.set('a', 'x', 1)).body
    expect((await bob.get(id)).body.owner).toBe(alice.user)
    const whose = `?user=${alice.user}&domain=localhost`
    expect((await bob.get('a', whose)).body.id).toBe(id)
    expect((await bob.call('GET', `/v1/states/a/history${whose}`)).text).toContain('"ii":1')
    const stream = await bob.follow('a', { query: whose })
    expect((await stream.next()).data.id).toBe(id)
    stream.close()
    expect((await bob.set(id, 'x', 1)).status).toBe(403)
    expect((await bob.call('PATCH', `/v1/states/a${whose}`, { body: { patch: [{ op: 'add', path: ['active'], value: 1 }] } })).status).toBe(403)
    const empty = { raw: '[]', headers: { 'Content-Type': 'application/json-patch+json' } }
    expect((await bob.call('PATCH', `/v1/states/${id}`, empty)).status).toBe(403)
    expect((await bob.call('PATCH', `/v1/states/${(await alice.get('not yet')).body.id}`, empty)).status).toBe(403)
    expect((await alice.call('PATCH', `/v1/states/${id}`, empty)).status).toBe(200)
    await alice.rename('a', 'b')
    expect((await bob.get('b', whose)).body.id).toBe(id)
  })

  test('cluster info is for operators', async () => {
    server = await startMemoryServer({ settings: { clusterInfo: false }, operatorToken: 'secret of operators' })
    const ask = async (Authorization?: string) => (await call(`${server.url}/v1/cluster`, { headers: Authorization === undefined ? {} : { Authorization } })).status
    expect([await ask(), await ask('Bearer x'), await ask('Bearer undefined'), await ask('Bearer secret of operators')]).toEqual([401, 403, 403, 200])
    await server.stop()
    server = await startMemoryServer({ settings: { clusterInfo: false } })
    expect([await ask('Bearer undefined'), await ask('Bearer ')]).toEqual([403, 403])
  })

  test('addresses that we hand out begin with publicUrl', async () => {
    server = await startMemoryServer({ settings: { publicUrl: 'https://api.example.com' } })
    const alice = await Client.open(server)
    expect((await alice.call('POST', '/v1/streams', { body: { scope: 'a' } })).body.url).toMatch(/^https:\/\/api\.example\.com\/v1\/streams\/[\w.-]+$/)
  })
})

describe('faults', () => {
  test('not ready: 503 that names what is missing', async () => {
    server = await startMemoryServer()
    server.cluster.missingParts = ['storage', 'a leader']
    const answer = await call(`${server.url}/v1/ready`)
    expect(answer).toMatchObject({ status: 503, body: { missing: ['storage', 'a leader'] } })
    expect(answer.headers.get('retry-after')).toBe('1')
  })

  test.each([[false, false], [undefined, undefined]] as const)('unavailable with stored %s: 503 that says so', async (stored, shown) => {
    server = await startMemoryServer()
    const alice = await Client.open(server)
    server.cluster.beforePatch = () => ({ kind: 'unavailable', stored, reason: 'no leader' })
    for (const scope of ['a', randomUUID()]) {
      const answer = await alice.set(scope, 'x', 1)
      expect([answer.status, answer.body.type, answer.body.stored, answer.headers.get('retry-after')]).toEqual([503, 'urn:problem:unavailable', shown, '1'])
    }
  })

  test('nothing can be read: 503 everywhere, no 500, and back when it can', async () => {
    server = await startMemoryServer()
    const alice = await Client.open(server)
    await alice.set('a', 'x', 1)
    server.cluster.outage = { kind: 'unavailable', stored: undefined, reason: 'disk' }
    const id = randomUUID()
    const asked = async () => [
      await alice.get('a'), await alice.get(id), await alice.get(id, '?ii=1'), await alice.set('a', 'y', 1), await alice.rename('a', 'b'),
      await alice.call('GET', `/v1/states/${id}/history`), await alice.call('POST', '/v1/streams', { body: { scope: 'a' } }),
      await alice.call('DELETE', `/v1/sessions/${alice.session}`), await alice.call('POST', `/v1/sessions/${alice.session}/close-scripts`, { body: { script: 'x' } }),
      await openSession(server, { token: 'anonymous', domain: 'localhost' }),
      await alice.call('PATCH', `/v1/states/${id}`, { raw: '[]', headers: { 'Content-Type': 'application/json-patch+json' } }),
    ]
    for (const answer of await asked()) expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    server.clock.aheadMs += 10_000
    for (const answer of await asked()) expect(answer.status).toBe(503)
    server.cluster.outage = undefined
    expect((await alice.get('a')).body).toMatchObject({ ii: 1, active: { x: 1 } })
  })

  test('what nobody expected: 500 without details, logged, the process alive', async () => {
    server = await startMemoryServer()
    const alice = await Client.open(server)
    server.cluster.beforePatch = () => {
      throw new Error('secret detail')
    }
    const answer = await alice.set(randomUUID(), 'x', 1)
    expect(answer).toMatchObject({ status: 500, body: { type: 'urn:problem:internal' } })
    expect(answer.text).not.toContain('secret')
    expect(server.logged).toContainEqual(expect.objectContaining({ err: expect.objectContaining({ message: 'secret detail' }) }))
    server.cluster.beforePatch = () => undefined
    expect((await alice.set(randomUUID(), 'x', 1)).status).toBe(200)
  })

  test('a broken assumption stops the process loudly', async () => {
    server = await startMemoryServer()
    const script = `
      import { startMemoryServer } from './test/support/memory-server.ts'
      import { Client } from './test/api/client.ts'
      import { assert } from '#shared/assert.ts'
      const server = await startMemoryServer()
      const client = await Client.open(server)
      server.cluster.beforePatch = () => assert(false, 'the world is upside down')
      await client.set('00000000-0000-4000-8000-000000000000', 'x', 1)
      process.exit(0)`
    const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8', timeout: 20_000 })
    expect(child.status).not.toBe(0)
    expect(child.stderr).toContain('the world is upside down')
  })

  test('two who close a session and both found it open: one does, the other gets 404', async () => {
    server = await startMemoryServer()
    const alice = await Client.open(server)
    const second = (await alice.call('POST', '/v1/sessions', { body: { domain: 'localhost' } })).body.session
    let arrived = 0
    let goOn: () => void = () => {}
    const bothAreHere = new Promise<void>((resolve) => {
      goOn = resolve
    })
    server.cluster.beforePatch = async (request) => {
      if (request.id !== second || arrived === 2) return undefined
      arrived += 1
      if (arrived === 2) goOn()
      await bothAreHere
      return undefined
    }
    const close = async () => (await alice.call('DELETE', `/v1/sessions/${second}`)).status
    expect((await Promise.all([close(), close()])).toSorted()).toEqual([200, 404])
  })

  test('a bearer of a session that was closed elsewhere is refused within two seconds', async () => {
    server = await startMemoryServer()
    const alice = await Client.open(server)
    const elsewhere = await startMemoryServer({ cluster: server.cluster })
    const there = async () => (await call(`${elsewhere.url}/v1/states/a`, { headers: { Authorization: `Bearer ${alice.token}` } })).status
    expect(await there()).toBe(200)
    expect((await alice.call('DELETE', `/v1/sessions/${alice.session}`)).status).toBe(200)
    expect((await alice.get('a')).status).toBe(401)
    elsewhere.clock.aheadMs += 2_001
    expect(await there()).toBe(401)
    await elsewhere.stop()
  })

  test('an expired bearer is refused', async () => {
    server = await startMemoryServer()
    const alice = await Client.open(server)
    expect((await alice.get('a')).status).toBe(200)
    server.clock.aheadMs = 30 * 86_400_000
    expect((await alice.get('a')).status).toBe(401)
  })
})
