/**
 * Patches of domains with a pre-persistence handler: judged on the state that they are pinned to, so that a rule cannot be
 * raced.
 *
 * Owns: the order of looking, judging and sending. Does not own: handlers. Talks to: the cluster, for the state and known keys.
 *
 * I1. What is sent is what was judged, for the index that it was judged by; the state has moved on: looked at and judged again.
 * I2. A known key is answered before any handler runs, and so is what is refused without one.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { clusterPatch, freshOps } from './client-patch.ts'
import type { ClientPatch, Persisted } from './client-patch.ts'
import type { DomainHandlers, Handlers } from './domains/handlers.ts'
import { tryOn } from './try-on.ts'

/** An index that no patch can take: a known key is answered before it is looked at, any other patch is refused. */
const NO_INDEX = 0 as InteractionIndex

export type Seen = { readonly kind: 'seen'; readonly id: StateId; readonly view: StateView | undefined } | Unavailable

export type Judging = {
  readonly cluster: StateCluster
  readonly handlers: Handlers
  readonly of: DomainHandlers
  readonly patch: ClientPatch
  readonly look: () => Promise<Seen>
  /** Whether the caller may write what was seen; what may not is sent as it is, to be refused. */
  readonly mayWrite: (view: StateView | undefined) => boolean
  readonly send: (patch: ClientPatch) => Promise<Persisted>
}

export async function judged({ cluster, handlers, of, patch, look, mayWrite, send }: Judging): Promise<Persisted> {
  let id: StateId | undefined
  for (let attempt = 0; attempt < limits.judgements; attempt++) {
    const seen = await look()
    if (seen.kind === 'unavailable') return { id: id ?? NOWHERE, answer: { ...seen, stored: false } }
    id = seen.id
    const { view } = seen
    if (!mayWrite(view)) return send(patch)
    if (attempt === 0 && view !== undefined && patch.bodyDigest !== '') {
      const known = await cluster.patch(clusterPatch(patch, id, undefined, freshOps(patch), NO_INDEX))
      if (known.kind !== 'out-of-sync') return { id, answer: known }
    }
    const next = ((view?.ii ?? 0) + 1) as InteractionIndex
    if (patch.expected !== undefined && patch.expected !== next) return send(patch)
    const tried = tryOn(view, view?.name ?? null, freshOps(patch), patch.lenient)
    const isJudged = tried.outcome.kind === 'applied'
    const event = { session: patch.caller.session ?? null, user: patch.caller.user, scope: scopeOf(patch, id), id, activeType: tried.document.activeType, patch: patch.text, ii: next }
    const judgement = isJudged ? await handlers.judge(of, event, view?.active ?? '{}', patch.key) : ({ kind: 'go-on' } as const)
    if (judgement.kind === 'unavailable') return { id, answer: { kind: 'unavailable', stored: false, reason: judgement.reason } }
    if (judgement.kind !== 'go-on' && judgement.kind !== 'changed') return { id, answer: judgement }
    const text = judgement.kind === 'changed' ? JSON.stringify(judgement.ops) : patch.text
    const sent = judgement.kind === 'changed' ? { ...patch, ops: judgement.ops, lenient: false } : { ...patch, ops: freshOps(patch) }
    const persisted = await send({ ...sent, text, expected: next })
    if (judgement.kind === 'changed' && isUnfit(persisted.answer)) {
      handlers.unfit(of)
      return { id, answer: { kind: 'handler-error' } }
    }
    const movedOn = persisted.answer.kind === 'out-of-sync' || persisted.answer.kind === 'replay'
    if (!movedOn || patch.expected !== undefined) return text === patch.text ? persisted : { ...persisted, text }
  }
  return { id: id ?? NOWHERE, answer: { kind: 'unavailable', stored: false, reason: 'the state changes all the time' } }
}

const NOWHERE = '' as StateId

/** The patch cannot be applied, or would make too much of the state. */
function isUnfit({ kind }: Persisted['answer']): boolean {
  return kind === 'unprocessable' || kind === 'too-large'
}

/** As the client addressed it. */
export function scopeOf({ target }: ClientPatch, id: StateId): string {
  return target.kind === 'name' ? target.name : id
}
