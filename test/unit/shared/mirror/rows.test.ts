import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseDomainConfig, type DomainConfig } from '#shared/domain/config.ts'
import { METADATA } from '#shared/domain/default-tables.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { mirroredState, mirrorTables, rowsOf, type MirroredState, type StateRows } from '#shared/mirror/rows.ts'
import { hostileJson, hostileKey, hostileText } from './arbitraries.ts'

function configOf(text: string): DomainConfig {
  const answer = parseDomainConfig(text)
  if (answer.kind === 'faults') throw new Error(JSON.stringify(answer.faults))
  return answer.config
}
const tables = mirrorTables(configOf('postgres: { tables: { a: { type: x, columns: { n: INTEGER, t: TEXT, constructor: TEXT, __proto__: JSON }, indices: { i: { column: t } } }, b: { type: x, columns: { t: TEXT } }, c: { type: y, columns: { t: TEXT } }, extra: { type: "application/json;type=tag", columns: { target: TEXT } } } }'))

const state = (over: Partial<Omit<MirroredState, 'active' | 'id' | 'ii'>> & { active?: Json; ii?: number } = {}): MirroredState => ({
  id: '7d793037-a076-4f2a-9d6c-4e2e8d1a3b0c' as StateId,
  domain: 'app.example.com',
  owner: 'alice',
  name: 'board',
  activeType: 'x',
  created: 1_700_000_000_000,
  updated: 1_700_000_001_000,
  activeSize: 10,
  storageSize: 20,
  ...over,
  ii: (over.ii ?? 7) as InteractionIndex,
  active: JSON.stringify(over.active ?? null),
})
const metadata = (rows: StateRows): Record<string, unknown> => Object.fromEntries(METADATA.columns.map(({ name }, i) => [name, rows.metadata[i]]))

describe('rows of a state', () => {
  test('one in metadata, whatever the type', () => {
    const rows = rowsOf(state({ activeType: 'application/json', active: {} }), tables)
    expect(metadata(rows)).toEqual({
      active_type: 'application/json',
      domain: 'app.example.com',
      name: 'board',
      owner: 'alice',
      updated: '2023-11-14 22:13:21.000',
      created: '2023-11-14 22:13:20.000',
      ii: '7',
      active_size: '10',
      storage_size: '20',
    })
    expect(rows).toMatchObject({ id: '7d793037-a076-4f2a-9d6c-4e2e8d1a3b0c', ii: 7, type: 'application/json', present: true, rows: [], faults: [] })
  })

  test('one in each table of its type, columns from the top level of active', () => {
    const rows = rowsOf(state({ active: { n: 5, t: 'text', deep: { n: 6 } } }), tables)
    expect(tables.byType.get('x')!.map(({ name }) => name)).toEqual(['a', 'b'])
    expect(rows.rows).toEqual([['5', 'text', null, null], ['text']])
  })

  test('own members only, also where their names are special', () => {
    expect(rowsOf(state({ active: {} }), tables).rows[0]).toEqual([null, null, null, null])
    const special = { ...state(), active: '{"__proto__":{"n":1},"constructor":"c"}' }
    expect(rowsOf(special, tables).rows[0]).toEqual([null, null, 'c', '{"n":1}'])
  })

  test('the default tables have the states of their types, configured tables of that type too', () => {
    const of = (activeType: string, active: Json): unknown[] => [tables.byType.get(activeType)!.map(({ name }) => name), rowsOf(state({ activeType, active }), tables).rows]
    expect(of('application/json;type=tag', { context: ['a', null], tag_type: 't', target: 'x' })).toEqual([['tags', 'extra'], [['{"a",NULL}', 't', 'x'], ['x']]])
    expect(of('application/json;type=session', { session_credential: 'c', user_id: 'u', loaded: 2 ** 40 })).toEqual([['sessions'], [['c', null, 'u', null, '1099511627776', null, null]]])
    expect(of('application/json;type=subscription', { scope: 's', synced: 1 })).toEqual([['subscriptions'], [['s', null, '1']]])
    expect(of('application/json;type=postgres-query', { query: 'q', core_latency: 3 })).toEqual([['queries'], [['q', null, null, null, '3']]])
  })

  test('active removed, or null: no rows; another shape than an object: rows of NULLs', () => {
    expect(rowsOf(state({ active: null }), tables)).toMatchObject({ present: false, rows: [], faults: [] })
    for (const active of [[{ n: 1 }], 'text', 0, false, '']) expect(rowsOf(state({ active }), tables)).toMatchObject({ present: true, rows: [[null, null, null, null], [null]], faults: [] })
  })

  test('what does not fit is NULL, and named with its table, column and reason, the value is not', () => {
    const rows = rowsOf(state({ name: 'x'.repeat(2_601), active: { n: 2 ** 31, t: 'secret\0' } }), tables)
    expect(rows.rows).toEqual([[null, null, null, null], [null]])
    expect(metadata(rows)).toMatchObject({ name: null, owner: 'alice' })
    expect(rows.faults).toEqual([
      { table: 'metadata', column: 'name', reason: 'longer than the 2600 bytes that its index takes' },
      { table: 'a', column: 'n', reason: 'out of the range of INTEGER' },
      { table: 'a', column: 't', reason: 'a NUL character' },
      { table: 'b', column: 't', reason: 'a NUL character' },
    ])
  })

  test('an index bounds its own table only', () => {
    const long = 'x'.repeat(3_000)
    expect(rowsOf(state({ active: { t: long } }), tables)).toMatchObject({ rows: [[null, null, null, null], [long]], faults: [{ table: 'a', column: 't' }] })
  })

  test('a type that no column holds has no tables; ii beyond INTEGER stays at its end', () => {
    expect(rowsOf(state({ activeType: 'x\0', active: {} }), tables)).toMatchObject({ type: null, rows: [], faults: [{ table: 'metadata', column: 'active_type' }] })
    expect(metadata(rowsOf(state({ ii: 3_000_000_000 }), tables))).toMatchObject({ ii: '2147483647' })
    expect(rowsOf(state({ ii: 3_000_000_000 }), tables).ii).toBe(3_000_000_000)
  })

  test('sizes of a view are the bytes of its active', () => {
    expect(mirroredState({ ...state({ active: 'ä' }), reserved: false })).toMatchObject({ active: '"ä"', activeSize: 4, storageSize: 4, ii: 7 })
  })

  test('bytes cover what is sent', () => {
    const rows = rowsOf(state({ active: { t: 'ä'.repeat(1_000), __proto__: [] } }), tables)
    const sent = [...rows.metadata, ...rows.rows.flat()].reduce((sum, value) => sum + Buffer.byteLength(value ?? ''), 0)
    expect(rows.bytes).toBeGreaterThan(sent)
    expect(rows.bytes).toBeLessThan(sent + 1_000)
  })

  test('never a throw: each value fits, or is NULL with its fault', () => {
    const active = fc.array(fc.tuple(fc.oneof(hostileKey, fc.constantFrom('n', 't', 'constructor', '__proto__')), hostileJson), { maxLength: 6 }).map((entries) => `{${entries.map(([key, json]) => `${JSON.stringify(key)}:${JSON.stringify(json)}`).join(',')}}`)
    fc.assert(
      fc.property(fc.oneof(active, hostileJson.map((json) => JSON.stringify(json))), fc.constantFrom('x', 'y', 'application/json;type=tag', 'none'), hostileText, fc.oneof(hostileText, fc.constant(null)), (text, activeType, owner, name) => {
        const rows = rowsOf({ ...state({ activeType, owner, name }), active: text }, tables)
        const parsed = JSON.parse(text) as Json
        const members = typeof parsed === 'object' && !Array.isArray(parsed) ? parsed : {}
        expect(rows.present).toBe(parsed !== null)
        const nulls = (tables.byType.get(activeType) ?? []).flatMap((table, at) => table.columns.filter((column, i) => rows.present && rows.rows[at]![i] === null && members !== null && Object.hasOwn(members, column.name) && members[column.name] !== null).map((column) => `${table.name}.${column.name}`))
        expect(rows.faults.filter(({ table }) => table !== 'metadata').map(({ table, column }) => `${table}.${column}`)).toEqual(nulls)
      }),
      { numRuns: 1_500 },
    )
  })
})
