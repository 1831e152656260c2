/**
 * The client request loop, as architecture.md has it: a patch walks from the client to its state and back.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Creation, PatchAnswer, PatchRequest, StateCluster } from '#shared/ports/state-cluster.ts'
import type { Party } from './party.ts'
import type { Authorizer } from './authorizer.ts'
import type { MirrorOutcome } from './domains/mirror.ts'
import type { Mirroring } from './domains/mirroring.ts'
import type { Names } from './names.ts'
import type { Renames } from './renames.ts'
import type { EffectAnswer } from './side-effects/side-effect.ts'
import type { SideEffects } from './side-effects/side-effects.ts'

export type Target =
  /** `creation` undefined: this caller may not be the first to write it. */
  | { readonly kind: 'id'; readonly id: StateId; readonly creation: Creation | undefined }
  /** The caller's own name. */
  | { readonly kind: 'name'; readonly name: string }

export type ClientPatch = {
  readonly caller: Party
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
  /** Types for which the loop wants to have the state that the patch leaves. */
  readonly imageFor?: PatchRequest['imageFor']
}

export type Persisted = {
  /** Of the state, where that is not the caller's. */
  readonly domain?: string
  readonly id: StateId; readonly answer: PatchAnswer | { readonly kind: 'name-taken' } }

export type LoopAnswer = Persisted & {
  /** Undefined: the patch was not stored, or has no side effect. */
  readonly effect?: EffectAnswer | undefined
  /** Undefined: there is nothing to do. */
  readonly mirror?: MirrorOutcome | undefined
}

export type Loop = { readonly cluster: StateCluster; readonly names: Names; readonly renames: Renames; readonly sideEffects: SideEffects; readonly mirroring: Mirroring; readonly authorizer: Authorizer }

export async function runPatch(loop: Loop, patch: ClientPatch): Promise<LoopAnswer> {
  const { sideEffects, mirroring } = loop
  const effectTypes = sideEffects.imageFor(patch.ops)
  const imageFor = mirroring.imageFor(patch.caller.domain) ?? effectTypes
  const persisted = await persist(loop, imageFor === undefined ? patch : { ...patch, imageFor })
  const { id, answer } = persisted
  if (answer.kind !== 'stored') return persisted
  const effect = effectTypes === undefined ? undefined : await sideEffects.after(patch, id, answer)
  const mirrored = mirroring.after(persisted.domain ?? patch.caller.domain, id, answer)
  const mirror = mirrored === undefined ? undefined : await mirrored
  if (imageFor === undefined || patch.returnState) return { id, answer, effect, mirror }
  return { id, answer: { ...answer, state: undefined }, effect, mirror }
}

/** The state process persists, then acknowledges. */
async function persist(loop: Loop, patch: ClientPatch): Promise<Persisted> {
  if (touchesName(patch.ops)) return loop.renames.patch(patch)
  const { target } = patch
  if (target.kind === 'id') {
    const answer = await loop.cluster.patch(clusterPatch(patch, target.id, target.creation, patch.ops))
    return answer.kind === 'forbidden' ? persistGranted(loop, patch, target.id) : { id: target.id, answer }
  }
  return loop.names.patch(patch.caller, target.name, (id) => loop.cluster.patch(clusterPatch(patch, id, creationOf(target.name), freshOps(patch))))
}

/** Not the owner's: the rules of the state's domain may let others write its `active`. */
async function persistGranted({ cluster, authorizer }: Loop, patch: ClientPatch, id: StateId): Promise<Persisted> {
  const refused: Persisted = { id, answer: { kind: 'forbidden' } }
  const read = await cluster.read({ id, mode: 'strong', minIi: undefined })
  if (read.kind === 'unavailable') return { id, answer: { kind: 'unavailable', stored: false, reason: read.reason } }
  if (read.kind !== 'state' || read.state.reserved) return refused
  const { domain, owner } = read.state
  const verdict = await authorizer.may('write', patch.caller, { id, owner, domain })
  if (verdict === 'unavailable') return { id, answer: { kind: 'unavailable', stored: false, reason: "the domain's rules cannot be asked just now" } }
  if (verdict === 'deny') return refused
  const request = clusterPatch(patch, id, undefined, freshOps(patch))
  return { id, domain, answer: await cluster.patch({ ...request, authority: 'granted' }) }
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
    lenient: false,
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
function touchesName(ops: readonly Op[]): boolean {
  for (const op of ops) {
    if (op.path[0] === 'name' && op.op !== 'test') return true
    if (op.op === 'move' && op.from[0] === 'name') return true
  }
  return false
}
