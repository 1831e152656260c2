import { beforeEach, describe, expect, test } from '@jest/globals'
import type { StateId } from '#shared/ids.ts'
import type { PatchRequest } from '#shared/ports/state-cluster.ts'
import type { Op } from '#shared/patch/op.ts'
import { OpenSessions } from '#shared/sessions/open-sessions.ts'
import { closingOps, openingOps } from '#shared/sessions/session-record.ts'
import { MemoryCluster } from '../../../support/memory-cluster.ts'

const session = '11111111-1111-4111-8111-111111111111'
const of = { session, user: 'alice', domain: 'localhost' }
let clock: { nowMs: number; wallMs(): number }
let cluster: MemoryCluster
let sessions: OpenSessions
let keys = 0

const write = (ops: Op[], more: Partial<PatchRequest> = {}) =>
  cluster.patch({
    id: session as StateId, ops, text: JSON.stringify(ops), user: 'alice', domain: 'localhost', authority: 'system', creation: { name: null, reserved: true },
    key: String(keys++), bodyDigest: '', expected: undefined, returnState: false, lenient: false, ...more,
  })
const reads = () => cluster.asked.filter((each) => each.kind === 'read').length

beforeEach(async () => {
  clock = { nowMs: 1_000_000, wallMs: () => clock.nowMs }
  cluster = new MemoryCluster({ nowMs: () => clock.nowMs })
  sessions = new OpenSessions({ cluster, clock })
  await write(openingOps({ user: 'alice', provider: 'anonymous', openedMs: 1 }))
})

test('many who ask at once cause one read; a young copy none', async () => {
  const states = await Promise.all(Array.from({ length: 10 }, () => sessions.state(of)))
  expect(states).toEqual(Array.from({ length: 10 }, () => 'open'))
  expect(reads()).toBe(1)
  clock.nowMs += 1_000
  expect(sessions.state(of)).toBe('open')
  expect(reads()).toBe(1)
})

test('I1. a copy in use is refreshed before it is too old, without anybody waiting', async () => {
  await sessions.state(of)
  await write(closingOps(2))
  clock.nowMs += 1_500
  expect(sessions.state(of)).toBe('open')
  expect(reads()).toBe(2)
  await sessions.reread(of)
  expect(sessions.state(of)).toBe('closed')
})

test('I1. a copy older than two seconds, or from the future, is not used', async () => {
  await sessions.state(of)
  await write(closingOps(2))
  clock.nowMs += 2_001
  expect(await sessions.state(of)).toBe('closed')
  const jumped = new OpenSessions({ cluster, clock })
  jumped.noteOpened(session)
  clock.nowMs -= 10
  expect(await jumped.state(of)).toBe('closed')
})

test('I2. closed is for ever, whatever a read says that was begun before', async () => {
  const reading = sessions.state(of)
  sessions.noteClosed(session)
  expect(await reading).toBe('closed')
  expect(sessions.state(of)).toBe('closed')
})

describe('unavailable', () => {
  test('counts when the copy is too old', async () => {
    await sessions.state(of)
    cluster.outage = { kind: 'unavailable', stored: false, reason: 'test' }
    clock.nowMs += 1_900
    expect(sessions.state(of)).toBe('open')
    await sessions.reread(of)
    clock.nowMs += 101
    expect(await sessions.state(of)).toBe('unavailable')
    cluster.outage = undefined
    expect(await sessions.state(of)).toBe('open')
  })
})

test("no record, another's record, a state that is no record: closed", async () => {
  expect(await sessions.state({ ...of, session: '22222222-2222-4222-8222-222222222222' })).toBe('closed')
  expect(await new OpenSessions({ cluster, clock }).state({ ...of, user: 'bob' })).toBe('closed')
  expect(await new OpenSessions({ cluster, clock }).state({ ...of, domain: 'a.localhost' })).toBe('closed')
  const forged = '33333333-3333-4333-8333-333333333333'
  await write(openingOps({ user: 'alice', provider: 'anonymous', openedMs: 1 }), { id: forged as StateId, creation: { name: null, reserved: false } })
  expect(await sessions.state({ ...of, session: forged })).toBe('closed')
})
