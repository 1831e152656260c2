/**
 * Who may read or write a state (domains.md, Authorization): the decision, as far as it can be made without asking the
 * function that the state's domain has configured.
 */
import type { AuthorizeRules, Rule } from '#shared/domain/config.ts'

export type Requester = { readonly user: string; readonly domain: string }
export type Requested = { readonly id: string; readonly owner: string; readonly domain: string }
export type Action = 'read' | 'write'

export type Decision =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny' }
  /**
   * This function in the database of `domain` says (`tenantFunction`): true allows. False, NULL, an error and a time-out
   * deny.
   */
  | { readonly kind: 'ask'; readonly domain: string; readonly postgres: string; readonly args: readonly string[] }

const ALLOW: Decision = { kind: 'allow' }
const DENY: Decision = { kind: 'deny' }

/**
 * `rules`: of the domain that the state belongs to, undefined when that has no configuration. `byDefault`: the
 * deployment's AUTHORIZE_DEFAULT, for reading only: writing is the owner's unless a rule says otherwise.
 * Write granted by a rule covers `active` only (`Authority` "granted").
 */
export function authorize({ requester, requested, action, rules, byDefault }: {
  readonly requester: Requester
  readonly requested: Requested
  readonly action: Action
  readonly rules: AuthorizeRules | undefined
  readonly byDefault: 'allow' | 'deny'
}): Decision {
  const same = requester.domain === requested.domain
  if (same && requester.user === requested.owner) return ALLOW
  const rule = ruleOf({ rules, action, same })
  if (rule === undefined) return action === 'read' && byDefault === 'allow' ? ALLOW : DENY
  if (rule === 'allow') return ALLOW
  if (rule === 'deny') return DENY
  const offered = same ? [requester.user, requested.id] : [requester.domain, requester.user, requested.id]
  return { kind: 'ask', domain: requested.domain, postgres: rule.postgres, args: offered.slice(0, rule.takes) }
}

function ruleOf({ rules, action, same }: { readonly rules: AuthorizeRules | undefined; readonly action: Action; readonly same: boolean }): Rule | undefined {
  if (rules === undefined) return undefined
  switch (action) {
    case 'read':
      return same ? rules.sameDomain : rules.crossDomain
    case 'write':
      return same ? rules.write.sameDomain : rules.write.crossDomain
  }
}
