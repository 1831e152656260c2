/** The column types of domain configurations, and what they are called in SQL. */
export const COLUMN_TYPES = ['TEXT', 'TEXT[]', 'INTEGER', 'BIGINT', 'BOOLEAN', 'DOUBLE PRECISION', 'TIMESTAMP', 'JSON', 'JSONB'] as const
export type ColumnType = (typeof COLUMN_TYPES)[number]

export type Column = { readonly name: string; readonly type: ColumnType }

/** A configured index: one column. */
export type Index = { readonly name: string; readonly column: string }

/** `type`: states of this `active_type` have a row each. */
export type Table = {
  readonly name: string
  readonly type: string
  /** Besides `id TEXT PRIMARY KEY`, in the order of the text. */
  readonly columns: readonly Column[]
  readonly indices: readonly Index[]
}

/** Qualified: a tenant's table may be called like a type. */
const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  TEXT: 'pg_catalog.text',
  'TEXT[]': 'pg_catalog.text[]',
  INTEGER: 'pg_catalog.int4',
  BIGINT: 'pg_catalog.int8',
  BOOLEAN: 'pg_catalog.bool',
  'DOUBLE PRECISION': 'pg_catalog.float8',
  TIMESTAMP: 'pg_catalog.timestamp',
  JSON: 'pg_catalog.json',
  JSONB: 'pg_catalog.jsonb',
}

export const sqlType = (type: ColumnType): string => SQL_TYPES[type]

/** `text` as a column type; case does not matter, as in SQL. */
export function parseColumnType(text: string): ColumnType | undefined {
  const upper = text.trim().replace(/\s+/g, ' ').toUpperCase()
  return COLUMN_TYPES.find((type) => type === upper)
}

/**
 * What an index of such a column is; undefined: there is none. Lists and documents are asked for what they hold, which is
 * GIN's work; and B-trees refuse large ones, which would stop the patch.
 */
export function indexMethod(type: ColumnType): 'btree' | 'gin' | undefined {
  switch (type) {
    case 'JSON':
      return undefined
    case 'JSONB':
    case 'TEXT[]':
      return 'gin'
    case 'TEXT':
    case 'INTEGER':
    case 'BIGINT':
    case 'BOOLEAN':
    case 'DOUBLE PRECISION':
    case 'TIMESTAMP':
      return 'btree'
  }
}
