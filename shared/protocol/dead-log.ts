/**
 * Dead logs: the interactions of a sealed log that checkpoints do not cover, read once for all its slots.
 *
 * Owns: one reading a log, kept until the slots that need it have been checkpointed. I1. Every number from the
 * log's low to its seal was read, as bundle or in a segment, or the reading says what is missing (rule C1).
 */
import type { Cycle, Incarnation, Seq, Slot, StateId } from '#shared/ids.ts'
import { decoded, isBroken, type Broken } from '#shared/protocol/fencing.ts'
import type { Context } from '#shared/protocol/context.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import { decodeBundle, decodeSegment, type Bundle, type LogEntry } from '#shared/records/bundle.ts'
import { logObjectType } from '#shared/records/fence.ts'
import { logObjectName, parseLogName, segmentPrefix } from '#shared/records/names.ts'

/** An interaction and where in its log it stands. */
export type Placed = { readonly seq: Seq; readonly entry: LogEntry }

export type DeadLog = {
  /** By slot, then by state, in the order of the log. */
  readonly slots: Map<Slot, ReadonlyMap<StateId, readonly Placed[]>>
  /** Numbers that could not be read; a part that contains one is broken. */
  readonly broken: ReadonlyMap<Seq, Broken>
  /** First number that was read: what lies before is covered by checkpoints. */
  readonly low: Seq
}

/** What the seal of a log says. */
export type LogEnd = { readonly low: Seq | undefined }

/** Objects read at once. */
const READS_AT_ONCE = 8

/** Reads a log from its low to `last`, which is stored or nothing is. `end`: what its own seal says, if it has one. */
export function readLog(context: Context, incarnation: Incarnation, last: Seq, end: LogEnd | undefined, then: (log: DeadLog) => void): void {
  if (last === 0) return then({ slots: new Map(), broken: new Map(), low: 1 as Seq })
  if (end?.low !== undefined) return readFrom(context, incarnation, end.low, last, then)
  findLow(context, incarnation, last, (low, end) => readFrom(context, incarnation, low, end, then))
}

/**
 * The last bundle knows how far checkpoints had got when it was written; without its word everything is read.
 * The number before the seal that `end` names can be a seal as well: of two who seal at once, the later one finds
 * the number taken and cannot tell by its name by what.
 */
function findLow(context: Context, incarnation: Incarnation, last: Seq, then: (low: Seq, last: Seq) => void): void {
  if (last === 0) return then(1 as Seq, last)
  const name = logObjectName(incarnation, last)
  context.read(name, (bytes) => {
    const object = bytes && decoded(name, () => numbered(bytes, incarnation, last))
    if (object === 'seal') return findLow(context, incarnation, (last - 1) as Seq, then)
    then(object && !isBroken(object) ? object.header.low : (1 as Seq), last)
  })
}

/** What stands under a number of a log. Throws `CorruptRecord`. */
function numbered(bytes: Uint8Array, incarnation: Incarnation, seq: Seq): Bundle | 'seal' {
  return logObjectType(bytes) === 'seal' ? 'seal' : decodeBundle(bytes, incarnation, seq)
}

type Piece = { readonly from: Seq; readonly to: Seq; readonly name: string; readonly segment: boolean }

function readFrom(context: Context, incarnation: Incarnation, low: Seq, last: Seq, then: (log: DeadLog) => void): void {
  context.names(segmentPrefix(incarnation), (names) => {
    const pieces = cover(incarnation, names, low, last)
    const bundles = new Map<Seq, Bundle>()
    const broken = new Map<Seq, Broken>()
    // The first seal ends the log (rule S1): bundles behind it count for nobody.
    let end = (last + 1) as Seq
    let next = 0
    let underWay = 0
    const finish = (): void => {
      for (const seq of bundles.keys()) if (seq >= end) bundles.delete(seq)
      for (const seq of broken.keys()) if (seq >= end) broken.delete(seq)
      then({ slots: bySlot(bundles, low), broken, low })
    }
    const readOne = (piece: Piece): void => {
      underWay += 1
      context.read(piece.name, (bytes) => {
        underWay -= 1
        const result = bytes
          ? decoded(piece.name, () =>
              piece.segment ? decodeSegment(bytes, incarnation, piece.from, piece.to) : [numbered(bytes, incarnation, piece.from)],
            )
          : { object: piece.name, reason: 'missing' }
        if (!isBroken(result)) {
          for (const object of result) {
            if (object === 'seal') end = Math.min(end, piece.from) as Seq
            else bundles.set(object.header.seq, object)
          }
        } else if (piece.segment) {
          // A segment never decides: the bundles it was made of do.
          for (let seq = piece.from; seq <= piece.to; seq++) pieces.push(single(incarnation, seq))
        } else broken.set(piece.from, result)
        more()
      })
    }
    const more = (): void => {
      while (next < pieces.length && underWay < READS_AT_ONCE) readOne(pieces[next++]!)
      if (next === pieces.length && underWay === 0) finish()
    }
    more()
  })
}

const single = (incarnation: Incarnation, seq: Seq): Piece => ({ from: seq, to: seq, name: logObjectName(incarnation, seq), segment: false })

/** The fewest objects that hold low..last: at each number the longest segment that holds it, else the bundle. */
function cover(incarnation: Incarnation, names: readonly string[], low: Seq, last: Seq): Piece[] {
  const longest = new Map<Seq, Piece>()
  for (const name of names) {
    const parsed = parseLogName(incarnation, name)
    if (parsed.kind !== 'segment' || parsed.to > last || parsed.to < low) continue
    // One that begins before low serves from low on.
    const from = Math.max(parsed.from, low) as Seq
    if (parsed.to > (longest.get(from)?.to ?? 0)) longest.set(from, { from: parsed.from, to: parsed.to, name, segment: true })
  }
  const pieces: Piece[] = []
  for (let seq = low; seq <= last; seq = (pieces.at(-1)!.to + 1) as Seq) pieces.push(longest.get(seq) ?? single(incarnation, seq))
  return pieces
}

function bySlot(bundles: ReadonlyMap<Seq, Bundle>, low: Seq): Map<Slot, Map<StateId, Placed[]>> {
  const slots = new Map<Slot, Map<StateId, Placed[]>>()
  const slotOfId = new Map<StateId, Slot>()
  for (const seq of [...bundles.keys()].sort((a, b) => a - b)) {
    if (seq < low) continue
    for (const entry of bundles.get(seq)!.entries) {
      let slot = slotOfId.get(entry.id)
      if (slot === undefined) slotOfId.set(entry.id, (slot = slotOf(entry.id)))
      let states = slots.get(slot)
      if (states === undefined) slots.set(slot, (states = new Map()))
      const placed = states.get(entry.id)
      if (placed === undefined) states.set(entry.id, [{ seq, entry }])
      else placed.push({ seq, entry })
    }
  }
  return slots
}

/** The interactions of a slot that lie inside its part of the log: of the part's cycle, from `first` to `last`. */
export function partOf(
  log: DeadLog,
  part: { readonly slot: Slot; readonly cycle: Cycle; readonly first: Seq; readonly last: Seq },
): ReadonlyMap<StateId, readonly Placed[]> | Broken {
  for (const [seq, broken] of log.broken) if (seq >= part.first && seq <= part.last) return broken
  const states = new Map<StateId, readonly Placed[]>()
  for (const [id, placed] of log.slots.get(part.slot) ?? []) {
    const inside = placed.filter(({ seq, entry }) => entry.cycle === part.cycle && seq >= part.first && seq <= part.last)
    if (inside.length > 0) states.set(id, inside)
  }
  return states
}
