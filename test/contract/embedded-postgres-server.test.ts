import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { startPostgres, type PostgresServer, type PostgresServerOptions } from '#shared/adapters/embedded/postgres-server.ts'
import type { AdminConnection } from '#shared/adapters/postgres/admin-connection.ts'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import type { Log } from '#shared/log.ts'
import { eventually, makePostgresFolder, silentLog } from '../support/postgres.ts'
import { within } from './eventually.ts'

const OUTSIDE = '/var/lib/state-platform-postgres'
const asRoot = process.getuid?.() === 0

let folder: string
let key: Uint8Array
let servers: PostgresServer[]
let children: ChildProcess[]

beforeEach(async () => {
  folder = await makePostgresFolder()
  key = randomBytes(32)
  servers = []
  children = []
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(servers.map((server) => server.stop()))
  fs.rmSync(folder, { recursive: true, force: true })
})

async function start(options: Partial<PostgresServerOptions> = {}): Promise<PostgresServer> {
  const server = await startPostgres({ dataDir: folder, key, log: silentLog, durable: false, ...options })
  servers.push(server)
  return server
}

async function ask<T extends object>(admin: AdminConnection, sql: string, login: { user?: string; password?: string } = {}): Promise<T[]> {
  const client = new Client({ ...admin.server, user: admin.user, password: String(admin.password), database: admin.database, options: '', ...login })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<T>(sql)).rows
  } finally {
    await client.end()
  }
}

/** Or a zombie: whoever is to bury it may take its time. */
function ended(pid: number): boolean {
  return !fs.existsSync(`/proc/${pid}/exe`)
}

/** A process that starts a server and writes rows 0, 1, 2 ... until it is killed: the server's pid, and the last row it heard was written. */
async function killedApp({ durable }: { readonly durable: boolean }): Promise<{ pid: number; last: number }> {
  const module = (path: string): string => JSON.stringify(new URL(`../../shared/adapters/${path}`, import.meta.url).href)
  const script = `
    const { startPostgres } = await import(${module('embedded/postgres-server.ts')})
    const { openDomainDatabase } = await import(${module('postgres/domain-database.ts')})
    const log = { info() {}, warn() {}, error() {}, fatal() {} }
    const key = Buffer.from('${Buffer.from(key).toString('hex')}', 'hex')
    const server = await startPostgres({ dataDir: ${JSON.stringify(folder)}, key, log, durable: ${durable} })
    const database = openDomainDatabase({ admin: server.admin, key, log })
    await database.ensure('a.localhost')
    await database.transact('a.localhost', [{ sql: 'CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY)' }])
    for (let n = 0; ; n++) {
      const outcome = await database.write('a.localhost', { sql: 'INSERT INTO rows VALUES ($1) ON CONFLICT DO NOTHING', values: [String(n)] })
      if (outcome.kind === 'done') process.stdout.write(server.pid() + ' ' + n + '\\n')
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (part: string) => (output += part))
  await eventually(() => expect(output.split('\n').length).toBeGreaterThan(50), 30_000)
  const gone = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGKILL')
  await within(gone, 'the end of the app')
  const [pid, last] = output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1)!.split(' ').map(Number)
  return { pid: pid!, last: last! }
}

describe('embedded Postgres', () => {
  test('starts on a new folder; nobody is superuser; no other way in than our password over 127.0.0.1', async () => {
    const server = await start()
    expect(server.origin).toBe('started')
    const [who] = await ask<object>(server.admin, 'SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = current_user')
    expect(who).toEqual({ rolsuper: false, rolcreatedb: true, rolcreaterole: true, rolreplication: false, rolbypassrls: false })
    expect(await ask(server.admin, 'SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname <> current_user')).toEqual([{ rolname: 'postgres' }])
    for (const login of [{ user: 'postgres', password: String(server.admin.password) }, { user: 'postgres', password: 'postgres' }, { password: 'wrong' }]) {
      await expect(ask(server.admin, 'SELECT 1', login)).rejects.toMatchObject({ code: expect.stringMatching(/^28/) })
    }
    const [settings] = await ask<{ sockets: string; addresses: string; fsync: string }>(
      server.admin,
      "SELECT current_setting('unix_socket_directories') AS sockets, current_setting('listen_addresses') AS addresses, current_setting('fsync') AS fsync",
    )
    expect(settings).toEqual({ sockets: '', addresses: '127.0.0.1', fsync: 'off' })
    const open = await ask(server.admin, "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT')")
    expect(open).toEqual([])
    if (asRoot && process.platform === 'linux') expect(fs.statSync(`/proc/${server.pid()}`).uid).toBe(65_534)
  })

  test('stops within seconds, and starts again on what it had, within the time that npm start has', async () => {
    const first = await start()
    await ask(first.admin, 'CREATE DATABASE kept')
    await first.stop()
    await expect(ask(first.admin, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    const begin = performance.now()
    const second = await start()
    expect(performance.now() - begin).toBeLessThan(5_000)
    expect(second.origin).toBe('started')
    expect(await ask(second.admin, "SELECT 1 AS one FROM pg_database WHERE datname = 'kept'")).toEqual([{ one: 1 }])
  })

  test('kill -9 of the app: the orphan is adopted, with fsync on, and every acknowledged row is there', async () => {
    const { pid, last } = await killedApp({ durable: true })
    const server = await start({ durable: true })
    expect(server.origin).toBe('adopted')
    expect(server.pid()).toBe(pid)
    expect(await ask(server.admin, "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit")).toEqual([{ fsync: 'on', commit: 'on' }])
    const database = openDomainDatabase({ admin: server.admin, key, log: silentLog })
    const count = async (): Promise<unknown> => {
      const outcome = await database.tenantQuery('a.localhost', { sql: 'SELECT count(*) AS n FROM rows', params: [], requester: 'u' })
      return outcome.kind === 'rows' ? outcome.rows[0]!.n : outcome
    }
    expect(await count()).toBeGreaterThanOrEqual(last + 1)

    // And of the server itself: it is started again on its port, after a recovery. Rows are flushed with the next transaction, or within a second.
    expect((await database.transact('a.localhost', [{ sql: 'CREATE TABLE flushed (n int)' }])).kind).toBe('done')
    process.kill(pid, 'SIGKILL')
    await eventually(() => expect(server.pid()).not.toBe(pid), 20_000)
    await eventually(async () => expect(await count()).toBeGreaterThanOrEqual(last + 1), 20_000)
    await database.close()
  })

  test('an orphan that was started otherwise is stopped and started anew', async () => {
    const { pid } = await killedApp({ durable: false })
    const server = await start({ durable: true })
    expect(server.origin).toBe('started')
    expect(server.pid()).not.toBe(pid)
    expect(ended(pid)).toBe(true)
  })

  test('a lock file that names a process of others is no server', async () => {
    const first = await start()
    const [{ data }] = (await ask<{ data: string }>(first.admin, "SELECT current_setting('data_directory') AS data")) as [{ data: string }]
    await first.stop()
    fs.writeFileSync(join(data, 'postmaster.pid'), `${process.pid}\n${data}\n1\n5432\n\n127.0.0.1\n`)
    expect((await start()).origin).toBe('started')
  })

  test('a folder that initdb did not finish is made again', async () => {
    const name = fs.readdirSync(folder)
    expect(name).toEqual([])
    fs.mkdirSync(join(folder, 'postgres'))
    fs.mkdirSync(join(folder, 'postgres', '18-x.new-1'))
    await start()
    expect(fs.readdirSync(join(folder, 'postgres')).filter((entry) => entry.includes('new'))).toEqual([])
  })

  test('an address: nothing is started', async () => {
    const server = await start({ databaseUrl: 'postgres://me:p%40ss@db.example:6000/state?sslmode=require' })
    expect(server).toMatchObject({ origin: 'address', admin: { server: { host: 'db.example', port: 6000, ssl: { rejectUnauthorized: false } }, user: 'me', password: 'p@ss', database: 'state' } })
    expect(server.pid()).toBeUndefined()
    expect(fs.readdirSync(folder)).toEqual([])
    await expect(startPostgres({ dataDir: folder, key, log: silentLog, databaseUrl: 'mysql://x' })).rejects.toThrow('DATABASE_URL')
  })

  ;(asRoot ? test : test.skip)('DATA_DIR that its user cannot enter: files outside, said in the log; removed when DATA_DIR is gone', async () => {
    const lines: { fields: object; message: string }[] = []
    const log: Log = { ...silentLog, info: (fields, message) => lines.push({ fields, message }), warn: (fields, message) => lines.push({ fields, message }) }
    fs.chmodSync(folder, 0o700)
    const { pid } = await killedApp({ durable: false })
    const first = await start({ log })
    expect(first.origin).toBe('adopted')
    const { folder: outside } = lines.find(({ message }) => message.includes('outside'))!.fields as { folder: string }
    expect(outside).toMatch(new RegExp(`^${OUTSIDE}/[0-9a-f]{16}$`))
    expect(fs.readdirSync(folder)).toEqual([])
    await first.stop()
    expect(ended(pid)).toBe(true)

    // Another DATA_DIR, later: the first one is gone, and its server still runs.
    const { pid: abandoned } = await killedApp({ durable: false })
    fs.rmSync(folder, { recursive: true })
    const other = `${folder}-other`
    fs.mkdirSync(other, { mode: 0o700 })
    const next = await start({ dataDir: other, key: randomBytes(32), log })
    expect(fs.existsSync(outside)).toBe(false)
    expect(ended(abandoned)).toBe(true)
    await next.stop()
    const left = fs.readdirSync(OUTSIDE).filter((name) => name.endsWith('.of') && fs.readFileSync(join(OUTSIDE, name), 'utf8') === other)
    expect(left).toHaveLength(1)
    fs.rmdirSync(other)
    for (const name of left) for (const path of [join(OUTSIDE, name), join(OUTSIDE, name.slice(0, -3))]) fs.rmSync(path, { recursive: true, force: true })
  })
})
