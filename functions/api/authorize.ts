/**
 * Who may read a state. The one place for this decision: what domains configure (functions in SQL, `allow`,
 * `deny`) is looked up before and comes in as a rule.
 */
export type Party = { readonly user: string; readonly domain: string }
export type Rule = 'allow' | 'deny'

/** What a state says about whose it is. */
export type Owned = { readonly owner: string; readonly domain: string }

export function isOwner(caller: Party, of: Owned): boolean {
  return caller.user === of.owner && caller.domain === of.domain
}

export function mayRead({ caller, of, rule }: { caller: Party; of: Owned; rule: Rule }): boolean {
  if (isOwner(caller, of)) return true
  switch (rule) {
    case 'allow':
      return true
    case 'deny':
      return false
  }
}
