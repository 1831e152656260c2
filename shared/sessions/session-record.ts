/**
 * The record of a session: a reserved state whose id is the session's, owned by its user, so that it is as
 * durable as any state and users cannot patch it.
 *
 *     active_type  application/json;type=session
 *     active       {"user_id", "provider", "opened": ms, "closed"?: ms, "ran"?: what close scripts came to while others are
 *                  outstanding, "scripts"?: what all of them came to}
 */
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

export const SESSION_TYPE = 'application/json;type=session'
/** The name of the state in which a user's open sessions and their close scripts are. */
export const SESSIONS_NAME = 'sessions'

/** What a close script came to: a result, or an error in our words. */
export type ScriptResult = { readonly id: string; readonly name: string; readonly result?: Json; readonly error?: string }

/** `finished`: its close scripts have run. `scripts`: of those that have. */
export type SessionRecord = { readonly user: string; readonly domain: string; readonly closed: boolean; readonly finished: boolean; readonly scripts: readonly ScriptResult[] }

/** Undefined: this state is no session's record. */
export function sessionRecordOf(view: StateView): SessionRecord | undefined {
  if (!view.reserved || view.activeType !== SESSION_TYPE) return undefined
  const { closed, ran, scripts } = JSON.parse(view.active) as { closed?: number; ran?: readonly ScriptResult[]; scripts?: readonly ScriptResult[] }
  return { user: view.owner, domain: view.domain, closed: closed !== undefined, finished: scripts !== undefined, scripts: scripts ?? ran ?? [] }
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

/** One more script has run, after `before` others. */
export function ranOps(before: number, result: ScriptResult): Op[] {
  const value = result as unknown as Json
  return [before === 0 ? { op: 'add', path: ['active', 'ran'], value: [value] } : { op: 'add', path: ['active', 'ran', '-'], value }]
}

/** `ran`: how many scripts have run; none is outstanding. */
export function finishingOps(ran: number): Op[] {
  return [ran === 0 ? { op: 'add', path: ['active', 'scripts'], value: [] } : { op: 'move', from: ['active', 'ran'], path: ['active', 'scripts'] }]
}
