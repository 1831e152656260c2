/** A mirror that was lost and rebuilt is the mirror that was kept (domains.md, "Mirror"). */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { randomBytes, randomUUID } from 'node:crypto'
import { Client as Postgres } from 'pg'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import { domainLogin } from '#shared/adapters/postgres/login.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { Client } from '../api/client.ts'
import { Tenant, ended, query, write } from '../api/tenant.ts'
import { startMemoryServer } from '../support/memory-server.ts'
import { eventually, silentLog, startTestPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { Random } from '../simulator/random.ts'

const SEED = Number(process.env['MIRROR_SEED'] ?? 1)
const STATES = 40
const PATCHES = 300
const KEY = randomBytes(32)
const TYPES = ['application/json', 'application/json;type=score', 'application/json;type=tag', 'text/plain', 'application/json;type=subscription']
const YAML = `
authorize: { sameDomain: { postgres: may }, write: { sameDomain: { postgres: may } } }
postgres:
  tables:
    scores: { type: application/json;type=score, columns: { a: TEXT, b: INTEGER, c: BIGINT, d: "TEXT[]", e: JSONB, f: TIMESTAMP, g: DOUBLE PRECISION, h: BOOLEAN, i: JSON }, indices: { b: { column: b }, a: { column: a } } }
    tagged: { type: application/json;type=tag, columns: { tag_type: TEXT, a: TEXT } }
  queries: { all: SELECT id FROM metadata }
  functions:
    may: { language: SQL, returns: BOOLEAN, arguments: [{ name: who, type: TEXT }, { name: what, type: TEXT }], body: SELECT EXISTS (SELECT FROM scores WHERE id = what) }
`
const VALUES = [null, true, 'x', 'a\0b', '12', -1, 1.5, 2 ** 40, '9223372036854775807', ['p', null, 'q,"'], [['x']], { k: [1, { '\u00fc': null }] }, 0, '2026-02-03T04:05:06Z', 'x'.repeat(4_000)]

let postgres: TestPostgres
let database: DomainDatabase
/** As another process has it. */
let other: DomainDatabase
let server: Awaited<ReturnType<typeof startMemoryServer>>
beforeAll(async () => {
  postgres = await startTestPostgres()
  const open = (): DomainDatabase => openDomainDatabase({ admin: postgres.admin, key: KEY, log: silentLog })
  database = open()
  other = open()
  server = await startMemoryServer({ mount: 'http', database })
})
afterAll(async () => {
  await server.stop()
  await other.close()
  await postgres.stop()
})

/** All rows of all tables, by table. */
async function dump(domain: string): Promise<{ readonly [table: string]: readonly string[] }> {
  const { admin } = postgres
  const client = new Postgres({ ...admin.server, user: admin.user, password: String(admin.password), database: domainLogin(KEY, domain).user })
  await client.connect()
  try {
    const { rows: tables } = await client.query<{ name: string }>("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    const dumped: [string, readonly string[]][] = []
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM public."${name}" t ORDER BY t.id`)
      dumped.push([name, rows.map(({ row }) => row)])
    }
    return Object.fromEntries(dumped)
  } finally {
    await client.end()
  }
}

/** Patches of every kind; the rules let some of them reach others' states. */
async function live(users: readonly Client[], random: Random): Promise<void> {
  const pick = <T>(items: readonly T[]): T => random.pick(items)
  const ids = Array.from({ length: STATES }, () => randomUUID())
  for (let n = 0; n < PATCHES; n++) {
    const [user, id] = [pick(users), pick(ids)]
    const members = Object.fromEntries(Array.from({ length: 4 }, () => [pick([...'abcdefghi']), pick(VALUES)]))
    switch (random.between(1, 6)) {
      case 6:
        await user.patch(id, [{ op: 'remove', path: ['active'] }])
        break
      case 1:
        await user.rename(id, `name ${random.between(1, 20)}`)
        break
      case 2:
        await user.set(`name ${random.between(1, 20)}`, pick([...'abcdefghi']), pick(VALUES))
        break
      case 3:
        await user.set(id, pick([...'abcdefghi']), pick(VALUES))
        break
      default:
        await write(user, id, pick(TYPES), { ...members, scope: id, tag_type: 't', context: ['x'] })
    }
  }
}

test(`rebuilt = kept, whoever finds that it is gone (MIRROR_SEED=${SEED})`, async () => {
  const tenant = await Tenant.claim(server, 'kept')
  const users = [tenant.admin, await tenant.user(), await tenant.user()]
  const random = new Random(SEED)
  await live(users, random)
  // A function that calls one which goes later: it was checked while that was there.
  const calling = 'calling: { language: SQL, returns: BOOLEAN, arguments: [], body: SELECT gone() }'
  const gone = 'gone: { language: SQL, returns: BOOLEAN, arguments: [], body: SELECT true }'
  const changing = new Set<string>()
  for (const functions of [[gone, calling], [calling]]) {
    const { report } = (await tenant.put(YAML.replace('functions:', ['functions:', ...functions].join('\n    ')))).body
    expect(await ended(tenant.admin, report)).not.toHaveProperty('error')
    changing.add(report)
  }
  await live(users, random)
  const reader = users[1]!
  const { id } = (await write(tenant.admin, randomUUID(), TYPES[1]!, { a: 'read' })).body
  changing.add(id)

  const finders = {
    'a query': async () => (await query(reader, 'all')).status,
    'a patch': async () => (await tenant.admin.patch(id, [{ op: 'test', path: ['active', 'a'], value: 'read' }])).status,
    'a rule': async () => (await reader.get(id)).status,
  }
  for (const [finder, find] of Object.entries(finders)) {
    // What was written off any request's way, as sessions are, is in when nothing changes any more.
    let kept = await dump(tenant.domain)
    await eventually(async () => {
      const before = kept
      kept = await dump(tenant.domain)
      expect(kept).toEqual(before)
      expect(kept['sessions']).toHaveLength(users.length)
    })
    expect(kept['metadata']!.length).toBeGreaterThan(STATES)
    expect(kept['scores']!.length).toBeGreaterThan(5)
    expect(await other.drop(tenant.domain)).toEqual({ kind: 'dropped' })
    expect([finder, await find()]).toEqual([finder, 503])
    await eventually(async () => expect([finder, await find()]).toEqual([finder, 200]))
    await eventually(async () => expect((await query(reader, 'all')).status).toBe(200))
    const rebuilt = await dump(tenant.domain)
    expect(Object.keys(rebuilt)).toEqual(Object.keys(kept))
    for (const table of Object.keys(kept)) expect(without(rebuilt[table]!)).toEqual(without(kept[table]!))
  }

  /** Without what finding it patched, and reports, to which misfits come late. */
  function without(rows: readonly string[]): readonly string[] {
    return rows.filter((row) => !row.includes('type=postgres-query') && !/^\([^,]*,all,/.test(row) && !changing.has(row.slice(1, 37)))
  }
})

test('a database that goes while it is configured is made anew, and the configuration comes into force', async () => {
  const tenant = await Tenant.configured(server, 'dropped', YAML)
  const { id } = (await write(tenant.admin, randomUUID(), TYPES[1]!, { a: 'kept' })).body
  for (let round = 0; round < 2; round++) {
    const yaml = YAML.replace('all: SELECT id FROM metadata', `r${round}: SELECT id FROM added`).replace('    tagged:', `    added: { type: application/json;type=score, columns: { a: TEXT, r${round}: TEXT } }\n    tagged:`)
    const configuring = tenant.admin.call('PUT', `/v1/domains/${tenant.domain}/config`, { raw: yaml, headers: { 'Content-Type': 'application/yaml' } })
    if (round % 2 === 0) await configuring
    await other.drop(tenant.domain)
    const answer = await configuring
    // Before it is begun, the upload may not get its row.
    if (answer.status === 202) expect(await ended(tenant.admin, answer.body.report)).not.toHaveProperty('error')
    else {
      expect(answer.status).toBe(503)
      await eventually(async () => expect((await tenant.put(yaml)).status).toBe(202))
    }
    await eventually(async () => expect((await query(tenant.admin, `r${round}`)).body).toEqual({ rows: [{ id }] }))
  }
})
