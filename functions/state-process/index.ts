/**
 * A state process of its own: one of several on one machine, started, and started again, by `npm start`; or a service on
 * Google Cloud. Which of the two: whether a bucket is named.
 */
import { join } from 'node:path'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import { openFanOut } from '#shared/adapters/embedded/fan-out.ts'
import { dieLoudly } from '#shared/die-loudly.ts'
import { openLog } from '#shared/log.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import type { Directory } from '#shared/ports/directory.ts'
import type { FanOut } from '#shared/ports/fan-out.ts'
import type { LinkCredentials } from '#shared/link/connect.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import { readSettings, type Settings, type SettingsWith } from '#shared/settings.ts'
import { startStateProcess } from '#functions/state-process/process.ts'

type Parts = { readonly coldStorage: ColdStorage; readonly directory: Directory; readonly fanOut: FanOut; readonly credentials: LinkCredentials; close(): Promise<void> }

const isOnGoogleCloud = process.env['COLD_STORAGE_BUCKET'] !== undefined
const read = readSettings(process.env, { required: isOnGoogleCloud ? ['GOOGLE_CLOUD_PROJECT', 'COLD_STORAGE_BUCKET'] : [] })
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { settings } = read
const log = openLog({ level: settings.LOG_LEVEL, service: settings.PROCESS_NAME })
dieLoudly(log)
// The parent is gone: its folder is no longer locked, and whoever starts next seals this life.
process.on('disconnect', () => process.exit(0))
const onFault = (fault: { readonly what: string; readonly reason: string }): void => log.warn(fault, 'storage fault')
const { coldStorage, directory, fanOut, credentials, close } = await (isOnGoogleCloud ? onGoogleCloud(settings) : onDataDirectory(settings))
const stateProcess = await startStateProcess({
  name: settings.PROCESS_NAME,
  links: { host: settings.HOST, port: settings.PORT, credentials, address: settings.ADDRESS },
  gapRule: settings.GAP_RULE,
  coldStorage,
  directory,
  fanOut,
  clock: systemClock,
  log,
})

/** Its libraries are loaded where they are used. */
async function onGoogleCloud(of: SettingsWith<'GOOGLE_CLOUD_PROJECT' | 'COLD_STORAGE_BUCKET'>): Promise<Parts> {
  const { idTokenCredentials, stateProcessOf } = await import('#functions/google-cloud/compose.ts')
  return { ...stateProcessOf(of, log), credentials: of.LINK_ID_TOKENS ? idTokenCredentials(of, log) : ofOneMachine(of) }
}

async function onDataDirectory(of: Settings): Promise<Parts> {
  const coldStorage = await openColdStorage({ directory: join(of.DATA_DIR, 'cold-storage'), onFault })
  const directory = await openDirectory({ folder: join(of.DATA_DIR, 'directory'), onFault })
  return { coldStorage, directory, fanOut: openFanOut(), credentials: ofOneMachine(of), close: () => directory.close() }
}

function ofOneMachine({ DATA_DIR }: Settings): LinkCredentials {
  return sharedSecret(secret(DATA_DIR, 'link.key', 32))
}

let stopping = false
const stop = async (): Promise<void> => {
  if (stopping) return
  stopping = true
  await stateProcess.stop()
  await fanOut.close()
  await close()
  await coldStorage.close()
  process.exit(0)
}
process.on('SIGTERM', () => void stop())
// Ctrl-C reaches the whole group: the parent decides, so that its api can still be served while it drains.
process.on('SIGINT', () => undefined)
