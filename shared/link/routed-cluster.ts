/**
 * The state processes as the api sees them: finds who leads, sends there first, and tries again under the same key
 * until the deadline when a leader is lost, moves or is being elected.
 *
 * Owns: which process led a slot when last heard of, deadlines, followings across leaders. Does not own: links.
 * I1. A patch is sent again only under the key of the first try. I2. `stored: false` is answered only if every try
 * was answered with a certain no. I3. A following sees every interaction once, in order, whoever leads.
 */
import { assert } from '#shared/assert.ts'
import type { InteractionIndex, Slot, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Clock } from '#shared/ports/clock.ts'
import type {
  CreateAnswer,
  CreateRequest,
  Following,
  FollowRequest,
  Follower,
  HistoryAnswer,
  HistoryRequest,
  MemberInfo,
  PatchAnswer,
  PatchRequest,
  ReadAnswer,
  ReadRequest,
  StateAtAnswer,
  StateAtRequest,
  StateCluster,
  Unavailable,
} from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import { ownersOf, slotOf } from '#shared/protocol/ring.ts'
import type { Channel, LinkLost, Submission } from '#shared/link/channel.ts'

export interface Routes {
  /** Names of the processes that take slots. */
  names(): readonly string[]
  /** Undefined: no link stands. */
  channel(name: string): Channel | undefined
  members(): Promise<readonly MemberInfo[]>
  missing(): readonly string[]
  close(): void
}

/** How often deadlines are looked at. */
const TICK_MS = 100
/** Before everybody is asked again. */
const PAUSE_MS = 50
const SLOTS_REMEMBERED = 100_000

type Try = {
  readonly submission: Submission
  readonly slot: Slot
  readonly dueMs: number
  readonly resolve: (answer: Answer) => void
  /** Some try may have been carried out. */
  unknown: boolean
  /** The ops have been given away. */
  spent: boolean
  /** Processes asked since the last pause. */
  asked: number
  channel: Channel | undefined
  token: number | undefined
}

export class RoutedCluster implements StateCluster {
  readonly #routes: Routes
  readonly #clock: Clock
  #leaders = new Map<Slot, string>()
  #slots = new Map<StateId, Slot>()
  #owners = new Map<Slot, readonly string[]>()
  #ring = ''
  #turn = 0
  /** In the order in which they were begun, and so of their deadlines. */
  #open = new Set<Try>()
  readonly #ticker: NodeJS.Timeout

  constructor(routes: Routes, clock: Clock) {
    this.#routes = routes
    this.#clock = clock
    this.#ticker = setInterval(() => this.#expire(), TICK_MS).unref()
  }

  patch(request: PatchRequest): Promise<PatchAnswer> {
    return this.#ask({ kind: 'patch', request }) as Promise<PatchAnswer>
  }
  read(request: ReadRequest): Promise<ReadAnswer> {
    return this.#ask({ kind: 'read', request }) as Promise<ReadAnswer>
  }
  create(request: CreateRequest): Promise<CreateAnswer> {
    return this.#ask({ kind: 'create', request }) as Promise<CreateAnswer>
  }
  history(request: HistoryRequest): Promise<HistoryAnswer> {
    return this.#ask({ kind: 'history', request }) as Promise<HistoryAnswer>
  }
  stateAt(request: StateAtRequest): Promise<StateAtAnswer> {
    return this.#ask({ kind: 'state-at', request }) as Promise<StateAtAnswer>
  }
  follow(request: FollowRequest, follower: Follower): Following {
    return new RoutedFollowing(this, request, follower)
  }
  members(): Promise<readonly MemberInfo[]> {
    return this.#routes.members()
  }
  missing(): readonly string[] {
    return this.#routes.missing()
  }

  close(): void {
    clearInterval(this.#ticker)
    this.#routes.close()
  }

  #ask(submission: Submission): Promise<Answer> {
    return new Promise((resolve) => {
      const dueMs = this.#clock.monotonicMs() + limits.requestDeadlineMs
      const slot = this.slotOf(submission.request.id)
      const attempt: Try = { submission, slot, dueMs, resolve, unknown: false, spent: false, asked: 0, channel: undefined, token: undefined }
      this.#open.add(attempt)
      this.#send(attempt, isTracked(submission) ? this.#anyOwner(slot) : this.target(slot))
    })
  }

  /** Tracked reads are spread: every owner can have a copy. */
  #anyOwner(slot: Slot): string | undefined {
    const owners = this.owners(slot)
    return owners[this.#turn++ % Math.max(1, owners.length)]
  }

  slotOf(id: StateId): Slot {
    let slot = this.#slots.get(id)
    if (slot === undefined) {
      if (this.#slots.size >= SLOTS_REMEMBERED) this.#slots.clear()
      this.#slots.set(id, (slot = slotOf(id)))
    }
    return slot
  }

  /** Who led the slot when last heard of, or who should. */
  target(slot: Slot): string | undefined {
    return this.#leaders.get(slot) ?? this.owners(slot)[0]
  }

  owners(slot: Slot): readonly string[] {
    const names = [...this.#routes.names()].sort()
    const ring = names.join(' ')
    if (ring !== this.#ring) {
      this.#ring = ring
      this.#owners.clear()
    }
    let owners = this.#owners.get(slot)
    if (owners === undefined) this.#owners.set(slot, (owners = ownersOf(slot, names, limits.owners)))
    return owners
  }

  channel(name: string): Channel | undefined {
    return this.#routes.channel(name)
  }

  #send(attempt: Try, name: string | undefined): void {
    const channel = name === undefined ? undefined : this.#routes.channel(name)
    if (channel === undefined) return this.#elsewhere(attempt, name)
    attempt.asked += 1
    attempt.channel = channel
    const { submission } = attempt
    const sent = attempt.spent && submission.kind === 'patch' ? again(submission) : submission
    attempt.spent = true
    const token = channel.submit(sent, (answer) => {
      attempt.token = undefined
      this.#answered(attempt, name!, answer)
    })
    // The answer may have come already.
    if (this.#open.has(attempt) && attempt.channel === channel) attempt.token = token
  }

  #answered(attempt: Try, name: string, answer: Answer | LinkLost): void {
    if (!this.#open.has(attempt)) return
    attempt.channel = undefined
    switch (answer.kind) {
      case 'link-lost':
        attempt.unknown = true
        this.lost(attempt.slot, name)
        return this.#elsewhere(attempt, name)
      case 'not-leader':
        this.lost(attempt.slot, name)
        if (answer.leader !== undefined && answer.leader !== name) {
          this.#leaders.set(attempt.slot, answer.leader)
          if (attempt.asked < limits.owners + 1) return this.#send(attempt, answer.leader)
        }
        return this.#elsewhere(attempt, name)
      default:
        // A tracked copy need not be the leader's.
        if (!isTracked(attempt.submission) && answer.kind !== 'unavailable' && this.#leaders.get(attempt.slot) !== name) this.#leaders.set(attempt.slot, name)
        this.#open.delete(attempt)
        // Certain of this process only: an earlier try may have been carried out elsewhere.
        attempt.resolve(answer.kind === 'unavailable' && attempt.unknown ? { ...answer, stored: undefined } : answer)
    }
  }

  /** `name` does not lead the slot any longer, as far as anybody knows. */
  lost(slot: Slot, name: string): void {
    if (this.#leaders.get(slot) === name) this.#leaders.delete(slot)
  }

  /** Asks the owner after `name`; after a pause, when all were asked. */
  #elsewhere(attempt: Try, name: string | undefined): void {
    const owners = this.owners(attempt.slot)
    if (attempt.asked < owners.length) {
      const next = owners[(owners.indexOf(name ?? '') + 1) % owners.length]
      if (next !== name && next !== undefined && this.#routes.channel(next)) return this.#send(attempt, next)
    }
    attempt.asked = 0
    setTimeout(() => {
      if (this.#open.has(attempt)) this.#send(attempt, this.target(attempt.slot))
    }, PAUSE_MS)
  }

  #expire(): void {
    const now = this.#clock.monotonicMs()
    for (const attempt of this.#open) {
      if (attempt.dueMs > now) return
      this.#open.delete(attempt)
      if (attempt.token !== undefined) attempt.channel?.forget(attempt.token)
      const stored = attempt.unknown || attempt.channel !== undefined ? undefined : false
      const answer: Unavailable = { kind: 'unavailable', stored, reason: 'no answer within the deadline' }
      attempt.resolve(answer)
    }
  }
}

const isTracked = (submission: Submission): boolean => submission.kind === 'read' && submission.request.mode === 'tracked'

/** The first try's ops belong to whom they were sent to. */
function again(submission: Extract<Submission, { kind: 'patch' }>): Submission {
  return { kind: 'patch', request: { ...submission.request, ops: JSON.parse(submission.request.text) as Op[] } }
}

class RoutedFollowing implements Following {
  readonly #cluster: RoutedCluster
  readonly #request: FollowRequest
  readonly #follower: Follower
  readonly #slot: Slot
  #next: InteractionIndex | undefined
  #at: { readonly channel: Channel; readonly token: number } | undefined
  #tries = 0
  #stopped = false

  constructor(cluster: RoutedCluster, request: FollowRequest, follower: Follower) {
    this.#cluster = cluster
    this.#request = request
    this.#follower = follower
    this.#next = request.from
    this.#slot = cluster.slotOf(request.id)
    queueMicrotask(() => this.#begin())
  }

  #begin(): void {
    if (this.#stopped) return
    const owners = this.#cluster.owners(this.#slot)
    // Whoever led last; when that did not do, each owner in turn.
    const name = this.#tries === 0 ? this.#cluster.target(this.#slot) : owners[this.#tries % Math.max(1, owners.length)]
    const channel = name === undefined ? undefined : this.#cluster.channel(name)
    if (channel === undefined) return this.#later()
    let ended = false
    const token = channel.follow(this.#request.id, this.#next, {
      state: (state) => {
        if (this.#stopped) return
        this.#tries = 0
        this.#next = ((state?.ii ?? 0) + 1) as InteractionIndex
        this.#follower.state(state)
      },
      patch: (interaction) => {
        if (this.#stopped) return
        this.#tries = 0
        assert(this.#next === interaction.ii, `a follower of ${this.#request.id} expects ${this.#next} and gets ${interaction.ii}`)
        this.#next = (interaction.ii + 1) as InteractionIndex
        this.#follower.patch(interaction)
      },
      end: () => {
        ended = true
        this.#at = undefined
        this.#cluster.lost(this.#slot, name!)
        this.#later()
      },
    })
    if (!ended) this.#at = { channel, token }
  }

  #later(): void {
    this.#tries += 1
    setTimeout(() => this.#begin(), PAUSE_MS).unref()
  }

  stop(): void {
    this.#stopped = true
    this.#at?.channel.unfollow(this.#at.token)
    this.#at = undefined
  }
}
