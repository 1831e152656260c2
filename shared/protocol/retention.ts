/** Which numbers of a log nobody needs any more (rules D1 to D3). The deciding is here, the deleting elsewhere. */
import type { Cycle, Incarnation, Seq, Slot } from '#shared/ids.ts'
import type { EpochRecord } from '#shared/records/fence.ts'
import type { SlotCheckpoint } from '#shared/records/names.ts'

/** What one leader wrote for one slot in one cycle. */
export type LogPart = { readonly slot: Slot; readonly cycle: Cycle; readonly first: Seq; /** Undefined: up to the seal. */ readonly last: Seq | undefined }

/** The parts that each log holds, from all epoch records of all slots. */
export function partsByLog(epochs: readonly EpochRecord[]): Map<Incarnation, LogPart[]> {
  const successors = new Map(epochs.map((epoch) => [`${epoch.slot}/${epoch.cycle - 1}`, epoch]))
  const parts = new Map<Incarnation, LogPart[]>()
  for (const { slot, cycle, leader, first } of epochs) {
    const last = successors.get(`${slot}/${cycle}`)?.predecessor?.last
    const part: LogPart = { slot, cycle, first, last }
    const known = parts.get(leader)
    if (known) known.push(part)
    else parts.set(leader, [part])
  }
  return parts
}

/**
 * The first number of a log that must stay, given its seal. Everything below is covered by the checkpoints of all
 * slots that could have written there, and published: a checkpoint's mark never lies behind it. The last bundle stays: it
 * knows the log's low.
 */
export function firstToKeep(parts: readonly LogPart[], seal: Seq, checkpoints: ReadonlyMap<Slot, SlotCheckpoint>): Seq {
  let keep = Math.max(1, seal - 1)
  for (const { slot, cycle, first, last } of parts) {
    const end = last ?? seal - 1
    if (end < first) continue
    const mark = checkpoints.get(slot)?.published
    if (mark && (mark.cycle > cycle || (mark.cycle === cycle && mark.seq >= end))) continue
    const needed = mark?.cycle === cycle ? Math.max(first, mark.seq + 1) : first
    keep = Math.min(keep, needed)
  }
  return keep as Seq
}
