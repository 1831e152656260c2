/**
 * A state process like `functions/state-process/index.ts`, in the hands of a test: it finds the others through proxies
 * (`addresses` from its parent), and its cold storage is as slow, failing and lying as it is told over IPC.
 */
import { setTimeout as passed } from 'node:timers/promises'
import { join } from 'node:path'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import { openFanOut } from '#shared/adapters/embedded/fan-out.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import { openLog } from '#shared/log.ts'
import type { ColdStorage, PutOutcome } from '#shared/ports/cold-storage.ts'
import { dieLoudly } from '#shared/die-loudly.ts'
import { startStateProcess } from '#functions/state-process/process.ts'
import { Chance } from './chance.ts'
import { throughProxies, type Command, type StorageFaults } from './proxied-directory.ts'

const name = process.env['PROCESS_NAME']!
const dataDir = process.env['DATA_DIR']!
const chance = new Chance(Number(process.env['FAULT_SEED']))
const log = openLog({ level: 'warn', service: name })
dieLoudly(log)

let faults: StorageFaults = { slowMs: 0, failed: 0, unknown: 0, lateMs: 0 }
const proxies = new Map<string, string>()
const coldStorage = faulty(await openColdStorage({ directory: join(dataDir, 'cold-storage') }))
const directory = throughProxies(await openDirectory({ folder: join(dataDir, 'directory') }), proxies)
process.on('message', (command: Command) => {
  if (command.kind === 'storage') faults = command.faults
  else {
    for (const [target, address] of Object.entries(command.addresses)) proxies.set(target, address)
    begun()
  }
})
let begun = (): void => undefined
const told = new Promise<void>((resolve) => (begun = resolve))
process.send!({ kind: 'ready for addresses' })
await told
const stateProcess = await startStateProcess({
  name,
  links: { host: '127.0.0.1', port: 0, credentials: sharedSecret(secret(dataDir, 'link.key', 32)), address: undefined },
  gapRule: 'refuse',
  coldStorage,
  directory,
  fanOut: openFanOut(),
  clock: systemClock,
  log,
})
process.on('SIGTERM', () => void stateProcess.stop().then(() => process.exit(0)))
process.on('disconnect', () => process.exit(0))

/** Every outcome that the port allows, and no other: what it says is stored is. */
function faulty(inner: ColdStorage): ColdStorage {
  const slow = (): Promise<void> => passed(faults.slowMs === 0 ? 0 : chance.between(0, faults.slowMs))
  const put = async (object: string, bytes: Uint8Array): Promise<PutOutcome> => {
    await slow()
    if (chance.isTrue(faults.failed)) return { kind: 'not-stored', reason: 'the test says so' }
    if (!chance.isTrue(faults.unknown)) return inner.put(object, bytes)
    const dice = chance.next()
    // Nobody heard of it; it took effect and nobody heard; it takes effect long after it was given up.
    if (dice < 0.3) return { kind: 'unknown', reason: 'lost on its way' }
    if (dice < 0.6) await inner.put(object, bytes)
    else {
      const copy = Uint8Array.from(bytes)
      setTimeout(() => void inner.put(object, copy), chance.between(0, faults.lateMs))
    }
    return { kind: 'unknown', reason: 'the answer was lost' }
  }
  return {
    put,
    get: async (object, range) => {
      await slow()
      return chance.isTrue(faults.failed) ? { kind: 'failed', reason: 'the test says so' } : inner.get(object, range)
    },
    list: async (prefix, options) => {
      await slow()
      return chance.isTrue(faults.failed) ? { kind: 'failed', reason: 'the test says so' } : inner.list(prefix, options)
    },
    delete: async (object) => (chance.isTrue(faults.failed) ? { kind: 'failed', reason: 'the test says so' } : inner.delete(object)),
    close: () => inner.close(),
  }
}
