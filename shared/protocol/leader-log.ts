/**
 * The leader log of this incarnation: what it has written, what is under way, and what waits for it.
 *
 * Purpose: group commit. Interactions gather in the open bundle; it closes when the put before it returns, or
 * when it is full. Owns: sequence numbers, puts of bundles, the seal by its own hand, the read lease. Does not
 * own: what the interactions mean. Talks to: cold storage through the context.
 *
 * I1. Bundles are acknowledged strictly in order: `storedSeq` never passes a number that is not stored (P1, P3).
 * I2. What is released at a number runs after all up to it is stored, in the order it was handed over.
 * I3. A number is put again with the same bytes only (P2).
 * I4. After a seal was met nothing is released any more (P5).
 */
import { assert } from '#shared/assert.ts'
import type { Incarnation, Seq } from '#shared/ids.ts'
import { elapsedMs, type Context } from '#shared/protocol/context.ts'
import type { ClockReading } from '#shared/protocol/events.ts'
import { encodeBundle, entryLine, type LogEntry } from '#shared/records/bundle.ts'
import { encodeSmall, logObjectType } from '#shared/records/fence.ts'
import { endName, logObjectName } from '#shared/records/names.ts'

type Release = () => void
/** The bytes of a closed bundle, and where in them its lines begin. */
export type KeptBundle = { readonly bytes: Buffer; readonly linesAt: number }

/** Of the interactions expected, those that a bundle waits for: the last few come late, or not at all. */
const PACED_SHARE = 0.75

type BundleUnderWay = { readonly seq: Seq; readonly bytes: Buffer; readonly count: number; readonly releases: Release[]; outcome: 'open' | 'stored' | 'sealed' }

export type LeaderLogParts = {
  readonly context: Context
  readonly incarnation: Incarnation
  /** Everything this log holds below this number is covered by checkpoints, and published. */
  readonly low: () => Seq
  /** Everything below this number is covered: it is not needed in memory. */
  readonly covered: () => Seq
  readonly onStored: (seq: Seq) => void
  readonly onFenced: () => void
}

export class LeaderLog {
  readonly #parts: LeaderLogParts
  readonly incarnation: Incarnation
  /** Number of the open bundle: the next one to be put. */
  nextSeq = 1 as Seq
  /** Everything up to this number is stored. */
  storedSeq = 0 as Seq
  /** The last attempt of a put did not succeed, and none has since: new interactions are refused. */
  failing: string | undefined
  /** Bundles from the open one's predecessor back to the first that no checkpoint covers. */
  #kept = new Map<Seq, KeptBundle>()
  #keptFrom = 1
  /** Bytes of bundles that no checkpoint covers. */
  keptBytes = 0
  /** Where the line of the last `append` stands among the lines of its bundle, in bytes. */
  appendedAt = 0
  appendedBytes = 0
  #lines: string[] = []
  #openBytes = 0
  #openReleases: Release[] = []
  #underWay: BundleUnderWay[] = []
  #waitingBytes = 0
  #waitingCount = 0
  #turnAsked = false
  /** Until so many interactions are in the open bundle, or a pace is over, it is not closed (rule B5). */
  #paced: { readonly interactions: number } | undefined
  #proof: ClockReading | undefined
  #provers: Release[] = []
  #probing = false
  #onDrained: Release | undefined

  constructor(parts: LeaderLogParts) {
    this.#parts = parts
    this.incarnation = parts.incarnation
  }

  /** Interactions that are not stored yet. */
  get waiting(): number {
    return this.#waitingCount
  }

  /** Number of the last bundle that holds anything, the open one included. */
  get lastSeq(): Seq {
    return (this.#lines.length > 0 ? this.nextSeq : this.nextSeq - 1) as Seq
  }

  get overloaded(): boolean {
    return this.#waitingCount >= this.#parts.context.tuning.waitingInteractions || this.#waitingBytes >= this.#parts.context.tuning.waitingBytes
  }

  /** Adds to the open bundle; `release` runs when it is stored. Answers the bundle's number. */
  append(entry: LogEntry, release: Release): Seq {
    const line = entryLine(entry)
    this.appendedAt = this.#openBytes
    this.appendedBytes = Buffer.byteLength(line)
    this.#lines.push(line)
    this.#openBytes += this.appendedBytes
    this.#waitingBytes += this.appendedBytes
    this.#waitingCount += 1
    this.#openReleases.push(release)
    const seq = this.nextSeq
    if (this.#openIsFull() && this.#underWay.length < this.#parts.context.tuning.bundlePuts) this.#close()
    else if (this.#underWay.length === 0 && !this.#isPaced()) this.#askForTurn()
    return seq
  }

  /** Runs `release` when everything up to `seq` is stored: now, or in order behind what waits for `seq`. */
  whenStored(seq: Seq, release: Release): void {
    if (seq <= this.storedSeq) return release()
    if (seq === this.nextSeq) this.#openReleases.push(release)
    else {
      const bundle = this.#underWay[seq - this.#underWay[0]!.seq]
      assert(bundle?.seq === seq, 'a number that waits is open or under way')
      bundle.releases.push(release)
    }
  }

  /** The line that `append` put at `at` of bundle `seq`, which no checkpoint covers. */
  line(seq: Seq, at: number, bytes: number): string {
    if (seq === this.nextSeq) return Buffer.from(this.#lines.join('')).toString('utf8', at, at + bytes)
    const { bytes: bundle, linesAt } = this.kept(seq)
    return bundle.toString('utf8', linesAt + at, linesAt + at + bytes)
  }

  kept(seq: Seq): KeptBundle {
    const bundle = this.#kept.get(seq)
    assert(bundle, `bundle ${seq} is needed and no longer in memory`)
    return bundle
  }

  /** Checkpoints have moved: forgets what they cover. */
  trim(): void {
    const low = Math.min(this.#parts.covered(), this.storedSeq + 1)
    for (; this.#keptFrom < low; this.#keptFrom++) {
      this.keptBytes -= this.kept(this.#keptFrom as Seq).bytes.byteLength
      this.#kept.delete(this.#keptFrom as Seq)
    }
  }

  /** What arrived together is here: it need not wait for more. */
  turn(): void {
    this.#turnAsked = false
    if (this.#underWay.length === 0 && this.#lines.length > 0 && !this.#isPaced()) this.#close()
  }

  #isPaced(): boolean {
    return this.#paced !== undefined && this.#lines.length < this.#paced.interactions && !this.#openIsFull()
  }

  /**
   * A bundle of `count` was stored, nothing is under way. Those who wait for it will soon ask again: their next
   * interactions and what has gathered meanwhile are worth one put, not two.
   */
  #pace(count: number): void {
    const { context } = this.#parts
    const expected = count + this.#lines.length
    if (expected < context.tuning.paceInteractions) return
    const paced = { interactions: Math.ceil(expected * PACED_SHARE) }
    this.#paced = paced
    context.timer(context.tuning.paceMs, () => {
      if (this.#paced !== paced) return
      this.#paced = undefined
      this.turn()
    })
  }

  #openIsFull(): boolean {
    return this.#openBytes >= this.#parts.context.tuning.bundleBytes || this.#lines.length >= this.#parts.context.tuning.bundleInteractions
  }

  #askForTurn(): void {
    if (this.#turnAsked) return
    this.#turnAsked = true
    this.#parts.context.emit({ kind: 'turn' })
  }

  #close(): void {
    const { context, incarnation } = this.#parts
    const seq = this.nextSeq
    const bytes = encodeBundle({ incarnation, seq, low: this.#parts.low() }, this.#lines)
    const bundle: BundleUnderWay = { seq, bytes, count: this.#lines.length, releases: this.#openReleases, outcome: 'open' }
    this.#waitingBytes += bytes.byteLength - this.#openBytes
    this.#underWay.push(bundle)
    this.#kept.set(seq, { bytes, linesAt: bytes.byteLength - this.#openBytes })
    this.keptBytes += bytes.byteLength
    this.#lines = []
    this.#openBytes = 0
    this.#openReleases = []
    this.#paced = undefined
    this.nextSeq = (seq + 1) as Seq
    // The first attempt's time: only then is it certain that no seal stood before (rule L1).
    const sent = context.now
    context.create(
      logObjectName(incarnation, seq),
      bytes,
      (taken) => {
        if (taken === 'ours') this.#stored(bundle, sent)
        else this.#sealed(bundle, taken)
      },
      (reason) => (this.failing = reason),
    )
  }

  #stored(bundle: BundleUnderWay, sent: ClockReading): void {
    this.failing = undefined
    bundle.outcome = 'stored'
    while (this.#underWay[0]?.outcome === 'stored') {
      const first = this.#underWay.shift()!
      this.storedSeq = first.seq
      this.#waitingBytes -= first.bytes.byteLength
      this.#waitingCount -= first.count
      this.#parts.onStored(first.seq)
      if (first === bundle) this.#proven(sent)
      for (const release of first.releases) release()
    }
    if (this.#underWay[0]?.outcome === 'sealed') return this.#parts.onFenced()
    if (this.#underWay.length === 0) this.#pace(bundle.count)
    if (this.#lines.length > 0 && ((this.#underWay.length === 0 && !this.#isPaced()) || (this.#openIsFull() && this.#underWay.length < this.#parts.context.tuning.bundlePuts))) this.#close()
    if (this.#underWay.length === 0 && this.#lines.length === 0) this.#onDrained?.()
  }

  /** A seal stands where `bundle` belongs. What is under way before it may still be stored, and then counts. */
  #sealed(bundle: BundleUnderWay, found: Uint8Array): void {
    this.#expectSeal(bundle.seq, found)
    bundle.outcome = 'sealed'
    if (this.#underWay[0] === bundle) this.#parts.onFenced()
  }

  #expectSeal(seq: Seq, found: Uint8Array): void {
    const type = logObjectType(found)
    assert(type === 'seal', `number ${seq} of log ${this.incarnation} is a ${type} that this incarnation did not write`)
  }

  /** Runs `answer` when it is proven that no seal stood when the asking request arrived (rule L1). */
  whenProven(answer: Release): void {
    if (this.#leaseHolds()) return answer()
    this.#provers.push(answer)
    this.#probe()
  }

  #leaseHolds(): boolean {
    return this.#proof !== undefined && elapsedMs(this.#proof, this.#parts.context.now) < this.#parts.context.tuning.leaseMs
  }

  #proven(at: ClockReading): void {
    if (this.#proof === undefined || at.monotonicMs > this.#proof.monotonicMs) this.#proof = at
    if (this.#provers.length > 0 && this.#leaseHolds()) for (const answer of this.#provers.splice(0)) answer()
  }

  #probe(): void {
    if (this.#probing || this.#provers.length === 0) return
    this.#probing = true
    const { context, incarnation } = this.#parts
    const seq = (this.storedSeq + 1) as Seq
    const begun = context.now
    // Begun after these arrived: it answers for them however long it takes.
    const asked = this.#provers.splice(0)
    const isMissing = (): void => {
      this.#probing = false
      for (const answer of asked) answer()
      this.#proven(begun)
      this.#probe()
    }
    const attempted = this.#underWay.length > 0
    context.read(logObjectName(incarnation, seq), (bytes) => {
      // One that was put may have been there and be deleted by now, but from a log that has `end` only (rule D1).
      if (bytes === undefined && attempted) {
        return context.read(endName(incarnation), (end) => {
          if (end === undefined) return isMissing()
          this.#probing = false
          this.#provers.unshift(...asked)
          this.whenStored(seq, () => this.#probe())
        })
      }
      if (bytes === undefined) return isMissing()
      this.#probing = false
      if (logObjectType(bytes) === 'seal' && this.#underWay.length === 0) {
        return this.#parts.onFenced()
      } else {
        // A put of our own is there or meets the seal itself: it tells, or the next number does.
        this.#provers.unshift(...asked)
        if (seq > this.storedSeq) return this.whenStored(seq, () => this.#probe())
      }
      this.#probe()
    })
  }

  /**
   * Ends the log by its own hand: waits for all that was appended, then seals it. Nothing may be answered from
   * when this is called to `then`. `waited`: no slot is in the wait behind another's seal.
   */
  seal(waited: boolean, then: () => void): void {
    const { context, incarnation } = this.#parts
    const write = (): void => {
      this.#onDrained = undefined
      const seq = this.nextSeq
      const seal = encodeSmall({ kind: 'seal', incarnation, seq, by: incarnation, waited, low: this.#parts.low() })
      context.create(logObjectName(incarnation, seq), seal, (taken) => {
        if (taken !== 'ours') {
          this.#expectSeal(seq, taken)
          return this.#parts.onFenced()
        }
        context.create(endName(incarnation), encodeSmall({ kind: 'end', incarnation, seal: seq }), then)
      })
    }
    if (this.#underWay.length === 0 && this.#lines.length === 0) write()
    else this.#onDrained = write
  }
}
