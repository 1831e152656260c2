/** Composition of the function target `api`: on Google Cloud where its settings name buckets, else on DATA_DIR as `npm start` is. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { limits } from '#shared/limits.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { composePlatform, PRESETS } from '#functions/local/compose.ts'
import { composeApi, NEEDED } from './compose.ts'

type Handler = (req: IncomingMessage, res: ServerResponse) => void

/** The framework ends the process by itself: what it leaves is recovered, or healed by the mirror function. */
export async function openApiTarget(): Promise<Handler> {
  return process.env['UPLOADS_BUCKET'] === undefined ? onDataDirectory() : onGoogleCloud()
}

async function onGoogleCloud(): Promise<Handler> {
  const read = readSettings(process.env, { required: [...NEEDED, 'BEARER_KEY', 'NAME_KEY', 'DOMAIN_WORKER_URL'] })
  if (read.kind === 'faults') throw new Error(read.faults.join('; '))
  const { settings } = read
  const log = openLog({ level: settings.LOG_LEVEL, service: 'api' })
  const { api, ready } = await composeApi({ settings, name: 'api', bearerKey: settings.BEARER_KEY, nameKey: settings.NAME_KEY, log })
  await ready
  return api.handler
}

async function onDataDirectory(): Promise<Handler> {
  const read = readSettings(process.env, { presets: PRESETS })
  if (read.kind === 'faults') throw new Error(read.faults.join('; '))
  const log = openLog({ level: read.settings.LOG_LEVEL, service: 'api' })
  const platform = await composePlatform(read.settings, log)
  while (platform.missing().length > 0) await new Promise((resolve) => setTimeout(resolve, limits.readyLookMs))
  return platform.handler
}
