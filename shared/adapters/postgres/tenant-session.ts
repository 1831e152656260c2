/**
 * Purpose: one SELECT of a tenant's on a connection that is logged in as the domain's role, contained.
 * Owns: nothing between calls. Does not own: the connection, which it gives back clean or cuts off.
 * Talks to: Postgres, on that connection; on another one only to end this one.
 *
 * What contains, from the outside in:
 *  - The role: it may connect to this database, read its tables and call its functions; it owns nothing else, and its
 *    own functions only in a transaction that can write.
 *  - The transaction: read-only, for which it is too late to change after its first snapshot; always rolled back.
 *  - DECLARE CURSOR FOR, by the extended protocol: the text is one SELECT or nothing. No COMMIT, DO, SET, COPY, LISTEN, no
 *    second statement. FETCH bounds the rows, which it gathers first, in a temporary file if they are many; the socket
 *    bounds the bytes: a value of 1 GB is cut off while it arrives.
 *  - The watch: `statement_timeout` cancels, but a function may catch `query_canceled`, or set its own time-out to
 *    nothing; so what has not ended soon after is terminated by the owner, which nothing catches.
 *  - ROLLBACK, a fresh seed for random(), DISCARD ALL: settings, prepared statements, cursors, advisory locks, channels
 *    listened to. What of it fails costs the connection.
 *
 * Not covered: memory of a backend, and the disk of its temporary files, which only the server's own settings can bound
 * (`temp_file_limit`); names of settings that a tenant made up (`my.x`) exist, empty, until the connection is closed.
 */
import type { QueryArrayConfig } from 'pg'
import type { Json, JsonObject } from '#shared/json.ts'
import type { SqlError } from '#shared/ports/domain-database.ts'
import type { Lease } from './connections.ts'
import type { DatabaseLimits } from './database-limits.ts'
import type { ServerFacts } from './provision.ts'
import { faultOf } from './sql-faults.ts'

export type TenantSelect = { readonly sql: string; readonly values: readonly Json[] }

export type TenantAnswer =
  | { readonly kind: 'rows'; readonly rows: readonly JsonObject[] }
  | { readonly kind: 'refused'; readonly error: SqlError }
  | { readonly kind: 'missing' }
  /** The connection broke. `begun`: Postgres had answered on it. */
  | { readonly kind: 'broken'; readonly reason: string; readonly begun: boolean }

/** Settings of the sessions of domains' roles. Any of them a tenant may change for the rest of its one query. */
export function tenantSettings(limits: DatabaseLimits, facts: ServerFacts, searchPath: string): Record<string, string> {
  const hardEndMs = String(limits.tenantMs + limits.tenantGraceMs)
  return {
    search_path: searchPath,
    default_transaction_read_only: 'on',
    statement_timeout: String(limits.tenantMs),
    lock_timeout: String(limits.tenantLockMs),
    idle_in_transaction_session_timeout: hardEndMs,
    // These two end what a killed process left behind.
    ...(facts.version >= 170_000 && { transaction_timeout: hardEndMs }),
    ...(facts.version >= 140_000 && facts.linux && { client_connection_check_interval: '1000' }),
    // A cursor is planned for its first rows, unless told that all are wanted.
    cursor_tuple_fraction: '1',
    max_parallel_workers_per_gather: '0',
    jit: 'off',
    client_min_messages: 'error',
    timezone: 'UTC',
    datestyle: 'ISO',
    standard_conforming_strings: 'on',
  }
}

const TOO_LONG: SqlError = { sqlstate: '57014', message: 'the query took too long' }

export async function selectContained(
  lease: Lease,
  { sql, values }: TenantSelect,
  { limits, terminate }: { readonly limits: DatabaseLimits; /** Ends the session of this process id. */ readonly terminate: (pid: number) => void },
): Promise<TenantAnswer> {
  const { client } = lease
  const { stream } = client.connection
  let cut: 'bytes' | 'time' | undefined
  const cutOff = (why: 'bytes' | 'time'): void => {
    if (cut !== undefined) return
    cut = why
    const pid = (client as unknown as { processID: number | null }).processID
    if (pid !== null) terminate(pid)
    stream.destroy()
  }
  let bytes = 0
  const count = (part: Uint8Array): void => {
    bytes += part.length
    if (bytes > limits.tenantBytes) cutOff('bytes')
  }
  // Before the listener that gathers rows.
  stream.prependListener('data', count)
  const watch = setTimeout(cutOff, limits.tenantMs + limits.tenantGraceMs, 'time')

  let begun = false
  const declare = { text: `DECLARE tenant NO SCROLL CURSOR FOR ${sql}`, values: [...values], queryMode: 'extended' }
  const fetch: QueryArrayConfig = { text: `FETCH FORWARD ${limits.tenantRows + 1} FROM tenant`, rowMode: 'array' }
  const [began, declared, fetched] = await Promise.allSettled([client.query('BEGIN READ ONLY').then(() => (begun = true)), client.query(declare), client.query<Json[]>(fetch)])
  clearTimeout(watch)
  stream.off('data', count)

  if (cut !== undefined) {
    lease.destroy()
    if (cut === 'bytes') return tooLarge(`more than ${limits.tenantBytes} bytes`)
    return begun ? { kind: 'refused', error: TOO_LONG } : { kind: 'broken', reason: 'Postgres does not answer', begun }
  }
  const failure = [began, declared, fetched].find((settled) => settled.status === 'rejected')
  if (failure !== undefined) {
    const fault = faultOf(failure.reason, limits.errorCharacters)
    if (fault.kind === 'statement') {
      void cleanUp(lease, limits, terminate)
      return { kind: 'refused', error: fault.error }
    }
    lease.destroy()
    if (fault.kind === 'missing') return fault
    // transaction_timeout
    if (fault.sqlstate === '25P04') return { kind: 'refused', error: TOO_LONG }
    return { kind: 'broken', reason: fault.reason, begun }
  }
  void cleanUp(lease, limits, terminate)
  const { rows, fields } = (fetched as PromiseFulfilledResult<{ rows: Json[][]; fields: readonly { name: string }[] }>).value
  if (rows.length > limits.tenantRows) return tooLarge(`more than ${limits.tenantRows} rows`)
  const names = fields.map(({ name }) => name)
  // As JSON every row repeats them: 64 KiB of names times 10,000 rows of nothing.
  const namesBytes = names.reduce((sum, name) => sum + Buffer.byteLength(name) + 4, 0)
  if (bytes + rows.length * namesBytes > limits.tenantBytes) return tooLarge(`more than ${limits.tenantBytes} bytes`)
  return { kind: 'rows', rows: asObjects(names, rows) }
}

/** Of columns with one name the last one counts. */
export function asObjects(names: readonly string[], rows: readonly (readonly Json[])[]): JsonObject[] {
  // `fromEntries` defines: a column `__proto__` is a column.
  return rows.map((row) => Object.fromEntries(names.map((name, at) => [name, row[at]!])))
}

function tooLarge(message: string): TenantAnswer {
  return { kind: 'refused', error: { sqlstate: '54000', message: `the result has ${message}` } }
}

/** Off the path of the answer. */
async function cleanUp(lease: Lease, limits: DatabaseLimits, terminate: (pid: number) => void): Promise<void> {
  const { client } = lease
  const watch = setTimeout(() => {
    const pid = (client as unknown as { processID: number | null }).processID
    if (pid !== null) terminate(pid)
    client.connection.stream.destroy()
  }, limits.tenantMs + limits.tenantGraceMs)
  const settled = await Promise.allSettled([client.query(`ROLLBACK; SELECT pg_catalog.setseed(${Math.random()})`), client.query('DISCARD ALL')])
  clearTimeout(watch)
  if (settled.every(({ status }) => status === 'fulfilled')) lease.release()
  else lease.destroy()
}
