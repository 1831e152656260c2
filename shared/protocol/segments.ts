/**
 * Segments: the bundles of the own log merged, so that whoever reads it one day reads tens of objects.
 *
 * Owns: the pieces, bundles or segments, that tile low..stored. Talks to: the log, which keeps the bundles' bytes.
 * I1. A segment holds acknowledged bundles only, every one from..to, as they were (rule S5). It never decides where
 * a log ends.
 */
import type { Seq } from '#shared/ids.ts'
import type { Context } from '#shared/protocol/context.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import { encodeSegment } from '#shared/records/bundle.ts'
import { segmentName } from '#shared/records/names.ts'

type Piece = { readonly from: Seq; readonly to: Seq; readonly tier: number }

export class Segments {
  readonly #context: Context
  readonly #log: LeaderLog
  readonly #low: () => Seq
  #pieces: Piece[] = []
  #merging = false

  constructor(context: Context, log: LeaderLog, low: () => Seq) {
    this.#context = context
    this.#log = log
    this.#low = low
  }

  /** The next bundle of the log is stored. */
  add(seq: Seq): void {
    this.#pieces.push({ from: seq, to: seq, tier: 0 })
    this.#merge()
  }

  /** Checkpoints have moved: forgets what they cover. */
  trim(): void {
    const low = this.#low()
    let covered = 0
    while (covered < this.#pieces.length && this.#pieces[covered]!.to < low) covered += 1
    this.#pieces.splice(0, covered)
  }

  #merge(): void {
    if (this.#merging) return
    const run = this.#due()
    if (run === undefined) return
    const from = run[0]!.from
    const to = run.at(-1)!.to
    this.#merging = true
    const bundles = Array.from({ length: to - from + 1 }, (_, at) => this.#log.kept((from + at) as Seq).bytes)
    const { incarnation } = this.#log
    this.#context.create(segmentName(incarnation, from, to), encodeSegment(incarnation, from, to, bundles), () => {
      this.#merging = false
      const at = this.#pieces.indexOf(run[0]!)
      // Gone where a checkpoint has passed it meanwhile.
      if (at >= 0) this.#pieces.splice(at, run.length, { from, to, tier: run[0]!.tier + 1 })
      this.#merge()
    })
  }

  #due(): Piece[] | undefined {
    // The low is the dearer question of the two, and mostly there is no run at all.
    if (this.#run(0) === undefined) return undefined
    // What a checkpoint covers half is not whole any more, and soon covered too.
    return this.#run(this.#pieces[0]!.from < this.#low() ? 1 : 0)
  }

  /** The oldest pieces of one tier, from the piece at `begin` on, that are enough to be merged. Tiers fall from old to new. */
  #run(begin: number): Piece[] | undefined {
    while (begin < this.#pieces.length) {
      const tier = this.#pieces[begin]!.tier
      let end = begin
      while (end < this.#pieces.length && this.#pieces[end]!.tier === tier) end += 1
      if (end - begin >= (tier === 0 ? this.#context.tuning.looseBundles : this.#context.tuning.segmentFanIn)) return this.#pieces.slice(begin, begin + this.#context.tuning.segmentFanIn)
      begin = end
    }
    return undefined
  }
}
