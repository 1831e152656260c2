/** An own Postgres for one test file, fast and forgetful: a power cut would cost all of it. */
import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '#shared/adapters/embedded/postgres-server.ts'
import type { AdminConnection } from '#shared/adapters/postgres/admin-connection.ts'
import type { Log } from '#shared/log.ts'

export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined, fatal: () => undefined }

export type TestPostgres = {
  readonly admin: AdminConnection
  /** For `DATABASE_URL` of a process of its own. Each key (each data directory) has domains of its own there. */
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** Servers share nothing but this: file tests start one each, in `beforeAll`, and stop it in `afterAll`. */
export async function startTestPostgres(options: { readonly durable?: boolean } = {}): Promise<TestPostgres> {
  const folder = await makePostgresFolder()
  const server = await startPostgres({ dataDir: folder, key: randomBytes(32), log: silentLog, durable: options.durable ?? false })
  const pid = server.pid()!
  // A failure of the tests' own process must not leave it running.
  const kill = (): void => {
    try {
      process.kill(pid, 'SIGQUIT')
    } catch {
      // It has ended.
    }
  }
  process.once('exit', kill)
  const { host, port } = server.admin.server
  return {
    admin: server.admin,
    url: `postgres://${server.admin.user}:${String(server.admin.password)}@${host}:${port}/${server.admin.database}`,
    pid,
    stop: async () => {
      process.off('exit', kill)
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A folder that the user of a server started by root can enter. */
export async function makePostgresFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postgres-test-'))
  chmodSync(folder, 0o711)
  return folder
}

/** Tries again until `check` does not throw, for servers and their clocks: nothing of theirs can be awaited. */
export async function eventually(check: () => unknown, deadlineMs = 10_000): Promise<void> {
  for (const end = Date.now() + deadlineMs; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    try {
      await check()
      return
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}
