/** rest-api.md, "States": reading, patching, preconditions, keys. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { Client, call } from './client.ts'
import type { Body } from './client.ts'
import { composition, startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

const { parsersInFront } = composition()
let server: TestServer
let alice: Client
let bob: Client
beforeAll(async () => {
  server = await startServer()
  ;[alice, bob] = await Promise.all([Client.open(server), Client.open(server)])
})
afterAll(() => server.stop())

const add = (path: unknown[], value: unknown) => ({ op: 'add', path, value })

describe('reading', () => {
  test('a state that nobody has written', async () => {
    const id = randomUUID()
    const answer = await alice.get(id)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('etag')).toBe('"0"')
    const unwritten = { id, ii: 0, domain: null, owner: null, name: null, active_type: 'application/json', active: {}, created: null, updated: null }
    expect(answer.body).toEqual(unwritten)
    expect((await bob.get(id)).body).toEqual(unwritten)
    expect((await alice.get('never written')).body).toMatchObject({ ii: 0, name: null, owner: null, active: {} })
  })

  test('a written state, under its id in any case', async () => {
    const id = randomUUID()
    const before = Date.now()
    await alice.patch(id, [add(['active', 'x'], 1), add(['active_type'], 'application/json;type=score')])
    await alice.set(id, 'y', 'ü')
    const answer = await alice.get(id.toUpperCase())
    expect(answer.headers.get('etag')).toBe('"2"')
    expect(answer.headers.get('content-type')).toBe('application/json')
    const { created, updated, ...rest } = answer.body
    expect(rest).toEqual({ id, ii: 2, domain: 'localhost', owner: alice.user, name: null, active_type: 'application/json;type=score', active: { x: 1, y: 'ü' } })
    expect(created).toBeGreaterThanOrEqual(before)
    expect(updated).toBeGreaterThanOrEqual(created)
  })

  test('If-None-Match', async () => {
    const id = randomUUID()
    await alice.set(id, 'x', 1)
    const known = await alice.get(id, '', { 'If-None-Match': '"1"' })
    expect([known.status, known.text, known.headers.get('etag')]).toEqual([304, '', '"1"'])
    expect((await alice.get(id, '', { 'If-None-Match': '"0", W/"1"' })).status).toBe(304)
    expect((await alice.get(id, '', { 'If-None-Match': '"2"' })).status).toBe(200)
    expect((await alice.get(randomUUID(), '', { 'If-None-Match': '"0"' })).status).toBe(304)
  })

  test('read and min_ii', async () => {
    const id = randomUUID()
    await alice.set(id, 'x', 1)
    for (const query of ['?read=strong', '?read=tracked', '?min_ii=1', '?min_ii=0&read=tracked']) {
      expect((await alice.get(id, query)).body.ii).toBe(1)
    }
    const waiting = alice.get(id, '?min_ii=2')
    await alice.set(id, 'y', 1)
    expect((await waiting).body.ii).toBe(2)
    const started = Date.now()
    const late = await alice.get(id, '?min_ii=9')
    expect(late).toMatchObject({ status: 503, body: { type: 'urn:problem:unavailable' } })
    expect(late.headers.get('retry-after')).toBe('1')
    expect(Date.now() - started).toBeGreaterThan(1_500)
  })

  test('removed active_type and active', async () => {
    const id = randomUUID()
    await alice.patch(id, [add(['active_type'], 'application/json;type=x'), add(['active'], [1])])
    await alice.patch(id, [{ op: 'remove', path: ['active_type'] }, { op: 'remove', path: ['active'] }])
    expect((await alice.get(id)).body).toMatchObject({ active_type: 'application/json', active: null })
    await alice.set(id, 'x', 1)
    expect((await alice.get(id)).body.active).toEqual({ x: 1 })
  })

  test("another's state: 403, whether it is there or not; only an unwritten UUID reads as empty", async () => {
    const id = randomUUID()
    await alice.set(id, 'x', 1)
    await alice.set('mine', 'x', 1)
    const own = (await alice.get('mine')).body.id
    const refused = [
      await bob.get(id), await bob.get(own), await bob.get(id, '?ii=1'), await bob.get(id, '?min_ii=5'),
      await bob.get('mine', `?user=${alice.user}`), await bob.get('not there', `?user=${alice.user}`), await bob.get('mine', `?user=${bob.user}&domain=a.localhost`),
      await bob.call('GET', `/v1/states/${id}/history`), await bob.call('POST', '/v1/streams', { body: { scope: id } }),
      await bob.call('POST', '/v1/streams', { body: { scope: 'mine', user: alice.user } }),
    ]
    for (const answer of refused) expect([answer.status, answer.body]).toEqual([403, refused[0]!.body])
    expect((await bob.get('mine')).body.ii).toBe(0)
    expect((await alice.get('mine', `?user=${alice.user}&domain=LOCALHOST`)).body.id).toBe(own)
    const elsewhere = await Client.open(server, { token: await server.tokenOf('carol'), domain: 'a.localhost' })
    const here = await Client.open(server, { token: await server.tokenOf('carol') })
    expect(elsewhere.user).toBe(here.user)
    await here.set('mine', 'x', 1)
    expect((await elsewhere.get('mine')).body.ii).toBe(0)
    expect((await elsewhere.get((await here.get('mine')).body.id)).status).toBe(403)
  })

  test('bad scopes and queries: 400 that names the place', async () => {
    const uuid7 = '0190163d-8694-739b-aea5-966c26f8ad91'
    const bad: [string, string][] = [
      [uuid7, 'scope'], ['%zz', 'scope'], ['%ff', 'scope'], ['%00', 'scope'], ['a%0ab', 'scope'], [`${'x'.repeat(1_025)}`, 'scope'],
      ['a?x=1', '"x"'], ['a?read=maybe', '"read"'], ['a?min_ii=-1', '"min_ii"'], ['a?min_ii=1.5', '"min_ii"'], ['a?ii=x', '"ii"'], ['a?ii=', '"ii"'],
      ['a?min_ii=1&min_ii=1', '"min_ii"'], ['a?domain=a%20b', 'domain'], ['a?user=', 'user'], ['a?ii=99999999999999999999', '"ii"'], ['a?__proto__=1', '"__proto__"'],
      ['a?read=%zz', 'query'],
    ]
    for (const [path, place] of bad) {
      if (parsersInFront && /^%(?:zz|ff)/.test(path)) continue
      const answer = await alice.call('GET', `/v1/states/${path}`)
      expect([path, answer.status, answer.body.type]).toEqual([path, 400, 'urn:problem:bad-request'])
      expect(answer.body.detail).toContain(place)
    }
  })
})

describe('patching', () => {
  test('answers id, ii, updated, and the state if asked for', async () => {
    const id = randomUUID()
    const first = await alice.set(id, 'x', 1)
    expect(first.status).toBe(200)
    expect(first.headers.get('etag')).toBe('"1"')
    expect(first.body).toEqual({ id, ii: 1, updated: expect.any(Number) })
    const second = await alice.patch(id, [add(['active', 'y'], [2])], { return: 'state' })
    expect(second.body.state).toEqual((await alice.get(id)).body)
    expect(second.body).toEqual({ id, ii: 2, updated: second.body.state.updated, state: second.body.state })
  })

  test('all operations, all or nothing', async () => {
    const id = randomUUID()
    await alice.patch(id, [add(['active'], { list: [1, 2, 3], a: { b: 1 } })])
    const done = await alice.patch(id, [
      { op: 'test', path: ['active', 'list', '1'], value: 2 },
      add(['active', 'list', 0], 0),
      add(['active', 'list', -1], 4),
      add(['active', 'list', '-'], 5),
      { op: 'remove', path: ['active', 'list', '1'] },
      { op: 'replace', path: ['active', 'a', 'b'], value: 2 },
      { op: 'copy', from: ['active', 'a'], path: ['active', 'c'] },
      { op: 'move', from: ['active', 'a', 'b'], path: ['active', 'moved'] },
    ])
    expect(done.status).toBe(200)
    const after = { list: [0, 2, 3, 4, 5], a: {}, c: { b: 2 }, moved: 2 }
    expect((await alice.get(id)).body.active).toEqual(after)
    const refused = await alice.patch(id, [add(['active', 'new'], 1), { op: 'test', path: ['active', 'moved'], value: 3 }])
    expect(refused).toMatchObject({ status: 422, body: { type: 'urn:problem:unprocessable', op: 1, reason: expect.any(String) } })
    expect((await alice.get(id)).body).toMatchObject({ ii: 2, active: after })
  })

  test.each<[string, unknown]>([
    ['a path through something that is not there', add(['active', 'a', 'b'], 1)],
    ['an index past the end', add(['active', 'list', 2], 1)],
    ['a leading zero', add(['active', 'list', '00'], 1)],
    ['a root that is none', add(['owner'], 'x')],
    ['the whole state', add([], {})],
    ['a type that is no text', add(['active_type'], 7)],
    ['the inside of a text', add(['active_type', 'x'], 7)],
    ['a name that is no text', add(['name'], {})],
    ['what is not there', { op: 'remove', path: ['active', 'x'] }],
    ['a copy of what is not there', { op: 'copy', from: ['active', 'x'], path: ['active', 'y'] }],
  ])('%s: 422 and nothing changed', async (_, op) => {
    const id = randomUUID()
    await alice.patch(id, [add(['active'], { list: [1] })])
    const answer = await alice.patch(id, [add(['active', 'first'], 1), op])
    expect(answer).toMatchObject({ status: 422, body: { op: 1 } })
    expect((await alice.get(id)).body).toMatchObject({ ii: 1, active: { list: [1] } })
  })

  test('an index beyond the next: 409 replay; behind: 412 out-of-sync', async () => {
    const id = randomUUID()
    const at = (ii: number, headers = {}) => alice.patch(id, [add(['active', 'x'], ii)], { ii }, headers)
    expect(await at(2)).toMatchObject({ status: 409, body: { type: 'urn:problem:replay', expected: 1 } })
    expect((await at(1)).body.ii).toBe(1)
    expect(await at(1)).toMatchObject({ status: 412, body: { type: 'urn:problem:out-of-sync', ii: 1 } })
    expect(await at(0)).toMatchObject({ status: 412, body: { ii: 1 } })
    expect((await at(2)).body.ii).toBe(2)
  })

  test('If-Match', async () => {
    const id = randomUUID()
    const set = (tag: string, more = {}) => alice.patch(id, [add(['active', 'x'], 1)], more, { 'If-Match': tag })
    expect((await set('"0"')).body.ii).toBe(1)
    expect(await set('"0"')).toMatchObject({ status: 412, body: { ii: 1 } })
    expect(await set('"5"')).toMatchObject({ status: 409, body: { expected: 2 } })
    expect((await set('"1"', { ii: 2 })).body.ii).toBe(2)
    for (const tag of ['*', 'W/"2"', '"2", "3"', '2', '"x"', '"02"', '"-1"', '""']) expect([tag, (await set(tag)).status]).toEqual([tag, 400])
    expect((await set('"2"', { ii: 4 })).status).toBe(400)
    expect((await alice.get(id)).body.ii).toBe(2)
  })

  test('only the owner; of two first patches at once one', async () => {
    const id = randomUUID()
    const [one, two] = await Promise.all([alice.set(id, 'x', 1), bob.set(id, 'x', 2)])
    expect([one.status, two.status].toSorted()).toEqual([200, 403])
    const owner = one.status === 200 ? alice : bob
    const loser = owner === alice ? bob : alice
    expect((await loser.set(id, 'x', 3)).status).toBe(403)
    expect((await loser.patch(id, [add(['active', 'y'], 1)], { ii: 9 })).status).toBe(403)
    expect((await owner.get(id)).body).toMatchObject({ ii: 1, owner: owner.user })
    expect((await bob.patch('x', [add(['active', 'x'], 1)])).status).toBe(200)
    const foreign = await bob.call('PATCH', `/v1/states/x?user=${alice.user}`, { body: { patch: [add(['active', 'x'], 1)] } })
    expect(foreign.status).toBe(403)
    expect((await alice.get('x')).body.ii).toBe(0)
  })

  test('Idempotency-Key: a repeat is the first answer, whatever came between', async () => {
    const id = randomUUID()
    const headers = { 'Idempotency-Key': 'key 1 ~!' }
    const ops = [add(['active', 'n'], { a: 1, b: 2 })]
    const first = await alice.patch(id, ops, { ii: 1 }, headers)
    await alice.set(id, 'm', 1)
    const again = await alice.patch(id, ops, { ii: 1 }, headers)
    expect(first.body.replayed).toBeUndefined()
    expect(again.status).toBe(200)
    expect(again.headers.get('etag')).toBe('"1"')
    expect(again.body).toEqual({ ...first.body, replayed: true })
    const raw = '{ "ii": 1, "patch": [ { "value": {"b":2,"a":1}, "path": ["active","n"], "op":"add" } ] }'
    expect((await alice.call('PATCH', `/v1/states/${id}`, { raw, headers })).body).toEqual(again.body)
    for (const [patch, more] of [[[add(['active', 'n'], 3)], { ii: 1 }], [ops, {}], [ops, { ii: 1, return: 'state' }]] as const) {
      expect(await alice.patch(id, patch, more, headers)).toMatchObject({ status: 422, body: { type: 'urn:problem:key-reused' } })
    }
    expect((await bob.patch(id, ops, { ii: 1 }, headers)).status).toBe(403)
    expect((await alice.get(id)).body.ii).toBe(2)
  })

  test('a refused patch does not use up its key', async () => {
    const id = randomUUID()
    const headers = { 'Idempotency-Key': 'k' }
    expect((await alice.patch(id, [{ op: 'test', path: ['active', 'x'], value: 1 }], {}, headers)).status).toBe(422)
    expect((await alice.patch(id, [add(['active', 'x'], 1)], {}, headers)).body).toMatchObject({ ii: 1 })
  })

  test('the same key at the same time is applied once', async () => {
    const id = randomUUID()
    const many = Array.from({ length: 10 }, () => alice.patch(id, [add(['active', 'x'], 1)], {}, { 'Idempotency-Key': 'same' }))
    const answers = await Promise.all(many)
    expect(answers.map((answer) => [answer.status, answer.body.ii])).toEqual(answers.map(() => [200, 1]))
    expect(answers.filter((answer) => answer.body.replayed === true)).toHaveLength(9)
  })

  test('a state asked for by a repeat is the state of now', async () => {
    const id = randomUUID()
    const send = () => alice.patch(id, [add(['active', 'x'], 1)], { return: 'state' }, { 'Idempotency-Key': 'k' })
    await send()
    await alice.set(id, 'y', 2)
    expect((await send()).body).toMatchObject({ ii: 1, replayed: true, state: { ii: 2, active: { x: 1, y: 2 } } })
  })

  test('broken keys: 400', async () => {
    for (const key of ['', 'x'.repeat(129), 'a\tb', 'ü']) {
      const answer = await alice.patch(randomUUID(), [add(['active', 'x'], 1)], {}, { 'Idempotency-Key': key })
      expect([key, answer.status]).toEqual([key, 400])
    }
    expect((await alice.patch(randomUUID(), [add(['active', 'x'], 1)], {}, { 'Idempotency-Key': 'x'.repeat(128) })).status).toBe(200)
  })

  test('application/json-patch+json: pointers, unknown members ignored, an empty patch takes no index', async () => {
    const id = randomUUID()
    const send = (client: Client, patch: unknown, headers = {}, scope = id) =>
      client.call('PATCH', `/v1/states/${scope}`, { body: patch, headers: { 'Content-Type': 'application/json-patch+json; charset=utf-8', ...headers } })
    expect((await send(alice, [])).body).toEqual({ id, ii: 0, updated: null })
    expect((await send(alice, [{ op: 'add', path: '/active/a~1b', value: 1, comment: 'x' }])).body.ii).toBe(1)
    expect((await alice.get(id)).body.active).toEqual({ 'a/b': 1 })
    const empty = await send(alice, [])
    expect(empty.body).toEqual({ id, ii: 1, updated: expect.any(Number) })
    expect(empty.headers.get('etag')).toBe('"1"')
    expect((await send(alice, [], { 'If-Match': '"0"' })).status).toBe(412)
    expect((await send(alice, [], { 'If-Match': '"2"' })).status).toBe(409)
    expect((await send(bob, [])).status).toBe(403)
    const history = await alice.call('GET', `/v1/states/${id}/history`)
    expect(JSON.parse(history.text).patch).toEqual([{ op: 'add', path: ['active', 'a/b'], value: 1 }])
    for (const body of [{}, 'x', 1, null, [1], [{ op: 'add', path: 'active', value: 1 }], [{ op: 'add', path: '/active/__proto__/x', value: 1 }]]) {
      expect([body, (await send(alice, body)).status]).toEqual([body, 400])
    }
  })

  test.each<[string, Body]>([
    ['no patch', {}],
    ['no object', [add(['active'], 1)]],
    ['an empty patch', { patch: [] }],
    ['a patch that is none', { patch: { 0: add(['active'], 1) } }],
    ['an unknown member', { patch: [add(['active'], 1)], more: 1 }],
    ['an unknown member of an op', { patch: [{ ...add(['active'], 1), more: 1 }] }],
    ['a member that is missing', { patch: [{ op: 'add', path: ['active'] }] }],
    ['an op that is none', { patch: [{ op: 'sub', path: ['active'], value: 1 }] }],
    ['a path of text', { patch: [{ op: 'add', path: '/active', value: 1 }] }],
    ['a path with a fraction', { patch: [add(['active', 1.5], 1)] }],
    ['a path with null', { patch: [add(['active', null], 1)] }],
    ['ii as text', { patch: [add(['active'], 1)], ii: '1' }],
    ['ii as fraction', { patch: [add(['active'], 1)], ii: 1.5 }],
    ['ii below zero', { patch: [add(['active'], 1)], ii: -1 }],
    ['ii null', { patch: [add(['active'], 1)], ii: null }],
    ['another return', { patch: [add(['active'], 1)], return: 'all' }],
    ['__proto__ in a path', { patch: [add(['active', '__proto__'], 1)] }],
    ['constructor in a path', { patch: [add(['active', 'constructor'], 1)] }],
    ['prototype in a from', { patch: [{ op: 'copy', from: ['active', 'prototype'], path: ['active', 'x'] }] }],
    ['__proto__ as a key', { patch: [add(['active'], JSON.parse('[{"a":{"__proto__":1}}]'))] }],
    ['__proto__ as a member', JSON.parse('{"patch":[{"op":"add","path":["active"],"value":1}],"__proto__":{}}')],
  ])('%s: 400', async (_, body) => {
    const id = randomUUID()
    const answer = await alice.call('PATCH', `/v1/states/${id}`, { body })
    expect(answer).toMatchObject({ status: 400, body: { type: 'urn:problem:bad-request', detail: expect.any(String) } })
    expect((await alice.get(id)).body.ii).toBe(0)
  })

  test('detail names the place', async () => {
    const detail = async (body: unknown) => (await alice.call('PATCH', `/v1/states/${randomUUID()}`, { body })).body.detail
    expect(await detail({ patch: [add(['active'], 1), add(['active', {}], 1)] })).toContain('patch[1].path[1]')
    expect(await detail({ patch: [add(['active'], 1)], more: 1 })).toContain('more')
    expect(await detail({ patch: [add(['active'], 1)], ii: 'x' })).toContain('/ii')
  })

  test('other content types: 415', async () => {
    for (const type of ['text/plain', 'application/json; charset=latin1', 'application/merge-patch+json', 'application/jsonx']) {
      const answer = await alice.call('PATCH', `/v1/states/${randomUUID()}`, { raw: '{}', headers: { 'Content-Type': type } })
      expect([type, answer.status]).toEqual([type, 415])
    }
    const encoded = await alice.call('PATCH', `/v1/states/${randomUUID()}`, { raw: '{}', headers: { 'Content-Encoding': 'gzip' } })
    expect(encoded.status).toBe(parsersInFront ? 400 : 415)
    expect((await alice.call('POST', '/v1/streams', { raw: '[]', headers: { 'Content-Type': 'application/json-patch+json' } })).status).toBe(415)
    const plain = await alice.call('PATCH', `/v1/states/${randomUUID()}`, {
      body: { patch: [add(['active'], 1)] },
      headers: { 'Content-Type': 'Application/JSON; Charset="UTF-8"', 'Content-Encoding': 'identity' },
    })
    expect(plain.status).toBe(200)
  })

  test('a state cannot grow past its limit: 413 with the limit, nothing changed', async () => {
    const id = randomUUID()
    await alice.patch(id, [add(['active', 'big'], 'x'.repeat(900_000))])
    const doubling = Array.from({ length: 16 }, (_, i) => ({ op: 'copy', from: ['active'], path: ['active', `c${i}`] }))
    const answer = await alice.patch(id, doubling)
    expect(answer).toMatchObject({ status: 413, body: { type: 'urn:problem:too-large', limit: 8 * 1024 * 1024 } })
    expect((await alice.get(id)).body.ii).toBe(1)
  })

  test('history and the state as it was', async () => {
    const id = randomUUID()
    for (let n = 1; n <= 5; n++) await alice.set(id, 'n', n)
    const lines = async (query = '') => {
      const answer = await alice.call('GET', `/v1/states/${id}/history${query}`)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
      return answer.text.split('\n').slice(0, -1).map((line) => JSON.parse(line))
    }
    const all = await lines()
    expect(all.map((line) => line.ii)).toEqual([1, 2, 3, 4, 5])
    expect(all[2]).toEqual({ ii: 3, ts: expect.any(Number), user: alice.user, patch: [add(['active', 'n'], 3)] })
    expect((await lines('?from=2&to=3')).map((line) => line.ii)).toEqual([2, 3])
    expect((await lines('?from=4')).map((line) => line.ii)).toEqual([4, 5])
    expect((await lines('?from=0&to=1')).map((line) => line.ii)).toEqual([1])
    expect(await lines('?from=6')).toEqual([])
    expect(await lines('?from=3&to=2')).toEqual([])
    for (const query of ['?from=-1', '?to=x', '?from=1.5', '?from=', '?upto=3']) {
      expect((await alice.call('GET', `/v1/states/${id}/history${query}`)).status).toBe(400)
    }
    expect((await alice.call('GET', `/v1/states/${randomUUID()}/history`)).text).toBe('')

    const past = await alice.get(id, '?ii=3')
    expect(past.headers.get('etag')).toBe('"3"')
    expect(past.body).toMatchObject({ id, ii: 3, active: { n: 3 }, updated: all[2].ts })
    expect((await alice.get(id, '?ii=0')).body).toMatchObject({ ii: 0, active: {} })
    expect((await alice.get(id, '?ii=6')).status).toBe(404)
    expect((await alice.get(randomUUID(), '?ii=0')).body).toMatchObject({ ii: 0, active: {} })
    expect((await alice.get(randomUUID(), '?ii=1')).status).toBe(404)
  })

  test('a long history comes whole', async () => {
    const id = randomUUID()
    const pad = 'x'.repeat(1_000)
    for (let n = 0; n < 30; n++) await Promise.all(Array.from({ length: 50 }, () => alice.set(id, 'x', pad)))
    const answer = await alice.call('GET', `/v1/states/${id}/history`)
    expect(answer.text.split('\n').slice(0, -1).map((line) => JSON.parse(line).ii)).toEqual(Array.from({ length: 1_500 }, (_, i) => i + 1))
  })

  test('a client that is not logged in learns nothing about the request', async () => {
    const answer = await call(`${server.url}/v1/states/a?x=1`, { method: 'PATCH', body: 'x' })
    expect(answer.status).toBe(401)
  })
})
