/**
 * Queries as published agents ask them: those that a domain has configured, and from the admin domain about another domain
 * SQL itself, for its admin.
 */
import type { Json } from '#shared/json.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import type { Rebuilds } from './domains/configurations.ts'
import type { Queries, QueryAnswer } from './domains/queries.ts'
import { isOwner } from './party.ts'
import type { Party } from './party.ts'

/** The one query that the admin domain always has. */
const CURRENT_CONFIG = 'current-config'

export type AgentQueriesParts = {
  readonly queries: Queries
  readonly database: DomainDatabase
  readonly registry: DomainRegistry
  readonly rebuilds: Rebuilds
  readonly adminDomain: string | undefined
  /** Everybody administers every domain, as on one machine. */
  readonly openDomains: boolean
}

type Asked = { readonly caller: Party; readonly name: string; readonly params: readonly Json[]; readonly domain: string }

export class AgentQueries {
  readonly #parts: AgentQueriesParts

  constructor(parts: AgentQueriesParts) {
    this.#parts = parts
  }

  async run(asked: Asked): Promise<QueryAnswer> {
    const { caller, name, domain } = asked
    const { adminDomain, queries } = this.#parts
    if (adminDomain === undefined || caller.domain !== adminDomain) return queries.run(asked)
    if (domain !== adminDomain) return this.#sql(asked)
    return name === CURRENT_CONFIG ? this.#currentConfig(asked) : queries.run(asked)
  }

  async #sql({ caller, name: sql, params, domain }: Asked): Promise<QueryAnswer> {
    const { database, rebuilds } = this.#parts
    const isAdmin = await this.#administers(caller, domain)
    if (isAdmin === undefined) return { kind: 'unavailable', reason: 'the domain cannot be looked up just now' }
    if (!isAdmin) return { kind: 'unknown' }
    if (rebuilds.isUnderWay(domain)) return REBUILDING
    const answer = await database.tenantQuery(domain, { sql, params, requester: caller.user })
    switch (answer.kind) {
      case 'rows':
        return answer
      case 'refused':
        return { kind: 'failed', ...answer.error }
      case 'missing':
        rebuilds.begin(domain)
        return REBUILDING
      case 'unavailable':
        return { kind: 'unavailable', reason: 'the database cannot be asked just now' }
    }
  }

  /** $1: the domain. No row: it has none, or the caller is not its admin. */
  async #currentConfig({ caller, params: [asked] }: Asked): Promise<QueryAnswer> {
    const domain = typeof asked === 'string' ? parseDomain(asked) : undefined
    const isAdmin = domain === undefined ? false : await this.#administers(caller, domain)
    if (domain === undefined || isAdmin === false) return { kind: 'rows', rows: [] }
    const read = await this.#parts.registry.read(domain)
    if (isAdmin === undefined || read.kind === 'failed') return { kind: 'unavailable', reason: 'the domain cannot be looked up just now' }
    const config = read.kind === 'record' ? (read.record.applying ?? read.record.config) : undefined
    return { kind: 'rows', rows: config === undefined ? [] : [{ domain, config: config.state, report: config.report }] }
  }

  /** Undefined: it cannot be looked up now. Nobody administers a domain that has not been claimed. */
  async #administers(caller: Party, domain: string): Promise<boolean | undefined> {
    const read = await this.#parts.registry.read(domain)
    if (read.kind === 'failed') return undefined
    if (read.kind === 'none') return false
    return this.#parts.openDomains || isOwner(caller, { owner: read.record.admin.user, domain: read.record.admin.domain })
  }
}

const REBUILDING: QueryAnswer = { kind: 'unavailable', reason: "the domain's database is being made anew" }
