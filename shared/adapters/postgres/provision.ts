/**
 * Making a domain's role and database, and unmaking them: each step says what is there already, so that after a crash,
 * or beside another process that does the same, doing it again finishes it.
 *
 * A database takes connections only when nobody but its domain's role and its owner may connect; that it does says that
 * all before it is done. What stands in it is made in one transaction: the schema `functions` says that it is done.
 */
import type { Client } from 'pg'
import { assert } from '#shared/assert.ts'
import type { Log } from '#shared/log.ts'
import { schemas } from '#shared/ports/domain-database.ts'
import { scramVerifier, type Login } from './login.ts'

export type ServerFacts = {
  readonly version: number
  /** Where `client_connection_check_interval` works. */
  readonly linux: boolean
}

export async function readServerFacts(client: Client): Promise<ServerFacts> {
  const { rows } = await client.query<{ number: string; text: string }>("SELECT current_setting('server_version_num') AS number, version() AS text")
  return { version: Number(rows[0]!.number), linux: rows[0]!.text.includes('linux') }
}

const ROLE = /^domain_[0-9a-f]{32}$/

/** Roles and databases of domains, in a LIKE. */
export const DOMAIN_PATTERN = 'domain\\_%'

/** Closes every database to roles that have no right of their own to it: a domain's role can connect to its own only. */
export async function closeDatabasesToPublic(client: Client, log: Log): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database d
      WHERE datallowconn AND EXISTS (SELECT FROM aclexplode(COALESCE(datacl, acldefault('d', datdba))) a WHERE a.grantee = 0)`,
  )
  for (const { name } of rows) {
    const quoted = `"${name.replaceAll('"', '""')}"`
    try {
      // Our own admission may have been the public one.
      await client.query(`GRANT CONNECT ON DATABASE ${quoted} TO CURRENT_USER`)
      await client.query(`REVOKE CONNECT, TEMPORARY ON DATABASE ${quoted} FROM PUBLIC`)
      const { rows: open } = await client.query("SELECT has_database_privilege('public', $1, 'CONNECT') AS open", [name])
      if ((open[0] as { open: boolean }).open) throw new Error('it belongs to another role')
      log.info({ database: name }, 'a database was open to every role: closed')
    } catch (error) {
      log.warn({ database: name, reason: String(error) }, 'a database is open to the roles of domains: its owner has to REVOKE CONNECT ON DATABASE ... FROM PUBLIC')
    }
  }
}

export async function makeRole(client: Client, { user, password }: Login, connections: number): Promise<'made' | 'found'> {
  assert(ROLE.test(user), 'a domain role')
  const { rows } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [user])
  let made = false
  if (rows.length === 0) {
    made = await unlessThere(
      client.query(
        `CREATE ROLE "${user}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS CONNECTION LIMIT ${connections} PASSWORD '${scramVerifier(password)}'`,
      ),
    )
  }
  // So that we may make functions as it, and end its sessions. Before anything is its own.
  const { rows: member } = await client.query("SELECT pg_has_role($1, 'USAGE') AS member", [user])
  if (!(member[0] as { member: boolean }).member) await unlessThere(client.query(`GRANT "${user}" TO CURRENT_USER`))
  return made ? 'made' : 'found'
}

/** For a role whose password is not the one that the key gives. */
export async function resetPassword(client: Client, { user, password }: Login): Promise<void> {
  assert(ROLE.test(user), 'a domain role')
  await client.query(`ALTER ROLE "${user}" PASSWORD '${scramVerifier(password)}'`)
}

export async function makeDatabase(client: Client, { user }: Login, facts: ServerFacts): Promise<'made' | 'found'> {
  assert(ROLE.test(user), 'a domain role')
  const found = await client.query<{ open: boolean }>('SELECT datallowconn AS open FROM pg_database WHERE datname = $1', [user])
  if (found.rows[0]?.open === true) return 'found'
  // Sorted by code points on every machine: an index must not depend on a C library's version.
  const locale = facts.version >= 170_000 ? "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'" : "LOCALE 'C'"
  const made = found.rows.length === 0 && (await unlessThere(client.query(`CREATE DATABASE "${user}" TEMPLATE template0 ENCODING 'UTF8' ${locale} ALLOW_CONNECTIONS false`)))
  await client.query(`REVOKE ALL ON DATABASE "${user}" FROM PUBLIC`)
  await client.query(`GRANT CONNECT ON DATABASE "${user}" TO "${user}"`)
  await client.query(`ALTER DATABASE "${user}" ALLOW_CONNECTIONS true`)
  return made ? 'made' : 'found'
}

/** In the domain's own database. */
export async function makeSchemas(client: Client, { user }: Login): Promise<void> {
  const { rows } = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [schemas.functions])
  if (rows.length > 0) return
  const { tables, functions } = schemas
  const statements = [
    'BEGIN',
    `CREATE SCHEMA ${functions}`,
    `REVOKE ALL ON SCHEMA ${tables} FROM PUBLIC`,
    `GRANT USAGE ON SCHEMA ${tables} TO "${user}"`,
    // Its functions are its own: SECURITY DEFINER in one of them wins nothing.
    `GRANT USAGE, CREATE ON SCHEMA ${functions} TO "${user}"`,
    `ALTER DEFAULT PRIVILEGES IN SCHEMA ${tables} GRANT SELECT ON TABLES TO "${user}"`,
    'COMMIT',
  ]
  try {
    for (const statement of statements) await client.query(statement)
  } catch (error) {
    await client.query('ROLLBACK')
    // Another process was first.
    if (!isThere(error)) throw error
  }
}

export async function unmake(client: Client, { user }: Login): Promise<void> {
  assert(ROLE.test(user), 'a domain role')
  await client.query(`DROP DATABASE IF EXISTS "${user}" WITH (FORCE)`)
  await client.query(`DROP ROLE IF EXISTS "${user}"`)
}

/** Ends sessions of domains' roles that are older than any query may be: those of a process that was killed. */
export async function endRunaways(client: Client, olderThanMs: number): Promise<number> {
  const { rowCount } = await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE usename LIKE $1 AND pg_has_role(usename, 'USAGE') AND state <> 'idle' AND xact_start < now() - $2 * interval '1 ms'`,
    [DOMAIN_PATTERN, olderThanMs],
  )
  return rowCount ?? 0
}

/** False: another process made it at the same time. */
async function unlessThere(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (isThere(error)) return false
    throw error
  }
}

/** Duplicate role, database, schema; or a catalog's unique index met the same name first. */
function isThere(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === '42710' || code === '42P04' || code === '42P06' || code === '23505' || code === 'XX000'
}
