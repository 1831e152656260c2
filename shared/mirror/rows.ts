/** What a state looks like in its domain's database: its row in `metadata`, and one in each table of its type. */
import type { Column, Table } from '#shared/domain/column-types.ts'
import type { DomainConfig } from '#shared/domain/config.ts'
import { DEFAULT_TABLES, METADATA } from '#shared/domain/default-tables.ts'
import type { Json } from '#shared/json.ts'
import { columnValue, Misfit, type ColumnValue } from '#shared/mirror/values.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

/** A state as it was at `ii`, and its sizes in bytes. */
export type MirroredState = Pick<StateView, 'id' | 'ii' | 'domain' | 'owner' | 'name' | 'activeType' | 'active' | 'created' | 'updated'> & {
  readonly activeSize: number
  readonly storageSize: number
}

export type MirroredTable = { readonly name: string; readonly type: string; readonly columns: readonly MirroredColumn[] }
export type MirroredColumn = Column & { readonly indexed: boolean }

/** The tables of a domain, default ones first. */
export type MirrorTables = { readonly all: readonly MirroredTable[]; readonly byType: ReadonlyMap<string, readonly MirroredTable[]> }

/** A value that does not fit: NULL stands in its place. `reason` shows nothing of the value. */
export type RowFault = { readonly table: string; readonly column: string; readonly reason: string }

export type StateRows = {
  readonly id: string
  readonly ii: number
  /** `active_type` in metadata: which tables have, or had, its rows. Null where no column can hold it; then no table has any. */
  readonly type: string | null
  /** By `METADATA.columns`. */
  readonly metadata: readonly ColumnValue[]
  /** False: `active` was removed (or is null), and so is what tables had of the state. */
  readonly present: boolean
  /** One for each table of its type, in their order, values by the table's columns; none unless present. */
  readonly rows: readonly (readonly ColumnValue[])[]
  readonly faults: readonly RowFault[]
  readonly bytes: number
}

export function mirrorTables(config: DomainConfig | undefined): MirrorTables {
  const all = [...DEFAULT_TABLES, ...(config?.tables ?? [])].map(mirrored)
  const byType = new Map<string, MirroredTable[]>()
  for (const table of all) byType.set(table.type, [...(byType.get(table.type) ?? []), table])
  return { all, byType }
}

/** `active_size` and `storage_size` are both the bytes of `active` as JSON: what is stored of a state is its history, shared with others. */
export function mirroredState(view: StateView): MirroredState {
  const bytes = Buffer.byteLength(view.active)
  return { ...view, activeSize: bytes, storageSize: bytes }
}

const withIndices = (columns: readonly Column[], indices: readonly { readonly column: string }[]): MirroredColumn[] => {
  const indexed = new Set(indices.map(({ column }) => column))
  return columns.map((column) => ({ ...column, indexed: indexed.has(column.name) }))
}

const mirrored = ({ name, type, columns, indices }: Table): MirroredTable => ({ name, type, columns: withIndices(columns, indices) })

const METADATA_COLUMNS = withIndices(METADATA.columns, METADATA.indices)

const NO_TABLES: readonly MirroredTable[] = []

/** `active` is parsed only where a table of the state's type wants it: the cost is then that of the state. */
export function rowsOf(state: MirroredState, tables: MirrorTables): StateRows {
  const faults: RowFault[] = []
  const metadata = metadataOf(state, faults)
  const of = tables.byType.get(state.activeType) ?? NO_TABLES
  const present = state.active !== 'null'
  const active: Json = present && of.length > 0 ? (JSON.parse(state.active) as Json) : null
  const rows = present ? of.map(({ name, columns }) => valuesOf(active, { table: name, columns, faults })) : []
  let bytes = bytesOf(state.id) + 16
  for (const value of metadata) bytes += bytesOf(value)
  for (const values of rows) for (const value of values) bytes += bytesOf(value)
  return { id: state.id, ii: state.ii, type: metadata[0]!, metadata, present, rows, faults, bytes }
}

const INTEGER_MAX = 2_147_483_647

/** By `METADATA.columns`. */
function metadataOf(state: MirroredState, faults: RowFault[]): ColumnValue[] {
  const { activeType, domain, name, owner, updated, created, ii, activeSize, storageSize } = state
  // The guard has to stand in it: two thousand million interactions of one state are not to be expected.
  const values = [activeType, domain, name, owner, updated, created, Math.min(ii, INTEGER_MAX), activeSize, storageSize]
  return METADATA_COLUMNS.map((column, at) => fitting(values[at]!, { table: METADATA.name, column, faults }))
}

function valuesOf(from: Json, { table, columns, faults }: { readonly table: string; readonly columns: readonly MirroredColumn[]; readonly faults: RowFault[] }): ColumnValue[] {
  const members = typeof from === 'object' && from !== null && !Array.isArray(from) ? from : undefined
  // Own members only: `constructor` is a name that a column may have.
  return columns.map((column) => (members !== undefined && Object.hasOwn(members, column.name) ? fitting(members[column.name]!, { table, column, faults }) : null))
}

function fitting(value: Json, { table, column, faults }: { readonly table: string; readonly column: MirroredColumn; readonly faults: RowFault[] }): ColumnValue {
  const fitted = columnValue(value, column.type, column)
  if (!(fitted instanceof Misfit)) return fitted
  faults.push({ table, column: column.name, reason: fitted.reason })
  return null
}

const SHORT = 64

/** What it takes in a statement, at most: to count a short one would cost more than it is worth. */
function bytesOf(value: ColumnValue): number {
  if (value === null) return 4
  return 3 + (value.length <= SHORT ? 3 * value.length : Buffer.byteLength(value))
}
