/** A state process of its own, of several on one machine: started, and started again, by `npm start`. */
import { join } from 'node:path'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import { openFanOut } from '#shared/adapters/embedded/fan-out.ts'
import { openLog } from '#shared/log.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import { readSettings } from '#shared/settings.ts'
import { startStateProcess } from '#functions/state-process/process.ts'
import { dieLoudly } from '#shared/die-loudly.ts'

const read = readSettings(process.env)
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { settings } = read
const log = openLog({ level: settings.LOG_LEVEL, service: settings.PROCESS_NAME })
dieLoudly(log)
const onFault = ({ what, reason }: { what: string; reason: string }): void => log.warn({ what, reason }, 'storage fault')
const coldStorage = await openColdStorage({ directory: join(settings.DATA_DIR, 'cold-storage'), onFault })
const directory = await openDirectory({ folder: join(settings.DATA_DIR, 'directory'), onFault })
const fanOut = openFanOut()
const stateProcess = await startStateProcess({
  name: settings.PROCESS_NAME,
  links: { host: settings.HOST, port: settings.PORT, credentials: sharedSecret(secret(settings.DATA_DIR, 'link.key', 32)) },
  gapRule: settings.GAP_RULE,
  coldStorage,
  directory,
  fanOut,
  clock: systemClock,
  log,
})

let stopping = false
const stop = async (): Promise<void> => {
  if (stopping) return
  stopping = true
  await stateProcess.stop()
  await fanOut.close()
  await directory.close()
  await coldStorage.close()
  process.exit(0)
}
process.on('SIGTERM', () => void stop())
// Ctrl-C reaches the whole group: the parent decides, so that its api can still be served while it drains.
process.on('SIGINT', () => undefined)
// The parent is gone: its folder is no longer locked, and whoever starts next seals this life.
process.on('disconnect', () => process.exit(0))
