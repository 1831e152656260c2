/**
 * Purpose: the databases of domains in any Postgres that an admin connection reaches: the embedded one, Cloud SQL.
 * Owns: the process's connections to Postgres; which domains this process has made sure of.
 * Does not own: the server; what tables and functions there are (configuration), what rows (mirror).
 * Talks to: Postgres.
 *
 * A domain's database and role have one name, a keyed hash, and the role a password derived from the same key: nothing
 * about domains is kept here. Tenants' SQL runs as that role (`tenant-session.ts`), everything else as the admin, who
 * owns databases and tables and is no superuser.
 *
 * Invariants:
 *  I1  No text of a tenant's runs on a connection of the owner's, but CREATE FUNCTION under the tenant's role.
 *  I2  Every call is answered within the waits for a connection (`leaseMs`, `connectMs`) and the time of its statement,
 *      twice at most, even if Postgres stands still.
 *  I3  "done" and "refused" come from Postgres; whatever is not known is "unavailable".
 */
import { LRUCache } from 'lru-cache'
import type { Client, QueryArrayConfig } from 'pg'
import { unreachable } from '#shared/assert.ts'
import { parseTenantSql, type TenantSql } from '#shared/domain/tenant-sql.ts'
import type { Json } from '#shared/json.ts'
import type { Log } from '#shared/log.ts'
import {
  quoteIdentifier,
  schemas,
  type DomainDatabase,
  type DropOutcome,
  type EnsureOutcome,
  type FunctionOutcome,
  type QueryOutcome,
  type SchemaStatement,
  type SqlError,
  type Statement,
  type StatementResult,
  type TenantQuery,
  type TransactOutcome,
  type Unavailable,
  type WriteOutcome,
} from '#shared/ports/domain-database.ts'
import type { AdminConnection } from './admin-connection.ts'
import { Connections, type Lease, type Target } from './connections.ts'
import { checkDatabaseLimits, databaseLimits, type DatabaseLimits } from './database-limits.ts'
import { domainLogin, type Login } from './login.ts'
import { closeDatabasesToPublic, endRunaways, makeDatabase, makeRole, makeSchemas, readServerFacts, resetPassword, unmake, type ServerFacts } from './provision.ts'
import { faultOf, passes } from './sql-faults.ts'
import { asObjects, selectContained, tenantSettings, type TenantSelect } from './tenant-session.ts'

export type DomainDatabaseOptions = {
  /** Of a server that is still starting: calls wait for it for `leaseMs`. */
  readonly admin: AdminConnection | Promise<AdminConnection>
  /** 32 bytes; with another key the same domains have other databases. */
  readonly key: Uint8Array
  readonly log: Log
  readonly limits?: Partial<DatabaseLimits>
}

/** Connects at the first call. */
export function openDomainDatabase(options: DomainDatabaseOptions): DomainDatabase {
  return new PostgresDomainDatabase(options)
}

type Opened = { readonly admin: AdminConnection; readonly connections: Connections; readonly facts: ServerFacts }

const PARSED = 1_000
const LOGINS = 1_000
const ENSURE_TRIES = 3
const TENANT_PATH = `${schemas.functions},${schemas.tables}`
const MISSING: Unavailable = { kind: 'missing' }

class PostgresDomainDatabase implements DomainDatabase {
  readonly #admin: Promise<AdminConnection>
  readonly #key: Uint8Array
  readonly #log: Log
  readonly #limits: DatabaseLimits
  readonly #parsed = new LRUCache<string, TenantSql>({ max: PARSED })
  readonly #logins = new LRUCache<string, Login>({ max: LOGINS })
  /** Domains that this process has made sure of. */
  readonly #ensured = new Set<string>()
  readonly #ensuring = new Map<string, Promise<EnsureOutcome>>()
  /** Databases are made and dropped one at a time: each takes the disk for itself. */
  #lastOfLine: Promise<unknown> = Promise.resolve()
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined
  #connections: Connections | undefined
  #sweep: NodeJS.Timeout | undefined
  readonly #listeners = new Set<() => void>()
  #askedSinceSweep = false
  #closed = false

  constructor({ admin, key, log, limits }: DomainDatabaseOptions) {
    this.#admin = Promise.resolve(admin)
    // Whoever calls hears of it.
    this.#admin.catch(() => undefined)
    this.#key = key
    this.#log = log
    this.#limits = { ...databaseLimits, ...limits }
    checkDatabaseLimits(this.#limits)
  }

  ensure(domain: string): Promise<EnsureOutcome> {
    if (this.#ensured.has(domain)) return Promise.resolve({ kind: 'ready', created: false })
    const underWay = this.#ensuring.get(domain)
    if (underWay !== undefined) return underWay
    const work = this.#inLine(() => this.#ensure(domain)).finally(() => this.#ensuring.delete(domain))
    this.#ensuring.set(domain, work)
    return work
  }

  drop(domain: string): Promise<DropOutcome> {
    return this.#inLine(async () => {
      this.#ensured.delete(domain)
      const login = this.#login(domain)
      await this.#connections?.evict(login.user)
      const ended = await this.#maintain((client) => unmake(client, login))
      return ended.kind === 'done' ? { kind: 'dropped' } : { kind: 'unavailable', reason: ended.reason }
    })
  }

  async transact(domain: string, statements: readonly SchemaStatement[]): Promise<TransactOutcome> {
    const leased = await this.#leaseOwner(domain)
    if (leased.kind !== 'leased') return leased
    const { client } = leased
    const role = this.#login(domain).user
    const watch = this.#watch(leased, this.#limits.transactMs)
    const results: StatementResult[] = []
    let at = 0
    try {
      await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = ${this.#limits.transactMs}; SET LOCAL lock_timeout = ${this.#limits.transactLockMs}`)
      for (; at < statements.length; at++) {
        const statement = statements[at]!
        const asTenant = statement.as === 'tenant'
        if (asTenant) await client.query(`SET LOCAL ROLE "${role}"; SET LOCAL search_path = ${TENANT_PATH}`)
        results.push(await run(client, statement))
        // Extended protocol: the text was one statement, so that it cannot have taken this back by itself.
        if (asTenant) await client.query(`SET LOCAL ROLE NONE; SET LOCAL search_path = ${schemas.tables}`)
      }
      await client.query('COMMIT')
      leased.release()
      return { kind: 'done', results }
    } catch (thrown) {
      const fault = faultOf(thrown, this.#limits.errorCharacters)
      const clean = fault.kind === 'statement' && (await client.query('ROLLBACK').then(() => true, () => false))
      if (clean) leased.release()
      else leased.destroy()
      if (fault.kind !== 'statement') return this.#unavailable(domain, fault)
      if (passes(fault.error.sqlstate)) return { kind: 'unavailable', reason: `${fault.error.sqlstate} ${fault.error.message}` }
      return { kind: 'refused', at: Math.min(at, statements.length - 1), error: fault.error }
    } finally {
      clearTimeout(watch)
    }
  }

  async write(domain: string, statement: Statement): Promise<WriteOutcome> {
    for (let tries = 1; ; tries++) {
      const leased = await this.#leaseOwner(domain)
      if (leased.kind !== 'leased') return leased
      const watch = this.#watch(leased, this.#limits.writeMs + this.#limits.tenantGraceMs)
      try {
        const result = await run(leased.client, statement)
        leased.release()
        return { kind: 'done', ...result }
      } catch (thrown) {
        const again = tries < this.#limits.writeTries
        const fault = faultOf(thrown, this.#limits.errorCharacters)
        if (fault.kind !== 'statement') {
          leased.destroy()
          // A connection that was idle while the server went away.
          if (fault.kind === 'connection' && !leased.fresh && again) continue
          return this.#unavailable(domain, fault)
        }
        const { sqlstate, message } = fault.error
        // A statement that was prepared before the table changed stays with its connection.
        if (sqlstate === '0A000' && statement.name !== undefined && again) {
          leased.destroy()
          continue
        }
        leased.release()
        if (sqlstate.startsWith('40') && again) continue
        return passes(sqlstate) ? { kind: 'unavailable', reason: `${sqlstate} ${message}` } : { kind: 'refused', error: fault.error }
      } finally {
        clearTimeout(watch)
      }
    }
  }

  async tenantQuery(domain: string, { sql, params, requester }: TenantQuery): Promise<QueryOutcome> {
    // In the protocol it would end the text, and what follows be read as something else.
    if (sql.includes('\0')) return refused('42601', 'the query has a NUL character')
    let parsed = this.#parsed.get(sql)
    if (parsed === undefined) this.#parsed.set(sql, (parsed = parseTenantSql(sql)))
    const { text, positional, named } = parsed
    if (params.length !== positional) return refused('08P01', `the query has ${positional} parameters, ${params.length} were given`)
    return this.#select(domain, { sql: text, values: [...params, ...named.map((name) => (name === 'DOMAIN' ? domain : requester))] })
  }

  async tenantFunction(domain: string, name: string, args: readonly string[]): Promise<FunctionOutcome> {
    const quoted = quoteIdentifier(name)
    if (quoted === undefined) return refused('42883', 'no function has such a name')
    const parameters = args.map((_, at) => `$${at + 1}::text`).join(', ')
    const outcome = await this.#select(domain, { sql: `SELECT ${schemas.functions}.${quoted}(${parameters}) AS answer`, values: args })
    return outcome.kind === 'rows' ? { kind: 'answer', value: outcome.rows.length === 1 && outcome.rows[0]!.answer === true } : outcome
  }

  onInterrupted(listener: () => void): void {
    this.#listeners.add(listener)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweep)
    await this.#connections?.close()
  }

  async #select(domain: string, select: TenantSelect): Promise<QueryOutcome> {
    this.#askedSinceSweep = true
    for (let tries = 1; ; tries++) {
      const leased = await this.#lease(domain, ({ facts }) => this.#tenantTarget(this.#login(domain), facts))
      if (leased.kind !== 'leased') return leased
      const answer = await selectContained(leased, select, { limits: this.#limits, terminate: (pid) => this.#terminate(domain, pid) })
      switch (answer.kind) {
        case 'rows':
        case 'refused':
          return answer
        case 'missing':
          return this.#unavailable(domain, answer)
        case 'broken':
          if (!answer.begun && !leased.fresh && tries === 1) continue
          return { kind: 'unavailable', reason: answer.reason }
        default:
          return unreachable(answer)
      }
    }
  }

  async #ensure(domain: string): Promise<EnsureOutcome> {
    const login = this.#login(domain)
    for (let tries = 1; ; tries++) {
      let created = false
      let roleFound = false
      const made = await this.#maintain(async (client, { facts }) => {
        roleFound = (await makeRole(client, login, this.#limits.tenantConnectionsOnServer)) === 'found'
        created = (await makeDatabase(client, login, facts)) === 'made'
      })
      const ended = made.kind === 'done' ? await this.#finishInside(domain, login, roleFound) : made
      if (ended.kind === 'done') {
        this.#ensured.add(domain)
        return { kind: 'ready', created }
      }
      // Another process that does the same makes catalogs' rows move under us.
      if (ended.again !== true || tries === ENSURE_TRIES || this.#closed) return { kind: 'unavailable', reason: ended.reason }
    }
  }

  async #finishInside(domain: string, login: Login, roleFound: boolean): Promise<Done> {
    const owner = await this.#leaseOwner(domain)
    if (owner.kind !== 'leased') return failedWith(owner)
    const made = await this.#useOnce(owner, this.#limits.ensureMs, (client) => makeSchemas(client, login))
    if (made.kind !== 'done' || !roleFound) return made
    // A role from before the key was replaced has another password: here it shows.
    const tenant = await this.#lease(domain, ({ facts }) => this.#tenantTarget(login, facts))
    if (tenant.kind === 'leased') {
      tenant.release()
      return made
    }
    if (tenant.kind === 'unavailable') return failedWith(tenant)
    return this.#maintain((client) => resetPassword(client, login))
  }

  /** One of the makers of `provision.ts` on a connection to the database that holds nothing. */
  async #maintain(work: (client: Client, opened: Opened) => Promise<unknown>): Promise<Done> {
    const opened = await this.#open()
    if ('reason' in opened) return { kind: 'unavailable', reason: opened.reason }
    const leased = await opened.connections.lease(maintenanceTarget(opened.admin))
    if (leased.kind !== 'leased') return { kind: 'unavailable', reason: reasonOf(leased.error) }
    return this.#useOnce(leased, this.#limits.ensureMs, (client) => work(client, opened))
  }

  async #useOnce(leased: Lease, ms: number, work: (client: Client) => Promise<unknown>): Promise<Done> {
    const watch = this.#watch(leased, ms)
    try {
      await work(leased.client)
      leased.release()
      return { kind: 'done' }
    } catch (thrown) {
      leased.destroy()
      const fault = faultOf(thrown, this.#limits.errorCharacters)
      switch (fault.kind) {
        case 'statement':
          return { kind: 'unavailable', reason: `${fault.error.sqlstate} ${fault.error.message}`, again: true }
        case 'missing':
          return failedWith(fault)
        case 'connection':
          return { kind: 'unavailable', reason: fault.reason }
        default:
          return unreachable(fault)
      }
    } finally {
      clearTimeout(watch)
    }
  }

  #inLine<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastOfLine.then(work)
    this.#lastOfLine = turn.catch(() => undefined)
    return turn
  }

  /** I2: whatever Postgres does. What is cut off by it may go on there until its own time-out. */
  #watch(leased: Lease, ms: number): NodeJS.Timeout {
    return setTimeout(() => leased.client.connection.stream.destroy(), ms)
  }

  #leaseOwner(domain: string): Promise<Lease | Unavailable> {
    return this.#lease(domain, ({ admin }) => ({
      kind: 'owner',
      database: this.#login(domain).user,
      user: admin.user,
      password: admin.password,
      settings: { search_path: schemas.tables, statement_timeout: String(this.#limits.writeMs), lock_timeout: String(this.#limits.transactLockMs), ...MIRROR_SETTINGS, ...OWNER_SETTINGS },
    }))
  }

  /** Two keyed hashes: what is asked for with every write is kept. */
  #login(domain: string): Login {
    let login = this.#logins.get(domain)
    if (login === undefined) this.#logins.set(domain, (login = domainLogin(this.#key, domain)))
    return login
  }

  #tenantTarget({ user, password }: Login, facts: ServerFacts): Target {
    return { kind: 'tenant', database: user, user, password, settings: tenantSettings(this.#limits, facts, TENANT_PATH) }
  }

  async #lease(domain: string, targetOf: (opened: Opened) => Target): Promise<Lease | Unavailable> {
    const opened = await this.#open()
    if ('reason' in opened) return { kind: 'unavailable', reason: opened.reason }
    const leased = await opened.connections.lease(targetOf(opened))
    return leased.kind === 'leased' ? leased : this.#unavailable(domain, faultOf(leased.error, this.#limits.errorCharacters))
  }

  #unavailable(domain: string, fault: { readonly kind: 'missing' } | { readonly kind: 'connection'; readonly reason: string } | { readonly kind: 'statement'; readonly error: SqlError }): Unavailable {
    switch (fault.kind) {
      case 'missing':
        // It was dropped by another process.
        this.#ensured.delete(domain)
        return MISSING
      case 'connection':
        return { kind: 'unavailable', reason: fault.reason }
      case 'statement':
        return { kind: 'unavailable', reason: `${fault.error.sqlstate} ${fault.error.message}` }
      default:
        return unreachable(fault)
    }
  }

  /** The server, once it is there; asked again at the next call if it was not. */
  async #open(): Promise<Opened | { readonly reason: string }> {
    if (this.#closed) return { reason: 'closed' }
    if (this.#opened !== undefined) return this.#opened
    this.#opening ??= this.#connectFirst().catch((thrown: unknown) => {
      this.#opening = undefined
      throw thrown
    })
    const late = Promise.withResolvers<{ reason: string }>()
    const timer = setTimeout(late.resolve, this.#limits.leaseMs, { reason: 'Postgres is not ready yet' })
    try {
      return await Promise.race([this.#opening, late.promise])
    } catch (thrown) {
      return { reason: reasonOf(thrown) }
    } finally {
      clearTimeout(timer)
    }
  }

  async #connectFirst(): Promise<Opened> {
    const admin = await this.#admin
    const connections = (this.#connections ??= new Connections(admin.server, this.#limits, () => {
      for (const listener of this.#listeners) listener()
    }))
    const leased = await connections.lease(maintenanceTarget(admin))
    if (leased.kind !== 'leased') throw leased.error
    const watch = this.#watch(leased, this.#limits.ensureMs)
    try {
      const facts = await readServerFacts(leased.client)
      await closeDatabasesToPublic(leased.client, this.#log)
      leased.release()
      const opened = { admin, connections, facts }
      if (!this.#closed) this.#beginSweeps(opened)
      this.#opened = opened
      return opened
    } catch (thrown) {
      leased.destroy()
      throw thrown
    } finally {
      clearTimeout(watch)
    }
  }

  /** Statements of a process that was killed go on, and can undo what should end them: any process ends them. */
  #beginSweeps({ admin, connections }: Opened): void {
    const sweep = async (): Promise<void> => {
      const leased = await connections.lease(maintenanceTarget(admin))
      if (leased.kind !== 'leased') return
      const ended = await this.#useOnce(leased, this.#limits.ensureMs, async (client) => {
        const runaways = await endRunaways(client, 2 * (this.#limits.tenantMs + this.#limits.tenantGraceMs) + 2 * this.#limits.leaseMs)
        if (runaways > 0) this.#log.warn({ runaways }, "tenants' statements that outlived their process were ended")
      })
      if (ended.kind !== 'done') this.#log.warn({ reason: ended.reason }, "tenants' statements that outlived their process were not looked for")
    }
    this.#sweep = setInterval(() => {
      if (!this.#askedSinceSweep) return
      this.#askedSinceSweep = false
      void sweep()
    }, this.#limits.sweepMs).unref()
    void sweep()
  }

  #terminate(domain: string, pid: number): void {
    const role = this.#login(domain).user
    // The number may be another session's by now, but not one of this role's that does no harm to end.
    void this.#maintain((client) => client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = $2', [pid, role])).then((ended) => {
      if (ended.kind !== 'done') this.#log.warn({ reason: ended.reason }, "a tenant's statement could not be ended")
    })
  }
}

/** `again`: Postgres refused a statement, which another try may not meet. */
type Done = { readonly kind: 'done' } | { readonly kind: 'unavailable'; readonly reason: string; readonly again?: boolean }

/**
 * Statements of the mirror end with 40001 rather than leave what they did not see (shared/mirror/batch.ts), and are visible
 * before they are flushed: rows can be made again, and whoever writes them hears of a crash (`onInterrupted`).
 */
const MIRROR_SETTINGS = { default_transaction_isolation: 'repeatable read', synchronous_commit: 'off', plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off' }
const OWNER_SETTINGS = { timezone: 'UTC', datestyle: 'ISO', standard_conforming_strings: 'on', jit: 'off' }

function maintenanceTarget(admin: AdminConnection): Target {
  return { kind: 'maintenance', database: admin.database, user: admin.user, password: admin.password, settings: OWNER_SETTINGS }
}

async function run(client: Client, { sql, values = [], name }: Statement): Promise<StatementResult> {
  const config: QueryArrayConfig & { queryMode: 'extended' } = { text: sql, values: [...values], rowMode: 'array', queryMode: 'extended', ...(name !== undefined && { name }) }
  const { rows, fields, rowCount } = await client.query<Json[]>(config)
  return { rows: asObjects(fields.map((field) => field.name), rows), count: rowCount ?? 0 }
}

function refused(sqlstate: string, message: string): { readonly kind: 'refused'; readonly error: SqlError } {
  return { kind: 'refused', error: { sqlstate, message } }
}

function failedWith(outcome: Unavailable): { readonly kind: 'unavailable'; readonly reason: string } {
  return outcome.kind === 'unavailable' ? outcome : { kind: 'unavailable', reason: 'the database is not there' }
}

function reasonOf(thrown: unknown): string {
  const fault = faultOf(thrown, databaseLimits.errorCharacters)
  return fault.kind === 'connection' ? fault.reason : fault.kind === 'missing' ? 'the login was refused, or the database is missing' : `${fault.error.sqlstate} ${fault.error.message}`
}
