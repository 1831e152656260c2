/** Who asks, and whose a state is. */
export type Party = { readonly user: string; readonly domain: string }

/** What a state says about whose it is. */
export type Owned = { readonly owner: string; readonly domain: string }

export function isOwner(caller: Party, of: Owned): boolean {
  return caller.user === of.owner && caller.domain === of.domain
}
