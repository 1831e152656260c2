/** Scopes: what `{scope}`, `?user=` and `?domain=` address. */
import { hasUuidShape, parseStateId } from '#shared/ids.ts'
import type { StateId } from '#shared/ids.ts'
import { isNameText, isUserText, parseDomain } from '#shared/sessions/domain.ts'
import type { Party } from './party.ts'

export type Scope =
  | { readonly kind: 'id'; readonly id: StateId }
  /** `isOwn`: it is a name of who asks. */
  | { readonly kind: 'name'; readonly name: string; readonly user: string; readonly domain: string; readonly isOwn: boolean }

export type ScopeAnswer = { readonly scope: Scope; readonly fault?: never } | { readonly scope?: never; readonly fault: string }

export type Whose = { readonly user?: string | undefined; readonly domain?: string | undefined }

/** `text` percent-decoded. `user` and `domain` say whose name it is; for a UUID they are checked and not needed. */
export function parseScope(text: string, whose: Whose, caller: Party): ScopeAnswer {
  const user = whose.user ?? caller.user
  if (!isUserText(user)) return { fault: 'user: not a user' }
  const domain = whose.domain === undefined ? caller.domain : parseDomain(whose.domain)
  if (domain === undefined) return { fault: 'domain: not a domain' }
  const id = parseStateId(text)
  if (id !== undefined) return { scope: { kind: 'id', id } }
  if (hasUuidShape(text)) return { fault: 'scope: a UUID of another version than 1 to 5' }
  if (!isNameText(text)) return { fault: 'scope: a name has 1 to 1024 bytes and no control characters' }
  return { scope: { kind: 'name', name: text, user, domain, isOwn: user === caller.user && domain === caller.domain } }
}

/** The path's part as text; undefined: broken percent-encoding. */
export function decodePart(part: string): string | undefined {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
