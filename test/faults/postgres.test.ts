/**
 * Postgres that stands still or dies under writers, and `npm start` killed while it configures a domain: domains without a
 * configuration go on, a configured one says what it has stored, and its tables have everything in the end.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { setTimeout as passed } from 'node:timers/promises'
import { Client as Postgres } from 'pg'
import { Client } from '../api/client.ts'
import type { Answer } from '../api/client.ts'
import type { TestServer } from '../api/fixture.ts'
import { claim, ended, putConfig, query, reported, rows, write } from '../api/tenant.ts'
import { eventually, startTestPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

const SCORE = 'application/json;type=score'
const DOMAIN = 'scores.localhost'
const yaml = (queries: string): string => `
postgres:
  tables: { scores: { type: ${SCORE}, columns: { points: INTEGER } } }
  queries:
    by-id: SELECT points FROM scores WHERE id = $1
    all: SELECT id, points FROM scores
    ${queries}
`

let postgres: TestPostgres
let dataDir: string
let running: ServerProcess
let server: TestServer
/** Of a domain without a configuration; it administers the other one. */
let plain: Client
let user: Client

beforeAll(async () => {
  dataDir = temporaryFolder()
  postgres = await startTestPostgres()
  running = await ServerProcess.start(dataDir, { DATABASE_URL: postgres.url })
  const { port } = running
  server = { url: `http://127.0.0.1:${port}`, port, tokenOf: () => Promise.reject(new Error('not here')), stop: () => Promise.resolve() }
  plain = await Client.open(server)
  expect((await claim(plain, DOMAIN)).status).toBe(200)
  await configure('n: SELECT 1 AS n')
  user = await Client.open(server, { domain: DOMAIN })
})
afterAll(async () => {
  await killLeftovers()
  await postgres.stop()
  removeTemporaryFolders()
})

async function configure(queries: string): Promise<void> {
  const { body } = await putConfig(plain, DOMAIN, yaml(queries))
  expect(await ended(plain, body.report)).not.toHaveProperty('error')
}

/** As the server's owner, beside the platform. */
async function inPostgres<T>(work: (client: Postgres) => Promise<T>): Promise<T> {
  const { admin } = postgres
  const client = new Postgres({ ...admin.server, user: admin.user, password: String(admin.password), database: admin.database })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Stops all that serves; gives what lets it go on. */
async function standStill(): Promise<() => void> {
  const { rows: sessions } = await inPostgres((client) => client.query<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"))
  const pids = [...sessions.map(({ pid }) => pid), postgres.pid]
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of pids) {
      try {
        process.kill(pid, name)
      } catch {
        // It has ended.
      }
    }
  }
  signal('SIGSTOP')
  return () => signal('SIGCONT')
}

const isStoredOnly = (answer: Answer, ii: number): void => {
  expect({ status: answer.status, body: answer.body }).toMatchObject({ status: 503, body: { stored: true, ii } })
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
}

test('Postgres stands still: domains without a configuration go on; a configured one answers 503 with what is stored, and has it in its tables in the end', async () => {
  const [repeated, left, free] = [randomUUID(), randomUUID(), randomUUID()]
  await write(user, left, SCORE, { points: 1 })
  const key = { 'Idempotency-Key': randomUUID() }
  const goOn = await standStill()
  try {
    const waiting = Promise.all([write(user, repeated, SCORE, { points: 5 }, key), user.set(left, 'points', 6), query(user, 'n')])
    for (let n = 1; n <= 20; n++) expect(await plain.set(n % 2 === 0 ? free : randomUUID(), 'n', n)).toMatchObject({ status: 200 })
    expect((await user.get(left)).status).toBe(200)
    const [first, second, asked] = await waiting
    isStoredOnly(first, 1)
    isStoredOnly(second, 2)
    expect(asked).toMatchObject({ status: 503 })
    expect(asked.headers.get('retry-after')).not.toBeNull()
  } finally {
    goOn()
  }
  await eventually(async () => expect(await write(user, repeated, SCORE, { points: 5 }, key)).toMatchObject({ status: 200, body: { ii: 1, replayed: true } }))
  expect(await rows(user, 'by-id', [repeated])).toEqual([{ points: 5 }])
  // Nobody repeats this one.
  await eventually(async () => expect(await rows(user, 'by-id', [left])).toEqual([{ points: 6 }]))
})

test('kill -9 of npm start in the middle of a configuration: the next start brings it into force, and its report ends', async () => {
  const id = randomUUID()
  await write(user, id, SCORE, { points: 9 })
  const goOn = await standStill()
  let report: string
  try {
    const answer = await putConfig(plain, DOMAIN, yaml('count: SELECT count(*) AS n FROM scores'))
    expect(answer.status).toBe(202)
    report = answer.body.report
    // What it will do stands in the report before it is done.
    await reported(plain, report, ({ tasks }) => tasks.postgres !== undefined)
    await running.kill()
  } finally {
    goOn()
  }
  running = await ServerProcess.start(dataDir, { DATABASE_URL: postgres.url, PORT: String(server.port) })
  const { error, tasks } = await ended(plain, report)
  expect(error).toBeUndefined()
  expect(tasks.postgres.tables.scores.at(-1)).toBe('Done')
  const [{ n }] = await rows(user, 'count')
  expect(n).toBeGreaterThanOrEqual(3)
  expect(await rows(user, 'by-id', [id])).toEqual([{ points: 9 }])
  expect((await query(user, 'n')).status).toBe(404)
})

test('Postgres lost as a whole while nobody ran: the next start makes its tables from what is stored', async () => {
  const before = await rows(user, 'all')
  expect(before.length).toBeGreaterThanOrEqual(3)
  running.signal('SIGTERM')
  expect(await running.exit()).toEqual({ code: 0, signal: null })
  await inPostgres(async (client) => {
    const { rows: databases } = await client.query<{ name: string }>("SELECT datname AS name FROM pg_database WHERE datname ~ '^domain_'")
    expect(databases.length).toBeGreaterThanOrEqual(2)
    for (const { name } of databases) await client.query(`DROP DATABASE "${name}"`)
  })
  running = await ServerProcess.start(dataDir, { DATABASE_URL: postgres.url, PORT: String(server.port) })
  expect((await query(user, 'all')).status).toBe(503)
  await eventually(async () => expect((await query(user, 'all')).status).toBe(200))
  const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1)
  expect((await rows(user, 'all')).toSorted(byId)).toEqual(before.toSorted(byId))
})

test('kill -9 of Postgres under writers: none of their patches is lost, and its tables have them all', async () => {
  const points = new Map<string, number>()
  let [acknowledged, refused, isOver] = [0, 0, false]
  const mirrored = async (repeats: boolean): Promise<void> => {
    let id = randomUUID()
    for (let n = 1; !isOver; n++) {
      const key = { 'Idempotency-Key': randomUUID() }
      const send = (): Promise<Answer> => write(user, id, SCORE, { points: n }, key)
      let answer = await send()
      points.set(id, n)
      const { ii } = answer.body
      while (answer.status !== 200) {
        isStoredOnly(answer, ii)
        refused += 1
        if (!repeats) break
        await passed(100)
        answer = await send()
        expect(answer.body.ii).toBe(ii)
      }
      if (answer.status === 200) acknowledged += 1
      // Who does not repeat leaves the state alone: it heals by itself.
      else id = randomUUID()
      if (!repeats && answer.status !== 200) await passed(100)
    }
  }
  const unmirrored = async (): Promise<void> => {
    const id = randomUUID()
    for (let n = 1; !isOver; n++) expect(await plain.set(id, 'n', n)).toMatchObject({ status: 200, body: { ii: n } })
  }
  const writers = Promise.all([...Array.from({ length: 6 }, (_, n) => mirrored(n % 2 === 0)), unmirrored(), unmirrored()])
  const reaches = (count: () => boolean): Promise<unknown> => Promise.race([writers, eventually(() => expect(count()).toBe(true), 20_000)])
  try {
    await reaches(() => acknowledged >= 60)
    process.kill(postgres.pid, 'SIGKILL')
    await reaches(() => refused > 0)
    const then = acknowledged
    await reaches(() => acknowledged >= then + 60)
  } finally {
    isOver = true
    await writers
  }
  await eventually(async () => {
    const found = new Map((await rows(user, 'all')).map(({ id, points: n }) => [id, n]))
    expect([...points].filter(([id, n]) => found.get(id) !== n)).toEqual([])
  })
  for (const [id, n] of points) expect((await user.get(id)).body.active).toEqual({ points: n })
})
