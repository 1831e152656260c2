/** What an error of `pg` means. By its fields, not its class: see `system-error.ts`. */
import type { SqlError } from '#shared/ports/domain-database.ts'

export type SqlFault =
  /** Postgres refused this statement, and the connection goes on. */
  | { readonly kind: 'statement'; readonly error: SqlError }
  /** No such database, or no such login. */
  | { readonly kind: 'missing' }
  /** The connection is gone, or was not made. `sqlstate`: where Postgres said why. */
  | { readonly kind: 'connection'; readonly reason: string; readonly sqlstate?: string }

export function faultOf(thrown: unknown, characters: number): SqlFault {
  const { code, severity, message } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as { code?: unknown; severity?: unknown; message?: unknown }
  const text = (typeof message === 'string' ? message : String(thrown)).slice(0, characters)
  if (typeof severity !== 'string' || typeof code !== 'string') return { kind: 'connection', reason: text === '' ? String(code) : text }
  // A tenant's RAISE may take any SQLSTATE, but its severity is ERROR.
  if (severity === 'ERROR') return { kind: 'statement', error: { sqlstate: code, message: text.toWellFormed() } }
  // Of a login: no such database; one that is half made takes no connections; no such role, or another password.
  if (code === '3D000' || code === '55000' || code === '28P01' || code === '28000') return { kind: 'missing' }
  return { kind: 'connection', reason: `${code} ${text}`, sqlstate: code }
}

/**
 * Whether the owner's statement failed for a reason that passes: locks and deadlocks, time-outs, full disks and memory,
 * too many connections, a server that stops, files that cannot be read. No tenant's text runs in the owner's statements.
 */
export function passes(sqlstate: string): boolean {
  return /^(?:40|53|57|58)/.test(sqlstate) || sqlstate === '55P03' || sqlstate === '55006'
}
