/** How the api finds who leads, over channels that say what the test tells them to. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Channel, FollowEvents, LinkLost, Submission } from '#shared/link/channel.ts'
import { RoutedCluster } from '#shared/link/routed-cluster.ts'
import type { InteractionView, PatchRequest, StateView } from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import { ownersOf, slotOf } from '#shared/protocol/ring.ts'
import { ID, ii, patchRequest, view } from './samples.ts'

const NAMES = ['state-process-0', 'state-process-1', 'state-process-2'] as const
/** Best first: who is asked first while nobody has been heard of. */
const OWNERS = ownersOf(slotOf(ID), NAMES, limits.owners)
const STORED: Answer = { kind: 'stored', ii: ii(1), updated: 1, replayed: false, activeType: 'application/json', state: undefined }
const NOT_LEADER: Answer = { kind: 'not-leader', leader: undefined, ignoreMe: false }
const LOST: LinkLost = { kind: 'link-lost' }
const leads = (name: string): Answer => ({ kind: 'not-leader', leader: name, ignoreMe: false })

type Asked = { readonly name: string; readonly submission: Submission; readonly answer: (answer: Answer | LinkLost) => void; forgotten: boolean }
type Followed = { readonly name: string; readonly from: InteractionIndex | undefined; readonly events: FollowEvents; stopped: boolean }

class Script {
  readonly asked: Asked[] = []
  readonly followed: Followed[] = []
  down = new Set<string>()
  /** Answers at once, before `submit` returns; undefined: the test answers. */
  prompt: ((name: string, submission: Submission) => Answer | LinkLost | undefined) | undefined

  channel(name: string): Channel | undefined {
    if (this.down.has(name)) return undefined
    return {
      submit: (submission, answer) => {
        const entry: Asked = { name, submission, answer, forgotten: false }
        const token = this.asked.push(entry) - 1
        const prompt = this.prompt?.(name, submission)
        if (prompt !== undefined) answer(prompt)
        return token
      },
      forget: (token) => void (this.asked[token]!.forgotten = true),
      follow: (_id: StateId, from, events) => this.followed.push({ name, from, events, stopped: false }) - 1,
      unfollow: (token) => void (this.followed[token]!.stopped = true),
    }
  }

  get order(): string[] {
    return this.asked.map(({ name }) => name)
  }
}

let script: Script
let cluster: RoutedCluster
let nowMs: number
let present: readonly string[]

beforeEach(() => {
  jest.useFakeTimers()
  script = new Script()
  nowMs = 0
  present = NAMES
  const routes = { names: () => present, channel: (name: string) => script.channel(name), members: () => Promise.resolve([]), missing: () => [], close: () => undefined }
  cluster = new RoutedCluster(routes, { wallMs: () => nowMs, monotonicMs: () => nowMs })
})
afterEach(() => {
  cluster.close()
  jest.useRealTimers()
})

/** Time passes, and what was promised in it comes. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    nowMs += Math.min(50, left)
    await jest.advanceTimersByTimeAsync(Math.min(50, left))
  }
}
const last = (): Asked => script.asked.at(-1)!
const read = (mode: 'strong' | 'tracked' = 'strong'): ReturnType<RoutedCluster['read']> => cluster.read({ id: ID, mode, minIi: undefined })

describe('who is asked', () => {
  test('the preferred owner first; whoever answered leads, and is asked first from then on', async () => {
    const first = cluster.patch(patchRequest('a'))
    expect(script.order).toEqual([OWNERS[0]])
    last().answer(leads(OWNERS[2]!))
    expect(script.order).toEqual([OWNERS[0], OWNERS[2]])
    last().answer(STORED)
    expect(await first).toEqual(STORED)
    void cluster.patch(patchRequest('b'))
    expect(script.order).toEqual([OWNERS[0], OWNERS[2], OWNERS[2]])
  })

  test('without a hint every owner once, then a pause, then all over again', async () => {
    script.prompt = () => NOT_LEADER
    void read()
    expect(script.order).toEqual(OWNERS)
    await pass(50)
    expect(script.order).toEqual([...OWNERS, ...OWNERS])
  })

  test('two that name each other are not asked for ever', async () => {
    script.prompt = (name) => leads(name === OWNERS[0] ? OWNERS[1]! : OWNERS[0]!)
    void read()
    expect(script.asked.length).toBeLessThanOrEqual(limits.owners + 1)
    await pass(50)
    expect(script.asked.length).toBeLessThanOrEqual(2 * (limits.owners + 1))
  })

  test('one without a link is passed over', () => {
    script.down.add(OWNERS[0]!)
    void read()
    expect(script.order).toEqual([OWNERS[1]])
  })

  test('nobody is there: asked as soon as somebody is', async () => {
    script.down = new Set(NAMES)
    const answer = read()
    await pass(200)
    script.down.clear()
    await pass(50)
    last().answer({ kind: 'unwritten' })
    expect(await answer).toEqual({ kind: 'unwritten' })
  })

  test('an empty ring', async () => {
    present = []
    const answer = read()
    await pass(limits.requestDeadlineMs + 200)
    expect(await answer).toMatchObject({ kind: 'unavailable', stored: false })
  })

  test('a ring that changes: the new owners are asked', async () => {
    script.prompt = () => NOT_LEADER
    void read()
    present = NAMES.filter((name) => name !== OWNERS[0])
    script.asked.length = 0
    await pass(50)
    expect(script.order.toSorted()).toEqual(present)
  })

  test('tracked reads are spread over the owners, and teach nothing about who leads', async () => {
    script.prompt = () => ({ kind: 'unwritten' })
    for (let n = 0; n < 6; n++) await read('tracked')
    expect(script.order.toSorted()).toEqual([...NAMES, ...NAMES].toSorted())
    await read()
    expect(script.order.at(-1)).toBe(OWNERS[0])
  })
})

describe('a patch that is sent again', () => {
  test('goes elsewhere when the link is lost: the same key and text, ops of its own', async () => {
    const request = patchRequest('a')
    const answer = cluster.patch(request)
    const first = last().submission.request as PatchRequest
    expect(first.ops).toBe(request.ops)
    // Whoever got them may have changed them.
    first.ops.length = 0
    last().answer(LOST)
    const second = last().submission.request as PatchRequest
    expect(script.order).toEqual([OWNERS[0], OWNERS[1]])
    expect([second.key, second.text, second.bodyDigest]).toEqual([request.key, request.text, request.bodyDigest])
    expect(second.ops).toEqual(JSON.parse(request.text))
    last().answer(NOT_LEADER)
    const third = last().submission.request as PatchRequest
    expect(third.ops).toEqual(second.ops)
    expect(third.ops).not.toBe(second.ops)
    last().answer(STORED)
    expect(await answer).toEqual(STORED)
  })

  test.each<[string, readonly (Answer | LinkLost)[], false | undefined]>([
    ['only certain noes', [NOT_LEADER, NOT_LEADER, NOT_LEADER], false],
    ['a link that was lost, then certain noes', [LOST, NOT_LEADER, NOT_LEADER], undefined],
    ['certain noes, then a link that was lost', [NOT_LEADER, NOT_LEADER, LOST], undefined],
  ])('%s until the deadline: stored %j', async (_, said, stored) => {
    let n = 0
    script.prompt = () => said[n++] ?? NOT_LEADER
    const answer = cluster.patch(patchRequest('a'))
    await pass(limits.requestDeadlineMs + 200)
    expect(await answer).toEqual({ kind: 'unavailable', stored, reason: expect.any(String) })
    // Once it is answered nobody is asked any more.
    const { length } = script.asked
    await pass(1_000)
    expect(script.asked).toHaveLength(length)
  })

  test('no answer until the deadline: nobody knows, the request is taken back, and a late answer changes nothing', async () => {
    const answer = cluster.patch(patchRequest('a'))
    await pass(limits.requestDeadlineMs - 100)
    expect(last().forgotten).toBe(false)
    await pass(300)
    expect(await answer).toMatchObject({ kind: 'unavailable', stored: undefined })
    expect(last().forgotten).toBe(true)
    last().answer(STORED)
  })

  test('an answer that comes before submit returns is one', async () => {
    script.prompt = () => STORED
    expect(await cluster.patch(patchRequest('a'))).toEqual(STORED)
    await pass(limits.requestDeadlineMs + 200)
    expect(script.asked).toHaveLength(1)
    expect(last().forgotten).toBe(false)
  })

  test.each<Answer>([{ kind: 'unavailable', stored: undefined, reason: 'x' }, { kind: 'replay', next: ii(2) }, { kind: 'forbidden' }])('$kind is the answer', async (said) => {
    script.prompt = () => said
    expect(await cluster.patch(patchRequest('a'))).toEqual(said)
    expect(script.asked).toHaveLength(1)
  })

  test('"unavailable, not stored" of a later try, when an earlier one may have been taken, does not say "not stored"', async () => {
    const answer = cluster.patch(patchRequest('a'))
    last().answer(LOST)
    last().answer({ kind: 'unavailable', stored: false, reason: 'x' })
    await pass(limits.requestDeadlineMs + 200)
    expect(await answer).toMatchObject({ kind: 'unavailable', stored: undefined })
  })
})

describe('a following', () => {
  const seen: (string | number)[] = []
  const follower = {
    state: (state: StateView | undefined) => void seen.push(`state ${state?.ii}`),
    patch: (interaction: InteractionView) => void seen.push(interaction.ii),
  }
  const patch = (n: number): InteractionView => ({ ii: ii(n), user: 'u', ts: 1, patch: '[]' })
  const lastFollowed = (): Followed => script.followed.at(-1)!
  const begin = async (from?: InteractionIndex): Promise<ReturnType<RoutedCluster['follow']>> => {
    const following = cluster.follow({ id: ID, from }, follower)
    expect(script.followed).toHaveLength(0)
    await pass(1)
    return following
  }
  beforeEach(() => void (seen.length = 0))

  test('goes on at the next leader where it was, without gap or double', async () => {
    await begin()
    expect(script.followed.map(({ name, from }) => [name, from])).toEqual([[OWNERS[0], undefined]])
    lastFollowed().events.state(view('x'))
    lastFollowed().events.patch(patch(8))
    lastFollowed().events.end()
    await pass(50)
    expect(lastFollowed()).toMatchObject({ name: OWNERS[1], from: 9 })
    lastFollowed().events.end()
    await pass(50)
    expect(lastFollowed()).toMatchObject({ name: OWNERS[2], from: 9 })
    lastFollowed().events.patch(patch(9))
    expect(seen).toEqual(['state 7', 8, 9])
    // A process that could not go on tells the whole state.
    lastFollowed().events.state(view('x'))
    lastFollowed().events.patch(patch(8))
    expect(seen).toEqual(['state 7', 8, 9, 'state 7', 8])
  })

  test('that has begun nowhere yet asks from where its client was', async () => {
    await begin(ii(5))
    expect(lastFollowed().from).toBe(5)
    lastFollowed().events.end()
    await pass(50)
    expect(lastFollowed().from).toBe(5)
  })

  test('of an unwritten state', async () => {
    await begin()
    lastFollowed().events.state(undefined)
    lastFollowed().events.patch(patch(1))
    expect(seen).toEqual(['state undefined', 1])
  })

  test('a gap or a double is a broken assumption', async () => {
    await begin()
    lastFollowed().events.state(view('x'))
    expect(() => lastFollowed().events.patch(patch(9))).toThrow('expects 8 and gets 9')
    expect(() => lastFollowed().events.patch(patch(7))).toThrow('expects 8 and gets 7')
  })

  test('goes first to whoever led last', async () => {
    script.prompt = (name) => (name === OWNERS[2] ? { kind: 'unwritten' } : leads(OWNERS[2]!))
    await read()
    await begin()
    expect(lastFollowed().name).toBe(OWNERS[2])
  })

  test('that is stopped gets nothing any more, and begins nowhere', async () => {
    const following = await begin()
    const { events } = lastFollowed()
    following.stop()
    expect(lastFollowed().stopped).toBe(true)
    events.state(view('x'))
    events.patch(patch(8))
    expect(seen).toEqual([])
    await pass(500)
    expect(script.followed).toHaveLength(1)
  })

  test('that is stopped between two leaders begins nowhere', async () => {
    const following = await begin()
    lastFollowed().events.end()
    following.stop()
    await pass(500)
    expect(script.followed).toHaveLength(1)
  })
})
