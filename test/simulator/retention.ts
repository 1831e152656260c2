/** Retention in a simulated world: deletes what may be deleted, at once, so that no time of grace hides what goes too early. */
import type { Slot } from '#shared/ids.ts'
import { firstToKeep, partsByLog } from '#shared/protocol/retention.ts'
import { decodeSmall, logObjectType, type EpochRecord } from '#shared/records/fence.ts'
import { compareCheckpoints, endName, logPrefix, parseLogName, parseSlotName, type SlotCheckpoint } from '#shared/records/names.ts'
import type { World } from './world.ts'

export function startRetention({ random, timeline, storage, trace }: World): void {
  const run = (): void => {
    const epochs: EpochRecord[] = []
    const checkpoints = new Map<Slot, SlotCheckpoint>()
    for (const [name, bytes] of storage.objects) {
      const slot = Number(/^slots\/(\d+)\//.exec(name)?.[1] ?? -1) as Slot
      if (slot < 0) continue
      const parsed = parseSlotName(slot, name)
      if (parsed.kind === 'epoch') epochs.push(decodeSmall('epoch', bytes))
      else {
        const known = checkpoints.get(slot)
        if (!known || compareCheckpoints(parsed.checkpoint, known) > 0) checkpoints.set(slot, parsed.checkpoint)
      }
    }
    for (const [incarnation, parts] of partsByLog(epochs)) {
      const end = storage.objects.get(endName(incarnation))
      if (end === undefined) continue
      const keep = firstToKeep(parts, decodeSmall('end', end).seal, checkpoints)
      for (const [name, bytes] of [...storage.objects]) {
        if (!name.startsWith(logPrefix(incarnation))) continue
        const parsed = parseLogName(incarnation, name)
        // Of several who seal at once, some leave theirs below the one that counts; seals stay.
        if ((parsed.kind === 'object' && parsed.seq < keep && logObjectType(bytes) === 'bundle') || (parsed.kind === 'segment' && parsed.to < keep)) {
          trace(`retention deletes ${name}`)
          storage.objects.delete(name)
        }
      }
    }
    timeline.after(random.delayMs(1000), run)
  }
  timeline.after(random.delayMs(1000), run)
}
