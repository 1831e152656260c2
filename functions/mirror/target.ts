/** Composition of the function target `mirror`. */
import { randomBytes } from 'node:crypto'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { composeApi, NEEDED } from '#functions/api/compose.ts'
import { mirrorTarget, type CloudEventLike } from './handler.ts'

export async function openMirrorTarget(): Promise<(event: CloudEventLike) => Promise<void>> {
  const read = readSettings(process.env, { required: NEEDED })
  if (read.kind === 'faults') throw new Error(read.faults.join('; '))
  const { settings } = read
  const log = openLog({ level: settings.LOG_LEVEL, service: 'mirror' })
  const { api, ready } = await composeApi({ settings, name: 'mirror', bearerKey: randomBytes(32), nameKey: randomBytes(32), log })
  await ready
  return mirrorTarget({ mirrorOne: api.mirrorOne, log })
}
