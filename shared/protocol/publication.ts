/**
 * Fan-out, with the log as its outbox: what is stored is handed to the host to be published, in order, and what is surely
 * published is known, so that a checkpoint can say it.
 *
 * Owns: how many messages are open, the slots that have fallen behind. Does not own: the messages (the host's queue), the
 * marks (checkpoint names). Talks to: the log, recovery and history, for what a predecessor or a long queue left behind.
 *
 * I1. Of a state, messages are emitted in the order of their `ii`; one that is emitted again is followed by all behind it (rule O3).
 * I2. Of a slot, nothing of its own is emitted before all that the mark of its predecessors leaves open (rule O2).
 * I3. Open messages are bounded. A slot whose messages find no room is read from the log again, when there is (rule O4).
 */
import type { InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { apply } from '#shared/patch/apply.ts'
import { documentOf } from '#shared/patch/document.ts'
import type { Op } from '#shared/patch/op.ts'
import type { FanOutMessage } from '#shared/ports/fan-out.ts'
import type { Context } from '#shared/protocol/context.ts'
import { partOf, type DeadLog } from '#shared/protocol/dead-log.ts'
import { isBroken } from '#shared/protocol/fencing.ts'
import { readStateAt } from '#shared/protocol/history.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import type { Inherited, Slot } from '#shared/protocol/slot.ts'
import type { TrackedState } from '#shared/protocol/state.ts'
import type { CreationData, LogEntry } from '#shared/records/bundle.ts'

/** What of a slot is to be emitted before its new messages are. */
export type Backlog = {
  parts: readonly Inherited[]
  /** New messages that wait for the end of it ... */
  held: FanOutMessage[]
  /** ... up to the first that found no room here: from this number on they are read from the own log. */
  readFrom: Seq | undefined
}

export type PublicationParts = {
  readonly context: Context
  readonly log: LeaderLog
  /** False: nothing is published, and all counts as if it were. */
  readonly enabled: boolean
  readonly recover: (slot: Slot, id: StateId, then: (state: TrackedState | undefined) => void) => void
  readonly readOwnLog: (last: Seq, then: (log: DeadLog) => void) => void
  /** All of a backlog is emitted: the next checkpoint can say more. */
  readonly onCaughtUp: (slot: Slot) => void
}

const LOOK_MS = 100

export class Publications {
  readonly #parts: PublicationParts
  /** Messages emitted, and those of them that are surely published, from the first one on. */
  #emitted = 0
  #published = 0
  #openCharacters = 0
  /** Who waits until so many are published, fewest first. */
  #waiting: { readonly messages: number; readonly run: () => void }[] = []
  #forRoom: (() => void)[] = []
  /** A wait was in vain, and nothing was published since: further ones would be too. */
  #stalled = false

  constructor(parts: PublicationParts) {
    this.#parts = parts
  }

  /** An interaction is stored. */
  stored(slot: Slot, creation: CreationData, entry: LogEntry, activeType: string, seq: Seq): void {
    if (!this.#parts.enabled || slot.skipped?.has(entry.id)) return
    const message = messageOf(creation, entry, activeType)
    const { backlog } = slot
    if (backlog === undefined && !this.#isFull(1)) return this.#emit(slot, message)
    if (backlog === undefined) {
      const behind: Backlog = { parts: [], held: [], readFrom: seq }
      slot.backlog = behind
      this.#whenRoom(() => this.#catchUp(slot, behind))
    } else if (backlog.readFrom === undefined) {
      if (backlog.held.length < this.#parts.context.tuning.heldMessages) backlog.held.push(message)
      else backlog.readFrom = seq
    }
  }

  /** The slot is about to be led: what its predecessors' parts hold behind the mark comes first. Begins with what comes back. */
  prepare(slot: Slot): () => void {
    slot.emitted = 0
    slot.skipped = undefined
    if (!this.#parts.enabled || slot.unpublished.length === 0) return () => undefined
    const backlog: Backlog = { parts: slot.unpublished, held: [], readFrom: undefined }
    slot.unpublished = []
    slot.backlog = backlog
    return () => this.#catchUp(slot, backlog)
  }

  /** The host has published the next `messages` of those that were emitted. */
  published(messages: number, characters: number): void {
    this.#published += messages
    this.#openCharacters -= characters
    this.#stalled = false
    while (this.#waiting[0] !== undefined && this.#waiting[0].messages <= this.#published) this.#waiting.shift()!.run()
    if (!this.#isFull(0.5)) for (const run of this.#forRoom.splice(0)) run()
  }

  /** Whether all of the slot that is stored now is surely published; calls back after a while at the latest. */
  whenPublished(slot: Slot, then: (published: boolean) => void): void {
    const { context, enabled } = this.#parts
    if (!enabled) return then(true)
    let settled = false
    const settle = (published: boolean): void => {
      if (settled) return
      settled = true
      then(published)
    }
    const look = (leftMs: number): void => {
      if (slot.unpublishable || leftMs <= 0 || (this.#stalled && slot.emitted > this.#published)) return settle(false)
      if (slot.backlog !== undefined) return context.timer(LOOK_MS, () => look(leftMs - LOOK_MS))
      if (slot.emitted <= this.#published) return settle(true)
      const { emitted } = slot
      const at = this.#waiting.findLastIndex(({ messages }) => messages <= emitted)
      this.#waiting.splice(at + 1, 0, { messages: emitted, run: () => settle(true) })
      context.timer(leftMs, () => {
        if (settled) return
        this.#stalled = true
        settle(false)
      })
    }
    look(context.tuning.publishedWaitMs)
  }

  #isFull(share: number): boolean {
    const { unpublishedMessages, unpublishedBytes } = this.#parts.context.tuning
    return this.#emitted - this.#published >= unpublishedMessages * share || this.#openCharacters >= unpublishedBytes * share
  }

  #whenRoom(run: () => void): void {
    if (this.#emitted === this.#published || !this.#isFull(0.5)) run()
    else this.#forRoom.push(run)
  }

  #emit(slot: Slot, message: FanOutMessage): void {
    this.#emitted += 1
    this.#openCharacters += message.patch.length
    slot.emitted = this.#emitted
    this.#parts.context.emit({ kind: 'publish', message })
  }

  /** Emits the parts of the backlog, then what arrived meanwhile; reads again what of that found no room. */
  #catchUp(slot: Slot, backlog: Backlog): void {
    const { cycle } = slot
    const isOver = (): boolean => slot.backlog !== backlog || !slot.leads(cycle)
    if (isOver()) return
    this.#emitParts(slot, backlog.parts, isOver, () => {
      backlog.parts = []
      for (const message of backlog.held.splice(0)) if (!slot.skipped?.has(message.id)) this.#emit(slot, message)
      const from = backlog.readFrom
      if (from === undefined) {
        slot.backlog = undefined
        return this.#parts.onCaughtUp(slot)
      }
      this.#whenRoom(() => this.#readAgain(slot, backlog, from, isOver))
    })
  }

  #readAgain(slot: Slot, backlog: Backlog, from: Seq, isOver: () => boolean): void {
    if (isOver()) return
    const { log, context, readOwnLog } = this.#parts
    const { cycle, number } = slot
    const last = log.storedSeq
    // What is stored from here on is held again.
    backlog.readFrom = undefined
    readOwnLog(last, (read) => {
      const states = partOf(read, { slot: number, cycle, first: from, last })
      if (!isBroken(states)) backlog.parts = [{ cycle, states }]
      else {
        slot.unpublishable = true
        context.log('error', 'what was to be published cannot be read from the own log', { slot: number, ...states })
      }
      this.#catchUp(slot, backlog)
    })
  }

  #emitParts(slot: Slot, parts: readonly Inherited[], isOver: () => boolean, then: () => void): void {
    const states = new Map<StateId, LogEntry[]>()
    for (const part of parts) for (const [id, placed] of part.states) {
      const entries = states.get(id) ?? []
      states.set(id, entries)
      for (const { entry } of placed) addInOrder(entries, entry)
    }
    const left = [...states]
    const next = (): void => {
      if (isOver()) return
      const state = left.shift()
      if (state === undefined) return then()
      this.#whenRoom(() => this.#emitState(slot, ...state, isOver, next))
    }
    next()
  }

  #emitState(slot: Slot, id: StateId, entries: readonly LogEntry[], isOver: () => boolean, then: () => void): void {
    const first = entries[0]
    // Its creation only.
    if (first === undefined || slot.skipped?.has(id)) return then()
    this.#parts.recover(slot, id, (state) => {
      if (isOver()) return
      const creation = state?.creation
      if (state === undefined || creation === undefined) {
        // It is not served either, until somebody has looked after it: the mark stays where it is, for the next leader.
        slot.unpublishable = true
        slot.skipped ??= new Set()
        slot.skipped.add(id)
        this.#parts.context.log('error', 'interactions are not published: their state cannot be recovered', { id, from: first.ii })
        return then()
      }
      this.#activeTypes(state, creation, entries, (types) => {
        if (isOver()) return
        entries.forEach((entry, at) => this.#emit(slot, messageOf(creation, entry, types[at]!)))
        then()
      })
    })
  }

  /** The active type behind each of the entries, which the log does not say. */
  #activeTypes(state: TrackedState, made: CreationData, entries: readonly LogEntry[], then: (types: readonly string[]) => void): void {
    const { context, log } = this.#parts
    const now = state.document.activeType
    const last = entries.at(-1)!.ii
    const after = state.ii - last <= state.tail.length ? [...state.tail.entries(log, last + 1, state.ii)] : undefined
    const mentions = ({ patch }: { readonly patch: string }): boolean => patch.includes('active_type')
    // Nearly always: nothing from the first of them on has touched it.
    if (after !== undefined && !after.some(mentions) && !entries.some(mentions)) return then(entries.map(() => now))
    const before = (entries[0]!.ii - 1) as InteractionIndex
    readStateAt(context, log, { state, storedIi: last, made: { ...made, created: state.created } }, before, (answer) => {
      if (answer.kind !== 'state') {
        context.log('error', 'the active type of older interactions is not known: they are published with the present one', { id: state.id, from: before + 1 })
        return then(entries.map(() => now))
      }
      const { active, activeType, name } = answer.state
      const document = documentOf({ active: JSON.parse(active) as Json, activeType, name })
      then(
        entries.map(({ patch }) => {
          apply(document, JSON.parse(patch) as Op[])
          return document.activeType
        }),
      )
    })
  }
}

/** In the order of `ii`; where two logs hold one index the later counts, with all that it goes on with (rule G3). */
function addInOrder(entries: LogEntry[], entry: LogEntry): void {
  if (entry.ii === 0) return
  while (entries.length > 0 && entries.at(-1)!.ii >= entry.ii) entries.pop()
  entries.push(entry)
}

function messageOf(creation: CreationData, entry: LogEntry, activeType: string): FanOutMessage {
  const { id, ii, ts, user, patch } = entry
  return { id, ii, domain: creation.domain, owner: creation.owner, user, activeType, ts, patch }
}
