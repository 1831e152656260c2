/**
 * The client request loop, as architecture.md has it: a patch walks from the client to its state and back.
 */
import { limits } from '#shared/limits.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Authorizer } from './authorizer.ts'
import type { ClientPatch, Persisted } from './client-patch.ts'
import { UNAVAILABLE } from './domains/handlers.ts'
import type { Handlers, HandlerResult } from './domains/handlers.ts'
import type { MirrorOutcome } from './domains/mirror.ts'
import type { Mirroring } from './domains/mirroring.ts'
import { scopeOf } from './judging.ts'
import type { WallClock } from './parts.ts'
import type { Names } from './names.ts'
import { persist } from './persisting.ts'
import type { Renames } from './renames.ts'
import type { EffectAnswer } from './side-effects/side-effect.ts'
import type { SideEffects } from './side-effects/side-effects.ts'

export type LoopAnswer = Persisted & {
  /** Undefined: the patch was not stored, or has no side effect. */
  readonly effect?: EffectAnswer | undefined
  /** Undefined: there is nothing to do. */
  readonly mirror?: MirrorOutcome | undefined
  /** Of the post-persistence handler. */
  readonly handler?: HandlerResult
}

export type Loop = {
  readonly cluster: StateCluster
  readonly names: Names
  readonly renames: Renames
  readonly authorizer: Authorizer
  readonly handlers: Handlers
  readonly sideEffects: SideEffects
  readonly mirroring: Mirroring
  readonly clock: WallClock
}

export async function runPatch(loop: Loop, patch: ClientPatch): Promise<LoopAnswer> {
  const { sideEffects, mirroring } = loop
  const effectTypes = sideEffects.imageFor(patch.ops)
  const imageFor = mirroring.imageFor(patch.caller.domain) ?? effectTypes
  const persisted = await persist(loop, imageFor === undefined ? patch : { ...patch, imageFor })
  const { id, answer } = persisted
  if (answer.kind !== 'stored') return persisted
  const domain = persisted.domain ?? patch.caller.domain
  const effect = effectTypes === undefined ? undefined : await sideEffects.after(patch, id, answer)
  const mirrored = mirroring.after(domain, id, answer)
  const mirror = mirrored === undefined ? undefined : await mirrored
  const handler = mirror?.kind === 'unavailable' ? undefined : await afterPersistence(loop, { ...patch, text: persisted.text ?? patch.text }, domain, { id, answer })
  if (imageFor === undefined || patch.returnState) return { id, answer, effect, mirror, handler }
  return { id, answer: { ...answer, state: undefined }, effect, mirror, handler }
}

/**
 * A repeat runs it again: what it does through its agent has keys of the request's, and is not done twice, as long as they are
 * surely known. Later it is not run any more.
 */
function afterPersistence(loop: Loop, patch: ClientPatch, domain: string, { id, answer }: { readonly id: Persisted['id']; readonly answer: Persisted['answer'] & { readonly kind: 'stored' } }): Promise<HandlerResult> | HandlerResult {
  const isLate = answer.replayed && loop.clock.wallMs() - answer.updated > limits.handlerRepeatMs
  const of = isLate || patch.skipsHandlers === true ? 'none' : loop.handlers.of(domain)
  if (of === 'none') return undefined
  const event = { session: patch.caller.session ?? null, user: patch.caller.user, scope: scopeOf(patch, id), id, activeType: answer.activeType, patch: patch.text, ii: answer.ii }
  return Promise.resolve(of).then((handlers) => {
    if (handlers === 'none') return undefined
    if (handlers === 'unavailable') return UNAVAILABLE
    return handlers.exports.postPersistence ? loop.handlers.after(handlers, event, patch.key) : undefined
  })
}
