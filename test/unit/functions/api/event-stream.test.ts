/** functions/api/event-stream.ts, I1 to I6, where a client cannot bring it about. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { EventHub } from '#functions/api/event-stream.ts'
import type { EventHubOptions } from '#functions/api/event-stream.ts'
import { Exchange } from '#functions/api/exchange.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { OpenSessions } from '#shared/sessions/open-sessions.ts'
import { closingOps, openingOps } from '#shared/sessions/session-record.ts'
import { EventReader } from '../../../api/client.ts'
import { MemoryCluster } from '../../../support/memory-cluster.ts'

const id = '11111111-1111-4111-8111-111111111111' as StateId
const session = '22222222-2222-4222-8222-222222222222'
const claims = { session, user: 'alice', domain: 'localhost', expiresMs: Number.MAX_SAFE_INTEGER }
const log = { info: () => {}, warn: () => {}, error: (fields: object) => expect(fields).toBe(undefined) }
let cluster: MemoryCluster
let clock: { nowMs: number; wallMs(): number }
let hub: EventHub
let server: Server
let from: number | undefined
let expiresMs: number
/** Those that the follower was judged by; undefined: the present ones. */
let rules: number | undefined
let keys = 0

const write = (ops: unknown[], more: object = {}) =>
  cluster.patch({
    id, ops: ops as never, text: JSON.stringify(ops), user: 'alice', domain: 'localhost', authority: 'system', creation: { name: null, reserved: false },
    key: String(keys++), bodyDigest: '', expected: undefined, returnState: false, lenient: false, ...more,
  })
const set = (value: unknown) => write([{ op: 'add', path: ['active', 'x'], value }])
const follow = () => EventReader.open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, {})

async function start(options: Partial<EventHubOptions> = {}): Promise<void> {
  hub = new EventHub({ cluster, sessions: new OpenSessions({ cluster, clock }), clock, log, ...options })
  server = createServer(async (req, res) => {
    const x = new Exchange(req, res, log)
    const answer = await cluster.read({ id, mode: 'strong', minIi: undefined })
    hub.open(x, { claims: { ...claims, expiresMs }, id, view: answer.kind === 'state' ? answer.state : undefined, from, rules: rules ?? hub.rules })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
}

beforeEach(async () => {
  clock = { nowMs: 1_000_000, wallMs: () => clock.nowMs }
  cluster = new MemoryCluster({ nowMs: () => clock.nowMs })
  from = undefined
  rules = undefined
  expiresMs = claims.expiresMs
  const ops = openingOps({ user: 'alice', provider: 'anonymous', openedMs: 1 })
  await write(ops, { id: session, creation: { name: null, reserved: true } })
})
afterEach(async () => {
  hub.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

test('I2. many followers share one following, which ends with the last of them', async () => {
  await start()
  const streams = await Promise.all(Array.from({ length: 10 }, () => follow()))
  await Promise.all(streams.map((stream) => stream.next()))
  expect(cluster.asked.filter((each) => each.kind === 'follow' && each.id === id)).toHaveLength(1)
  await set(1)
  for (const stream of streams) expect((await stream.next()).id).toBe('1')
  for (const stream of streams) stream.close()
  while (cluster.followings > 0) await new Promise((resolve) => setImmediate(resolve))
  const late = await follow()
  expect((await late.next()).id).toBe('1')
  await set(2)
  expect((await late.next()).id).toBe('2')
})

describe('I1. gapless', () => {
  test('the cluster could not keep continuity: a state event, then what follows it', async () => {
    await start()
    const stream = await follow()
    await stream.next()
    await set(1)
    expect((await stream.next()).id).toBe('1')
    const state = cluster.states.get(id)!
    state.history.push({ ii: 2 as InteractionIndex, user: 'alice', ts: 1, patch: '[]' })
    cluster.restartFollowings(id)
    expect(await stream.next()).toMatchObject({ event: 'state', id: '2' })
    await set(2)
    expect(await stream.next()).toMatchObject({ event: 'patch', id: '3' })
  })

  test('a follower that resumes from before the recent patches reads them from the history', async () => {
    await start()
    for (let n = 0; n < 3_000; n++) await set(n)
    const other = await follow()
    await other.next()
    from = 2
    const stream = await follow()
    const events = await stream.take(2_999)
    expect(events.map((event) => [event.event, Number(event.id)])).toEqual(Array.from({ length: 2_999 }, (_, i) => ['patch', i + 2]))
    await set('last')
    expect((await stream.next()).id).toBe('3001')
  })

  test('a state that was read before the following began: the patches between are not lost', async () => {
    await start()
    const follows = cluster.follow.bind(cluster)
    cluster.follow = (request, follower) => {
      if (request.id !== id) return follows(request, follower)
      let inner: { stop(): void } | undefined
      void set(1).then(() => set(2)).then(() => {
        inner = follows(request, follower)
      })
      return { stop: () => inner?.stop() }
    }
    const stream = await follow()
    expect((await stream.take(3)).map((event) => [event.event, event.id])).toEqual([['state', '0'], ['patch', '1'], ['patch', '2']])
  })

  test('the history cannot be read: the stream ends, so that the client comes back', async () => {
    await start()
    await set(1)
    await set(2)
    from = 1
    cluster.history = async () => ({ kind: 'unavailable', stored: undefined, reason: 'test' })
    const stream = await follow()
    expect(await stream.nextOrEnd()).toBe(undefined)
  })
})

test('I3. a follower that does not read is cut off with "lagged"; the others get everything', async () => {
  await start({ followerBufferBytes: 100_000 })
  const slow = await follow()
  await slow.next()
  slow.response.pause()
  const quick = await follow()
  await quick.next()
  const value = 'x'.repeat(500_000)
  for (let n = 1; n <= 40; n++) {
    await set(value)
    expect((await quick.next()).id).toBe(String(n))
  }
  slow.response.resume()
  const seen: string[] = []
  for (let event = await slow.nextOrEnd(); event !== undefined; event = await slow.nextOrEnd()) seen.push(event.event === 'lagged' ? 'lagged' : event.id!)
  expect(seen.at(-1)).toBe('lagged')
  expect(seen.length).toBeLessThan(40)
  expect(seen.slice(0, -1)).toEqual(Array.from({ length: seen.length - 1 }, (_, i) => String(i + 1)))
})

test('I3. a state larger than the bound is no lag', async () => {
  await start({ followerBufferBytes: 1_000 })
  await set('x'.repeat(8_000_000))
  const stream = await follow()
  stream.response.pause()
  await set(1)
  stream.response.resume()
  expect((await stream.next()).id).toBe('1')
  expect((await stream.next())).toMatchObject({ event: 'patch', id: '2' })
})

test('a comment keeps it alive', async () => {
  await start({ keepAliveMs: 20 })
  const stream = await follow()
  await stream.comment()
  expect(stream.comments).toBeGreaterThan(0)
})

describe('I4. a stream ends', () => {
  test('when its session is closed elsewhere', async () => {
    await start()
    const stream = await follow()
    await stream.next()
    await write(closingOps(2), { id: session, creation: undefined })
    expect(await stream.nextOrEnd()).toBe(undefined)
  })

  test('at once when its session is closed here, whether its record can be followed or not', async () => {
    const follows = cluster.follow.bind(cluster)
    cluster.follow = (request, follower) => (request.id === session ? { stop: () => {} } : follows(request, follower))
    await start()
    const stream = await follow()
    await stream.next()
    hub.endSession('another')
    await set(1)
    expect((await stream.next()).id).toBe('1')
    hub.endSession(session)
    expect(await stream.nextOrEnd()).toBe(undefined)
  })

  test('when its session was closed while it was opened', async () => {
    await start()
    await write(closingOps(2), { id: session, creation: undefined })
    const stream = await follow()
    await stream.next()
    expect(await stream.nextOrEnd()).toBe(undefined)
  })

  test('when its bearer expires, in this round of comments or a later one', async () => {
    await start({ keepAliveMs: 50 })
    expiresMs = clock.nowMs + 30
    const soon = await follow()
    await soon.next()
    expect(await soon.nextOrEnd()).toBe(undefined)
    expiresMs = clock.nowMs + 1_000_000
    const later = await follow()
    await later.next()
    clock.nowMs += 1_000_000
    expect(await later.nextOrEnd()).toBe(undefined)
  })

  test('when the api is closed', async () => {
    await start()
    const stream = await follow()
    await stream.next()
    hub.close()
    expect(await stream.nextOrEnd()).toBe(undefined)
    expect(cluster.followings).toBe(0)
  })
})

test('I5. a state that somebody writes between its reading and the following: the stream ends before it has anything', async () => {
  await start()
  const read = cluster.read.bind(cluster)
  cluster.read = async (request) => {
    cluster.read = read
    const answer = await read(request)
    await write([{ op: 'add', path: ['active', 'x'], value: 'private' }], { domain: 'elsewhere' })
    return answer
  }
  const stream = await follow()
  expect(await stream.next()).toMatchObject({ event: 'state', id: '0' })
  expect(await stream.nextOrEnd()).toBeUndefined()
})

test('I6. rules that changed while the follower was judged: it is judged again', async () => {
  await start()
  await write([{ op: 'add', path: ['active', 'x'], value: 1 }], { user: 'bob' })
  rules = hub.rules
  hub.reauthorize('localhost', () => 'deny')
  const stream = await follow()
  expect(await stream.next()).toMatchObject({ event: 'state', id: '1' })
  expect(await stream.nextOrEnd()).toBeUndefined()
  rules = undefined
  const later = await follow()
  expect(await later.take(1)).toMatchObject([{ id: '1' }])
  await set(2)
  expect(await later.next()).toMatchObject({ event: 'patch', id: '2' })
})
