/** Composition of the function target `api`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { limits } from '#shared/limits.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { composePlatform, PRESETS } from '#functions/local/compose.ts'

/** Opens the parts on DATA_DIR; the framework ends the process by itself, and what it leaves is recovered. */
export async function openApiTarget(): Promise<(req: IncomingMessage, res: ServerResponse) => void> {
  const read = readSettings(process.env, PRESETS)
  if (read.kind === 'faults') throw new Error(read.faults.join('; '))
  const log = openLog({ level: read.settings.LOG_LEVEL, service: 'api' })
  const platform = await composePlatform(read.settings, log)
  while (platform.missing().length > 0) await new Promise((resolve) => setTimeout(resolve, limits.readyLookMs))
  return platform.handler
}
