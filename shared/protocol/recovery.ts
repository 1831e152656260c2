/** Recovering a state: the newest ID file, then every interaction of the slot's parts that it does not hold. */
import type { Cycle, InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import { apply } from '#shared/patch/apply.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Context } from '#shared/protocol/context.ts'
import { decoded, isBroken, type Broken } from '#shared/protocol/fencing.ts'
import type { Slot } from '#shared/protocol/slot.ts'
import { TrackedState } from '#shared/protocol/state.ts'
import type { LogEntry } from '#shared/records/bundle.ts'
import { decodeIdFileBase, ID_FILE_FIRST_READ_BYTES, type IdFileBase } from '#shared/records/id-file.ts'
import { idFileName, idPrefix, parseIdFileName, parseRepairName, repairPrefix } from '#shared/records/names.ts'

export type GapRule = 'refuse' | 'accept'

/**
 * Calls back with the state as the stored interactions make it, or with what stands in the way of it. `gapRule`
 * "accept": what lies behind missing interactions is dropped, loudly, instead (rule C3).
 */
export function recoverState(context: Context, slot: Slot, id: StateId, gapRule: GapRule, then: (state: TrackedState | Broken) => void): void {
  const attempt = (again: boolean, acceptedTo: Cycle): void =>
    newestBase(context, id, (base) => {
      if (base && isBroken(base)) return then(base)
      const state = replay(context, slot, id, base, gapRule === 'accept' ? slot.cycle : acceptedTo)
      if (!isBroken(state) || !again) return then(state)
      // An ID file may just have been written, and what it covers deleted; or an operator has accepted the gap.
      context.names(repairPrefix(id), (names) => attempt(false, Math.max(0, ...names.map((name) => parseRepairName(id, name))) as Cycle))
    })
  attempt(true, 0 as Cycle)
}

function newestBase(context: Context, id: StateId, then: (base: IdFileBase | Broken | undefined) => void): void {
  context.names(idPrefix(id), (names) => {
    const name = names.at(-1)
    if (name === undefined) return then(undefined)
    const ii = parseIdFileName(id, name)
    const read = (bytesWanted: number): void =>
      context.read(
        name,
        (bytes) => {
          const base = bytes ? decoded(name, () => decodeIdFileBase(bytes, id, ii)) : { object: name, reason: 'missing' }
          if (!('needBytes' in base)) then(base)
          else if (bytes!.byteLength < bytesWanted) then({ object: name, reason: 'truncated' })
          else read(base.needBytes)
        },
        { from: 0, to: bytesWanted },
      )
    read(ID_FILE_FIRST_READ_BYTES)
  })
}

/** `acceptedTo`: in cycles up to this one, interactions behind a gap count for nobody. */
function replay(context: Context, slot: Slot, id: StateId, base: IdFileBase | undefined, acceptedTo: Cycle): TrackedState | Broken {
  const state = new TrackedState(id, slot, base)
  const chosen: LogEntry[] = []
  for (const { cycle, states } of slot.inherited) {
    for (const { entry } of states.get(id) ?? []) {
      if (entry.ii === 0) {
        if (state.creation === undefined && entry.creation) {
          state.create(entry.creation, entry.ts)
          state.creationSeq = 0 as Seq
        }
        continue
      }
      const at = entry.ii - state.ii - 1
      if (at < 0) continue
      if (at > chosen.length) {
        const fault = gap(id, (state.ii + chosen.length + 1) as InteractionIndex, entry.ii)
        if (cycle > acceptedTo) return fault
        context.log('error', 'interactions behind a gap are dropped, as an operator has accepted', { id, cycle, ...fault })
        break
      }
      const earlier = chosen[at]
      if (earlier && sameInteraction(earlier, entry)) continue
      // Cannot happen while seals hold (P2). The later cycle wins, with all that it went on with, loudly.
      if (earlier) context.log('error', 'two logs hold different interactions of one index: the later cycle counts', { id, ii: entry.ii, cycles: [earlier.cycle, cycle] })
      chosen.length = at
      chosen.push(entry)
    }
  }
  for (const entry of chosen) {
    if (state.creation === undefined) {
      if (entry.creation === undefined) return { object: idFileName(id, state.ii), reason: `interaction ${entry.ii} of a state that nobody made` }
      state.create(entry.creation, entry.ts)
    }
    const outcome = apply(state.document, JSON.parse(entry.patch) as Op[])
    if (outcome.kind !== 'applied') return { object: idFileName(id, state.ii), reason: `logged interaction ${entry.ii} does not apply` }
    state.ii = entry.ii
    state.updated = entry.ts
    if (entry.key !== '') state.keys.add(entry.key, entry.bodyDigest, entry.ii, entry.ts)
    state.tail.recovered({ ii: entry.ii, ts: entry.ts, user: entry.user, patch: entry.patch })
  }
  return state
}

const sameInteraction = (a: LogEntry, b: LogEntry): boolean => a.ts === b.ts && a.user === b.user && a.key === b.key && a.patch === b.patch

const gap = (id: StateId, from: InteractionIndex, to: InteractionIndex): Broken => ({
  object: idFileName(id, (from - 1) as InteractionIndex),
  reason: `interactions ${from} to ${to - 1} of ${id} are missing`,
})
