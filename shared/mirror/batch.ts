/**
 * Writes of the mirror as statements.
 *
 * The guard is `ii` in the row of `metadata`, which every state has and no state loses; no table needs a column of its own
 * for it, so `SELECT *` shows a tenant what it configured. One statement takes states of one type and does all for them:
 * writes their rows in `metadata` where these are older, and for those only, their rows in the tables of the type, the
 * removal of rows whose `active` is gone, and, where `metadata` had another type before, of the rows in that one's tables.
 * Its text depends on the type and the configuration only, so its plan is cached; all values go in arrays.
 *
 * I1  It must run at REPEATABLE READ, by itself (it needs no transaction around it). The type before, and the rows to be
 *     removed, are those of the statement's snapshot. If another writer changes the state in between, the write to `metadata`
 *     meets a row that the snapshot does not have, and Postgres ends the statement with 40001: repeat it. At READ
 *     COMMITTED it would go on, and leave a row behind that it did not see.
 * I2  Ids go up within a statement, and rows of a state are written only after its row of `metadata`: no two
 *     statements wait for each other both ways.
 * I3  A statement has an id once: `newest`.
 */
import { hash } from 'node:crypto'
import { assert } from '#shared/assert.ts'
import { domainBounds } from '#shared/domain/bounds.ts'
import { sqlType } from '#shared/domain/column-types.ts'
import { METADATA } from '#shared/domain/default-tables.ts'
import { inPublic, quoteIdentifier, quoteLiteral } from '#shared/domain/sql-text.ts'
import type { MirroredTable, MirrorTables, StateRows } from '#shared/mirror/rows.ts'
import type { ColumnValue } from '#shared/mirror/values.ts'

/** A `Statement` of `shared/ports/domain-database.ts`. One row comes back: `kept`, how many states it wrote; the others were there, or newer. */
export type MirrorStatement = {
  /** For a prepared statement: equal for equal texts, at most 63 bytes. */
  readonly name: string
  readonly sql: string
  readonly values: readonly (string | boolean | null | readonly (ColumnValue | number | boolean)[])[]
  readonly states: number
  readonly bytes: number
}

/** Texts of one configuration's statements, made when they are needed first. */
export type StatementTexts = { readonly tables: MirrorTables; readonly made: Map<string, { readonly name: string; readonly sql: string }> }

export const statementTexts = (tables: MirrorTables): StatementTexts => ({ tables, made: new Map() })

/** Of each state the write with the highest `ii`, the last of equals, by id. */
export function newest(writes: Iterable<StateRows>): StateRows[] {
  const byId = new Map<string, StateRows>()
  for (const write of writes) {
    const other = byId.get(write.id)
    if (other === undefined || write.ii >= other.ii) byId.set(write.id, write)
  }
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}

/**
 * The statements of one moment's writes, which may run in any order and at once. `writes` were made with `texts.tables`.
 * `repeat`: write rows of the same `ii` again, too (to fill tables that came after them); else that changes nothing.
 */
export function mirrorStatements({ texts, writes, repeat }: { readonly texts: StatementTexts; readonly writes: Iterable<StateRows>; readonly repeat: boolean }): MirrorStatement[] {
  const groups = new Map<string | null, StateRows[]>()
  for (const write of newest(writes)) {
    const group = groups.get(write.type)
    if (group === undefined) groups.set(write.type, [write])
    else group.push(write)
  }
  const statements: MirrorStatement[] = []
  for (const [type, group] of groups) {
    const tables = type === null ? [] : (texts.tables.byType.get(type) ?? [])
    const { name, sql } = textOf(texts, tables.length === 0 ? '' : type!, tables)
    for (const { part, bytes } of parts(group)) statements.push({ name, sql, values: valuesOf({ part, type, tables, repeat }), states: part.length, bytes })
  }
  return statements
}

function parts(group: readonly StateRows[]): { readonly part: StateRows[]; readonly bytes: number }[] {
  const all: { part: StateRows[]; bytes: number }[] = []
  let open: { part: StateRows[]; bytes: number } | undefined
  for (const write of group) {
    if (open === undefined || open.part.length >= domainBounds.statementStates || open.bytes + write.bytes > domainBounds.statementBytes) {
      open = { part: [], bytes: 0 }
      all.push(open)
    }
    open.part.push(write)
    open.bytes += write.bytes
  }
  return all
}

/** Columns of `metadata` that go as arrays of texts; the type is one for all, `ii` has its own. */
const PLAIN = METADATA.columns.map((column, at) => ({ ...column, at })).filter(({ name }) => name !== 'active_type' && name !== 'ii')
/** $1 ids, $2 ii, $3 whether they have rows, $4 type, $5 repeat. */
const FIXED = 5

function valuesOf({ part, type, tables, repeat }: { readonly part: readonly StateRows[]; readonly type: string | null; readonly tables: readonly MirroredTable[]; readonly repeat: boolean }): MirrorStatement['values'] {
  const columns = tables.flatMap(({ columns: of }, table) => of.map((_, column) => part.map(({ rows }) => rows[table]?.[column] ?? null)))
  return [
    part.map(({ id }) => id),
    part.map(({ metadata }) => metadata[METADATA.columns.findIndex(({ name }) => name === 'ii')]!),
    part.map(({ present }) => present),
    type,
    repeat,
    ...PLAIN.map(({ at }) => part.map(({ metadata }) => metadata[at]!)),
    ...columns,
  ]
}

/** `type`: empty for all types without tables, which share their text. */
function textOf({ tables, made }: StatementTexts, type: string, own: readonly MirroredTable[]): { readonly name: string; readonly sql: string } {
  const known = made.get(type)
  if (known !== undefined) return known
  const sql = statementText(own, tables.all.filter((table) => !own.includes(table)))
  const fresh = { name: `mirror_${hash('sha256', sql, 'hex').slice(0, 32)}`, sql }
  made.set(type, fresh)
  return fresh
}

function statementText(own: readonly MirroredTable[], others: readonly MirroredTable[]): string {
  const columns = own.flatMap((table) => table.columns.map((column) => ({ table, column })))
  const arrays = [...PLAIN.map((_, i) => `m${i}`), ...columns.map((_, i) => `c${i}`)]
  const places = arrays.map((_, i) => `$${FIXED + 1 + i}::pg_catalog.text[]`)
  const parts = [
    // Only without its schema may unnest take several lists, and then Postgres takes its own, whatever a tenant's is called.
    `sent AS (SELECT * FROM unnest(${['$1::pg_catalog.text[]', '$2::pg_catalog.int4[]', '$3::pg_catalog.bool[]', ...places].join(', ')}) AS s(${['id', 'ii', 'here', ...arrays].join(', ')}))`,
    `before AS (SELECT m.id, m.active_type FROM public.metadata AS m WHERE m.id = ANY ($1::pg_catalog.text[]))`,
    `kept AS (${upsertMetadata()})`,
    ...own.map((table, i) => `t${i} AS (${upsert(table, columns.flatMap((one, at) => (one.table === table ? [{ ...one.column, from: `c${at}` }] : [])))})`),
    ...own.map(({ name }, i) => `g${i} AS (DELETE FROM ${inPublic(name)} AS t WHERE t.id = ANY (ARRAY(SELECT s.id FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE NOT s.here)))`),
    `parted AS (SELECT b.id, b.active_type FROM before AS b JOIN kept AS k ON k.id = b.id WHERE b.active_type IS DISTINCT FROM $4::pg_catalog.text)`,
    ...others.map(({ name, type }, i) => `p${i} AS (DELETE FROM ${inPublic(name)} AS t WHERE t.id = ANY (ARRAY(SELECT p.id FROM parted AS p WHERE p.active_type = ${quoteLiteral(type)})))`),
  ]
  return `WITH ${parts.join(',\n')}\nSELECT pg_catalog.count(*)::pg_catalog.int4 AS kept FROM kept`
}

function upsertMetadata(): string {
  const named = ['active_type', 'ii', ...PLAIN.map(({ name }) => name)]
  assert(named.length === METADATA.columns.length, 'each column of metadata is written')
  const values = ['$4::pg_catalog.text', 's.ii', ...PLAIN.map(({ type }, i) => `s.m${i}::${sqlType(type)}`)]
  return (
    `INSERT INTO public.metadata AS m (id, ${named.map(quoteIdentifier).join(', ')}) SELECT s.id, ${values.join(', ')} FROM sent AS s ORDER BY s.id ` +
    `ON CONFLICT (id) DO UPDATE SET ${named.map((name) => `${quoteIdentifier(name)} = excluded.${quoteIdentifier(name)}`).join(', ')} ` +
    'WHERE excluded.ii > m.ii OR m.ii IS NULL OR ($5::pg_catalog.bool AND excluded.ii = m.ii) RETURNING m.id'
  )
}

function upsert({ name }: MirroredTable, columns: readonly { readonly name: string; readonly type: MirroredTable['columns'][number]['type']; readonly from: string }[]): string {
  const into = ['id', ...columns.map((column) => quoteIdentifier(column.name))].join(', ')
  const values = ['s.id', ...columns.map(({ from, type }) => `s.${from}::${sqlType(type)}`)].join(', ')
  const set = columns.map((column) => `${quoteIdentifier(column.name)} = excluded.${quoteIdentifier(column.name)}`).join(', ')
  return (
    `INSERT INTO ${inPublic(name)} AS t (${into}) SELECT ${values} FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE s.here ORDER BY s.id ` +
    `ON CONFLICT (id) ${set === '' ? 'DO NOTHING' : `DO UPDATE SET ${set}`}`
  )
}
