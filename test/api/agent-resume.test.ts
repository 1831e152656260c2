/** Sessions of published agents go on in another process: without losing, doubling or ending what could go on. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { keepOps, keptOf } from '#shared/sessions/agent-records.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { cutWires, loadClients, wireTo } from '../support/agents.ts'
import type { Clients, Version, Wire } from '../support/agents.ts'
import { startMemoryGateways } from '../support/memory-gateways.ts'
import type { MemoryGateway, MemoryGateways } from '../support/memory-gateways.ts'
import { eventually } from '../support/postgres.ts'

const ALLOWING = { authorizeDefault: 'allow' } as const
const DENYING = { authorizeDefault: 'deny' } as const
const OPEN = { queries: {}, subscriptions: {} }

let clients: Clients
let gateways: MemoryGateways

beforeAll(async () => {
  clients = await loadClients()
})
afterAll(() => clients?.close())
afterEach(async () => {
  cutWires()
  await gateways?.stop()
})

async function start(...settings: Parameters<typeof startMemoryGateways>[0]): Promise<readonly MemoryGateway[]> {
  gateways = await startMemoryGateways(settings)
  return gateways.all
}

const set = (n: number): object[] => [{ op: 'add', path: ['active', `k${n}`], value: n }]

type Begun = { readonly wire: Wire; readonly session: string; readonly server: string; readonly user: string; readonly ack: number }

async function begin(port: number, sid: string, session?: string): Promise<Begun> {
  const wire = await wireTo(port, 'http://localhost:5112')
  wire.send({ token: null, sid, session })
  const { session: found, server, ack, auth } = await wire.next()
  return { wire, session: found, server, user: auth?.user, ack }
}

/** The session's entry, and a subscription as its message `si` 1, answered. */
async function follow({ wire, session }: Begun, scope: object): Promise<object> {
  wire.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session], value: OPEN }], si: 0 })
  expect(await wire.next()).toMatchObject({ si: 0 })
  wire.send(subscription(session, scope))
  return wire.next()
}

function subscription(session: string, scope: object): object {
  return { scope: 'sessions', patch: [{ op: 'add', path: ['active', session, 'subscriptions', 'a'], value: { ...scope, ii: null } }], si: 1 }
}

describe('a session that another process goes on with', () => {
  test('has its subscriptions from where its client may be, and applies no message twice', async () => {
    const [first, second] = await start({}, {})
    const before = await begin(first!.port, 'one')
    expect(await follow(before, { scope: 'state' })).toMatchObject({ si: 1, ii: 0 })
    before.wire.send({ scope: 'state', patch: set(1), si: 2 })
    const update = await before.wire.next()
    expect(update).toMatchObject({ scope: 'state', ii: 1 })
    expect(await before.wire.next()).toEqual({ si: 2, ii: 1 })
    before.wire.cut()
    await first!.kill()

    const after = await begin(second!.port, 'one', before.session)
    expect(after).toMatchObject({ session: before.session, server: before.server, user: before.user, ack: -1 })
    after.wire.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', before.session], value: OPEN }], si: 0 })
    expect(await after.wire.next()).toEqual({ si: 0, ii: 1 })
    after.wire.send(subscription(before.session, { scope: 'state' }))
    // Whether its client had it before or not: the answer, then whatever that one may lack.
    expect(await after.wire.next()).toMatchObject({ si: 1, ii: 1, active: { k1: 1 } })
    expect(await after.wire.next()).toEqual(update)
    after.wire.send({ scope: 'state', patch: set(1), si: 2 })
    expect(await after.wire.next()).toEqual({ si: 2, ii: 1 })
    after.wire.send({ scope: 'state', patch: set(2), si: 3 })
    expect(await after.wire.next()).toMatchObject({ scope: 'state', ii: 2 })
    expect(await after.wire.next()).toEqual({ si: 3, ii: 2 })
    after.wire.cut()
  })

  test('is sent again only what its client has not acknowledged', async () => {
    const [first, second] = await start({}, {})
    const before = await begin(first!.port, 'two')
    await follow(before, { scope: 'state' })
    const count = limits.agentKeepMessages + 2
    for (let si = 2; si < count; si++) before.wire.send({ scope: 'state', patch: set(si), si })
    for (let si = 2; si < count; si++) {
      await before.wire.next()
      await before.wire.next()
    }
    before.wire.send({ ack: count - 1 })
    await eventually(() => expect(kept()).toMatchObject({ ack: count - 1, subscriptions: [{ label: 'state', ii: count - 2 }] }))
    before.wire.cut()
    const after = await begin(second!.port, 'two', before.session)
    expect(after.ack).toBe(count - 1)
    after.wire.send({ scope: 'state', patch: set(count), si: count })
    expect(await after.wire.next()).toMatchObject({ scope: 'state', ii: count - 1 })
    expect(await after.wire.next()).toEqual({ si: count, ii: count - 1 })
    after.wire.cut()
  })

  test('is not ended by the process that had it before, and not taken up there as it was', async () => {
    const [first, second] = await start({}, {})
    const before = await begin(first!.port, 'three')
    await follow(before, { scope: 'state' })
    before.wire.cut()
    const after = await begin(second!.port, 'three', before.session)
    expect(await follow(after, { scope: 'state' })).toMatchObject({ si: 1, ii: 0 })
    after.wire.send({ scope: 'state', patch: set(1), si: 2 })
    expect(await after.wire.next()).toMatchObject({ ii: 1, scope: 'state' })
    expect(await after.wire.next()).toEqual({ si: 2, ii: 1 })
    first!.clock.aheadMs = limits.agentResumeMs
    await eventually(() => expect(first!.logged).toContainEqual(expect.objectContaining({ message: 'another process has the session of an agent' })))
    after.wire.send({ scope: 'state', patch: set(2), si: 3 })
    expect(await after.wire.next()).toMatchObject({ ii: 2, scope: 'state' })
    expect(await after.wire.next()).toEqual({ si: 3, ii: 2 })
    after.wire.cut()
    const back = await begin(first!.port, 'three', before.session)
    expect(back).toMatchObject({ server: before.server, session: before.session })
    expect(await follow(back, { scope: 'state' })).toMatchObject({ si: 1, ii: 2 })
    expect(await back.wire.next()).toMatchObject({ ii: 1, scope: 'state' })
    expect(await back.wire.next()).toMatchObject({ ii: 2, scope: 'state' })
    back.wire.end()
    await back.wire.closed
    await eventually(async () => expect((await begin(second!.port, 'three', before.session)).session).toBeUndefined())
  })

  test('ends what the rules no longer let it follow', async () => {
    const [first, second] = await start(ALLOWING, DENYING)
    const owner = await begin(second!.port, 'owner')
    owner.wire.send({ scope: 'theirs', patch: set(1), si: 0 })
    await owner.wire.next()
    const before = await begin(first!.port, 'four')
    expect(await follow(before, { scope: 'theirs', user: owner.user })).toMatchObject({ ii: 1 })
    before.wire.cut()
    const after = await begin(second!.port, 'four', before.session)
    owner.wire.send({ scope: 'theirs', patch: set(2), si: 1 })
    await owner.wire.next()
    after.wire.send({ scope: 'own', patch: set(1), si: 2 })
    expect(await after.wire.next()).toEqual({ si: 2, ii: 1 })
    expect(kept().subscriptions).toEqual([])
    owner.wire.cut()
    after.wire.cut()
  })

  test('that lost something tells its client to begin anew', async () => {
    const [first, second] = await start({}, {})
    const before = await begin(first!.port, 'five')
    await follow(before, { scope: 'state' })
    const { id, ii } = keptView()
    const ops = keepOps(ii, { by: 'another', end: 'lost' })
    const change = { id, ops, text: '', user: '', domain: '', authority: 'system', creation: undefined, key: 'k', bodyDigest: '', expected: undefined, returnState: false, lenient: false } as const
    await gateways.cluster.patch(change)
    before.wire.cut()
    const after = await begin(second!.port, 'five', before.session)
    expect(after.session).toBe(before.session)
    expect(after.server).not.toBe(before.server)
    after.wire.cut()
  })

  test.each(['the same', 'another'])('that has missed more than can be sent again begins anew, in %s process', async (where) => {
    const [first, second] = await start({}, {})
    const before = await begin(first!.port, 'late')
    await follow(before, { scope: 'state' })
    before.wire.send({ ack: 1 })
    before.wire.cut()
    const { id, owner, domain } = [...gateways.cluster.states.values()].find(({ creation }) => creation.name === 'state')!
    for (let n = 0; n <= limits.agentReplayUpdates; n++) {
      const text = JSON.stringify(set(n % 2))
      const patch = { id, ops: JSON.parse(text), text, user: owner, domain, authority: 'owner', creation: undefined, key: String(n), bodyDigest: '', expected: undefined, returnState: false, lenient: false } as const
      await gateways.cluster.patch(patch)
    }
    const { port } = where === 'another' ? second! : first!
    if (where === 'another') {
      // What it follows is known only when it has gone on.
      const between = await begin(port, 'late', before.session)
      expect(between.server).toBe(before.server)
      between.wire.send({ ...subscription(before.session, { scope: 'state' }), si: 1 })
      await between.wire.closed
    }
    const after = await begin(port, 'late', before.session)
    expect(after.session).toBe(before.session)
    expect(after.server).not.toBe(before.server)
    after.wire.cut()
  })

  test('is not answered before it is known that no other has it, and waits for the cluster', async () => {
    const [first, second] = await start({}, {})
    const before = await begin(first!.port, 'six')
    await follow(before, { scope: 'state' })
    before.wire.cut()
    gateways.cluster.outage = { kind: 'unavailable', stored: undefined, reason: 'the test says so' }
    const wire = await wireTo(second!.port, 'http://localhost:5112')
    wire.send({ token: null, sid: 'six', session: before.session })
    await wire.closed
    gateways.cluster.outage = undefined
    const after = await begin(second!.port, 'six', before.session)
    expect(await follow(after, { scope: 'state' })).toMatchObject({ si: 1 })
    gateways.cluster.outage = { kind: 'unavailable', stored: undefined, reason: 'the test says so' }
    const reads = (): number => gateways.cluster.asked.filter(({ kind }) => kind === 'read').length
    const asked = reads()
    after.wire.send({ scope: 'state', patch: set(1), si: 2 })
    await eventually(() => expect(reads()).toBeGreaterThan(asked + 2))
    gateways.cluster.outage = undefined
    expect(await after.wire.next()).toMatchObject({ scope: 'state', ii: 1 })
    expect(await after.wire.next()).toEqual({ si: 2, ii: 1 })
    after.wire.cut()
  })
})

describe.each<Version>(['0.9.155', '0.9.193'])('agents %s', (version) => {
  test('that come to another process again and again see every update once', async () => {
    const all = await start(ALLOWING, ALLOWING, ALLOWING)
    let connections = 0
    const port = (): number => all[connections++ % all.length]!.port
    const writer = clients.open(version, { port })
    const watcher = clients.open(version, { port })
    const { auth } = await writer.agent.environment()
    const seen: number[] = []
    const [count, each] = [60, 12]
    watcher.agent.watch('counted', ({ state }: { state: { n?: number } }) => seen.push(state.n ?? 0), auth.user)
    await eventually(() => expect(seen).toEqual([0]))
    for (let n = 1; n <= count; n++) {
      // Answered one by one at the end only: what is under way at a break is what this is about.
      const answered = writer.agent.interact('counted', [{ op: 'add', path: ['active', 'n'], value: n }])
      if (n % each === 4) writer.breakConnection()
      if (n % each === 8) watcher.breakConnection()
      if (n % each === 0) await answered
      else answered.catch(() => undefined)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await eventually(() => expect(seen.at(-1)).toBe(count))
    const { ii } = await writer.agent.metadata('counted')
    expect(seen).toHaveLength(1 + ii)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect([writer.rebooted(), watcher.rebooted()]).toEqual([0, 0])
    expect(watcher.connections()).toBeGreaterThan(3)
    expect([...writer.heard, ...watcher.heard].filter(({ error }) => error !== undefined)).toEqual([])
    writer.leave()
    watcher.leave()
  })
})

/** Of the one session that was kept. */
function keptView(): { readonly id: StateView['id']; readonly ii: number; readonly active: string } {
  const found = [...gateways.cluster.states.values()].filter(({ document }) => document.activeType === 'application/json;type=kept-session')
  expect(found).toHaveLength(1)
  const { id, document, history } = found[0]!
  return { id, ii: history.length, active: JSON.stringify(document.active) }
}

function kept(): ReturnType<typeof keptOf> {
  return keptOf({ ...keptView(), reserved: true, activeType: 'application/json;type=kept-session' } as unknown as StateView)
}
