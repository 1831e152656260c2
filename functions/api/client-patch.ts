/** Patches on their way from a client to a state process, and what becomes of them. */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Creation, PatchAnswer, PatchRequest, StateCluster } from '#shared/ports/state-cluster.ts'
import type { Judgement } from './domains/handlers.ts'
import type { Party } from './party.ts'

export type Target =
  /** `creation` undefined: this caller may not be the first to write it. */
  | { readonly kind: 'id'; readonly id: StateId; readonly creation: Creation | undefined }
  /** The caller's own name. */
  | { readonly kind: 'name'; readonly name: string }

export type ClientPatch = {
  /** `session` undefined: the platform's own, or a handler's. */
  readonly caller: Party & { readonly session?: string | undefined }
  readonly target: Target
  readonly ops: Op[]
  /** `ops` as JSON. */
  readonly text: string
  readonly key: string
  /** Empty: the key was minted here, no client will repeat it. */
  readonly bodyDigest: string
  readonly expected: InteractionIndex | undefined
  readonly returnState: boolean
  /** Where the client reached us, for addresses that a side effect hands out. */
  readonly host?: string | undefined
  /** Of a handler, or of the platform: no handler is run for it. */
  readonly skipsHandlers?: boolean
  /** In the forms of published agents (shared/patch/lenient.ts). */
  readonly lenient?: boolean
  /** Types for which the loop wants to have the state that the patch leaves. */
  readonly imageFor?: PatchRequest['imageFor']
}

/** What a domain's pre-persistence handler says in the place of a state process. */
export type HandlerRefusal = Judgement & { readonly kind: 'rejected' | 'handler-error' | 'handler-exceeded' }

export type Persisted = {
  /** Of the state, where that is not the caller's. */
  readonly domain?: string
  readonly id: StateId
  /** The patch as the handler changed it; undefined: as it came. */
  readonly text?: string | undefined
  readonly answer: PatchAnswer | { readonly kind: 'name-taken' } | HandlerRefusal
}

export function clusterPatch(
  patch: ClientPatch,
  id: StateId,
  creation: Creation | undefined,
  ops: Op[],
  expected: InteractionIndex | undefined = patch.expected,
): Parameters<StateCluster['patch']>[0] {
  const request = {
    id,
    ops,
    text: patch.text,
    user: patch.caller.user,
    domain: patch.caller.domain,
    authority: 'owner' as const,
    creation,
    key: patch.key,
    bodyDigest: patch.bodyDigest,
    expected,
    returnState: patch.returnState,
    lenient: patch.lenient ?? false,
  }
  return patch.imageFor === undefined ? request : { ...request, imageFor: patch.imageFor }
}

/** The cluster owns the ops that it was given: whoever may have to send a patch again makes them anew. */
export function freshOps(patch: ClientPatch): Op[] {
  return JSON.parse(patch.text) as Op[]
}

export const UNNAMED: Creation = Object.freeze({ name: null, reserved: false })

export function creationOf(name: string): Creation {
  return { name, reserved: false }
}

/** Whether the patch may change `name`, so that it has to be decided with the user's other names. */
export function touchesName(ops: readonly Op[]): boolean {
  for (const op of ops) {
    if (op.path[0] === 'name' && op.op !== 'test') return true
    if (op.op === 'move' && op.from[0] === 'name') return true
  }
  return false
}
