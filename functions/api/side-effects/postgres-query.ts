/** `postgres-query`: the rows of a query that a domain has configured. */
import type { Json } from '#shared/json.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import type { Queries } from '../domains/queries.ts'
import { checkQueryActive, faultOf } from '../schemas.ts'
import { done, refused } from './side-effect.ts'
import type { EffectAnswer, Occasion, SideEffect } from './side-effect.ts'

export class PostgresQuery implements SideEffect {
  readonly #queries: Queries

  constructor(parts: { readonly queries: Queries }) {
    this.#queries = parts.queries
  }

  async run({ caller, active }: Occasion): Promise<EffectAnswer> {
    if (!checkQueryActive.Check(active)) return refused('bad-request', faultOf(checkQueryActive, active, 'active'))
    const domain = active.domain === undefined ? caller.domain : parseDomain(active.domain)
    if (domain === undefined) return refused('bad-request', 'active/domain: not a domain')
    const answer = await this.#queries.run({ caller, name: active.query, params: (active.params ?? []) as readonly Json[], domain })
    switch (answer.kind) {
      case 'rows':
        return done({ rows: JSON.stringify(answer.rows) })
      case 'unknown':
        return refused('not-found', 'there is no such query for this domain')
      case 'failed':
        return { ...refused('query-failed', answer.message, answer.sqlstate), members: { sqlstate: answer.sqlstate } }
      case 'unavailable':
        return refused('unavailable', answer.reason)
    }
  }
}
