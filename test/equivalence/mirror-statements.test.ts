/** However writes of the mirror come, its rows are those of the newest interactions (shared/mirror/batch.ts). */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import { parseDomainConfig } from '#shared/domain/config.ts'
import { mirrorPlan } from '#shared/domain/mirror-plan.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { mirrorStatements, newest, statementTexts, type MirrorStatement } from '#shared/mirror/batch.ts'
import { mirrorTables, rowsOf, type StateRows } from '#shared/mirror/rows.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import { Random } from '../simulator/random.ts'
import { silentLog, startTestPostgres, type TestPostgres } from '../support/postgres.ts'

const SEED = Number(process.env['MIRROR_SEED'] ?? 1)
const ROUNDS = 60
const IDS = Array.from({ length: 8 }, (_, at) => `id-${at}`)
const TYPES = ['s', 's', 's', 'o', 'none', 'application/json;type=tag']
const ACTIVE = ['{"a":"x","n":1}', '{"a":"\\"\\\\,{}","n":-2,"d":[1]}', '{"n":"no number","tag_type":"t","context":["p",null]}', '{}', '[]', 'null']
const TABLES = ['metadata', 'scores', 'twin', 'others', 'tags']

const parsed = parseDomainConfig('postgres: { tables: { scores: { type: s, columns: { a: TEXT, n: INTEGER }, indices: { n: { column: n } } }, twin: { type: s, columns: {} }, others: { type: o, columns: { d: JSON } } } }')
if (parsed.kind === 'faults') throw new Error(JSON.stringify(parsed.faults))
const { config } = parsed
const texts = statementTexts(mirrorTables(config))

let postgres: TestPostgres
let database: DomainDatabase
beforeAll(async () => {
  postgres = await startTestPostgres()
  database = openDomainDatabase({ admin: postgres.admin, key: randomBytes(32), log: silentLog })
})
afterAll(async () => {
  await database.close()
  await postgres.stop()
})

async function open(domain: string): Promise<void> {
  expect(await database.ensure(domain)).toEqual({ kind: 'ready', created: true })
  for (const { statements } of mirrorPlan({ from: undefined, to: config }).steps) expect(await database.transact(domain, statements)).toMatchObject({ kind: 'done' })
}

/** Until all is written, as the mirror does. Answers how many were so by a statement of the short shape. */
async function store(domain: string, writes: readonly StateRows[], repeat = false): Promise<number> {
  let short = 0
  for (const first of mirrorStatements({ texts, writes, repeat })) {
    for (let statement: MirrorStatement | undefined = first; statement !== undefined; ) {
      const outcome = await database.write(domain, statement)
      if (outcome.kind === 'unavailable') continue
      if (outcome.kind !== 'done') throw new Error(JSON.stringify(outcome))
      const kept = Number(outcome.rows[0]!['kept'])
      if (statement.otherwise !== undefined) short += kept
      statement = kept === statement.states ? undefined : statement.otherwise?.()
    }
  }
  return short
}

async function dump(domain: string): Promise<unknown> {
  const tables = TABLES.map(async (table) => {
    const outcome = await database.write(domain, { sql: `SELECT t::text AS row FROM public.${table} AS t ORDER BY id` })
    if (outcome.kind !== 'done') throw new Error(JSON.stringify(outcome))
    return [table, outcome.rows.map(({ row }) => row)]
  })
  return Object.fromEntries(await Promise.all(tables))
}

const rows = (id: string, ii: number, type: string, active: string): StateRows =>
  rowsOf({ id: id as StateId, ii: ii as InteractionIndex, domain: 'd', owner: 'o', name: `${id} ${ii}`, activeType: type, active, created: 1, updated: 1_000 * ii, activeSize: active.length, storageSize: active.length }, texts.tables)

test(`by two writers at once, late, doubled, of changing types, removed and back: as the newest written alone (MIRROR_SEED=${SEED})`, async () => {
  const random = new Random(SEED)
  await open('kept.example')
  const history = new Map<string, StateRows[]>(IDS.map((id) => [id, []]))
  const stored = new Set<StateRows>()
  let short = 0
  for (let round = 0; round < ROUNDS; round++) {
    const writes = Array.from({ length: random.between(1, 6) }, () => {
      const of = history.get(random.pick(IDS))!
      if (of.length === 0 || random.chance(0.7)) {
        const type = of.length > 0 && random.chance(0.8) ? (of.at(-1)!.type ?? 's') : random.pick(TYPES)
        of.push(rows(IDS[[...history.values()].indexOf(of)]!, of.length + 1, type, random.pick(ACTIVE)))
        if (random.chance(0.8)) return of.at(-1)!
      }
      return random.pick(of)
    })
    for (const write of writes) stored.add(write)
    const both = await Promise.all([store('kept.example', writes), store('kept.example', writes.slice(random.between(0, 2)))])
    short += both[0] + both[1]
  }
  await open('alone.example')
  await store('alone.example', newest(stored), true)
  expect(await dump('kept.example')).toEqual(await dump('alone.example'))
  expect(short).toBeGreaterThan(ROUNDS / 4)
})

test('a row that a table has lost is made with the next interaction', async () => {
  await open('lost.example')
  await store('lost.example', [rows('a', 1, 's', ACTIVE[0]!)])
  await database.write('lost.example', { sql: 'DELETE FROM public.scores' })
  expect(await store('lost.example', [rows('a', 2, 's', ACTIVE[0]!)])).toBe(1)
  expect(await dump('lost.example')).toMatchObject({ scores: ['(a,x,1)'], twin: ['(a)'] })
})
