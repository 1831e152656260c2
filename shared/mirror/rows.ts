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
  const metadata = valuesOf(metadataOf(state), { table: METADATA.name, columns: METADATA_COLUMNS, faults })
  const of = tables.byType.get(state.activeType) ?? NO_TABLES
  const present = state.active !== 'null'
  const active: Json = present && of.length > 0 ? (JSON.parse(state.active) as Json) : null
  const rows = present ? of.map(({ name, columns }) => valuesOf(active, { table: name, columns, faults })) : []
  let bytes = Buffer.byteLength(state.id) + 16
  for (const values of [metadata, ...rows]) for (const value of values) bytes += value === null ? 4 : Buffer.byteLength(value) + 3
  return { id: state.id, ii: state.ii, type: metadata[0]!, metadata, present, rows, faults, bytes }
}

const INTEGER_MAX = 2_147_483_647

function metadataOf(state: MirroredState): Json {
  const { activeType, domain, name, owner, updated, created, ii, activeSize, storageSize } = state
  // The guard has to stand in it: two thousand million interactions of one state are not to be expected.
  return { active_type: activeType, domain, name, owner, updated, created, ii: Math.min(ii, INTEGER_MAX), active_size: activeSize, storage_size: storageSize }
}

function valuesOf(from: Json, { table, columns, faults }: { readonly table: string; readonly columns: readonly MirroredColumn[]; readonly faults: RowFault[] }): ColumnValue[] {
  const members = typeof from === 'object' && from !== null && !Array.isArray(from) ? from : undefined
  return columns.map(({ name, type, indexed }) => {
    // Own members only: `constructor` is a name that a column may have.
    const value = members !== undefined && Object.hasOwn(members, name) ? columnValue(members[name], type, { indexed }) : null
    if (!(value instanceof Misfit)) return value
    faults.push({ table, column: name, reason: value.reason })
    return null
  })
}
