/** rest-api.md, "States": names, their ids, renames. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { Client } from './client.ts'
import { startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

let server: TestServer
let alice: Client
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())
beforeEach(async () => {
  alice = await Client.open(server)
})

const VERSION_3 = /^[0-9a-f]{8}-[0-9a-f]{4}-3[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('names', () => {
  test('lead to one id of version 3, before and after their first use', async () => {
    const before = (await alice.get('my state')).body
    expect(before.id).toMatch(VERSION_3)
    const { body } = await alice.set('my state', 'x', 1)
    expect(body.id).toBe(before.id)
    expect((await alice.get(body.id)).body).toMatchObject({ name: 'my state', owner: alice.user, active: { x: 1 } })
    expect((await alice.get('my other state')).body.id).not.toBe(body.id)
    const bob = await Client.open(server)
    expect((await bob.get('my state')).body.id).not.toBe(body.id)
  })

  test('are any text but control characters', async () => {
    for (const name of ['a/b', '...', '%', 'ü 𝒳', '__proto__', 'constructor', '[]', '?', 'history', 'x'.repeat(1_024)]) {
      const written = await alice.set(name, 'x', 1)
      expect([name, written.status]).toEqual([name, 200])
      expect((await alice.get(name)).body).toMatchObject({ name, ii: 1 })
    }
  })

  test('two first uses at once make one state', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => alice.set('new', `k${i}`, 1)))
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1)
    expect(answers.map((answer) => answer.body.ii).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(Object.keys((await alice.get('new')).body.active)).toHaveLength(10)
  })

  test("an id of version 3 is accepted for the first time from its name's owner only", async () => {
    const bob = await Client.open(server)
    const { id } = (await alice.get('reserved')).body
    expect((await bob.set(id, 'x', 1)).status).toBe(403)
    expect((await bob.get(id)).body.ii).toBe(0)
    expect((await bob.set('6fa459ea-ee8a-3ca4-894e-db77e160355e', 'x', 1)).status).toBe(403)
    expect((await bob.set('6fa459ea-ee8a-5ca4-894e-db77e160355e', 'x', 1)).status).toBe(200)
    expect((await bob.set('00000000-0000-0000-0000-000000000000', 'x', 1)).status).toBe(200)
    expect((await alice.set(id, 'x', 1)).status).toBe(200)
    expect((await alice.get('reserved')).body).toMatchObject({ id, ii: 1 })
  })
})

describe('renames', () => {
  test('the new name leads to the state, the old one is free for a new state', async () => {
    const { id } = (await alice.set('a', 'x', 1)).body
    expect((await alice.rename('a', 'b')).body).toMatchObject({ id, ii: 2 })
    expect((await alice.get('b')).body).toMatchObject({ id, name: 'b', active: { x: 1 } })
    const free = (await alice.get('a')).body
    expect(free).toMatchObject({ ii: 0, name: null })
    expect(free.id).not.toBe(id)
    expect((await alice.set('a', 'y', 2)).body).toMatchObject({ id: free.id, ii: 1 })
    expect((await alice.get('a')).body).toMatchObject({ id: free.id, name: 'a', active: { y: 2 } })
    expect((await alice.get(id)).body).toMatchObject({ name: 'b', active: { x: 1 } })
  })

  test('to a name that the user has: 409 name-taken, nothing stored', async () => {
    await alice.set('a', 'x', 1)
    await alice.set('b', 'x', 2)
    const answer = await alice.patch('a', [{ op: 'add', path: ['active', 'y'], value: 1 }, { op: 'replace', path: ['name'], value: 'b' }])
    expect(answer).toMatchObject({ status: 409, body: { type: 'urn:problem:name-taken' } })
    expect((await alice.get('a')).body).toMatchObject({ ii: 1, name: 'a', active: { x: 1 } })
    expect((await alice.get('b')).body).toMatchObject({ ii: 1, name: 'b', active: { x: 2 } })
    expect((await alice.rename('a', 'a')).body.ii).toBe(2)
    const bob = await Client.open(server)
    await bob.set('c', 'x', 1)
    expect((await alice.rename('a', 'c')).status).toBe(200)
  })

  test('back and forth, and round in a ring', async () => {
    const { id } = (await alice.set('a', 'x', 1)).body
    for (const [from, to] of [['a', 'b'], ['b', 'a'], ['a', 'b'], ['b', 'c'], ['c', 'a']] as const) {
      expect((await alice.rename(from, to)).status).toBe(200)
      expect((await alice.get(to)).body.id).toBe(id)
      expect((await alice.get(from)).body.ii).toBe(0)
    }
    const second = (await alice.set('b', 'x', 2)).body.id
    expect(second).not.toBe(id)
    expect((await alice.rename('a', 'c')).status).toBe(200)
    expect((await alice.rename('b', 'a')).status).toBe(200)
    expect([(await alice.get('a')).body.id, (await alice.get('c')).body.id, (await alice.get('b')).body.ii]).toEqual([second, id, 0])
  })

  test('one name after the other given away by many states', async () => {
    const ids = []
    for (let n = 0; n < 5; n++) {
      ids.push((await alice.set('draft', 'n', n)).body.id)
      expect((await alice.rename('draft', `final ${n}`)).status).toBe(200)
    }
    expect(new Set(ids).size).toBe(5)
    for (let n = 0; n < 5; n++) expect((await alice.get(`final ${n}`)).body).toMatchObject({ id: ids[n], active: { n } })
  })

  test('of two at once to one name the loser gets 409', async () => {
    for (let round = 0; round < 5; round++) {
      await Promise.all(['p', 'q', 'r'].map((name) => alice.set(`${name}${round}`, 'x', name)))
      const answers = await Promise.all(['p', 'q', 'r'].map((name) => alice.rename(`${name}${round}`, `goal${round}`)))
      expect(answers.map((answer) => answer.status).toSorted()).toEqual([200, 409, 409])
      const winner = answers.find((answer) => answer.status === 200)!
      expect((await alice.get(`goal${round}`)).body.id).toBe(winner.body.id)
    }
  })

  test('at once with the first use of the name: either the rename or the first use is first', async () => {
    for (let round = 0; round < 10; round++) {
      const { id } = (await alice.set(`old${round}`, 'x', 1)).body
      const [renamed, used] = await Promise.all([alice.rename(`old${round}`, `goal${round}`), alice.set(`goal${round}`, 'y', 1)])
      expect(used.status).toBe(200)
      const goal = (await alice.get(`goal${round}`)).body
      expect(goal.id).toBe(used.body.id)
      if (renamed.status === 200) expect(goal).toMatchObject({ id, active: { x: 1, y: 1 } })
      else {
        expect(renamed.status).toBe(409)
        expect((await alice.get(`old${round}`)).body.id).toBe(id)
      }
    }
  })

  test('many at once between few names: every name leads to one state that calls itself so', async () => {
    const names = ['m', 'n', 'o']
    const ids = await Promise.all(names.map(async (name) => (await alice.set(name, 'home', name)).body.id))
    const goals = ['m', 'n', 'o', 's', 't']
    await Promise.all(Array.from({ length: 15 }, (_, i) => alice.rename(ids[i % 3]!, goals[(i * 7 + 2) % 5]!)))
    const views = await Promise.all(ids.map(async (id) => (await alice.get(id)).body))
    expect(new Set(views.map((view) => view.name)).size).toBe(3)
    for (const view of views) expect((await alice.get(view.name)).body.id).toBe(view.id)
  })

  test('a state without a name gets one, in its first patch too, and loses it', async () => {
    const id = randomUUID()
    await alice.patch(id, [{ op: 'add', path: ['active', 'x'], value: 1 }, { op: 'add', path: ['name'], value: 'late' }])
    expect((await alice.get('late')).body).toMatchObject({ id, ii: 1, name: 'late' })
    expect((await alice.set('late', 'y', 2)).body).toMatchObject({ id, ii: 2 })
    await alice.patch(id, [{ op: 'remove', path: ['name'] }])
    expect((await alice.get(id)).body.name).toBe(null)
    expect((await alice.get('late')).body.ii).toBe(0)
    expect((await alice.set('late', 'z', 1)).body.id).not.toBe(id)
  })

  test('a first use that renames at once', async () => {
    const first = await alice.patch('one', [{ op: 'add', path: ['name'], value: 'two' }])
    expect(first.body.ii).toBe(1)
    expect((await alice.get('two')).body).toMatchObject({ id: first.body.id, name: 'two' })
    expect((await alice.get('one')).body.ii).toBe(0)
  })

  test('a name moved or copied out of active is a rename as well', async () => {
    await alice.set('a', 'x', 'from active')
    await alice.set('taken', 'x', 'taken')
    expect((await alice.patch('a', [{ op: 'copy', from: ['active', 'x'], path: ['name'] }])).status).toBe(200)
    expect((await alice.get('from active')).body).toMatchObject({ name: 'from active', ii: 2 })
    expect((await alice.set('from active', 'x', 'taken')).status).toBe(200)
    expect((await alice.patch('from active', [{ op: 'move', from: ['active', 'x'], path: ['name'] }])).status).toBe(409)
    const passing = [{ op: 'add', path: ['name'], value: 'taken' }, { op: 'add', path: ['name'], value: 'from active' }]
    expect((await alice.patch('from active', passing)).status).toBe(200)
  })

  test('a name moved into active is lost, and free', async () => {
    const { id } = (await alice.set('a', 'x', 1)).body
    expect((await alice.patch('a', [{ op: 'move', from: ['name'], path: ['active', 'was'] }])).status).toBe(200)
    expect((await alice.get(id)).body).toMatchObject({ name: null, active: { was: 'a' } })
    expect((await alice.get('a')).body.ii).toBe(0)
  })

  test('keep ii, If-Match, test and return', async () => {
    const { id } = (await alice.set('a', 'x', 1)).body
    const ops = [{ op: 'test', path: ['name'], value: 'a' }, { op: 'replace', path: ['name'], value: 'b' }]
    expect((await alice.patch(id, ops, { ii: 1 })).status).toBe(412)
    expect((await alice.patch(id, ops, { ii: 3 })).status).toBe(409)
    expect((await alice.patch(id, ops, {}, { 'If-Match': '"4"' })).status).toBe(409)
    expect((await alice.patch(id, [...ops, { op: 'test', path: ['active', 'x'], value: 2 }])).body).toMatchObject({ status: 422, op: 2 })
    expect((await alice.get('a')).body).toMatchObject({ id, ii: 1 })
    expect((await alice.get('b')).body.ii).toBe(0)
    expect((await alice.patch(id, ops, { ii: 2, return: 'state' })).body.state).toMatchObject({ name: 'b', ii: 2 })
  })

  test("another's state: 403, and no name is used up", async () => {
    const bob = await Client.open(server)
    const { id } = (await alice.set('a', 'x', 1)).body
    expect((await bob.rename(id, 'b')).status).toBe(403)
    expect((await bob.rename(id, 'a')).status).toBe(403)
    expect((await bob.set('b', 'x', 1)).body.ii).toBe(1)
    expect((await alice.get(id)).body.name).toBe('a')
  })

  test('a text that cannot be a name: 422', async () => {
    await alice.set('a', 'x', 1)
    for (const name of ['', 'a\nb', '\0', 'x'.repeat(1_025), randomUUID(), '\ud800']) {
      expect([name, (await alice.rename('a', name)).status]).toEqual([name, 422])
    }
    expect((await alice.get('a')).body).toMatchObject({ ii: 1, name: 'a' })
  })

  test('a repeat with the same Idempotency-Key is the first answer, by id and by either name', async () => {
    const { id } = (await alice.set('a', 'x', 1)).body
    const key = { 'Idempotency-Key': 'k' }
    const first = await alice.rename('a', 'b', key)
    expect(first.body).toMatchObject({ id, ii: 2 })
    for (const scope of ['a', 'b', id]) {
      const again = await alice.rename(scope, 'b', key)
      expect([scope, again.status, again.body]).toEqual([scope, 200, { ...first.body, replayed: true }])
    }
    expect((await alice.rename(id, 'c')).status).toBe(200)
    expect((await alice.rename(id, 'b', key)).body).toEqual({ ...first.body, replayed: true })
    expect((await alice.get('c')).body).toMatchObject({ id, ii: 3 })
    expect((await alice.get('b')).body.ii).toBe(0)
    expect((await alice.rename(id, 'd', key)).body.type).toBe('urn:problem:key-reused')
    expect((await alice.get('d')).body.ii).toBe(0)
  })

  test('the sessions state may be renamed: the next session finds a new one', async () => {
    const { id } = (await alice.get('sessions')).body
    expect((await alice.rename('sessions', 'old sessions')).status).toBe(200)
    const opened = await alice.call('POST', '/v1/sessions', { body: { domain: 'localhost' } })
    expect(opened.status).toBe(201)
    const after = (await alice.get('sessions')).body
    expect(after.id).not.toBe(id)
    expect(Object.keys(after.active)).toEqual([opened.body.session])
  })
})
