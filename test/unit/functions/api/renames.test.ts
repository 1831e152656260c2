/** Renames when something goes wrong in the middle: functions/api/renames.ts, I1 to I5. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { StateId } from '#shared/ids.ts'
import type { PatchAnswer, PatchRequest, Unavailable } from '#shared/ports/state-cluster.ts'
import { NameIds } from '#shared/sessions/names.ts'
import { Client } from '../../../api/client.ts'
import { startMemoryServer } from '../../../support/memory-server.ts'
import type { MemoryServer } from '../../../support/memory-server.ts'

const OUTAGE: Unavailable = { kind: 'unavailable', stored: undefined, reason: 'crash' }
const ids = new NameIds(Buffer.alloc(32, 2))
let server: MemoryServer
let alice: Client
let x: StateId
beforeEach(async () => {
  server = await startMemoryServer()
  alice = await Client.open(server)
  x = (await alice.set('a', 'x', 1)).body.id
})
afterEach(() => server.stop())

const tableId = () => ids.tableId({ domain: 'localhost', user: alice.user })

/** The next patch that `matches` answers so and is not judged. */
function instead(matches: (request: PatchRequest) => boolean, answer: PatchAnswer): void {
  server.cluster.beforePatch = (request) => {
    if (!matches(request)) return undefined
    server.cluster.beforePatch = () => undefined
    return answer
  }
}

/** A patch that would take an index: not the question whether a key is known. */
const isReal = (request: PatchRequest): boolean => request.expected !== 0
const key = { 'Idempotency-Key': 'k' }

describe.each([['with a key', key], ['without', {}]])('a crash, then a repeat %s', (_, headers) => {
  test('I3. between the tombstone and the table', async () => {
    instead((request) => request.id === tableId(), OUTAGE)
    const answer = await alice.rename('a', 'b', headers)
    expect(answer).toMatchObject({ status: 503, body: { stored: false } })
    expect((await alice.get('a')).body).toMatchObject({ id: x, name: 'a' })
    expect((await alice.get('b')).body).toMatchObject({ ii: 0, owner: null, active: {} })
    expect((await alice.rename('a', 'b', headers)).status).toBe(200)
    expect((await alice.get('b')).body).toMatchObject({ id: x, name: 'b' })
  })

  test.each(['a', 'id'])('I3. between the table and the state, sent again to %s', async (scope) => {
    instead((request) => request.id === x && isReal(request), OUTAGE)
    expect((await alice.rename('a', 'b', headers)).status).toBe(503)
    expect((await alice.get('b')).body).toMatchObject({ id: x, ii: 1, active: { x: 1 } })
    const again = await alice.rename(scope === 'id' ? x : 'a', 'b', headers)
    expect(again).toMatchObject({ status: 200, body: { id: x, ii: 2 } })
    expect((await alice.get('b')).body).toMatchObject({ id: x, name: 'b' })
    expect((await alice.get('a')).body.ii).toBe(0)
  })
})

test('I3. the state was patched, its answer lost: the repeat is the first answer', async () => {
  const patch = server.cluster.patch.bind(server.cluster)
  server.cluster.patch = async (request) => {
    const answer = await patch(request)
    if (request.id !== x || answer.kind !== 'stored') return answer
    server.cluster.patch = patch
    return OUTAGE
  }
  const lost = await alice.rename('a', 'b', key)
  expect([lost.status, lost.body.stored]).toEqual([503, undefined])
  expect((await alice.rename('a', 'b', key)).body).toMatchObject({ id: x, ii: 2, replayed: true })
})

test('a name whose id was burned and not used gets its next id with its first use', async () => {
  instead((request) => request.id === tableId(), OUTAGE)
  await alice.rename('a', 'b')
  const seen = (await alice.get('b')).body.id
  const [one, two] = await Promise.all([alice.set('b', 'y', 1), alice.set('b', 'z', 1)])
  expect([one.status, two.status, one.body.id, two.body.id]).toEqual([200, 200, seen, seen])
  expect((await alice.get('b')).body).toMatchObject({ id: seen, name: 'b', active: { y: 1, z: 1 } })
  expect((await alice.rename('a', 'b')).status).toBe(409)
})

test('I1. the state moves on meanwhile: judged again', async () => {
  server.cluster.beforePatch = async (request) => {
    if (request.id !== x || request.expected !== 2) return undefined
    server.cluster.beforePatch = () => undefined
    await alice.set(x, 'other', 1)
    return undefined
  }
  expect((await alice.rename('a', 'b')).body).toMatchObject({ id: x, ii: 3 })
  expect((await alice.get('b')).body).toMatchObject({ id: x, active: { x: 1, other: 1 } })
})

test('I4. it moves on so that the patch is refused: the table is as it was', async () => {
  server.cluster.beforePatch = async (request) => {
    if (request.id !== x || request.expected !== 2) return undefined
    server.cluster.beforePatch = () => undefined
    await alice.set(x, 'x', 2)
    return undefined
  }
  const ops = [{ op: 'test', path: ['active', 'x'], value: 1 }, { op: 'add', path: ['name'], value: 'b' }]
  expect(await alice.patch('a', ops, {}, key)).toMatchObject({ status: 422, body: { op: 0 } })
  expect((await alice.get('a')).body).toMatchObject({ id: x, name: 'a', ii: 2 })
  expect((await alice.get('b')).body.ii).toBe(0)
  expect((await alice.set('b', 'y', 1)).body.ii).toBe(1)
  await alice.set(x, 'x', 1)
  expect((await alice.patch('a', ops, {}, key)).body.type).toBe('urn:problem:name-taken')
  expect((await alice.rename('a', 'c')).body.id).toBe(x)
})

test('I4. and where the index was the client\'s', async () => {
  server.cluster.beforePatch = async (request) => {
    if (request.id !== x || request.expected !== 2) return undefined
    server.cluster.beforePatch = () => undefined
    await alice.set(x, 'x', 2)
    return undefined
  }
  expect(await alice.patch('a', [{ op: 'add', path: ['name'], value: 'b' }], { ii: 2 })).toMatchObject({ status: 412, body: { ii: 2 } })
  expect((await alice.get('a')).body.id).toBe(x)
  expect((await alice.rename('a', 'b')).body.id).toBe(x)
})

test('a repeat that never came: the next rename of the state frees the name it was about to get', async () => {
  instead((request) => request.id === x && isReal(request), OUTAGE)
  await alice.rename('a', 'b')
  expect((await alice.rename(x, 'c')).status).toBe(200)
  expect((await alice.get('c')).body.id).toBe(x)
  expect((await alice.get('b')).body.ii).toBe(0)
  expect((await alice.set('b', 'y', 1)).body.id).not.toBe(x)
})

test('the table is written by the platform only, and read by nobody through its name', async () => {
  await alice.rename('a', 'b')
  expect(server.cluster.states.get(tableId())?.creation).toEqual({ name: null, reserved: true })
  expect((await alice.set(tableId(), 'x', 1)).status).toBe(403)
  expect((await alice.set(ids.tableId({ domain: 'localhost', user: 'nobody' }), 'x', 1)).status).toBe(403)
})
