/**
 * A slot and what this incarnation is to it.
 *
 * Owns: the way to leadership (candidacy, epoch records, the end of the predecessor's part, the wait) and from it
 * (hand-over), the parts that make the slot's history since its checkpoint. Does not own: states, the own log.
 * Talks to: cold storage, `Peers`, `Elections`, `Fencing`, dead logs, checkpoints.
 *
 * I1. It leads only under an epoch record of its own that is stored, for exactly the cycle after the newest (P2).
 * I2. Behind a seal that somebody else wrote it answers nothing until the lease of the sealed one is over (P7).
 * I3. A cycle that it has handed over, or said not to lead, it never leads (again) (rule H2).
 */
import type { Cycle, Incarnation, Seq, Slot as SlotNumber, StateId } from '#shared/ids.ts'
import type { Context } from '#shared/protocol/context.ts'
import { partOf, type DeadLog, type LogEnd, type Placed } from '#shared/protocol/dead-log.ts'
import { scatteredMs, type Elections } from '#shared/protocol/election.ts'
import { decoded, isBroken, type Broken, type Fencing } from '#shared/protocol/fencing.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { Peers } from '#shared/protocol/peers.ts'
import type { Backlog } from '#shared/protocol/publication.ts'
import type { TrackedState } from '#shared/protocol/state.ts'
import { decodeSmall, encodeSmall, type EpochRecord } from '#shared/records/fence.ts'
import { compareCheckpoints, comparePlaces, epochName, parseSlotName, slotPrefix, type SlotCheckpoint } from '#shared/records/names.ts'

/** A predecessor's interactions that the slot's checkpoint does not cover, by state, in order. */
export type Inherited = { readonly cycle: Cycle; readonly states: ReadonlyMap<StateId, readonly Placed[]> }

/** Where a predecessor's part ends, and when nobody can be answering under it any more. */
type Ended = {
  readonly last: Seq
  /** What is known of the end of its log; undefined: it goes on, with other slots. */
  readonly log: LogEnd | undefined
  /** This process's monotonic clock, ms. */
  readonly quietAtMs: number
}

/** What one leader wrote for the slot in one cycle. */
type Part = { readonly epoch: EpochRecord; readonly first: Seq; readonly last: Seq; readonly end: LogEnd | undefined }

/** What the parts of a slot hold behind its checkpoint, and behind the mark of what is published. */
type Found = { readonly inherited: readonly Inherited[]; readonly unpublished: readonly Inherited[] }

const EPOCHS_READ_AT_ONCE = 16

export type SlotParts = {
  readonly context: Context
  readonly peers: Peers
  readonly elections: Elections
  readonly fencing: Fencing
  readonly log: LeaderLog
  /** What `incarnation` logged up to `last`; a sealed log is read once for all its slots. */
  readonly readLog: (incarnation: Incarnation, last: Seq, end: LogEnd | undefined, then: (log: DeadLog) => void) => void
  /** Writes ID files and checkpoint until nothing of the slot is uncovered; calls back also where that cannot be. */
  readonly cover: (slot: Slot, then: () => void) => void
  /** It is about to be led; what comes back runs when it is. */
  readonly onLead: (slot: Slot) => () => void
  /** Another leads it now, or nobody: its states are no longer served here. */
  readonly onLost: (slot: Slot) => void
}

/**
 * idle: somebody else leads it, or nobody knows. standing: on the way. leading. closing: about to be handed over.
 * broken: an object that it needs cannot be vouched for.
 */
export type SlotStatus = 'idle' | 'standing' | 'leading' | 'closing' | 'broken'

export class Slot {
  readonly number: SlotNumber
  readonly #parts: SlotParts
  status: SlotStatus = 'idle'
  /** Why it is broken. */
  broken: Broken | undefined
  /** Too few owners could be reached to stand. */
  ignoreMe = false
  cycle = 0 as Cycle
  checkpoint: SlotCheckpoint | undefined
  /** What recovery of a state needs besides its ID file; empty once checkpointed. */
  inherited: readonly Inherited[] = []
  /** Predecessors' interactions behind the mark of what is published, until they are on their way. */
  unpublished: readonly Inherited[] = []
  /** What comes before its new messages; undefined: nothing does. */
  backlog: Backlog | undefined
  /** Messages of all slots that had been emitted with its last one. */
  emitted = 0
  /** Some interactions cannot be published: the mark stays where it is. */
  unpublishable = false
  /** States of which nothing more is published by this leader: what comes first cannot be. */
  skipped: Set<StateId> | undefined
  readonly states = new Set<TrackedState>()
  /** States with interactions that no ID file holds. */
  readonly dirty = new Set<TrackedState>()
  /** Smallest number of the own log with interactions of this slot that no checkpoint covers. */
  dirtyFrom: Seq | undefined
  /** The same, of what lies behind the stored mark of what is published. */
  unmarkedFrom: Seq | undefined
  /** Number of the last bundle of the own log with an interaction of it. */
  lastSeq = 0 as Seq
  tailInteractions = 0
  tailBytes = 0
  checkpointing = false
  /** In the wait of I2 until this time of the monotonic clock. */
  quietAtMs = 0
  #waiting: (() => void)[] = []
  /** Greatest cycle that it never leads (again), and how far its part of a cycle that it led goes. */
  #never = 0 as Cycle
  #handedOver: { readonly cycle: Cycle; readonly last: Seq } | undefined
  #askers = new Set<Incarnation>()
  #asked: { readonly cycle: Cycle; readonly of: Incarnation; readonly then: (answer: Extract<PeerMessage, { kind: 'hand-over' }> | undefined) => void } | undefined
  #tries = 0

  constructor(number: SlotNumber, parts: SlotParts) {
    this.number = number
    this.#parts = parts
  }

  /** Runs `then` when the slot leads, is broken, or is somebody else's. */
  whenSettled(then: () => void): void {
    if (this.status === 'leading' || this.status === 'broken' || this.status === 'closing') return then()
    if (this.status === 'idle' && this.#parts.peers.heardLeader(this.number)) return then()
    this.#waiting.push(then)
    if (this.status === 'idle') this.#stand(false)
  }

  /** What was judged under `cycle` may still be answered. */
  leads(cycle: Cycle): boolean {
    return this.cycle === cycle && (this.status === 'leading' || this.status === 'closing')
  }

  /** The leader wants to be rid of it. */
  takeOver(): void {
    if (this.status === 'idle' && !this.#parts.peers.draining) this.#stand(true)
  }

  #settle(status: SlotStatus): void {
    this.status = status
    this.#tries = 0
    const waiting = this.#waiting
    this.#waiting = []
    for (const then of waiting) then()
  }

  #break(broken: Broken): void {
    this.#parts.context.log('error', 'slot is not served: an object cannot be vouched for', { slot: this.number, ...broken })
    this.broken = broken
    this.#settle('broken')
  }

  // Candidacy.

  #stand(invited: boolean): void {
    const { context, peers } = this.#parts
    this.status = 'standing'
    this.ignoreMe = false
    const rank = peers.owners(this.number).indexOf(peers.name)
    if (rank < 0) return this.#settle('idle')
    if (invited) return this.#become()
    const delay = rank === 0 ? 0 : rank * context.tuning.rankWaitMs + scatteredMs(context.tuning.rankWaitMs, peers.incarnation, this.number)
    if (delay === 0) this.#callVotes()
    else context.timer(delay, () => this.#callVotes())
  }

  #callVotes(): void {
    const { context, peers, elections } = this.#parts
    if (peers.heardLeader(this.number) || peers.draining) return this.#settle('idle')
    const owners = peers.owners(this.number)
    const voters = owners.flatMap((name) => (name === peers.name ? [] : (peers.linkTo(name) ?? [])))
    const needed = Math.floor(owners.length / 2)
    if (voters.length < needed) {
      this.ignoreMe = true
      return this.#tryAgain()
    }
    const wait = needed === 0 ? 0 : elections.bootWaitMs()
    if (wait > 0) return context.timer(Math.ceil(wait), () => this.#callVotes())
    elections.call(this.number, voters, needed, (verdict) => {
      if (verdict === 'elected') this.#become()
      else if (verdict === 'another-leads') this.#settle('idle')
      else this.#tryAgain()
    })
  }

  /** Looks again after a while, as long as there is hope. */
  #tryAgain(): void {
    const { context, peers } = this.#parts
    this.#tries += 1
    if (this.#tries > context.tuning.candidacyTries) {
      this.ignoreMe = true
      return this.#settle('idle')
    }
    const pause = context.tuning.candidacyPauseMs + scatteredMs(context.tuning.candidacyPauseMs, peers.incarnation, this.number, this.#tries)
    context.timer(pause, () => this.#callVotes())
  }

  #become(): void {
    this.#parts.context.names(slotPrefix(this.number), (names) => {
      let newest = 0 as Cycle
      for (const name of names) {
        const parsed = parseSlotName(this.number, name)
        if (parsed.kind === 'epoch') newest = Math.max(newest, parsed.cycle) as Cycle
      }
      if (newest === 0) return this.#claim(undefined, undefined)
      this.#readEpoch(newest, (epoch) => this.#end(epoch, (ended) => this.#claim(epoch, ended)))
    })
  }

  #readEpoch(cycle: Cycle, then: (epoch: EpochRecord) => void): void {
    const name = epochName(this.number, cycle)
    this.#parts.context.read(name, (bytes) => {
      const epoch = bytes ? decoded(name, () => decodeSmall('epoch', bytes, { slot: this.number, cycle })) : { object: name, reason: 'missing' }
      if (isBroken(epoch)) this.#break(epoch)
      else then(epoch)
    })
  }

  /** Ends the part of the leader that `epoch` names: asks it, or seals its log where nobody can. */
  #end(epoch: EpochRecord, then: (ended: Ended) => void): void {
    const { context, peers } = this.#parts
    const { leader, cycle } = epoch
    if (leader === peers.incarnation) {
      this.#never = Math.max(this.#never, cycle) as Cycle
      const last = this.#handedOver?.cycle === cycle ? this.#handedOver.last : ((epoch.first - 1) as Seq)
      return then({ last, log: undefined, quietAtMs: this.quietAtMs })
    }
    if (peers.isReachable(leader)) {
      return this.#askHandOver(leader, cycle, (answer) => {
        if (answer === undefined) return this.#tryAgain()
        if (answer.by !== leader) return this.#seal(leader, then)
        const last = answer.last ?? ((epoch.first - 1) as Seq)
        then({ last, log: undefined, quietAtMs: context.now.monotonicMs + answer.waitMs })
      })
    }
    // One that only others can reach is sealed at last: it costs all its slots an election.
    if (!peers.isGone(leader, epoch.name) && this.#tries < context.tuning.lastResortTries) return this.#tryAgain()
    this.#seal(leader, then)
  }

  #seal(leader: Incarnation, then: (ended: Ended) => void): void {
    const { context, fencing } = this.#parts
    fencing.fence(leader, (fenced) => {
      if (isBroken(fenced)) return this.#break(fenced)
      const quietAtMs = fenced.byItself ? 0 : fenced.seenAt.monotonicMs + context.tuning.successorWaitMs
      then({ last: (fenced.seal - 1) as Seq, log: fenced, quietAtMs })
    })
  }

  #askHandOver(of: Incarnation, cycle: Cycle, then: (answer: Extract<PeerMessage, { kind: 'hand-over' }> | undefined) => void): void {
    const { context, peers } = this.#parts
    const asked = { cycle, of, then }
    this.#asked = asked
    peers.send(of, { kind: 'hand-over-ask', slot: this.number, cycle, leader: of })
    context.timer(context.tuning.handOverWaitMs, () => {
      if (this.#asked !== asked) return
      this.#asked = undefined
      then(undefined)
    })
  }

  handOverAnswered(from: Incarnation, answer: Extract<PeerMessage, { kind: 'hand-over' }>): void {
    const asked = this.#asked
    if (asked === undefined || asked.of !== from || asked.cycle !== answer.cycle) return
    this.#asked = undefined
    asked.then(answer)
  }

  /** A link ended: its answer will not come. */
  linkLost(peer: Incarnation): void {
    this.#askers.delete(peer)
    const asked = this.#asked
    if (asked?.of !== peer) return
    this.#asked = undefined
    asked.then(undefined)
  }

  /** Creates the epoch record for exactly the cycle after `before`. */
  #claim(before: EpochRecord | undefined, ended: Ended | undefined): void {
    const { context, peers, log } = this.#parts
    const cycle = ((before?.cycle ?? 0) + 1) as Cycle
    const predecessor = before && ended ? { incarnation: before.leader, last: ended.last } : null
    const first = log.nextSeq
    // Before the put: from when it may have taken effect, a seal by our own hand and a hand-over pass the wait on (rule L3).
    this.quietAtMs = ended?.quietAtMs ?? 0
    const record: EpochRecord = { kind: 'epoch', slot: this.number, cycle, leader: peers.incarnation, name: peers.name, first, predecessor }
    context.create(epochName(this.number, cycle), encodeSmall(record), (taken) => {
      // Somebody else won this cycle: look again who leads.
      if (taken !== 'ours') return this.#tryAgain()
      if (this.#never >= cycle) return this.#settle('idle')
      this.cycle = cycle
      this.#findCheckpoint(() => {
        this.unpublishable = false
        if (before === undefined) return this.#lead()
        this.#inherit(before, ended!, () => this.#lead())
      })
    })
  }

  /** After the predecessor has ended: what it covered last is listed. */
  #findCheckpoint(then: () => void): void {
    this.#parts.context.names(slotPrefix(this.number), (names) => {
      this.checkpoint = undefined
      for (const name of names) {
        const parsed = parseSlotName(this.number, name)
        if (parsed.kind !== 'checkpoint') continue
        const best = this.checkpoint as SlotCheckpoint | undefined
        if (best === undefined || compareCheckpoints(parsed.checkpoint, best) > 0) this.checkpoint = parsed.checkpoint
      }
      then()
    })
  }

  /** Collects what the parts since the checkpoint hold; `ended` is the end of the newest, `before`. */
  #inherit(before: EpochRecord, ended: Ended, then: () => void, again = true): void {
    const mark = this.checkpoint?.published
    this.#readEpochs(before, Math.max(1, mark?.cycle ?? 1) as Cycle, (epochs) => {
      const parts = epochs.flatMap((epoch, at) => {
        const next = epochs[at + 1]
        const first = mark?.cycle === epoch.cycle ? ((mark.seq + 1) as Seq) : epoch.first
        const last = next ? next.predecessor!.last : ended.last
        return first <= last ? [{ epoch, first, last, end: next ? undefined : ended.log }] : []
      })
      this.#readParts(parts, { inherited: [], unpublished: [] }, then, (broken) => {
        if (!again) return this.#break(broken)
        // The checkpoint may have moved meanwhile, and what it covers be deleted.
        this.#findCheckpoint(() => this.#inherit(before, ended, then, false))
      })
    })
  }

  /** Epoch records from cycle `from` to `before`, in order; a slot that changed hands often is not read one by one. */
  #readEpochs(before: EpochRecord, from: Cycle, then: (epochs: EpochRecord[]) => void): void {
    const epochs: EpochRecord[] = [before]
    let next = before.cycle - 1
    let underWay = 0
    const more = (): void => {
      while (next >= from && underWay < EPOCHS_READ_AT_ONCE) {
        underWay += 1
        this.#readEpoch(next-- as Cycle, (epoch) => {
          underWay -= 1
          epochs.push(epoch)
          more()
        })
      }
      if (underWay === 0 && next < from) then(epochs.sort((a, b) => a.cycle - b.cycle))
    }
    more()
  }

  #readParts(parts: readonly Part[], found: Found, then: () => void, orElse: (broken: Broken) => void): void {
    const part = parts[0]
    if (part === undefined) {
      this.inherited = found.inherited
      this.unpublished = found.unpublished
      return then()
    }
    const { epoch, first, last, end } = part
    const { cycle } = epoch
    const { checkpoint } = this
    this.#parts.readLog(epoch.leader, last, end, (log) => {
      const firstUncovered = checkpoint === undefined || comparePlaces({ cycle, seq: first }, checkpoint) > 0 ? first : checkpoint.cycle === cycle ? ((checkpoint.seq + 1) as Seq) : undefined
      const uncovered = firstUncovered === undefined ? new Map() : partOf(log, { slot: this.number, cycle, first: firstUncovered, last })
      if (isBroken(uncovered)) return orElse(uncovered)
      let unpublished = firstUncovered === first ? uncovered : partOf(log, { slot: this.number, cycle, first, last })
      if (isBroken(unpublished)) {
        // Covered, so that states can be served; what it held will not be published by this leader, and the mark says so.
        this.#parts.context.log('error', 'interactions that may not be published cannot be read', { slot: this.number, ...unpublished })
        this.unpublishable = true
        unpublished = uncovered
      }
      const next: Found = {
        inherited: uncovered.size > 0 ? [...found.inherited, { cycle, states: uncovered }] : found.inherited,
        unpublished: unpublished.size > 0 ? [...found.unpublished, { cycle, states: unpublished }] : found.unpublished,
      }
      this.#readParts(parts.slice(1), next, then, orElse)
    })
  }

  /** Begins to serve, once the lease of a sealed leader is over. */
  #lead(): void {
    const { context, peers } = this.#parts
    const left = this.quietAtMs - context.now.monotonicMs
    if (left > 0) return context.timer(Math.ceil(left), () => this.#lead())
    // Asked for it meanwhile, and said no; or about to end its log.
    if (this.#never >= this.cycle || peers.draining) return this.#settle('idle')
    peers.broadcast({ kind: 'leads', slot: this.number, cycle: this.cycle })
    const begin = this.#parts.onLead(this)
    this.#settle('leading')
    begin()
  }

  // Hand-over.

  /** Somebody has read in the epoch record of `cycle` that `leader` leads it. */
  handOverAsked(from: Incarnation, leader: Incarnation, cycle: Cycle): void {
    // What another life has written, also one of this process, this one cannot know (rule H3).
    if (leader !== this.#parts.peers.incarnation) return this.#answerHandOver(from, cycle)
    if ((this.status === 'leading' || this.status === 'closing') && this.cycle === cycle) {
      this.#askers.add(from)
      return this.close()
    }
    this.#never = Math.max(this.#never, cycle) as Cycle
    this.#answerHandOver(from, cycle)
  }

  #answerHandOver(to: Incarnation, cycle: Cycle): void {
    const { context, peers } = this.#parts
    const last = this.#handedOver?.cycle === cycle ? this.#handedOver.last : null
    const waitMs = Math.max(0, this.quietAtMs - context.now.monotonicMs)
    peers.send(to, { kind: 'hand-over', slot: this.number, cycle, by: peers.incarnation, last, waitMs })
  }

  /** Ends its own part: takes nothing more, covers all it holds, then leads no longer. Final. */
  close(): void {
    if (this.status !== 'leading') return
    const { peers, log, cover, onLost } = this.#parts
    this.status = 'closing'
    log.whenStored(log.lastSeq, () =>
      cover(this, () => {
        this.#never = Math.max(this.#never, this.cycle) as Cycle
        this.#handedOver = { cycle: this.cycle, last: log.storedSeq }
        this.inherited = []
        this.unpublished = []
        this.backlog = undefined
        this.status = 'idle'
        peers.broadcast({ kind: 'leads-not', slot: this.number })
        onLost(this)
        for (const asker of this.#askers) this.#answerHandOver(asker, this.cycle)
        this.#askers.clear()
      }),
    )
  }
}
