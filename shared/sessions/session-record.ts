/**
 * The record of a session: a reserved state whose id is the session's, owned by its user, so that it is as
 * durable as any state and users cannot patch it.
 *
 *     active_type  application/json;type=session
 *     active       {"user_id", "provider", "opened": ms, "closed"?: ms}
 */
import type { Op } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

export const SESSION_TYPE = 'application/json;type=session'
/** The name of the state in which a user's open sessions and their close scripts are. */
export const SESSIONS_NAME = 'sessions'

export type SessionRecord = { readonly user: string; readonly domain: string; readonly closed: boolean }

/** Undefined: this state is no session's record. */
export function sessionRecordOf(view: StateView): SessionRecord | undefined {
  if (!view.reserved || view.activeType !== SESSION_TYPE) return undefined
  const active = JSON.parse(view.active) as { closed?: number }
  return { user: view.owner, domain: view.domain, closed: active.closed !== undefined }
}

export function openingOps(of: { user: string; provider: string; openedMs: number }): Op[] {
  return [
    { op: 'add', path: ['active_type'], value: SESSION_TYPE },
    { op: 'add', path: ['active'], value: { user_id: of.user, provider: of.provider, opened: of.openedMs } },
  ]
}

export function closingOps(closedMs: number): Op[] {
  return [{ op: 'add', path: ['active', 'closed'], value: closedMs }]
}
