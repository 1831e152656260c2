/** Queries that domains have configured, run for a user. */
import { queryOf } from '#shared/domain/config.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { Party } from '../party.ts'
import type { Rebuilds } from './configurations.ts'
import type { InForceDomains } from './in-force.ts'

/** `sqlstate` and `message` are in part the tenant's text. */
export type QueryAnswer =
  | { readonly kind: 'rows'; readonly rows: readonly JsonObject[] }
  /** There is none, or none for this domain's users: the same, so that nobody learns what others have. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'failed'; readonly sqlstate: string; readonly message: string }
  | { readonly kind: 'unavailable'; readonly reason: string }

export class Queries {
  readonly #inForce: InForceDomains
  readonly #database: DomainDatabase
  readonly #rebuilds: Rebuilds

  constructor(options: { readonly inForce: InForceDomains; readonly database: DomainDatabase; readonly rebuilds: Rebuilds }) {
    this.#inForce = options.inForce
    this.#database = options.database
    this.#rebuilds = options.rebuilds
  }

  async run({ caller, name, params, domain }: { readonly caller: Party; readonly name: string; readonly params: readonly Json[]; readonly domain: string }): Promise<QueryAnswer> {
    const present = await this.#inForce.of(domain)
    if (present === 'unavailable') return { kind: 'unavailable', reason: "the domain's configuration cannot be read just now" }
    const query = present === 'none' ? undefined : queryOf(present.config, name)
    if (query === undefined || (domain !== caller.domain && !query.domains.includes(caller.domain))) return { kind: 'unknown' }
    // Half filled, its tables would not have what was acknowledged long ago.
    if (this.#rebuilds.isUnderWay(domain)) return REBUILDING
    const answer = await this.#database.tenantQuery(domain, { sql: query.body, params, requester: caller.user })
    switch (answer.kind) {
      case 'rows':
        return answer
      case 'refused':
        return { kind: 'failed', ...answer.error }
      case 'missing':
        this.#rebuilds.begin(domain)
        return REBUILDING
      case 'unavailable':
        return { kind: 'unavailable', reason: 'the database cannot be asked just now' }
    }
  }
}

const REBUILDING: QueryAnswer = { kind: 'unavailable', reason: "the domain's database is being made anew" }
