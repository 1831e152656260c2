/**
 * `npm run mirror:rebuild`: drops the databases of domains and makes the index of states anew from cold storage. The next
 * start fills the tables. The platform must be stopped meanwhile.
 */
import { join } from 'node:path'
import { takeCleanMark } from '#shared/adapters/embedded/clean-mark.ts'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { lockDataDirectory, secret } from '#shared/adapters/embedded/data-directory.ts'
import { openDomainRegistry } from '#shared/adapters/embedded/domain-registry.ts'
import { startPostgres } from '#shared/adapters/embedded/postgres-server.ts'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import { openLog } from '#shared/log.ts'
import { INDEX_DATABASE, StateIndex } from '#shared/mirror/state-index.ts'
import { allStates } from '#shared/mirror/survey.ts'
import { readSettings } from '#shared/settings.ts'

const read = readSettings(process.env)
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { DATA_DIR, DATABASE_URL, LOG_LEVEL } = read.settings
const log = openLog({ level: LOG_LEVEL, service: 'mirror-rebuild' })
const lock = await lockDataDirectory(DATA_DIR)
if (lock.kind === 'taken') {
  process.stderr.write(`DATA_DIR ${DATA_DIR} is in use${lock.by ? ` by ${lock.by}` : ''}: stop that first\n`)
  process.exit(1)
}
const key = secret(DATA_DIR, 'postgres.key', 32)
const postgres = await startPostgres({ dataDir: DATA_DIR, key, databaseUrl: DATABASE_URL, log })
const database = openDomainDatabase({ admin: postgres.admin, key, log })
const registry = await openDomainRegistry({ folder: join(DATA_DIR, 'domains') })
const coldStorage = await openColdStorage({ directory: join(DATA_DIR, 'cold-storage') })

takeCleanMark(DATA_DIR)
for (const domain of [INDEX_DATABASE, ...[...registry.all()].map((record) => record.domain)]) {
  const dropped = await database.drop(domain)
  if (dropped.kind !== 'dropped') throw new Error(dropped.reason)
}
const survey = { coldStorage, onUnread: (name: string, reason: string): void => log.error({ name, reason }, 'an object could not be read: its states are not mirrored before their next patch') }
const index = new StateIndex({ database, survey: () => allStates(survey), log })
if (!(await index.complete())) throw new Error('Postgres does not take the index of states')
process.stdout.write('the index of states is made; the next start fills the tables of configured domains\n')

index.close()
await coldStorage.close()
await database.close()
await postgres.stop()
await registry.close()
await lock.release()
