/**
 * The databases of domains: one a domain, a mirror of its states. It may be dropped and filled again at any time; no
 * promise depends on it.
 *
 * Two hands work in one. The owner (this platform) makes tables, functions and rows: `transact`, `write`. The tenant
 * (text from the domain's admin, on behalf of any of its users) reads: `tenantQuery`, `tenantFunction`, contained.
 *
 * Tables stand in the schema `tables`, which the owner has as its only one; tenants read all in it. Functions stand in
 * `functions`, made with `as: 'tenant'`, so that no text of a tenant's ever runs with the owner's rights: the owner must
 * give no column default, index expression, check, trigger or statement that calls one.
 *
 * No method rejects for an operating error: outcomes are values.
 */
import type { Json, JsonObject } from '#shared/json.ts'

/** Names in every domain's database. Both are on the tenant's search path, the first one alone is on the owner's. */
export const schemas = { tables: 'public', functions: 'functions' } as const

export type Statement = {
  /** One statement. Names and texts of others are in it by `quoteIdentifier` and as `$1..$n`, never by concatenation. */
  readonly sql: string
  readonly values?: readonly unknown[]
  /** Prepared under this name, once a connection: for texts that are few and come often. One name, one text. */
  readonly name?: string
}

/** `as`: whose rights it runs with. What a tenant's text has part in, CREATE FUNCTION, is the tenant's. */
export type SchemaStatement = Statement & { readonly as?: 'owner' | 'tenant' }

/** What Postgres refused. `message` is in part a tenant's text: hostile, bounded, for logs and for the domain's admin. */
export type SqlError = { readonly sqlstate: string; readonly message: string }

/** `count`: rows that were returned or changed. */
export type StatementResult = { readonly rows: readonly JsonObject[]; readonly count: number }

export type Unavailable =
  /** The domain has no database here: `ensure` it, and fill it. */
  | { readonly kind: 'missing' }
  /** Postgres does not answer, or has no room within the deadline. What was asked for may have been done. */
  | { readonly kind: 'unavailable'; readonly reason: string }

export type EnsureOutcome =
  /** `created`: it was not there before, and is empty. */
  { readonly kind: 'ready'; readonly created: boolean } | { readonly kind: 'unavailable'; readonly reason: string }

export type DropOutcome = { readonly kind: 'dropped' } | { readonly kind: 'unavailable'; readonly reason: string }

export type TransactOutcome =
  | { readonly kind: 'done'; readonly results: readonly StatementResult[] }
  /** Nothing of it is done. `at`: the statement that failed. */
  | { readonly kind: 'refused'; readonly at: number; readonly error: SqlError }
  | Unavailable

export type WriteOutcome = ({ readonly kind: 'done' } & StatementResult) | { readonly kind: 'refused'; readonly error: SqlError } | Unavailable

/** `requester`: the user behind `$REQUESTER`. `$DOMAIN` is the domain whose database is asked. */
export type TenantQuery = { readonly sql: string; readonly params: readonly Json[]; readonly requester: string }

export type QueryOutcome =
  /** BIGINT: number where it is safe, else text; TIMESTAMP: ISO 8601 UTC text; NaN and infinities: null; NUMERIC: text. */
  { readonly kind: 'rows'; readonly rows: readonly JsonObject[] } | { readonly kind: 'refused'; readonly error: SqlError } | Unavailable

export type FunctionOutcome = { readonly kind: 'answer'; readonly value: boolean } | { readonly kind: 'refused'; readonly error: SqlError } | Unavailable

export interface DomainDatabase {
  /** Makes the domain's role and database where they are missing, or half made. Any number of processes may do it at once. */
  ensure(domain: string): Promise<EnsureOutcome>
  /** Removes both, and whoever is connected. */
  drop(domain: string): Promise<DropOutcome>
  /** All statements or none, in one transaction of the owner's. */
  transact(domain: string, statements: readonly SchemaStatement[]): Promise<TransactOutcome>
  /**
   * One statement of the owner's, committed and visible when this says "done"; flushed within a second. It may run more than once (after a deadlock, on a
   * connection that broke): doing it twice must change nothing. Batches lock rows in one order, that of `id`.
   */
  write(domain: string, statement: Statement): Promise<WriteOutcome>
  /**
   * One SELECT of the tenant's: read-only, as a role that has nothing but this database, for a bounded time, with
   * bounded rows and bytes. Nothing that it sets outlives it. Over a bound: `57014` for time, `54000` for size.
   */
  tenantQuery(domain: string, query: TenantQuery): Promise<QueryOutcome>
  /** The tenant's BOOLEAN function `name` of TEXT arguments, contained as a query is. NULL is false. */
  tenantFunction(domain: string, name: string, args: readonly string[]): Promise<FunctionOutcome>
  /** Calls back when Postgres ended connections by itself: what `write` did within the last second may be lost. */
  onInterrupted(listener: () => void): void
  /** Ends all connections; what is under way is cut off. */
  close(): Promise<void>
}

/** `name` as an identifier in SQL. Undefined where Postgres cannot have it: empty, with NUL, over 63 bytes (it would be cut). */
export function quoteIdentifier(name: string): string | undefined {
  if (name === '' || name.includes('\0') || !name.isWellFormed() || new TextEncoder().encode(name).length > 63) return undefined
  return `"${name.replaceAll('"', '""')}"`
}
