/**
 * What is kept of published agents' sessions: the session's record, which holds the digest of its browser's secret, and a
 * reserved state per browser and domain, which says who its last user was. The secret itself is stored nowhere.
 *
 *     active_type  application/json;type=session     active  {"session_credential", "user_id", "provider", "opened": ms}
 *     active_type  application/json;type=browser     active  {"user_id", "provider"}
 */
import { hash } from 'node:crypto'
import type { Op } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { SESSION_TYPE } from './session-record.ts'

const BROWSER_TYPE = 'application/json;type=browser'

type User = { readonly user: string; readonly provider: string }

export function credentialOf(sid: string): string {
  return hash('sha256', sid, 'hex')
}

export function agentOpeningOps(of: User & { readonly credential: string; readonly openedMs: number }): Op[] {
  return [
    { op: 'add', path: ['active_type'], value: SESSION_TYPE },
    { op: 'add', path: ['active'], value: { session_credential: of.credential, user_id: of.user, provider: of.provider, opened: of.openedMs } },
  ]
}

/** Whose session the browser of `credential` has there; undefined: it is not that browser's, not of `domain`, or has ended. */
export function resumableUser(view: StateView, of: { readonly credential: string; readonly domain: string }): User | undefined {
  if (!view.reserved || view.activeType !== SESSION_TYPE || view.domain !== of.domain) return undefined
  const { session_credential: credential, provider, closed } = JSON.parse(view.active) as { session_credential?: string; provider?: string; closed?: number }
  if (credential !== of.credential || closed !== undefined || provider === undefined) return undefined
  return { user: view.owner, provider }
}

export function browserOps({ user, provider }: User): Op[] {
  return [
    { op: 'add', path: ['active_type'], value: BROWSER_TYPE },
    { op: 'add', path: ['active'], value: { user_id: user, provider } },
  ]
}

export function browserUser(view: StateView | undefined): User | undefined {
  if (view === undefined || !view.reserved || view.activeType !== BROWSER_TYPE) return undefined
  const { user_id: user, provider } = JSON.parse(view.active) as { user_id: string; provider: string }
  return { user, provider }
}
