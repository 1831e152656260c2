/**
 * Who may read or write a state: the decision of shared/domain/authorize.ts, with the answer of the function that it asks.
 *
 * Owns: nothing, so nothing can be out of date. Talks to: configurations in force, the domain's database.
 */
import { authorize } from '#shared/domain/authorize.ts'
import type { Action, Requested } from '#shared/domain/authorize.ts'
import { NO_CONFIG } from '#shared/domain/config.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { Party } from './party.ts'
import { isOwner } from './party.ts'
import type { Rebuilds } from './domains/configurations.ts'
import type { InForceAnswer, InForceDomains } from './domains/in-force.ts'

/** `unavailable`: what decides cannot be asked now. */
export type Verdict = 'allow' | 'deny' | 'unavailable'

export class Authorizer {
  readonly #inForce: InForceDomains
  readonly #database: DomainDatabase
  readonly #rebuilds: Rebuilds
  readonly #byDefault: 'allow' | 'deny'

  constructor(options: { readonly inForce: InForceDomains; readonly database: DomainDatabase; readonly rebuilds: Rebuilds; readonly byDefault: 'allow' | 'deny' }) {
    this.#inForce = options.inForce
    this.#database = options.database
    this.#rebuilds = options.rebuilds
    this.#byDefault = options.byDefault
  }

  may(action: Action, caller: Party, of: Requested): Verdict | Promise<Verdict> {
    if (isOwner(caller, of)) return 'allow'
    const present = this.#inForce.of(of.domain)
    return present instanceof Promise ? present.then((answer) => this.#judge(answer, action, caller, of)) : this.#judge(present, action, caller, of)
  }

  /** Whether any state of this owner could be read by `caller`: false before anything is looked up. */
  async mayRead(caller: Party, of: Pick<Requested, 'owner' | 'domain'>): Promise<boolean> {
    const present = await this.#inForce.of(of.domain)
    return present === 'unavailable' || this.#decide(present, 'read', caller, { ...of, id: '' }).kind !== 'deny'
  }

  #judge(present: InForceAnswer, action: Action, caller: Party, of: Requested): Verdict | Promise<Verdict> {
    if (present === 'unavailable') return 'unavailable'
    const decision = this.#decide(present, action, caller, of)
    return decision.kind === 'ask' ? this.#ask(decision) : decision.kind
  }

  #decide(present: Exclude<InForceAnswer, 'unavailable'>, action: Action, caller: Party, of: Requested): ReturnType<typeof authorize> {
    const { authorize: rules } = present === 'none' ? NO_CONFIG : present.config
    return authorize({ requester: caller, requested: of, action, rules, byDefault: this.#byDefault })
  }

  async #ask({ domain, postgres, args }: { readonly domain: string; readonly postgres: string; readonly args: readonly string[] }): Promise<Verdict> {
    // It may ask tables, which are half filled.
    if (this.#rebuilds.isUnderWay(domain)) return 'unavailable'
    const answer = await this.#database.tenantFunction(domain, postgres, args)
    switch (answer.kind) {
      case 'answer':
        return answer.value ? 'allow' : 'deny'
      case 'refused':
        return 'deny'
      case 'missing':
        this.#rebuilds.begin(domain)
        return 'unavailable'
      case 'unavailable':
        return 'unavailable'
    }
  }
}
