/**
 * What brings a domain's database from one configuration to another: statements in order, each with the task of the report
 * that it belongs to.
 *
 * All statements of all `steps` run in one transaction (`transact`). Tables are the platform's, and what the domain's role
 * may do with them `ensure` has settled. Functions are made by the domain's role, as its own: no tenant's text ever runs
 * with the platform's rights, and no trigger, default, index or view calls a function of a tenant. Then the tables of `fill`
 * are filled from the states, and after each its `sweep` runs.
 *
 * I1  "from" is what the last plan that was committed led to. Undefined is right for any database: what is lying around in
 *     it makes no statement fail.
 * I2  No value in a table stops a step: what does not fit a new type or index becomes NULL, and `fill` writes it anew.
 */
import { domainBounds } from '#shared/domain/bounds.ts'
import { indexMethod, sqlType, type Column, type ColumnType, type Table } from '#shared/domain/column-types.ts'
import type { DomainConfig, SqlFunction } from '#shared/domain/config.ts'
import { DEFAULT_TABLES, METADATA, type DefaultIndex } from '#shared/domain/default-tables.ts'
import { indexName, inFunctions, inPublic, quoteBody, quoteIdentifier, quoteLiteral } from '#shared/domain/sql-text.ts'
import type { SchemaStatement } from '#shared/ports/domain-database.ts'

export type Task = { readonly kind: 'prepare' } | { readonly kind: 'table'; readonly name: string } | { readonly kind: 'function'; readonly name: string }

/** `title`: what the report says while the statements run, one after the other. */
export type Step = { readonly task: Task; readonly title: string; readonly statements: readonly SchemaStatement[] }

export type MirrorPlan = {
  readonly steps: readonly Step[]
  /**
   * Tables that are then filled from all states of their type (`mirrorStatements` with `repeat`). Which states these are,
   * `metadata` tells, which every mirrored state has its row in; without "from", all of the domain have to be written.
   */
  readonly fill: readonly { readonly table: string; readonly type: string; readonly sweep: string }[]
  /** Every table and function of the report, those without a step too. */
  readonly tasks: { readonly tables: readonly string[]; readonly functions: readonly string[] }
}

const owners = (sqls: readonly string[]): SchemaStatement[] => sqls.map((sql) => ({ sql }))
const tenants = (sqls: readonly string[]): SchemaStatement[] => sqls.map((sql) => ({ sql, as: 'tenant' }))

/** `from`: the configuration in force, undefined for none. `checked`: bodies of functions are taken as they are. */
export function mirrorPlan({ from, to, checked = false }: { readonly from: DomainConfig | undefined; readonly to: DomainConfig; readonly checked?: boolean }): MirrorPlan {
  const before = new Map((from?.tables ?? []).map((table) => [table.name, table]))
  const after = new Set(to.tables.map(({ name }) => name))
  const dropped = [...before.keys()].filter((name) => !after.has(name))
  const changes = to.tables.map((table) => tableChange({ from: before.get(table.name), to: table }))
  const fill = from === undefined ? [...DEFAULT_TABLES, ...to.tables] : to.tables.filter((_, i) => changes[i]!.fill)
  const functionSteps = functionChanges({ from: from?.functions ?? [], to: to.functions, isChecked: checked })
  return {
    steps: [
      prepare(),
      ...dropped.map((name): Step => ({ task: { kind: 'table', name }, title: 'Removing', statements: owners([`DROP TABLE IF EXISTS ${inPublic(name)}`]) })),
      ...changes.flatMap(({ steps }) => steps),
      ...functionSteps,
    ],
    fill: fill.map((table) => ({ table: table.name, type: table.type, sweep: sweep(table) })),
    tasks: {
      tables: [...new Set([...dropped, ...after])].sort(),
      functions: [...new Set([...functionSteps.map(({ task }) => (task.kind === 'function' ? task.name : '')), ...to.functions.map(({ name }) => name)])].sort(),
    },
  }
}

/**
 * Rows of states that are of another type by now: what a writer left that did not know the table, or knew it with another
 * type. Right at any time; needed once after a table was filled.
 */
function sweep({ name, type }: Table): string {
  return `DELETE FROM ${inPublic(name)} AS t WHERE NOT EXISTS (SELECT FROM public.metadata AS m WHERE m.id = t.id AND m.active_type = ${quoteLiteral(type)})`
}

/** The default tables: nothing where they are there. */
function prepare(): Step {
  const tables = [METADATA, ...DEFAULT_TABLES]
  const statements = tables.flatMap((table) => [createTable(table, 'IF NOT EXISTS '), ...table.indices.map((index) => createIndex(table, index))])
  return { task: { kind: 'prepare' }, title: 'Preparing', statements: owners(statements) }
}

type Shape = Pick<Table, 'name' | 'columns'> & { readonly indices: readonly DefaultIndex[] }

const columnText = ({ name, type }: Column): string => `${quoteIdentifier(name)} ${sqlType(type)}`

/** Of a page: in the rest rows are changed where they stand, so that their indices need not hear of it. */
const FILLED_PERCENT = 85

function createTable({ name, columns }: Shape, unless: '' | 'IF NOT EXISTS '): string {
  // Named by us: the name that Postgres would take may be a table's of this domain.
  const key = `"id" ${sqlType('TEXT')} CONSTRAINT ${quoteIdentifier(indexName(name, ''))} PRIMARY KEY`
  return `CREATE TABLE ${unless}${inPublic(name)} (${[key, ...columns.map(columnText)].join(', ')}) WITH (fillfactor=${FILLED_PERCENT})`
}

const methodOf = ({ columns }: Shape, column: string): 'btree' | 'gin' => indexMethod(columns.find(({ name }) => name === column)?.type ?? 'TEXT') ?? 'btree'

function createIndex(table: Shape, { name, column, method }: DefaultIndex): string {
  return `CREATE INDEX IF NOT EXISTS ${quoteIdentifier(indexName(table.name, name))} ON ${inPublic(table.name)} USING ${method ?? methodOf(table, column)} (${quoteIdentifier(column)})`
}

const dropIndex = (table: string, index: string): string => `DROP INDEX IF EXISTS ${inPublic(indexName(table, index))}`

// ---- tables ----

type TableChange = { readonly steps: readonly Step[]; readonly fill: boolean }

function tableChange({ from, to }: { readonly from: Table | undefined; readonly to: Table }): TableChange {
  const task: Task = { kind: 'table', name: to.name }
  if (from === undefined) {
    const statements = owners([`DROP TABLE IF EXISTS ${inPublic(to.name)}`, createTable(to, '')])
    const indices = to.indices.map((index): Step => ({ task, title: `Creating index ${index.name} on ${index.column}`, statements: owners([createIndex(to, index)]) }))
    return { steps: [{ task, title: 'Creating', statements }, ...indices], fill: true }
  }
  const steps: Step[] = []
  const types = new Map(from.columns.map(({ name, type }) => [name, type]))
  const added = to.columns.filter(({ name }) => !types.has(name))
  const cast = to.columns.filter(({ name, type }) => types.has(name) && types.get(name) !== type)
  const same = (a: Table, b: Table, index: { readonly name: string; readonly column: string }): boolean =>
    b.indices.some(({ name, column }) => name === index.name && column === index.column) && !cast.some(({ name }) => name === index.column) && methodOf(a, index.column) === methodOf(b, index.column)
  const oldIndices = from.indices.filter((index) => !same(from, to, index))
  const newIndices = to.indices.filter((index) => !same(to, from, index))
  if (from.type !== to.type) steps.push({ task, title: `Emptying: its type is now ${to.type}`, statements: owners([`TRUNCATE ${inPublic(to.name)}`]) })
  for (const { name } of oldIndices) steps.push({ task, title: `Removing index ${name}`, statements: owners([dropIndex(to.name, name)]) })
  if (added.length + cast.length > 0) steps.push({ task, title: 'Altering', statements: owners(alterations(to.name, { added, cast, types })) })
  for (const index of newIndices) {
    // Of an added column nothing can be too long; of another, what did fit no index would stop this one's making.
    const long = added.some(({ name }) => name === index.column) ? [] : shortened(to, index.column)
    steps.push({ task, title: `Creating index ${index.name} on ${index.column}`, statements: owners([...long, dropIndex(to.name, index.name), createIndex(to, index)]) })
  }
  // An index gone may leave NULLs where it had no room for a text; one that came may have made some, counted when rows are made.
  const fill = from.type !== to.type || added.length + cast.length + oldIndices.length + newIndices.length > 0
  return { steps, fill }
}

function alterations(table: string, { added, cast, types }: { readonly added: readonly Column[]; readonly cast: readonly Column[]; readonly types: ReadonlyMap<string, ColumnType> }): string[] {
  const name = inPublic(table)
  const actions = [
    ...added.map((column) => `ADD COLUMN ${columnText(column)}`),
    ...cast.map((column) => `ALTER COLUMN ${quoteIdentifier(column.name)} TYPE ${sqlType(column.type)} USING ${castOrNull(quoteIdentifier(column.name), types.get(column.name)!, column.type)}`),
  ]
  // Columns that a configuration no longer names stay, with a type of their time and what was in them: one that comes back is made anew.
  const rests = added.map((column) => `DROP COLUMN IF EXISTS ${quoteIdentifier(column.name)}`)
  return [...(rests.length > 0 ? [`ALTER TABLE ${name} ${rests.join(', ')}`] : []), `ALTER TABLE ${name} ${actions.join(', ')}`]
}

/** NULL for texts that no index takes: see `indexedTextBytes`. */
function shortened(table: Table, column: string): string[] {
  const type = table.columns.find(({ name }) => name === column)?.type
  const quoted = quoteIdentifier(column)
  const set = `UPDATE ${inPublic(table.name)} SET ${quoted} = NULL WHERE`
  if (type === 'TEXT') return [`${set} pg_catalog.octet_length(${quoted}) > ${domainBounds.indexedTextBytes}`]
  if (type === 'TEXT[]') return [`${set} EXISTS (SELECT FROM pg_catalog.unnest(${quoted}) AS item WHERE pg_catalog.octet_length(item) > ${domainBounds.indexedTextBytes})`]
  return []
}

/**
 * `column` as the other type where that cannot fail, else NULL: what stands in the table until `fill` has written the row
 * from its state, which is what counts.
 */
function castOrNull(column: string, from: ColumnType, to: ColumnType): string {
  const plain = `${column}::${sqlType(to)}`
  const none = `NULL::${sqlType(to)}`
  const when = (condition: string): string => `CASE WHEN ${condition} THEN ${plain} END`
  switch (to) {
    case 'TEXT':
      return from === 'INTEGER' || from === 'BIGINT' || from === 'BOOLEAN' || from === 'DOUBLE PRECISION' ? plain : none
    case 'INTEGER':
      if (from === 'BIGINT') return when(`${column} BETWEEN -2147483648 AND 2147483647`)
      if (from === 'DOUBLE PRECISION') return when(`${column} BETWEEN -2147483648 AND 2147483647 AND ${column} = pg_catalog.trunc(${column})`)
      return from === 'TEXT' ? when(`${column} ~ '^-?[0-9]{1,9}$'`) : none
    case 'BIGINT':
      if (from === 'INTEGER') return plain
      if (from === 'DOUBLE PRECISION') return when(`${column} BETWEEN -9007199254740991 AND 9007199254740991 AND ${column} = pg_catalog.trunc(${column})`)
      return from === 'TEXT' ? when(`${column} ~ '^-?[0-9]{1,18}$'`) : none
    case 'DOUBLE PRECISION':
      if (from === 'INTEGER' || from === 'BIGINT') return plain
      return from === 'TEXT' ? when(`${column} ~ '^-?[0-9]{1,18}([.][0-9]{1,18})?$'`) : none
    case 'BOOLEAN':
      return from === 'TEXT' ? when(`${column} IN ('true', 'false')`) : none
    case 'JSON':
      return from === 'JSONB' ? plain : none
    case 'TEXT[]':
    case 'TIMESTAMP':
    case 'JSONB':
      return none
  }
}

// ---- functions ----

/**
 * Functions may call each other, in any order: all are made without a look at their bodies, and then each once more with
 * one. PL/pgSQL is read as far as its syntax goes, SQL to the names of tables, columns and functions.
 */
function functionChanges({ from, to, isChecked }: { readonly from: readonly SqlFunction[]; readonly to: readonly SqlFunction[]; readonly isChecked: boolean }): Step[] {
  const before = new Map(from.map((one) => [one.name, JSON.stringify(one)]))
  const after = new Set(to.map(({ name }) => name))
  const task = (name: string): Task => ({ kind: 'function', name })
  // By its name alone: whatever arguments it had, there is one of a name.
  const drop = (name: string): string => `DROP FUNCTION IF EXISTS ${inFunctions(name)}`
  const gone = from.filter(({ name }) => !after.has(name)).map(({ name }): Step => ({ task: task(name), title: 'Deleting', statements: tenants([drop(name)]) }))
  const changed = to.filter((one) => before.get(one.name) !== JSON.stringify(one))
  const made = changed.map((one): Step => ({ task: task(one.name), title: 'Creating', statements: tenants(['SET LOCAL check_function_bodies = off', drop(one.name), createFunction(one)]) }))
  const checked = (isChecked ? [] : changed).filter((one) => !isElided(one)).map((one): Step => ({ task: task(one.name), title: 'Checking', statements: tenants(['SET LOCAL check_function_bodies = on', createFunction(one)]) }))
  return [...gone, ...made, ...checked]
}

/**
 * A body left out with three dots, as in the example that the format is documented with: taken as it is, it fails when it
 * is called, and whoever it would have authorized is refused.
 */
function isElided({ body }: SqlFunction): boolean {
  return /^\s*(?:BEGIN\s+\.\.\.\s+END;?|\.\.\.)\s*$/i.test(body)
}

function createFunction({ name, language, arguments: args, returns, body }: SqlFunction): string {
  const result = returns.kind === 'value' ? sqlType(returns.type) : `TABLE (${returns.columns.map(columnText).join(', ')})`
  // No search_path of its own: it runs with that of the domain's role, and Postgres could not put it into the query that calls it.
  return `CREATE OR REPLACE FUNCTION ${inFunctions(name)}(${args.map(columnText).join(', ')}) RETURNS ${result} LANGUAGE ${language} STABLE SECURITY INVOKER AS ${quoteBody(body)}`
}
