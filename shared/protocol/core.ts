/**
 * The core of a state process: one incarnation of it. Events go in through `step`, effects come out; nothing
 * else does. No IO, clock, chance or promise: a host drives it with sockets and cold storage, the simulator
 * with a seed.
 *
 * Owns: the states it leads, open requests, followings; composes the parts. I1. Every request is answered once.
 * I2. What an answer or event shows is stored when it is emitted (P1). I3. After "fenced" nothing comes (P5).
 */
import type { Incarnation, InteractionIndex, Seq, Slot as SlotNumber, StateId } from '#shared/ids.ts'
import { unreachable } from '#shared/assert.ts'
import type { CreateRequest, HistoryRequest, PatchRequest, ReadRequest, StateAtRequest, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { Checkpoints } from '#shared/protocol/checkpoint.ts'
import { Context, type Tuning } from '#shared/protocol/context.ts'
import { readLog, type DeadLog, type LogEnd } from '#shared/protocol/dead-log.ts'
import type { Answer, Effect, NotLeader } from '#shared/protocol/effects.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { Member } from '#shared/ports/directory.ts'
import type { ClockReading, Event, FollowToken, RequestToken } from '#shared/protocol/events.ts'
import { Elections } from '#shared/protocol/election.ts'
import { Fencing, isBroken, type Broken } from '#shared/protocol/fencing.ts'
import type { Following, Sink } from '#shared/protocol/follow.ts'
import { Replicas } from '#shared/protocol/replicas.ts'
import { readHistory, readStateAt } from '#shared/protocol/history.ts'
import { Peers } from '#shared/protocol/peers.ts'
import { imageOf, judge, type Taken } from '#shared/protocol/leader.ts'
import { Publications } from '#shared/protocol/publication.ts'
import { LeaderLog } from '#shared/protocol/leader-log.ts'
import { recoverState, type GapRule } from '#shared/protocol/recovery.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import { Segments } from '#shared/protocol/segments.ts'
import { Slot } from '#shared/protocol/slot.ts'
import type { TrackedState } from '#shared/protocol/state.ts'
import type { CreationData, LogEntry } from '#shared/records/bundle.ts'
import { comparePlaces } from '#shared/records/names.ts'

export type CoreOptions = {
  /** Stable name of the process. */
  readonly name: string
  /** Fresh at every boot. */
  readonly incarnation: Incarnation
  /** The life before of this process, where the directory knows it: its log is sealed and read at once. */
  readonly previous: Incarnation | undefined
  /** There may be others: nothing is led before the directory has been read. */
  readonly clustered: boolean
  /** Emit "publish" for every interaction. */
  readonly publish: boolean
  /** What becomes of a state with missing interactions; refuse by default: an operator decides. */
  readonly gapRule?: GapRule
  readonly tuning?: Partial<Tuning>
}

export type CoreStatus = {
  readonly leads: readonly SlotNumber[]
  readonly statesTracked: number
  readonly log: { readonly seq: number; readonly waiting: number }
  /** What is missing before it serves at its usual speed. */
  readonly missing: readonly string[]
}

/** Slots that a sealed log leaves behind and that are taken up at once in the background. */
const SLOTS_TAKEN_UP_AT_ONCE = 8
const DRAIN_LOOK_MS = 50
/** States looked at for each that is brought into memory, while there are too many. */
const LOOKS_FOR_ROOM = 64

export class Core {
  readonly #options: CoreOptions
  readonly #context: Context
  readonly #log: LeaderLog
  readonly #fencing: Fencing
  readonly #peers: Peers
  readonly #elections: Elections
  readonly #replicas: Replicas
  readonly #checkpoints: Checkpoints
  readonly #segments: Segments
  readonly #publications: Publications
  #slots = new Map<SlotNumber, Slot>()
  #states = new Map<StateId, TrackedState>()
  /** Goes round the states, to find those that can be dropped. */
  #hand: IterableIterator<TrackedState> | undefined
  #recovering = new Map<StateId, ((state: TrackedState | Broken | NotServed) => void)[]>()
  #deadLogs = new Map<Incarnation, { log: DeadLog | undefined; waiting: ((log: DeadLog) => void)[] }>()
  #open = new Set<RequestToken>()
  #followings = new Map<FollowToken, Following>()
  /** Copies in other processes, by process and state. */
  #copies = new Map<string, Following>()
  #behind = new Map<TrackedState, { minIi: InteractionIndex; run: () => void }[]>()
  #booted = false
  #stopping = false
  #closed = false
  #rotating = false
  #untilKnown: (() => void)[] = []
  /** Followings asked for whose state is not in memory yet. */
  #wanted = new Set<FollowToken>()

  constructor(options: CoreOptions, now: ClockReading) {
    this.#options = options
    this.#context = new Context(now, options.tuning)
    this.#fencing = new Fencing(this.#context, options.incarnation)
    this.#peers = new Peers(this.#context, options.name, options.incarnation)
    this.#replicas = new Replicas(this.#context, this.#peers)
    this.#elections = new Elections(this.#context, this.#peers, (slot) => this.#slots.get(slot)?.status === 'leading')
    const covered = (): Seq => this.#checkpoints.covered()
    this.#log = new LeaderLog({
      context: this.#context,
      incarnation: options.incarnation,
      low: () => this.#checkpoints.low(),
      covered,
      onStored: (seq) => {
        this.#segments.add(seq)
        this.#checkpoints.keepDown()
        if (seq === this.#context.tuning.logObjects) this.#rotate()
      },
      onFenced: () => this.#fenced(),
    })
    this.#segments = new Segments(this.#context, this.#log, covered)
    this.#checkpoints = new Checkpoints({
      context: this.#context,
      log: this.#log,
      recover: (slot, id, then) => this.#recover(slot, id, (state) => then(!('notServed' in state) && !isBroken(state))),
      onMoved: (slot) => this.#moved(slot),
      tailBytes: () => this.#log.keptBytes,
      statesTracked: () => this.#states.size,
      whenPublished: (slot, then) => this.#publications.whenPublished(slot, then),
    })
    this.#publications = new Publications({
      context: this.#context,
      log: this.#log,
      enabled: options.publish,
      recover: (slot, id, then) => this.#recoverToPublish(slot, id, then),
      readOwnLog: (last, then) => this.#readLog(options.incarnation, last, undefined, then),
      onCaughtUp: (slot) => this.#checkpoints.inherited(slot),
    })
    this.#boot()
  }

  /** Effects of the boot, then of each event. */
  start(): readonly Effect[] {
    return this.#context.takeEffects()
  }

  step(event: Event, now: ClockReading): readonly Effect[] {
    const context = this.#context
    if (context.ended) return []
    context.now = now
    switch (event.kind) {
      case 'patch':
        this.#asked(event.token, event.request.id, (state) => this.#patch(event.token, state, event.request))
        break
      case 'read':
        this.#asked(event.token, event.request.id, (state) => this.#read(event.token, state, event.request), event.request.mode === 'tracked' ? event.request : undefined)
        break
      case 'create':
        this.#asked(event.token, event.request.id, (state) => this.#create(event.token, state, event.request))
        break
      case 'history':
        this.#asked(event.token, event.request.id, (state) => this.#history(event.token, state, event.request))
        break
      case 'state-at':
        this.#asked(event.token, event.request.id, (state) => this.#stateAt(event.token, state, event.request))
        break
      case 'follow':
        this.#follow({ token: event.token }, event.id, event.from)
        break
      case 'unfollow':
        this.#unfollow(event.token)
        break
      case 'members':
        this.#members(event.members)
        break
      case 'link-up':
        this.#peers.linkUp(event.peer, event.name, this.#led().map((slot) => [slot.number, slot.cycle] as const))
        break
      case 'link-down':
        this.#peers.linkDown(event.peer)
        this.#replicas.linkDown(event.peer)
        for (const following of [...this.#copies.values()]) if ('peer' in following.sink && following.sink.peer === event.peer) this.#endFollowing(following)
        for (const slot of this.#slots.values()) slot.linkLost(event.peer)
        break
      case 'message':
        this.#message(event.from, event.message)
        break
      case 'turn':
        this.#log.turn()
        break
      case 'published':
        this.#publications.published(event.messages, event.characters)
        break
      case 'stop':
        this.#stop()
        break
      case 'put-done':
      case 'get-done':
      case 'list-done':
      case 'delete-done':
      case 'timer':
        context.resume(event)
        break
      default:
        unreachable(event)
    }
    return context.takeEffects()
  }

  status(): CoreStatus {
    const missing: string[] = []
    if (!this.#booted) missing.push('the log of the life before is being sealed and read')
    if (this.#log.failing !== undefined) missing.push('cold storage does not accept writes')
    if (this.#stopping) missing.push('stopping')
    if (this.#options.clustered && !this.#peers.known) missing.push('the directory has not been read')
    return { leads: this.#led().map(({ number }) => number), statesTracked: this.#states.size, log: { seq: this.#log.storedSeq, waiting: this.#log.waiting }, missing }
  }

  // Boot: the life before, if it is known, is fenced at once; its slots are taken up in the background.

  #boot(): void {
    const { previous } = this.#options
    if (previous === undefined) {
      this.#booted = true
      return
    }
    this.#fencing.fence(previous, (fenced) => {
      if (isBroken(fenced)) {
        this.#context.log('error', 'the log of the life before cannot be vouched for', { ...fenced })
        this.#booted = true
        return
      }
      this.#readLog(previous, (fenced.seal - 1) as Seq, fenced, () => {
        const quietAtMs = fenced.byItself ? 0 : fenced.seenAt.monotonicMs + this.#context.tuning.successorWaitMs
        const wait = (): void => {
          const left = quietAtMs - this.#context.now.monotonicMs
          if (left > 0) return this.#context.timer(Math.ceil(left), wait)
          this.#booted = true
        }
        wait()
      })
    })
  }

  /** Who has sealed a log, or found it sealed, sees to it that somebody leads each slot that it served. */
  #takeUp(log: DeadLog): void {
    const slots = [...log.slots.keys()]
    const next = (): void => {
      const number = slots.pop()
      if (number === undefined) return
      const slot = this.#slot(number)
      slot.whenSettled(() => {
        if (slot.status === 'leading' && slot.inherited.length > 0) this.#checkpoints.inherited(slot)
        if (slot.status === 'idle' && this.#peers.heardLeader(number) === undefined) this.#invite(slot)
        next()
      })
    }
    for (let i = 0; i < SLOTS_TAKEN_UP_AT_ONCE; i++) next()
  }

  /** Not its owner, or without luck: somebody who owns the slot is asked to lead it. */
  #invite(slot: Slot): void {
    for (const name of this.#peers.owners(slot.number)) {
      const to = this.#peers.linkTo(name)
      if (to !== undefined && this.#peers.isReachable(to)) return this.#peers.send(to, { kind: 'take-over', slot: slot.number })
    }
  }

  // The other state processes.

  #members(members: readonly Member[]): void {
    const first = !this.#peers.known
    this.#peers.update(members)
    if (!first) return
    for (const then of this.#untilKnown.splice(0)) then()
    this.#tend()
  }

  #led(): Slot[] {
    return [...this.#slots.values()].filter((slot) => slot.status === 'leading')
  }

  #message(from: Incarnation, message: PeerMessage): void {
    this.#peers.heard(from, message)
    switch (message.kind) {
      case 'heartbeat':
      case 'leading':
      case 'leads':
      case 'leads-not':
        return
      case 'vote-call':
        return this.#elections.called(from, message)
      case 'vote':
        return this.#elections.voted(from, message)
      case 'hand-over-ask':
        return this.#slot(message.slot).handOverAsked(from, message.leader, message.cycle)
      case 'hand-over':
        return this.#slot(message.slot).handOverAnswered(from, message)
      case 'take-over':
        return this.#slot(message.slot).takeOver()
      case 'track':
        return this.#follow({ peer: from }, message.id, undefined)
      case 'untrack': {
        const following = this.#copies.get(copyKey(from, message.id))
        return following && this.#endFollowing(following)
      }
      case 'tracked-state':
        return this.#replicas.state(from, message.id, message.state)
      case 'tracked-patch':
        return this.#replicas.patch(from, message.id, message.interaction)
      case 'track-end':
        return this.#replicas.end(from, message.id)
      default:
        unreachable(message)
    }
  }

  /** Looks after what it leads: slots go to their preferred owner, a few at a time; a leader on its own gives up. */
  #tend(): void {
    if (this.#stopping) return
    for (const slot of this.#led()) if (!this.#peers.hearsMajority(slot.number)) slot.close()
    this.#offer(this.#context.tuning.handOvers)
    this.#context.timer(this.#context.tuning.rebalanceMs, () => this.#tend())
  }

  /** Asks the preferred owners of at most `atMost` slots to take them over. */
  #offer(atMost: number): void {
    let offered = 0
    for (const slot of this.#led()) {
      if (offered >= atMost) return
      const preferred = this.#peers.owners(slot.number)[0]
      if (preferred === undefined || preferred === this.#peers.name) continue
      const to = this.#peers.linkTo(preferred)
      if (to === undefined || !this.#peers.isReachable(to)) continue
      this.#peers.send(to, { kind: 'take-over', slot: slot.number })
      offered += 1
    }
  }

  // Slots, states, dead logs.

  #slot(number: SlotNumber): Slot {
    let slot = this.#slots.get(number)
    if (slot === undefined) {
      slot = new Slot(number, {
        context: this.#context,
        peers: this.#peers,
        elections: this.#elections,
        fencing: this.#fencing,
        log: this.#log,
        readLog: (incarnation, last, end, then) => this.#readLog(incarnation, last, end, then),
        cover: (slot, then) => this.#checkpoints.cover(slot, then),
        onLead: (slot) => this.#publications.prepare(slot),
        onLost: (slot) => this.#lost(slot),
      })
      this.#slots.set(number, slot)
    }
    return slot
  }

  #readLog(incarnation: Incarnation, last: Seq, end: LogEnd | undefined, then: (log: DeadLog) => void): void {
    if (end !== undefined) return this.#readWhole(incarnation, last, end, then)
    this.#fencing.look(incarnation, (fenced) => {
      // It goes on, with other slots: only this slot's part of it has ended.
      if (fenced === undefined || isBroken(fenced)) return readLog(this.#context, incarnation, last, undefined, then)
      this.#readWhole(incarnation, (fenced.seal - 1) as Seq, fenced, then)
    })
  }

  /** A log that has ended is read once for all its slots. */
  #readWhole(incarnation: Incarnation, last: Seq, end: LogEnd, then: (log: DeadLog) => void): void {
    const known = this.#deadLogs.get(incarnation)
    if (known?.log) return then(known.log)
    if (known) return void known.waiting.push(then)
    const reading: { log: DeadLog | undefined; waiting: ((log: DeadLog) => void)[] } = { log: undefined, waiting: [then] }
    this.#deadLogs.set(incarnation, reading)
    readLog(this.#context, incarnation, last, end, (log) => {
      reading.log = log
      for (const waiting of reading.waiting.splice(0)) waiting(log)
      this.#takeUp(log)
    })
  }

  /** Another leads the slot, or nobody: what it holds is in cold storage, and is not served here any more. */
  #lost(slot: Slot): void {
    for (const state of slot.states) {
      for (const following of [...(state.followings ?? [])]) {
        this.#endFollowing(following)
        this.#tellEnd(following.sink, state.id)
      }
      this.#behind.delete(state)
      this.#states.delete(state.id)
    }
    slot.states.clear()
    slot.dirty.clear()
  }

  /** A slot's checkpoint has moved: what it covers need not be kept. */
  #moved(slot: Slot): void {
    this.#segments.trim()
    this.#log.trim()
    const { checkpoint } = slot
    // What is covered and not published is read once more by whoever leads next, and that can be this life.
    if (checkpoint === undefined || comparePlaces(checkpoint, checkpoint.published) !== 0) return
    for (const { log } of this.#deadLogs.values()) log?.slots.delete(slot.number)
  }

  #recover(slot: Slot, id: StateId, then: (state: TrackedState | Broken | NotServed) => void): void {
    const tracked = this.#states.get(id)
    if (tracked) return then(tracked)
    const waiting = this.#recovering.get(id)
    if (waiting) return void waiting.push(then)
    this.#recovering.set(id, [then])
    const { cycle } = slot
    recoverState(this.#context, slot, id, this.#options.gapRule ?? 'refuse', (state) => {
      // Handed over meanwhile: what was recovered may be out of date when the slot is led again.
      const found = slot.leads(cycle) ? state : { notServed: slot }
      if ('notServed' in found) this.#context.log('info', 'recovered in vain: the slot was handed over', { id })
      else if (isBroken(found)) this.#context.log('error', 'state is not served: an object cannot be vouched for', { id, ...found })
      else {
        this.#makeRoom()
        this.#states.set(id, found)
        slot.states.add(found)
        if (!found.clean) slot.dirty.add(found)
      }
      const then = this.#recovering.get(id)!
      this.#recovering.delete(id)
      for (const waiting of then) waiting(found)
    })
  }

  #recoverToPublish(slot: Slot, id: StateId, then: (state: TrackedState | undefined) => void): void {
    this.#recover(slot, id, (state) => {
      // What had been begun when the slot was led before was in vain; now it is led again.
      if ('notServed' in state && slot.leads(slot.cycle)) return this.#recoverToPublish(slot, id, then)
      then('notServed' in state || isBroken(state) ? undefined : state)
    })
  }

  /** Where there are too many: drops those of the next few that are clean and that nobody has asked for since they were looked at last. */
  #makeRoom(): void {
    for (let looks = 0; looks < LOOKS_FOR_ROOM && this.#states.size >= this.#context.tuning.trackedStates; looks++) {
      this.#hand ??= this.#states.values()
      const { value: state, done } = this.#hand.next()
      if (done === true) {
        this.#hand = undefined
        continue
      }
      if (state.used || !state.clean || state.followings !== undefined || this.#behind.has(state) || state.lastSeq > this.#log.storedSeq) state.used = false
      else {
        this.#states.delete(state.id)
        state.slot.states.delete(state)
      }
      state.forgetText()
    }
  }

  // Requests.

  /** `tracked`: a read that a copy may answer. */
  #asked(token: RequestToken, id: StateId, then: (state: TrackedState) => void, tracked?: ReadRequest): void {
    this.#open.add(token)
    if (this.#open.size > this.#context.tuning.requestsOpen) return this.#answer(token, unavailable('too many requests are open', false))
    const state = this.#states.get(id)
    if (state?.slot.status === 'leading') {
      state.used = true
      return then(state)
    }
    this.#tracked(id, (found) => {
      if ('notServed' in found && tracked) this.#readCopy(token, tracked, found.notServed)
      else if ('notServed' in found) this.#answer(token, this.#notLeader(found.notServed))
      else if (isBroken(found)) this.#answer(token, unavailable(`${found.object}: ${found.reason}`, false))
      else then(found)
    })
  }

  #readCopy(token: RequestToken, request: ReadRequest, slot: Slot): void {
    const leader = this.#peers.heardLeader(slot.number)
    if (leader === undefined) return this.#answer(token, this.#notLeader(slot))
    this.#replicas.read(request.id, leader.incarnation, request.minIi ?? (0 as InteractionIndex), (answer) =>
      this.#answer(token, answer.kind === 'lost' ? this.#notLeader(slot) : answer),
    )
  }

  #notLeader(slot: Slot | undefined): NotLeader {
    const leader = slot && this.#peers.heardLeader(slot.number)?.name
    return { kind: 'not-leader', leader, ignoreMe: slot?.ignoreMe ?? false }
  }

  /** The state, led and in memory; or why it is not. */
  #tracked(id: StateId, then: (found: TrackedState | Broken | NotServed) => void): void {
    if (this.#options.clustered && !this.#peers.known) return void this.#untilKnown.push(() => this.#tracked(id, then))
    const slot = this.#slot(slotOf(id))
    slot.whenSettled(() => {
      if (slot.broken) return then(slot.broken)
      if (slot.status !== 'leading') return then({ notServed: slot })
      if (slot.inherited.length > 0) this.#checkpoints.inherited(slot)
      this.#recover(slot, id, (state) => then(slot.status === 'leading' ? state : { notServed: slot }))
    })
  }

  #answer(token: RequestToken, answer: Answer): void {
    if (this.#open.delete(token)) this.#context.emit({ kind: 'answer', token, answer })
  }

  /** Answers a judgement of the present when all it was judged by is stored and no seal stood (rules A7, L1). */
  #answerCurrent(token: RequestToken, state: TrackedState, answer: Answer): void {
    const { slot } = state
    const { cycle } = slot
    this.#log.whenStored(state.lastSeq, () =>
      this.#log.whenProven(() => {
        // Its successor may have gone on since.
        this.#answer(token, slot.leads(cycle) ? answer : this.#notLeader(slot))
      }),
    )
  }

  #patch(token: RequestToken, state: TrackedState, request: PatchRequest): void {
    const full = this.#full(state)
    if (full && state.keys.find(request.key) === undefined) return this.#answer(token, full)
    const result = judge(state, request, this.#context.now.wallMs)
    if (result.kind === 'judged') {
      if (result.repeat) return this.#log.whenStored(state.lastSeq, () => this.#answer(token, result.answer))
      return this.#answerCurrent(token, state, result.answer)
    }
    const view = imageOf(state, request)
    const { activeType } = state.document
    this.#append(state, request, result, () =>
      this.#answer(token, { kind: 'stored', ii: result.ii, updated: result.ts, replayed: false, activeType, state: view }),
    )
  }

  /** Why no interaction of the state is taken at the moment. */
  #full(state: TrackedState): Unavailable | undefined {
    if (this.#log.failing !== undefined) return unavailable('cold storage does not accept writes', false)
    if (this.#log.overloaded) return unavailable('too many interactions wait for storage', false)
    if (state.clean && this.#checkpoints.overloaded) {
      this.#checkpoints.keepDown()
      return unavailable('too many states wait for storage', false)
    }
    return undefined
  }

  #append(state: TrackedState, request: PatchRequest, taken: Taken, release: () => void): void {
    const { ii, ts, text } = taken
    const { user, key, bodyDigest } = request
    const { activeType } = state.document
    const entry: LogEntry = { id: state.id, cycle: state.slot.cycle, ii, ts, user, key, bodyDigest, creation: taken.creation, patch: text }
    const seq = this.#log.append(entry, () => {
      this.#forward(state, ii, ts, user, text)
      release()
      this.#publications.stored(state.slot, state.creation!, entry, activeType, seq)
    })
    state.lastSeq = seq
    state.forgetText()
    state.tail.logged(ii, seq, this.#log.appendedAt, this.#log.appendedBytes)
    this.#checkpoints.changed(state, seq, text.length)
  }

  #forward(state: TrackedState, ii: InteractionIndex, ts: number, user: string, patch: string): void {
    if (state.followings !== undefined) {
      const tokens: FollowToken[] = []
      for (const following of state.followings) {
        if (following.nextIi !== ii) continue
        following.nextIi = (ii + 1) as InteractionIndex
        if ('token' in following.sink) tokens.push(following.sink.token)
        else this.#peers.send(following.sink.peer, { kind: 'tracked-patch', id: state.id, interaction: { ii, user, ts, patch } })
      }
      if (tokens.length > 0) this.#context.emit({ kind: 'follow-patch', tokens, interaction: { ii, user, ts, patch } })
    }
    const behind = this.#behind.get(state)
    if (behind === undefined) return
    const due = behind.filter(({ minIi }) => minIi <= ii)
    if (due.length === behind.length) this.#behind.delete(state)
    else this.#behind.set(state, behind.filter(({ minIi }) => minIi > ii))
    for (const { run } of due) run()
  }

  #create(token: RequestToken, state: TrackedState, request: CreateRequest): void {
    if (state.creation !== undefined) return this.#answerCurrent(token, state, { kind: 'created', made: false, state: state.view()! })
    const full = this.#full(state)
    if (full) return this.#answer(token, full)
    const ts = this.#context.now.wallMs
    const creation: CreationData = { domain: request.domain, owner: request.user, ...request.creation }
    state.create(creation, ts)
    const view = state.view()!
    const entry: LogEntry = { id: state.id, cycle: state.slot.cycle, ii: 0 as InteractionIndex, ts, user: request.user, key: '', bodyDigest: '', creation, patch: '[]' }
    const seq = this.#log.append(entry, () => this.#answer(token, { kind: 'created', made: true, state: view }))
    state.lastSeq = seq
    state.creationSeq = seq
    this.#checkpoints.changed(state, seq, 0)
  }

  #read(token: RequestToken, state: TrackedState, request: ReadRequest): void {
    if (request.minIi !== undefined && request.minIi > state.ii) return this.#readLater(token, state, request, request.minIi)
    const answer = readAnswer(state.view())
    if (request.mode === 'strong') this.#answerCurrent(token, state, answer)
    else this.#log.whenStored(state.lastSeq, () => this.#answer(token, answer))
  }

  #readLater(token: RequestToken, state: TrackedState, request: ReadRequest, minIi: InteractionIndex): void {
    const waiting = this.#behind.get(state) ?? []
    const run = (): void => this.#read(token, state, { ...request, minIi: undefined })
    waiting.push({ minIi, run })
    this.#behind.set(state, waiting)
    this.#context.timer(this.#context.tuning.minIiWaitMs, () => {
      const left = (this.#behind.get(state) ?? []).filter((entry) => entry.run !== run)
      if (left.length === 0) this.#behind.delete(state)
      else this.#behind.set(state, left)
      this.#answer(token, { kind: 'behind' })
    })
  }

  #history(token: RequestToken, state: TrackedState, request: HistoryRequest): void {
    const storedIi = state.ii
    this.#log.whenStored(state.lastSeq, () => readHistory(this.#context, this.#log, state, storedIi, request, (answer) => this.#answer(token, answer)))
  }

  #stateAt(token: RequestToken, state: TrackedState, request: StateAtRequest): void {
    const storedIi = state.ii
    // As it is now: it may be made while storage is asked, and that is not stored yet (P1).
    const made = state.creation && { ...state.creation, created: state.created }
    const asked = (): void => readStateAt(this.#context, this.#log, { state, storedIi, made }, request.ii, (answer) => this.#answer(token, answer))
    // "Beyond the present" and "unwritten" are statements about the present.
    this.#log.whenStored(state.lastSeq, () => (request.ii > storedIi || made === undefined ? this.#log.whenProven(asked) : asked()))
  }

  // Followings.

  #follow(sink: Sink, id: StateId, from: InteractionIndex | undefined): void {
    if ('token' in sink) this.#wanted.add(sink.token)
    this.#tracked(id, (state) => {
      // Taken back meanwhile.
      if ('token' in sink && !this.#wanted.delete(sink.token)) return
      if ('notServed' in state || isBroken(state)) return this.#tellEnd(sink, id)
      const following: Following = { sink, state, nextIi: (state.ii + 1) as InteractionIndex }
      this.#keepFollowing(following)
      const kept = (state.fileIi ?? 0) + 1
      if (from === undefined || from < kept || from > state.ii + 1) {
        const view = state.view()
        return this.#log.whenStored(state.lastSeq, () => {
          if (state.followings?.includes(following)) this.#tellState(sink, id, view)
        })
      }
      // Stored ones at once, the others when they are: both from where it left off.
      following.nextIi = from
      const stored = state.lastSeq > this.#log.storedSeq ? state.tail.lastUpTo(this.#log.storedSeq) : state.ii
      for (const { ii, ts, user, patch } of state.tail.entries(this.#log, from, stored)) {
        following.nextIi = (ii + 1) as InteractionIndex
        if ('token' in sink) this.#context.emit({ kind: 'follow-patch', tokens: [sink.token], interaction: { ii, user, ts, patch } })
      }
    })
  }

  #tellState(sink: Sink, id: StateId, view: StateView | undefined): void {
    if ('token' in sink) this.#context.emit({ kind: 'follow-state', token: sink.token, state: view })
    else this.#peers.send(sink.peer, { kind: 'tracked-state', id, state: view ?? null })
  }

  #tellEnd(sink: Sink, id: StateId): void {
    if ('token' in sink) this.#context.emit({ kind: 'follow-end', token: sink.token })
    else this.#peers.send(sink.peer, { kind: 'track-end', id })
  }

  #keepFollowing(following: Following): void {
    const { sink, state } = following
    if ('token' in sink) this.#followings.set(sink.token, following)
    else {
      const before = this.#copies.get(copyKey(sink.peer, state.id))
      if (before) this.#endFollowing(before)
      this.#copies.set(copyKey(sink.peer, state.id), following)
    }
    if (state.followings) state.followings.push(following)
    else state.followings = [following]
  }

  #unfollow(token: FollowToken): void {
    this.#wanted.delete(token)
    const following = this.#followings.get(token)
    if (following) this.#endFollowing(following)
  }

  #endFollowing(following: Following): void {
    const { sink, state } = following
    if ('token' in sink) this.#followings.delete(sink.token)
    else this.#copies.delete(copyKey(sink.peer, state.id))
    const left = (state.followings ?? []).filter((other) => other !== following)
    state.followings = left.length > 0 ? left : undefined
  }

  // The end.

  /** Answers all that is open with a certain no, and is no more. */
  #fenced(): void {
    const context = this.#context
    context.log('warning', 'fenced: this incarnation is over', { incarnation: this.#options.incarnation })
    this.#refuseAll()
    context.emit({ kind: 'fenced' })
    context.end()
  }

  #refuseAll(): void {
    for (const token of this.#followings.keys()) this.#context.emit({ kind: 'follow-end', token })
    this.#followings.clear()
    for (const token of this.#wanted) this.#context.emit({ kind: 'follow-end', token })
    this.#wanted.clear()
    for (const token of this.#open) this.#context.emit({ kind: 'answer', token, answer: this.#notLeader(undefined) })
    this.#open.clear()
  }

  /** Hands over what others can lead, then leaves nothing behind that a successor would have to wait for or read. */
  #stop(): void {
    if (this.#stopping) return
    this.#stopping = true
    this.#peers.draining = true
    const drain = (): void => {
      const led = this.#led()
      const closing = [...this.#slots.values()].some((slot) => slot.status === 'closing')
      const takers = led.some((slot) => this.#peers.owners(slot.number).some((name) => this.#peers.linkTo(name) !== undefined))
      if (!closing && !takers) return this.#closeAll()
      this.#offer(4 * this.#context.tuning.handOvers)
      this.#context.timer(DRAIN_LOOK_MS, drain)
    }
    drain()
    this.#context.timer(this.#context.tuning.drainMs, () => this.#closeAll())
  }

  /** A log that has grown long ends by its own hand, so that it can be deleted; the host begins another life. */
  #rotate(): void {
    if (this.#stopping) return
    this.#context.log('info', 'the log has grown long: going on under a new incarnation', { seq: this.#log.storedSeq })
    this.#stopping = true
    this.#rotating = true
    this.#peers.draining = true
    this.#closeAll()
  }

  #closeAll(): void {
    if (this.#closed) return
    this.#closed = true
    const led = this.#led()
    const look = (): void => {
      if (![...this.#slots.values()].some((slot) => slot.status === 'leading' || slot.status === 'closing')) return this.#seal()
      this.#context.timer(DRAIN_LOOK_MS, look)
    }
    for (const slot of led) slot.close()
    look()
  }

  #seal(): void {
    const context = this.#context
    this.#refuseAll()
    const waited = [...this.#slots.values()].every((slot) => slot.quietAtMs <= context.now.monotonicMs)
    this.#log.seal(waited, () => {
      context.emit({ kind: this.#rotating ? 'fenced' : 'stopped' })
      context.end()
    })
  }
}

const copyKey = (peer: Incarnation, id: StateId): string => `${peer} ${id}`

/** Not led here. */
type NotServed = { readonly notServed: Slot }

const unavailable = (reason: string, stored: false | undefined): Unavailable => ({ kind: 'unavailable', stored, reason })

const readAnswer = (view: StateView | undefined): Answer => (view === undefined ? { kind: 'unwritten' } : { kind: 'state', state: view })
