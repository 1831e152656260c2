/** Composition of what runs on a schedule: the function targets `retention` and `close-sessions`. What rejects is asked for again. */
import { randomBytes } from 'node:crypto'
import { limits } from '#shared/limits.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { composeApi, NEEDED } from '#functions/api/compose.ts'
import { coldStorageOf } from '#functions/google-cloud/compose.ts'
import { runRetention } from './retention.ts'

export function openRetentionTarget(): Promise<() => Promise<void>> {
  const read = readSettings(process.env, { required: ['GOOGLE_CLOUD_PROJECT', 'COLD_STORAGE_BUCKET'] })
  if (read.kind === 'faults') throw new Error(read.faults.join('; '))
  const { settings } = read
  const log = openLog({ level: settings.LOG_LEVEL, service: 'retention' })
  const coldStorage = coldStorageOf(settings)
  return Promise.resolve(async () => {
    await runRetention({ coldStorage, nowMs: Date.now(), keepMs: settings.RETENTION_HOURS * 3_600_000, log })
  })
}

/** Also goes on with reconfigurations whose process has gone. */
export async function openCloseSessionsTarget(): Promise<() => Promise<void>> {
  const read = readSettings(process.env, { required: [...NEEDED, 'NAME_KEY', 'DOMAIN_WORKER_URL'] })
  if (read.kind === 'faults') throw new Error(read.faults.join('; '))
  const { settings } = read
  const log = openLog({ level: settings.LOG_LEVEL, service: 'close-sessions' })
  const { api, ready } = await composeApi({ settings, name: 'close-sessions', bearerKey: randomBytes(32), nameKey: settings.NAME_KEY, log })
  await ready
  return async () => {
    await api.closeSilentSessions(settings.SESSION_SILENCE_MINUTES * 60_000)
    await api.resumeConfigurations(limits.configureAbandonedMs)
  }
}
