/** The tables that every domain has, as on the KnowLearning platform (agent-protocol.md, section 10). */
import type { Column, Index, Table } from '#shared/domain/column-types.ts'

/** `method`: where it is not that of the column's type. */
export type DefaultIndex = Index & { readonly method?: 'brin' }

/** One row a state, whatever its type. Its `ii` guards all tables: see `shared/mirror/batch.ts`. */
export const METADATA = {
  name: 'metadata',
  columns: [
    { name: 'active_type', type: 'TEXT' },
    { name: 'domain', type: 'TEXT' },
    { name: 'name', type: 'TEXT' },
    { name: 'owner', type: 'TEXT' },
    { name: 'updated', type: 'TIMESTAMP' },
    { name: 'created', type: 'TIMESTAMP' },
    { name: 'ii', type: 'INTEGER' },
    { name: 'active_size', type: 'INTEGER' },
    { name: 'storage_size', type: 'INTEGER' },
  ],
  indices: [
    // Every patch changes it: in a B-tree that would cost entries in all indices, each time. This one only knows the first and
    // the last of some pages, which finds what has changed since, and lets the row be changed where it stands.
    { name: 'updated', column: 'updated', method: 'brin' },
    ...['created', 'owner', 'name', 'domain'].map((column) => ({ name: column, column })),
  ],
} as const satisfies { name: string; columns: readonly Column[]; indices: readonly DefaultIndex[] }

export const DEFAULT_TABLES: readonly Table[] = [
  {
    name: 'sessions',
    type: 'application/json;type=session',
    columns: [
      { name: 'session_credential', type: 'TEXT' },
      { name: 'sid_encrypted_info', type: 'TEXT' },
      { name: 'user_id', type: 'TEXT' },
      { name: 'provider', type: 'TEXT' },
      { name: 'loaded', type: 'BIGINT' },
      { name: 'connected', type: 'BIGINT' },
      { name: 'authenticated', type: 'BIGINT' },
    ],
    indices: [],
  },
  {
    name: 'subscriptions',
    type: 'application/json;type=subscription',
    columns: [
      { name: 'scope', type: 'TEXT' },
      { name: 'initialized', type: 'BIGINT' },
      { name: 'synced', type: 'BIGINT' },
    ],
    indices: [],
  },
  {
    name: 'queries',
    type: 'application/json;type=postgres-query',
    columns: [
      { name: 'query', type: 'TEXT' },
      { name: 'domain', type: 'TEXT' },
      { name: 'requested', type: 'BIGINT' },
      { name: 'responded', type: 'BIGINT' },
      { name: 'core_latency', type: 'INTEGER' },
    ],
    indices: [],
  },
  {
    name: 'tags',
    type: 'application/json;type=tag',
    columns: [
      { name: 'context', type: 'TEXT[]' },
      { name: 'tag_type', type: 'TEXT' },
      { name: 'target', type: 'TEXT' },
    ],
    indices: [],
  },
]

export const DEFAULT_TABLE_NAMES: ReadonlySet<string> = new Set([METADATA.name, ...DEFAULT_TABLES.map(({ name }) => name)])
