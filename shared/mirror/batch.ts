/**
 * Writes of the mirror as statements.
 *
 * The guard is `ii` in the row of `metadata`, which every state has and no state loses; no table needs a column of its own
 * for it, so `SELECT *` shows a tenant what it configured. One statement takes states of one type, in one of two shapes:
 *
 * The whole one does all for them: writes their rows in `metadata` where these are older, and for those only, their rows in
 * the tables of the type, the removal of rows whose `active` is gone, and, where `metadata` had another type before, of the
 * rows in that one's tables.
 * The next one is what nearly all patches need, at half the cost: it moves rows of `metadata` on that are older and of the
 * type already, and writes the rows in its tables. It says how many it found so; where these are not all, the whole one
 * follows, which passes over those that are done.
 *
 * Texts depend on the type and the configuration only, so plans are cached; all values go in arrays.
 *
 * I1  It must run at REPEATABLE READ, by itself (it needs no transaction around it). The type before, and the rows to be
 *     removed, are those of the statement's snapshot. If another writer changes the state in between, the write to `metadata`
 *     meets a row that the snapshot does not have, and Postgres ends the statement with 40001: repeat it. At READ
 *     COMMITTED it would go on, and leave a row behind that it did not see.
 * I2  Ids go up within a statement, and rows of a state are written only after its row of `metadata`: no two
 *     statements wait for each other both ways. (In the next one by its plan, which takes what was sent as it comes.)
 * I3  A statement has an id once: `newest`.
 */
import { hash } from 'node:crypto'
import { assert } from '#shared/assert.ts'
import { domainBounds } from '#shared/domain/bounds.ts'
import { sqlType, type Column } from '#shared/domain/column-types.ts'
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
  /** What has to follow where `kept` is less than `states`; undefined: nothing. */
  readonly otherwise: (() => MirrorStatement) | undefined
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
  const groups: Readonly<Record<Shape, Map<string | null, StateRows[]>>> = { whole: new Map(), next: new Map() }
  for (const write of newest(writes)) {
    const { type } = write
    const of = groups[!repeat && write.ii > 1 && write.present && type !== null ? 'next' : 'whole']
    const group = of.get(type)
    if (group === undefined) of.set(type, [write])
    else group.push(write)
  }
  const statements: MirrorStatement[] = []
  for (const group of groups.whole.values()) for (const part of parts(group)) statements.push(statement(texts, 'whole', part, repeat))
  for (const group of groups.next.values()) {
    for (const part of parts(group)) statements.push({ ...statement(texts, 'next', part, repeat), otherwise: () => statement(texts, 'whole', part, repeat) })
  }
  return statements
}

type Shape = 'whole' | 'next'
/** Of one type. */
type Part = { readonly part: StateRows[]; readonly bytes: number }

function statement(texts: StatementTexts, shape: Shape, { part, bytes }: Part, repeat: boolean): MirrorStatement {
  const { type } = part[0]!
  const tables = type === null ? [] : (texts.tables.byType.get(type) ?? [])
  const { name, sql } = textOf(texts, shape, tables.length === 0 ? '' : type!, tables)
  const [ids, ii] = [part.map(({ id }) => id), part.map(({ metadata }) => metadata[II]!)]
  const first = shape === 'next' ? [ids, ii, type] : [ids, ii, part.map(({ present }) => present), type, repeat]
  const columns = tables.flatMap(({ columns: of }, table) => of.map((_, column) => part.map(({ rows }) => rows[table]?.[column] ?? null)))
  const values = [...first, ...(shape === 'next' ? MOVING : PLAIN).map(({ at }) => part.map(({ metadata }) => metadata[at]!)), ...columns]
  return { name, sql, values, states: part.length, bytes, otherwise: undefined }
}

function parts(group: readonly StateRows[]): Part[] {
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

const II = METADATA.columns.findIndex(({ name }) => name === 'ii')
/** Columns of `metadata` that go as arrays of texts; the type is one for all, `ii` has its own. */
const PLAIN = METADATA.columns.map((column, at) => ({ ...column, at })).filter(({ name }) => name !== 'active_type' && name !== 'ii')
/** The others are for ever as the state's creation has them. */
const MOVING = PLAIN.filter(({ name }) => name !== 'domain' && name !== 'owner' && name !== 'created')

/** `type`: empty for all types without tables, which share their text. */
function textOf({ tables, made }: StatementTexts, shape: Shape, type: string, own: readonly MirroredTable[]): { readonly name: string; readonly sql: string } {
  const key = `${shape} ${type}`
  const known = made.get(key)
  if (known !== undefined) return known
  const sql = shape === 'next' ? nextText(own) : wholeText(own, tables.all.filter((table) => !own.includes(table)))
  const fresh = { name: `mirror_${hash('sha256', sql, 'hex').slice(0, 32)}`, sql }
  made.set(key, fresh)
  return fresh
}

/** What was sent, from place `from` on: lists of texts, `m0...` of metadata and `c0...` of the tables. */
function lists({ metadata, columns, from }: { readonly metadata: readonly Column[]; readonly columns: readonly Column[]; readonly from: number }): { readonly names: string[]; readonly places: string[] } {
  const names = [...metadata.map((_, i) => `m${i}`), ...columns.map((_, i) => `c${i}`)]
  return { names, places: names.map((_, i) => `$${from + i}::pg_catalog.text[]`) }
}

const overwritten = (name: string): string => `${quoteIdentifier(name)} = excluded.${quoteIdentifier(name)}`
const KEPT = 'SELECT pg_catalog.count(*)::pg_catalog.int4 AS kept FROM kept'
/** Only without its schema may unnest take several lists, and then Postgres takes its own, whatever a tenant's is called. */
const unnest = (places: readonly string[], names: readonly string[]): string => `unnest(${places.join(', ')}) AS s(${names.join(', ')})`

/** $1 ids, $2 ii, $3 type. */
function nextText(own: readonly MirroredTable[]): string {
  const columns = columnsOf(own)
  const { names, places } = lists({ metadata: MOVING, columns, from: 4 })
  const from = unnest(['$1::pg_catalog.text[]', '$2::pg_catalog.int4[]', ...places], ['id', 'ii', ...names])
  const set = MOVING.map(({ name, type }, i) => `${quoteIdentifier(name)} = s.m${i}::${sqlType(type)}`)
  const parts = [
    `kept AS (UPDATE public.metadata AS m SET "ii" = s.ii, ${set.join(', ')} FROM ${from} WHERE m.id = s.id AND s.ii > m.ii AND m.active_type = $3::pg_catalog.text RETURNING ${['s.id', ...columns.map((_, i) => `s.c${i}`)].join(', ')})`,
    ...own.map((table, i) => `t${i} AS (${upsert(table, columns, 'k', 'FROM kept AS k')})`),
  ]
  return `WITH ${parts.join(',\n')}\n${KEPT}`
}

/** $1 ids, $2 ii, $3 whether they have rows, $4 type, $5 repeat. */
function wholeText(own: readonly MirroredTable[], others: readonly MirroredTable[]): string {
  const columns = columnsOf(own)
  const { names, places } = lists({ metadata: PLAIN, columns, from: 6 })
  const sent = unnest(['$1::pg_catalog.text[]', '$2::pg_catalog.int4[]', '$3::pg_catalog.bool[]', ...places], ['id', 'ii', 'here', ...names])
  const parts = [
    `sent AS (SELECT * FROM ${sent})`,
    `before AS (SELECT m.id, m.active_type FROM public.metadata AS m WHERE m.id = ANY ($1::pg_catalog.text[]))`,
    `kept AS (${upsertMetadata()})`,
    ...own.map((table, i) => `t${i} AS (${upsert(table, columns, 's', 'FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE s.here ORDER BY s.id')})`),
    ...own.map(({ name }, i) => `g${i} AS (DELETE FROM ${inPublic(name)} AS t WHERE t.id = ANY (ARRAY(SELECT s.id FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE NOT s.here)))`),
    `parted AS (SELECT b.id, b.active_type FROM before AS b JOIN kept AS k ON k.id = b.id WHERE b.active_type IS DISTINCT FROM $4::pg_catalog.text)`,
    ...others.map(({ name, type }, i) => `p${i} AS (DELETE FROM ${inPublic(name)} AS t WHERE t.id = ANY (ARRAY(SELECT p.id FROM parted AS p WHERE p.active_type = ${quoteLiteral(type)})))`),
  ]
  return `WITH ${parts.join(',\n')}\n${KEPT}`
}

function upsertMetadata(): string {
  const named = ['active_type', 'ii', ...PLAIN.map(({ name }) => name)]
  assert(named.length === METADATA.columns.length, 'each column of metadata is written')
  const values = ['$4::pg_catalog.text', 's.ii', ...PLAIN.map(({ type }, i) => `s.m${i}::${sqlType(type)}`)]
  return (
    `INSERT INTO public.metadata AS m (id, ${named.map(quoteIdentifier).join(', ')}) SELECT s.id, ${values.join(', ')} FROM sent AS s ORDER BY s.id ` +
    `ON CONFLICT (id) DO UPDATE SET ${named.map(overwritten).join(', ')} ` +
    'WHERE excluded.ii > m.ii OR m.ii IS NULL OR ($5::pg_catalog.bool AND excluded.ii = m.ii) RETURNING m.id'
  )
}

type SentColumn = Column & { readonly table: MirroredTable }

const columnsOf = (own: readonly MirroredTable[]): SentColumn[] => own.flatMap((table) => table.columns.map((column) => ({ ...column, table })))

/** `columns`: those of all tables of the type, in the order in which they were sent; `rows` has them, as `from`'s. */
function upsert(table: MirroredTable, columns: readonly SentColumn[], from: string, rows: string): string {
  const own = columns.flatMap((column, at) => (column.table === table ? [{ ...column, at }] : []))
  const into = ['id', ...own.map(({ name }) => quoteIdentifier(name))].join(', ')
  const values = [`${from}.id`, ...own.map(({ at, type }) => `${from}.c${at}::${sqlType(type)}`)].join(', ')
  const set = own.map(({ name }) => overwritten(name)).join(', ')
  return `INSERT INTO ${inPublic(table.name)} AS t (${into}) SELECT ${values} ${rows} ON CONFLICT (id) ${set === '' ? 'DO NOTHING' : `DO UPDATE SET ${set}`}`
}
