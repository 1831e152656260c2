/**
 * Checkpoints: ID files of what has changed, then the record that says how far they cover a slot.
 *
 * Owns: when a slot is due, the writing of ID files, the low of the own log. Talks to: cold storage, the log (what
 * is stored), recovery (tails of predecessors nobody asked for).
 *
 * I1. An ID file is written from committed state only (rule K1): taken at an `ii`, put when that is stored.
 * I2. A checkpoint's number is fixed before the first of its ID files is taken (rule K2).
 * I3. It moves only when every interaction of the slot up to it is in a stored ID file, inherited ones included.
 * I4. Between two ID files there is time for others, less of it the nearer the log's tail or the states in no ID file are to
 *     their bounds, and none where somebody waits for a slot to be covered.
 */
import type { Cycle, Seq, StateId } from '#shared/ids.ts'
import type { Context } from '#shared/protocol/context.ts'
import { elapsedMs } from '#shared/protocol/context.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import type { Slot } from '#shared/protocol/slot.ts'
import type { TrackedState } from '#shared/protocol/state.ts'
import type { ClockReading } from '#shared/protocol/events.ts'
import { encodeSmall } from '#shared/records/fence.ts'
import { encodeIdFile } from '#shared/records/id-file.ts'
import { checkpointName, comparePlaces, idFileName, type Place, type SlotCheckpoint } from '#shared/records/names.ts'

export type CheckpointParts = {
  readonly context: Context
  readonly log: LeaderLog
  /** Brings a state into memory; `complete`: it is there. */
  readonly recover: (slot: Slot, id: StateId, then: (complete: boolean) => void) => void
  /** A slot's checkpoint has moved. */
  readonly onMoved: (slot: Slot) => void
  readonly tailBytes: () => number
  readonly statesTracked: () => number
  /** Whether all that is stored of the slot now is surely published, after a while at the latest. */
  readonly whenPublished: (slot: Slot, then: (published: boolean) => void) => void
}

/** From this share of their bounds on the log's tail and the states that no ID file holds are kept down; at all of it there are no pauses. */
const GROWN_SHARE = 0.75
/** At so much of its bound the number of those states may not grow any more. */
const OVERLOADED_SHARE = 1.25

/** Before everything: nothing of a slot is published. */
const NOTHING: Place = { cycle: 0 as Cycle, seq: 0 as Seq }

const nameOf = (slot: Slot, checkpoint: SlotCheckpoint): string =>
  checkpointName(slot.number, checkpoint, comparePlaces(checkpoint, checkpoint.published) === 0 ? undefined : checkpoint.published)

export class Checkpoints {
  readonly #parts: CheckpointParts
  /** Slots with interactions that no checkpoint covers, in the order of their first. */
  #dirty = new Set<Slot>()
  #queue: Slot[] = []
  #running = 0
  #sweeping = false
  #since = new Map<Slot, ClockReading>()
  #covering = new Map<Slot, (() => void)[]>()
  /** ID files to be written; each answers its bytes, 0 where there is nothing to be written. */
  #files: (() => number)[] = []
  #lastFile = { atMs: -Infinity, bytes: 0 }
  #isPausing = false

  constructor(parts: CheckpointParts) {
    this.#parts = parts
  }

  /** Everything that the own log holds below this number is covered. */
  covered(): Seq {
    let low = this.#parts.log.nextSeq
    for (const { dirtyFrom } of this.#dirty) if (dirtyFrom !== undefined && dirtyFrom < low) low = dirtyFrom
    return low
  }

  /** Everything below this number is covered, and published by the word of stored checkpoints: nobody need read it (rule K4). */
  low(): Seq {
    let low = this.#parts.log.nextSeq
    for (const { dirtyFrom, unmarkedFrom } of this.#dirty) {
      if (dirtyFrom !== undefined && dirtyFrom < low) low = dirtyFrom
      if (unmarkedFrom !== undefined && unmarkedFrom < low) low = unmarkedFrom
    }
    return low
  }

  /** An interaction or creation record of `state` was logged as number `seq`. */
  changed(state: TrackedState, seq: Seq, bytes: number): void {
    const { slot } = state
    slot.dirty.add(state)
    slot.dirtyFrom ??= seq
    slot.unmarkedFrom ??= seq
    slot.lastSeq = seq
    slot.tailInteractions += 1
    slot.tailBytes += bytes
    this.#mark(slot)
    if (slot.tailInteractions >= this.#parts.context.tuning.slotTailInteractions || slot.tailBytes >= this.#parts.context.tuning.slotTailBytes) this.request(slot)
  }

  /** A slot that inherited interactions from a predecessor: they are covered in the background. */
  inherited(slot: Slot): void {
    this.#mark(slot)
    this.request(slot)
  }

  #mark(slot: Slot): void {
    if (this.#dirty.has(slot)) return
    this.#dirty.add(slot)
    this.#since.set(slot, this.#parts.context.now)
    this.#sweepLater()
  }

  /** Covers old tails, so that an idle process becomes clean and then does nothing at all. */
  #sweepLater(): void {
    if (this.#sweeping || this.#dirty.size === 0) return
    this.#sweeping = true
    const { context } = this.#parts
    context.timer(this.#parts.context.tuning.slotTailAgeMs / 4, () => {
      this.#sweeping = false
      for (const [slot, since] of this.#since) if (elapsedMs(since, context.now) >= this.#parts.context.tuning.slotTailAgeMs) this.request(slot)
      this.#sweepLater()
    })
  }

  /** Has the oldest slots covered where a bound is near. */
  keepDown(): void {
    if (this.#roomShare() >= 1 - GROWN_SHARE || this.#running > 0 || this.#queue.length > 0) return
    // Half of them: what holds the low back.
    const oldest = [...this.#dirty].sort((a, b) => (a.dirtyFrom ?? 0) - (b.dirtyFrom ?? 0))
    for (const slot of oldest.slice(0, Math.ceil(oldest.length / 2))) this.request(slot)
  }

  request(slot: Slot): void {
    if (slot.checkpointing) return
    slot.checkpointing = true
    this.#queue.push(slot)
    this.#next()
  }

  /** Covers all of one slot, which takes nothing more; `then` also where that cannot be. */
  cover(slot: Slot, then: () => void): void {
    if (!slot.checkpointing && slot.dirty.size === 0 && slot.inherited.length === 0) return then()
    const waiting = this.#covering.get(slot)
    if (waiting) waiting.push(then)
    else this.#covering.set(slot, [then])
    this.#nextFile()
    this.request(slot)
  }

  /** Too many states are in memory that cannot be dropped from it. */
  get overloaded(): boolean {
    return this.#dirtyShare() >= OVERLOADED_SHARE
  }

  /** States that no ID file holds as they are, of the bound on states in memory. */
  #dirtyShare(): number {
    const { trackedStates } = this.#parts.context.tuning
    if (this.#parts.statesTracked() < GROWN_SHARE * trackedStates) return 0
    let states = 0
    for (const { dirty } of this.#dirty) states += dirty.size
    return states / trackedStates
  }

  /** What is left of the nearer of the two bounds. */
  #roomShare(): number {
    return Math.max(0, 1 - Math.max(this.#parts.tailBytes() / this.#parts.context.tuning.logTailBytes, this.#dirtyShare()))
  }

  #next(): void {
    while (this.#running < this.#parts.context.tuning.checkpointPuts && this.#queue.length > 0) {
      this.#running += 1
      this.#run(this.#queue.shift()!)
    }
  }

  #done(slot: Slot, complete: boolean): void {
    slot.checkpointing = false
    this.#running -= 1
    const covering = this.#covering.get(slot)
    if (covering) {
      this.#covering.delete(slot)
      for (const then of covering) if (complete) this.cover(slot, then)
      else then()
    }
    this.#next()
  }

  #run(slot: Slot): void {
    const { log } = this.#parts
    const { cycle } = slot
    // Given up with something uncovered or unpublished: its next leader looks after that; and on the way to be led again it is
    // not known yet what there is.
    if (!slot.leads(cycle)) return this.#done(slot, false)
    const seq = (log.nextSeq - 1) as Seq
    // A creation or a patch from here on is behind the checkpoint; it is counted anew.
    slot.tailInteractions = 0
    slot.tailBytes = 0
    this.#since.set(slot, this.#parts.context.now)
    this.#recoverInherited(slot, (complete) => {
      if (!complete) return this.#done(slot, false)
      this.#writeFiles([...slot.dirty], () => log.whenStored(seq, () => this.#published(slot, cycle, seq)))
    })
  }

  /** Brings the states of predecessors' tails into memory, asked for or not. */
  #recoverInherited(slot: Slot, then: (complete: boolean) => void): void {
    const ids = new Set<StateId>()
    for (const { states } of slot.inherited) for (const id of states.keys()) ids.add(id)
    const waiting = [...ids]
    const next = (): void => {
      const id = waiting.pop()
      if (id === undefined) return then(true)
      this.#parts.recover(slot, id, (complete) => (complete ? next() : then(false)))
    }
    next()
  }

  #writeFiles(states: TrackedState[], then: () => void): void {
    const next = (): void => {
      const state = states.pop()
      if (state === undefined) return then()
      this.#files.push(() => this.#writeFile(state, next))
      this.#nextFile()
    }
    next()
  }

  /** I4. */
  #nextFile(): void {
    const { context } = this.#parts
    while (this.#files.length > 0) {
      const waitMs = this.#covering.size > 0 ? 0 : this.#lastFile.atMs + this.#pauseMs() - context.now.monotonicMs
      if (waitMs > 0) {
        if (this.#isPausing) return
        this.#isPausing = true
        return context.timer(Math.ceil(waitMs), () => {
          this.#isPausing = false
          this.#nextFile()
        })
      }
      const bytes = this.#files.shift()!()
      if (bytes > 0) this.#lastFile = { atMs: context.now.monotonicMs, bytes }
    }
  }

  /** Behind the last ID file. */
  #pauseMs(): number {
    const { checkpointPauseMs, checkpointBytesPerMs, checkpointPauseMaxMs } = this.#parts.context.tuning
    return Math.min(checkpointPauseMs + this.#lastFile.bytes / checkpointBytesPerMs, checkpointPauseMaxMs) * Math.min(1, this.#roomShare() / (1 - GROWN_SHARE))
  }

  #writeFile(state: TrackedState, then: () => void): number {
    if (state.clean) {
      state.slot.dirty.delete(state)
      then()
      return 0
    }
    const { context, log } = this.#parts
    const { ii, creation } = state
    const bytes = encodeIdFile(
      {
        id: state.id,
        ii,
        from: ((state.fileIi ?? 0) + 1) as typeof ii,
        domain: creation!.domain,
        owner: creation!.owner,
        initialName: creation!.name,
        reserved: creation!.reserved,
        name: state.document.name,
        activeType: state.document.activeType,
        removed: state.document.active === undefined,
        created: state.created,
        updated: state.updated,
      },
      state.activeText(),
      state.keys.packed(context.now.wallMs),
      [...state.tail.entries(log, 1, ii)],
    )
    log.whenStored(state.lastSeq, () =>
      // Taken by another's ID file of this `ii`: a true prefix as well, and it holds the state at this `ii`.
      context.create(idFileName(state.id, ii), bytes, () => {
        state.fileIi = ii
        state.creationSeq = undefined
        state.tail.dropTo(ii)
        if (state.clean) state.slot.dirty.delete(state)
        then()
      }),
    )
    return bytes.byteLength
  }

  /** The mark of what is published goes as far, unless the fan-out does not take it: then it stays where it is (rule O1). */
  #published(slot: Slot, cycle: Cycle, seq: Seq): void {
    this.#parts.whenPublished(slot, (published) => this.#move(slot, { cycle, seq }, published ? { cycle, seq } : (slot.checkpoint?.published ?? NOTHING)))
  }

  #move(slot: Slot, covered: Place, published: Place): void {
    const { context } = this.#parts
    // Handed over meanwhile, without having been covered.
    if (!slot.leads(covered.cycle)) return this.#done(slot, false)
    const before = slot.checkpoint
    const nothingNew = before && comparePlaces(before.published, published) === 0 && (comparePlaces(before, covered) === 0 || (slot.dirtyFrom === undefined && slot.inherited.length === 0))
    if (nothingNew) return this.#moved(slot, before)
    const mark = comparePlaces(covered, published) === 0 ? undefined : published
    const record = encodeSmall({ kind: 'checkpoint', slot: slot.number, ...covered, ...(mark && { published: mark }) })
    context.create(checkpointName(slot.number, covered, mark), record, () => {
      slot.checkpoint = { ...covered, published }
      // The greatest counts: the one before is of no use to anybody.
      if (before) context.delete(nameOf(slot, before), () => undefined)
      this.#moved(slot, slot.checkpoint)
    })
  }

  #moved(slot: Slot, { cycle, seq, published }: SlotCheckpoint): void {
    slot.inherited = []
    slot.dirtyFrom = undefined
    for (const state of slot.dirty) {
      const first = state.creationSeq ?? state.tail.firstSeq
      if (first !== undefined && (slot.dirtyFrom === undefined || first < slot.dirtyFrom)) slot.dirtyFrom = first
    }
    if (published.cycle === slot.cycle) slot.unmarkedFrom = slot.lastSeq > published.seq ? ((published.seq + 1) as Seq) : undefined
    if (slot.dirtyFrom === undefined && slot.unmarkedFrom === undefined && comparePlaces({ cycle, seq }, published) === 0) {
      this.#dirty.delete(slot)
      this.#since.delete(slot)
    }
    this.#parts.onMoved(slot)
    this.#done(slot, true)
  }
}
