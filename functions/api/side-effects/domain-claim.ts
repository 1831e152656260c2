/** `domain-claim`: begins the claim of a domain, with a token for it to show and a report to follow. */
import { parseStateId } from '#shared/ids.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import type { Claims } from '../domains/claims.ts'
import type { EffectIds } from '../effect-ids.ts'
import { checkClaimActive, faultOf } from '../schemas.ts'
import { done, refused } from './side-effect.ts'
import type { EffectAnswer, Occasion, SideEffect } from './side-effect.ts'

export class DomainClaim implements SideEffect {
  readonly #claims: Claims
  readonly #ids: EffectIds

  constructor(parts: { readonly claims: Claims; readonly ids: EffectIds }) {
    this.#claims = parts.claims
    this.#ids = parts.ids
  }

  async run({ caller, id, ii, active }: Occasion): Promise<EffectAnswer> {
    if (!checkClaimActive.Check(active)) return refused('bad-request', faultOf(checkClaimActive, active, 'active'))
    const domain = parseDomain(active.domain)
    if (domain === undefined) return refused('bad-request', 'active/domain: not a domain')
    const report = active.report === undefined ? this.#ids.of('report', id, String(ii)) : parseStateId(active.report)
    if (report === undefined) return refused('bad-request', 'active/report: a UUID of version 1 to 5')
    const token = this.#ids.of('claim token', id, String(ii))
    const answer = await this.#claims.begin({ domain, caller: { user: caller.user, domain: caller.domain }, token, report })
    switch (answer) {
      case 'claimed':
      case 'waiting':
        return done({ token: JSON.stringify(token), report: JSON.stringify(report) })
      case 'taken':
        return refused('domain-taken', `${domain} has an admin`)
      case 'report-refused':
        return refused('forbidden', 'active/report: not a state that you may write')
      case 'unavailable':
        return refused('unavailable', 'the claim cannot be begun just now')
    }
  }
}
