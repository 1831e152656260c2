/**
 * What one subscription has not been acknowledged, and whose turn it is. No clock, no socket, no disk: times come in.
 *
 * Purpose: the delivery rules of Pub/Sub: leases, redelivery, ordering keys, back-off, dead letters.
 * Owns: entries in lanes (an ordering key's entries are one lane, any other entry is a lane of its own), leases.
 * Does not own: what is on disk, who the consumers are, timers. Talks to: its owner, by what it returns.
 *
 * Invariants:
 *  I1  A lane has at most one batch outstanding: no entry of it is handed out until all of the batch are acknowledged or given back.
 *  I2  An entry leaves a lane only from its head, or as a dead letter: acknowledged behind an unacknowledged one, it stays.
 *  I3  An entry that comes back brings all later ones of its lane back, those acknowledged included; their leases are void.
 *  I4  An entry has at most one lease, and an ack id is good once.
 */
import { assert } from '#shared/assert.ts'

export type Entry = {
  readonly seq: number
  /** Empty: none. */
  readonly orderingKey: string
  readonly bytes: number
  /** ms since 1970 after which it is dropped. */
  readonly expiresMs: number
}

export type BacklogRules = {
  readonly ordered: boolean
  /** Entries of one lane that are handed out together. */
  readonly laneBatch: number
  /** Pause after the n-th failure of an entry: min x 2^(n-1), at most max. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** Failures after which an entry is a dead letter. */
  readonly maxAttempts: number | undefined
}

export type Delivery = { readonly seq: number; readonly ackId: string; readonly attempt: number; readonly bytes: number }

/** What was settled: `done` leave the disk, `dead` go to the dead letter topic first. `freed`: leases that ended, for flow control. */
export type Settled = { readonly done: readonly number[]; readonly dead: readonly Dead[]; readonly freed: readonly string[] }
export type Dead = { readonly seq: number; readonly attempts: number }

type Held = Entry & { failures: number; acknowledged: boolean; ackId: string | undefined; deadlineMs: number }
type Lane = { readonly key: string; readonly entries: Held[]; outstanding: number; notBeforeMs: number }

export class Backlog {
  #rules: BacklogRules
  readonly #lanes = new Map<string, Lane>()
  /** Lanes without anything outstanding, in the order in which they became so. */
  readonly #ready = new Set<Lane>()
  readonly #leases = new Map<string, { readonly lane: Lane; readonly entry: Held }>()
  #leaseNumber = 0

  constructor(rules: BacklogRules) {
    this.#rules = rules
  }

  setRules(rules: BacklogRules): void {
    assert(rules.ordered === this.#rules.ordered, 'ordering is for life')
    this.#rules = rules
  }

  add(entry: Entry): void {
    const key = this.#rules.ordered && entry.orderingKey !== '' ? `key ${entry.orderingKey}` : `seq ${entry.seq}`
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = { key, entries: [], outstanding: 0, notBeforeMs: 0 }
      this.#lanes.set(key, lane)
      this.#ready.add(lane)
    }
    lane.entries.push({ ...entry, failures: 0, acknowledged: false, ackId: undefined, deadlineMs: 0 })
  }

  /** Hands out what is due, under leases until `deadlineMs`. `room` may be passed by the bytes of one entry, so that any entry fits. */
  take(nowMs: number, { messages, bytes, deadlineMs }: { readonly messages: number; readonly bytes: number; readonly deadlineMs: number }): Delivery[] {
    const taken: Delivery[] = []
    let [messagesLeft, bytesLeft] = [messages, bytes]
    for (const lane of this.#ready) {
      if (messagesLeft <= 0 || bytesLeft <= 0) break
      if (lane.notBeforeMs > nowMs) continue
      this.#ready.delete(lane)
      for (const entry of lane.entries.slice(0, this.#rules.laneBatch)) {
        if (messagesLeft <= 0 || bytesLeft <= 0) break
        messagesLeft -= 1
        bytesLeft -= entry.bytes
        taken.push(this.#lease(lane, entry, deadlineMs))
      }
    }
    return taken
  }

  #lease(lane: Lane, entry: Held, deadlineMs: number): Delivery {
    const ackId = `${entry.seq}-${(this.#leaseNumber += 1)}`
    entry.ackId = ackId
    entry.deadlineMs = deadlineMs
    lane.outstanding += 1
    this.#leases.set(ackId, { lane, entry })
    return { seq: entry.seq, ackId, attempt: entry.failures + 1, bytes: entry.bytes }
  }

  acknowledge(ackIds: readonly string[]): Settled {
    const settled = new Settling()
    for (const ackId of ackIds) {
      const lease = this.#leases.get(ackId)
      // Void: it came too late, and the message comes again.
      if (lease === undefined) continue
      this.#release(lease.lane, lease.entry, settled)
      lease.entry.acknowledged = true
      this.#advance(lease.lane, settled)
    }
    return settled
  }

  /** `deadlineMs` undefined: given back at once. */
  modify(nowMs: number, ackIds: readonly string[], deadlineMs: number | undefined): Settled {
    const settled = new Settling()
    for (const ackId of ackIds) {
      const lease = this.#leases.get(ackId)
      if (lease === undefined) continue
      if (deadlineMs === undefined) this.#fail(nowMs, lease.lane, lease.entry, settled)
      else lease.entry.deadlineMs = deadlineMs
    }
    return settled
  }

  /** Leases that have ended and entries that are too old. */
  expire(nowMs: number): Settled {
    const settled = new Settling()
    // In the order of handing out: of a batch the first one comes first.
    for (const [ackId, { lane, entry }] of [...this.#leases]) {
      if (entry.deadlineMs <= nowMs && this.#leases.has(ackId)) this.#fail(nowMs, lane, entry, settled)
    }
    for (const lane of [...this.#ready]) {
      while (lane.entries.length > 0 && lane.entries[0]!.expiresMs <= nowMs) settled.done.push(lane.entries.shift()!.seq)
      if (lane.entries.length === 0) this.#drop(lane)
    }
    return settled
  }

  /** When `expire` or `take` has something to do without anybody's call; undefined: never. */
  nextMs(nowMs: number): number | undefined {
    let next: number | undefined
    const at = (ms: number): void => void (next = next === undefined ? ms : Math.min(next, ms))
    for (const { entry } of this.#leases.values()) at(entry.deadlineMs)
    for (const lane of this.#ready) if (lane.notBeforeMs > nowMs) at(lane.notBeforeMs)
    return next
  }

  get size(): number {
    let size = 0
    for (const lane of this.#lanes.values()) size += lane.entries.length
    return size
  }

  #release(lane: Lane, entry: Held, settled: Settling): void {
    assert(entry.ackId !== undefined, 'a lease is released once')
    this.#leases.delete(entry.ackId)
    settled.freed.push(entry.ackId)
    entry.ackId = undefined
    lane.outstanding -= 1
  }

  #fail(nowMs: number, lane: Lane, entry: Held, settled: Settling): void {
    const from = lane.entries.indexOf(entry)
    assert(from >= 0, 'a leased entry is in its lane')
    for (const later of lane.entries.slice(from)) {
      if (later.ackId !== undefined) this.#release(lane, later, settled)
      later.acknowledged = false
    }
    entry.failures += 1
    const { maxAttempts, backoffMinMs, backoffMaxMs } = this.#rules
    if (maxAttempts !== undefined && entry.failures >= maxAttempts) {
      lane.entries.splice(from, 1)
      settled.dead.push({ seq: entry.seq, attempts: entry.failures })
    } else lane.notBeforeMs = nowMs + Math.min(backoffMinMs * 2 ** (entry.failures - 1), backoffMaxMs)
    this.#advance(lane, settled)
  }

  #advance(lane: Lane, settled: Settling): void {
    while (lane.entries[0]?.acknowledged) settled.done.push(lane.entries.shift()!.seq)
    if (lane.outstanding > 0) return
    if (lane.entries.length === 0) this.#drop(lane)
    else this.#ready.add(lane)
  }

  #drop(lane: Lane): void {
    this.#lanes.delete(lane.key)
    this.#ready.delete(lane)
  }
}

class Settling implements Settled {
  readonly done: number[] = []
  readonly dead: Dead[] = []
  readonly freed: string[] = []
}
