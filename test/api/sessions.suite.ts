/** rest-api.md, "Domain, user, session". */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { Client, call, openSession } from './client.ts'
import { startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

describe('opening', () => {
  test('an anonymous token opens a session of a fresh user', async () => {
    const first = await openSession(server, { token: 'anonymous', domain: 'localhost' })
    const second = await openSession(server, { token: 'anonymous', domain: 'localhost' })
    expect(first.status).toBe(201)
    expect(Object.keys(first.body).toSorted()).toEqual(['domain', 'expires', 'provider', 'session', 'token', 'user'])
    expect(first.body).toMatchObject({ provider: 'anonymous', domain: 'localhost', session: expect.stringMatching(UUID), user: expect.stringMatching(UUID) })
    expect(second.body.user).not.toBe(first.body.user)
    const days = (Date.parse(first.body.expires) - Date.now()) / 86_400_000
    expect(days).toBeGreaterThan(29.9)
    expect(days).toBeLessThanOrEqual(30)
    expect(first.headers.get('x-request-id')).not.toBe(second.headers.get('x-request-id'))
  })

  test('the domain is the Origin with its port, and the body may say the same only', async () => {
    const Origin = 'http://app.localhost:5112'
    const byOrigin = await openSession(server, { token: 'anonymous' }, { Origin })
    expect(byOrigin).toMatchObject({ status: 201, body: { domain: 'app.localhost:5112' } })
    expect((await openSession(server, { token: 'anonymous', domain: 'APP.localhost:5112' }, { Origin })).status).toBe(201)
    expect((await openSession(server, { token: 'anonymous', domain: 'app.localhost' }, { Origin })).status).toBe(403)
    expect((await openSession(server, { token: 'anonymous', domain: 'localhost' }, { Origin: 'null' })).status).toBe(403)
  })

  test('without Origin and domain, and with what is no domain: 400', async () => {
    expect((await openSession(server, { token: 'anonymous' })).status).toBe(400)
    for (const domain of ['', 'a b', 'http://localhost', 'localhost:0', 'localhost:99999', '-a.localhost', 'a..localhost', 'x'.repeat(300), 7, null]) {
      expect((await openSession(server, { token: 'anonymous', domain })).status).toBe(400)
    }
  })

  test('a domain that nobody has claimed: 404 unknown-domain', async () => {
    const answer = await openSession(server, { token: 'anonymous', domain: 'example.com' })
    expect(answer).toMatchObject({ status: 404, body: { type: 'urn:problem:unknown-domain', status: 404 } })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })

  test('a token of the issuer local: the same subject is the same user every time', async () => {
    const first = await Client.open(server, { token: await server.tokenOf('alice') })
    const again = await openSession(server, { token: await server.tokenOf('alice'), domain: 'localhost' })
    const other = await Client.open(server, { token: await server.tokenOf('bob') })
    expect(again.body).toMatchObject({ user: first.user, provider: 'local' })
    expect(again.body.session).not.toBe(first.session)
    expect(other.user).not.toBe(first.user)
  })

  test('bad tokens: 401', async () => {
    const good = await server.tokenOf('alice')
    const [header, payload] = good.split('.') as [string, string, string]
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
    const tampered = `${header}.${Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), sub: 'bob' })).toString('base64url')}.${good.split('.')[2]}`
    const expired = await server.tokenOf('alice', { validMs: -1_000 })
    for (const token of ['', 'x', 'a.b.c', unsigned, tampered, expired, 'Anonymous', 'y'.repeat(100_000)]) {
      expect((await openSession(server, { token, domain: 'localhost' })).status).toBe(401)
    }
  })

  test('a bearer opens another session of its user in its own domain only', async () => {
    const client = await Client.open(server)
    const headers = { Authorization: `Bearer ${client.token}` }
    const second = await openSession(server, { domain: 'localhost' }, headers)
    expect(second).toMatchObject({ status: 201, body: { user: client.user, provider: 'anonymous' } })
    expect(second.body.session).not.toBe(client.session)
    expect((await openSession(server, { domain: 'other.localhost' }, headers)).status).toBe(403)
    expect((await openSession(server, { domain: 'localhost' })).status).toBe(401)
    expect((await openSession(server, { domain: 'localhost' }, { Authorization: 'Bearer x' })).status).toBe(401)
  })

  test('opening leaves an entry in the state "sessions"', async () => {
    const client = await Client.open(server)
    const { body } = await client.get('sessions')
    expect(body).toMatchObject({ name: 'sessions', owner: client.user, domain: 'localhost', ii: 1 })
    expect(body.active).toEqual({ [client.session]: { opened: expect.any(Number), close: {} } })
  })

  test('a user who has made something else of "sessions" is let in all the same', async () => {
    const client = await Client.open(server)
    await client.patch('sessions', [{ op: 'replace', path: ['active'], value: 'mine' }])
    const again = await openSession(server, { domain: 'localhost' }, { Authorization: `Bearer ${client.token}` })
    expect(again.status).toBe(201)
    expect((await client.get('sessions')).body.active).toBe('mine')
    await client.patch('sessions', [{ op: 'remove', path: ['active'] }])
    const third = await openSession(server, { domain: 'localhost' }, { Authorization: `Bearer ${client.token}` })
    expect(Object.keys((await client.get('sessions')).body.active)).toEqual([third.body.session])
  })
})

describe('bearers', () => {
  test('missing, forged, of another purpose: 401', async () => {
    const client = await Client.open(server)
    const address = await client.call('POST', '/v1/streams', { body: { scope: 'a' } })
    const streamToken = address.body.url.split('/').at(-1)
    const forged = `${client.token.slice(0, -2)}${client.token.endsWith('AA') ? 'BB' : 'AA'}`
    for (const Authorization of ['', 'Bearer', 'Bearer ', 'Bearer x', `Basic ${client.token}`, `Bearer ${forged}`, `Bearer ${streamToken}`, `Bearer ${await server.tokenOf('alice')}`]) {
      const answer = await call(`${server.url}/v1/states/a`, { headers: Authorization === '' ? {} : { Authorization } })
      expect(answer).toMatchObject({ status: 401, body: { type: 'urn:problem:unauthorized' } })
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    }
  })

  test('with another Origin than its domain: 403', async () => {
    const client = await Client.open(server, { domain: 'a.localhost:1' })
    expect((await client.get('x', '', { Origin: 'http://a.localhost:1' })).status).toBe(200)
    for (const Origin of ['http://a.localhost', 'http://b.localhost:1', 'https://example.com', 'null']) {
      expect((await client.get('x', '', { Origin })).status).toBe(403)
    }
  })

  test('the record of a session cannot be patched by its user', async () => {
    const client = await Client.open(server)
    expect((await client.get(client.session)).body).toMatchObject({ active_type: 'application/json;type=session', active: { user_id: client.user } })
    expect((await client.set(client.session, 'closed', 1)).status).toBe(403)
    expect((await client.get('a')).status).toBe(200)
  })
})

describe('closing', () => {
  test('ends the session: its bearer is of no use, its entry gone, a second time 404', async () => {
    const client = await Client.open(server)
    const other = await openSession(server, { domain: 'localhost' }, { Authorization: `Bearer ${client.token}` })
    const answer = await client.call('DELETE', `/v1/sessions/${client.session.toUpperCase()}`)
    expect(answer).toMatchObject({ status: 200, body: { session: client.session, scripts: [] } })
    expect(Math.abs(Date.parse(answer.body.closed) - Date.now())).toBeLessThan(60_000)
    expect((await client.get('a')).status).toBe(401)
    expect((await openSession(server, { domain: 'localhost' }, { Authorization: `Bearer ${client.token}` })).status).toBe(401)
    const headers = { Authorization: `Bearer ${other.body.token}` }
    expect((await call(`${server.url}/v1/sessions/${client.session}`, { method: 'DELETE', headers })).status).toBe(404)
    const entries = await call(`${server.url}/v1/states/sessions`, { headers })
    expect(Object.keys(entries.body.active)).toEqual([other.body.session])
  })

  test("another user's session, no session at all: 404", async () => {
    const client = await Client.open(server)
    const other = await Client.open(server)
    await client.set('a', 'x', 1)
    const state = await client.get('a')
    for (const id of [other.session, 'x', '%20', '00000000-0000-0000-0000-000000000000', state.body.id]) {
      expect((await client.call('DELETE', `/v1/sessions/${id}`)).status).toBe(404)
    }
    expect((await other.get('a')).status).toBe(200)
  })

  test('of many who close a session at once one does', async () => {
    const client = await Client.open(server)
    const second = await openSession(server, { domain: 'localhost' }, { Authorization: `Bearer ${client.token}` })
    const closings = Array.from({ length: 8 }, () => client.call('DELETE', `/v1/sessions/${second.body.session}`))
    const statuses = (await Promise.all(closings)).map((answer) => answer.status)
    expect(statuses.toSorted()).toEqual([200, ...Array.from({ length: 7 }, () => 404)])
  })

  test('ends the streams of the session, those of signed addresses too, and no others', async () => {
    const client = await Client.open(server)
    const second = await openSession(server, { domain: 'localhost' }, { Authorization: `Bearer ${client.token}` })
    const { EventReader } = await import('./client.ts')
    const address = await call(`${server.url}/v1/streams`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${second.body.token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ scope: 'a' }),
    })
    const streams = await Promise.all([
      EventReader.open(`${server.url}/v1/states/a`, { Authorization: `Bearer ${second.body.token}`, Accept: 'text/event-stream' }),
      EventReader.open(address.body.url, {}),
    ])
    const kept = await client.follow('a')
    await Promise.all([...streams, kept].map((stream) => stream.next()))
    expect((await client.call('DELETE', `/v1/sessions/${second.body.session}`)).status).toBe(200)
    await Promise.all(streams.map((stream) => stream.ended))
    await client.set('a', 'x', 1)
    expect((await kept.next()).data.ii).toBe(1)
    kept.close()
    await expect(EventReader.open(address.body.url, {})).rejects.toThrow('401')
  })
})

describe('close scripts', () => {
  test('are left in the entry of the session', async () => {
    const client = await Client.open(server)
    const path = `/v1/sessions/${client.session}/close-scripts`
    const answer = await client.call('POST', path, { body: { script: 'leave', args: { table: 3 } } })
    expect(answer.status).toBe(201)
    const entry = (await client.get('sessions')).body.active[client.session]
    expect(entry.close).toEqual({ [answer.body.id]: { script: 'leave', args: { table: 3 } } })
    expect((await client.call('POST', path, { body: { args: {} } })).status).toBe(400)
    expect((await client.call('POST', path, { body: { script: 'x', args: JSON.parse('{"__proto__":1}') } })).status).toBe(400)
    expect((await client.call('POST', path, { body: { script: 'x', more: 1 } })).status).toBe(400)
  })

  test('a repeat with the same Idempotency-Key leaves one', async () => {
    const client = await Client.open(server)
    const path = `/v1/sessions/${client.session}/close-scripts`
    const leave = (script: string) => client.call('POST', path, { body: { script }, headers: { 'Idempotency-Key': 'k' } })
    const [first, again] = [await leave('a'), await leave('a')]
    expect([first.status, again.status]).toEqual([201, 201])
    expect(again.body.id).toBe(first.body.id)
    expect((await leave('b')).status).toBe(422)
    expect(Object.keys((await client.get('sessions')).body.active[client.session].close)).toEqual([first.body.id])
  })

  test('no more are left than will be run', async () => {
    const client = await Client.open(server)
    const path = `/v1/sessions/${client.session}/close-scripts`
    const left = Object.fromEntries(Array.from({ length: limits.closeScripts - 1 }, (_, n) => [`left-${n}`, { script: 'a', args: {} }]))
    await client.set('sessions', client.session, { opened: 1, close: left })
    const leave = (key: string) => client.call('POST', path, { body: { script: 'a' }, headers: { 'Idempotency-Key': key } })
    const answers = [await leave('last'), await leave('more'), await leave('last')]
    expect(answers.map(({ status }) => status)).toEqual([201, 422, 201])
    expect(answers[1]!.body).toMatchObject({ type: 'urn:problem:unprocessable', op: 0, reason: expect.any(String) })
  })

  test("another user's session: 404", async () => {
    const [client, other] = [await Client.open(server), await Client.open(server)]
    expect((await client.call('POST', `/v1/sessions/${other.session}/close-scripts`, { body: { script: 'a' } })).status).toBe(404)
  })
})
