/**
 * The tail of a state: its interactions since the newest ID file, oldest first.
 *
 * Those of this incarnation are kept as places in its own log (number, offset, bytes), whose bundles are in memory
 * until checkpoints cover them: an object and a text for every interaction would be most of what the collector has
 * to move. Those recovered from a predecessor's log are few, and kept as they are. I1. Gapless, in order.
 */
import type { InteractionIndex, Seq } from '#shared/ids.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import { decodeHistoryOf } from '#shared/records/bundle.ts'
import type { HistoryEntry } from '#shared/records/id-file.ts'

const FIELDS = 3

export class Tail {
  #recovered: HistoryEntry[] = []
  /** Number, offset and bytes of each, one after the other. */
  #places: number[] = []
  /** Index of the first entry; meaningless while empty. */
  #first = 0

  get length(): number {
    return this.#recovered.length + this.#places.length / FIELDS
  }

  /** Number in the own log of the oldest that is there; undefined: none is. */
  get firstSeq(): Seq | undefined {
    return this.#places[0] as Seq | undefined
  }

  recovered(entry: HistoryEntry): void {
    if (this.length === 0) this.#first = entry.ii
    this.#recovered.push(entry)
  }

  logged(ii: InteractionIndex, seq: Seq, at: number, bytes: number): void {
    if (this.length === 0) this.#first = ii
    this.#places.push(seq, at, bytes)
  }

  /** Index of the last one whose number is at most `seq`; one below the first, if none is. */
  lastUpTo(seq: Seq): number {
    let count = this.#places.length / FIELDS
    while (count > 0 && this.#places[(count - 1) * FIELDS]! > seq) count -= 1
    return this.#first + this.#recovered.length + count - 1
  }

  /** Those from `from` to `to`, as far as they are here. */
  *entries(log: LeaderLog, from: number, to: number): Generator<HistoryEntry> {
    const end = Math.min(to, this.#first + this.length - 1)
    for (let ii = Math.max(from, this.#first); ii <= end; ii++) {
      const at = ii - this.#first
      yield this.#recovered[at] ?? this.#read(log, at - this.#recovered.length)
    }
  }

  #read(log: LeaderLog, at: number): HistoryEntry {
    const place = at * FIELDS
    return decodeHistoryOf(log.line(this.#places[place] as Seq, this.#places[place + 1]!, this.#places[place + 2]!))
  }

  /** An ID file holds them now. */
  dropTo(ii: InteractionIndex): void {
    const dropped = Math.min(this.length, Math.max(0, ii - this.#first + 1))
    const recovered = Math.min(dropped, this.#recovered.length)
    this.#recovered = this.#recovered.slice(recovered)
    this.#places = this.#places.slice((dropped - recovered) * FIELDS)
    this.#first += dropped
  }
}
