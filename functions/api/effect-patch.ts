/**
 * The patches that short routes do for the caller: of a type with a side effect, to one state a user and type, which nobody
 * needs to know: as many as there are calls would be as many states again.
 */
import type { JsonObject } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import { answerEffectRefused, answerMirrorBehind, answerPatch } from './answers.ts'
import type { EffectIds, Purpose } from './effect-ids.ts'
import type { Exchange } from './exchange.ts'
import { bodyDigest, clientKey, isClientKey, mintKey } from './keys.ts'
import { UNNAMED } from './client-patch.ts'
import { runPatch } from './request-loop.ts'
import type { Loop } from './request-loop.ts'
import { typeOf } from './side-effects/side-effects.ts'

const STATE_OF = {
  upload: 'uploads of',
  download: 'downloads of',
  'postgres-query': 'queries of',
  'domain-claim': 'claims of',
  'domain-config': 'configs of',
} as const satisfies { readonly [type: string]: Purpose }

export type EffectPatch = {
  readonly x: Exchange
  readonly loop: Loop
  readonly ids: EffectIds
  readonly type: keyof typeof STATE_OF
  readonly active: JsonObject
  /** The client's Idempotency-Key. */
  readonly keyText?: string | undefined
}

/** The Idempotency-Key of a request, checked; `fault`: answered. */
export function keyOf(x: Exchange): { readonly keyText: string | undefined; readonly fault?: never } | { readonly fault: true } {
  const keyText = x.req.headers['idempotency-key'] as string | undefined
  if (keyText === undefined || isClientKey(keyText)) return { keyText }
  x.problem('bad-request', { detail: 'Idempotency-Key: 1 to 128 printable characters' })
  return { fault: true }
}

/** The result of the effect; undefined: answered. */
export async function effectPatch({ x, loop, ids, type, active, keyText }: EffectPatch): Promise<{ readonly [member: string]: string } | undefined> {
  const { user, domain, session } = x.caller
  const ops: Op[] = [
    { op: 'add', path: ['active_type'], value: typeOf(type) },
    { op: 'add', path: ['active'], value: active },
  ]
  const done = await runPatch(loop, {
    caller: { user, domain, session },
    target: { kind: 'id', id: ids.of(STATE_OF[type], domain, user), creation: UNNAMED },
    ops,
    text: JSON.stringify(ops),
    key: keyText === undefined ? mintKey() : clientKey(keyText),
    bodyDigest: keyText === undefined ? '' : bodyDigest({ ops, ii: undefined, returnState: false, lenient: false }),
    expected: undefined,
    returnState: false,
    host: x.req.headers.host,
    // A handler that refuses everything must not keep the admin from replacing it.
    skipsHandlers: type === 'domain-config' || type === 'domain-claim',
  })
  const { id, answer, effect, mirror } = done
  if (mirror?.kind === 'unavailable' && answer.kind === 'stored') answerMirrorBehind(x, answer.ii, mirror.reason)
  else if (effect?.kind === 'done') return effect.result
  else if (effect?.kind === 'refused') answerEffectRefused(x, effect)
  else if (answer.kind !== 'stored') answerPatch(x, { id, answer })
  else throw new Error(`a patch of type ${type} had no side effect`)
  return undefined
}
