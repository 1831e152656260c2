/**
 * Retention: deletes log objects that checkpoints cover, of logs that have ended, after a time. History stays: it is
 * in ID files. Seals, ends and epoch records stay for ever: a process that wakes after a month must still meet them.
 *
 * Safe to run twice at once, and to be killed anywhere: it deletes in order, from the beginning.
 */
import type { Incarnation, Seq, Slot } from '#shared/ids.ts'
import type { Log } from '#shared/log.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import { firstToKeep, partsByLog } from '#shared/protocol/retention.ts'
import { SLOTS } from '#shared/protocol/ring.ts'
import { decodeBundle } from '#shared/records/bundle.ts'
import { decodeSmall, logObjectType, type EpochRecord } from '#shared/records/fence.ts'
import { compareCheckpoints, endName, logObjectName, logPrefix, parseLogName, parseSlotName, slotPrefix, type SlotCheckpoint } from '#shared/records/names.ts'

const SLOTS_AT_ONCE = 16

export type RetentionParts = { readonly coldStorage: ColdStorage; readonly nowMs: number; readonly keepMs: number; readonly log: Log }

/** Objects deleted. Throws where storage does not answer, or an object cannot be vouched for: nothing is then deleted on a guess. */
export async function runRetention(parts: RetentionParts): Promise<number> {
  const { coldStorage, log } = parts
  const ends = new Map<Incarnation, Seq>()
  for (const incarnation of partsByLog((await readSlots(coldStorage)).epochs).keys()) {
    const end = await coldStorage.get(endName(incarnation))
    if (end.kind === 'failed') throw new Error(end.reason)
    // The others go on, or nobody has ended them yet.
    if (end.kind === 'found') ends.set(incarnation, decodeSmall('end', end.bytes, { incarnation }).seal)
  }
  // Only after the end of a log can no slot come to it any more: what it holds is read now (rule D2).
  const { epochs, checkpoints } = await readSlots(coldStorage)
  const logs = partsByLog(epochs)
  let deleted = 0
  for (const [incarnation, seal] of ends) deleted += await cleanLog(parts, incarnation, firstToKeep(logs.get(incarnation) ?? [], seal, checkpoints))
  if (deleted > 0) log.info({ deleted }, 'retention has deleted log objects that checkpoints cover')
  return deleted
}

type Slots = { readonly epochs: EpochRecord[]; readonly checkpoints: Map<Slot, SlotCheckpoint> }

async function readSlots(coldStorage: ColdStorage): Promise<Slots> {
  const slots: Slots = { epochs: [], checkpoints: new Map() }
  const numbers = Array.from({ length: SLOTS }, (_, slot) => slot as Slot)
  await Promise.all(
    Array.from({ length: SLOTS_AT_ONCE }, async () => {
      for (let slot = numbers.pop(); slot !== undefined; slot = numbers.pop()) await readSlot(coldStorage, slot, slots)
    }),
  )
  return slots
}

async function readSlot(coldStorage: ColdStorage, slot: Slot, { epochs, checkpoints }: Slots): Promise<void> {
  for (const name of await list(coldStorage, slotPrefix(slot))) {
    const parsed = parseSlotName(slot, name)
    if (parsed.kind === 'epoch') epochs.push(decodeSmall('epoch', await get(coldStorage, name), { slot, cycle: parsed.cycle }))
    else {
      const known = checkpoints.get(slot)
      if (!known || compareCheckpoints(parsed.checkpoint, known) > 0) checkpoints.set(slot, parsed.checkpoint)
    }
  }
}

async function cleanLog({ coldStorage, nowMs, keepMs }: RetentionParts, incarnation: Incarnation, keep: Seq): Promise<number> {
  const bundles: string[] = []
  const segments: string[] = []
  let youngest: Seq | undefined
  for (const name of await list(coldStorage, logPrefix(incarnation))) {
    const parsed = parseLogName(incarnation, name)
    if (parsed.kind === 'segment' && parsed.to < keep) segments.push(name)
    if (parsed.kind !== 'object' || parsed.seq >= keep) continue
    // Of several who seal at once, some leave theirs below the one that counts; seals stay.
    if (logObjectType(await get(coldStorage, name)) !== 'bundle') continue
    bundles.push(name)
    youngest = parsed.seq
  }
  if (youngest !== undefined) {
    const { entries } = decodeBundle(await get(coldStorage, logObjectName(incarnation, youngest)), incarnation, youngest)
    if (entries.some((entry) => entry.ts > nowMs - keepMs)) return 0
  }
  for (const name of [...bundles, ...segments]) {
    const outcome = await coldStorage.delete(name)
    if (outcome.kind === 'failed') throw new Error(outcome.reason)
  }
  return bundles.length + segments.length
}

async function list(coldStorage: ColdStorage, prefix: string): Promise<readonly string[]> {
  const outcome = await coldStorage.list(prefix)
  if (outcome.kind === 'failed') throw new Error(outcome.reason)
  return outcome.names
}

async function get(coldStorage: ColdStorage, name: string): Promise<Uint8Array> {
  const outcome = await coldStorage.get(name)
  if (outcome.kind !== 'found') throw new Error(outcome.kind === 'failed' ? outcome.reason : `${name} is missing`)
  return outcome.bytes
}
