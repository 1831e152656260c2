/**
 * The leader's judgement of one request on one state: rules A1 to A6 of SPEC.md, in this order. Changes the
 * speculative state only if the patch is taken.
 */
import type { InteractionIndex } from '#shared/ids.ts'
import { apply } from '#shared/patch/apply.ts'
import { makeStrict } from '#shared/patch/lenient.ts'
import type { Op } from '#shared/patch/op.ts'
import type { PatchAnswer, PatchRequest, StateView } from '#shared/ports/state-cluster.ts'
import type { TrackedState } from '#shared/protocol/state.ts'
import type { CreationData } from '#shared/records/bundle.ts'

export type Taken = {
  readonly kind: 'taken'
  readonly ii: InteractionIndex
  readonly ts: number
  /** The strict ops that were applied, as JSON text. */
  readonly text: string
  readonly creation: CreationData | undefined
}
/** The answer once all that it was judged by is stored. */
export type Judged = { readonly kind: 'judged'; readonly answer: PatchAnswer; /** The first answer again: true for ever, needs no lease. */ readonly repeat: boolean }

const judged = (answer: PatchAnswer, repeat = false): Judged => ({ kind: 'judged', answer, repeat })

export function judge(state: TrackedState, request: PatchRequest, nowMs: number): Taken | Judged {
  const made = state.creation
  if (made === undefined) {
    if (request.creation === undefined) return judged({ kind: 'unwritten' })
  } else if (!mayWrite(made, request)) return judged({ kind: 'forbidden' })

  const known = state.keys.find(request.key)
  if (known) {
    if (known.bodyDigest !== request.bodyDigest) return judged({ kind: 'key-reused' })
    const { activeType } = state.document
    return judged({ kind: 'stored', ii: known.ii, updated: known.updated, replayed: true, activeType, state: imageOf(state, request) }, true)
  }

  const next = (state.ii + 1) as InteractionIndex
  if (request.expected !== undefined && request.expected > next) return judged({ kind: 'replay', next })
  if (request.expected !== undefined && request.expected < next) return judged({ kind: 'out-of-sync', ii: state.ii })

  const ts = Math.max(nowMs, state.updated)
  const creation: CreationData | undefined =
    made === undefined && request.creation ? { domain: request.domain, owner: request.user, ...request.creation } : undefined
  let { ops, text } = request
  if (request.lenient) {
    const strict = makeStrict(state.document, ops)
    if (strict.kind !== 'strict') return judged(refusal(strict))
    ops = strict.ops
    text = JSON.stringify(ops)
  }
  if (creation) state.create(creation, ts)
  const outcome = apply(state.document, ops)
  if (outcome.kind !== 'applied') {
    if (creation) state.unmake()
    return judged(refusal(outcome))
  }
  state.ii = next
  state.updated = ts
  state.keys.add(request.key, request.bodyDigest, next, ts)
  return { kind: 'taken', ii: next, ts, text, creation }
}

/** The state as the request wants to have it back. */
export function imageOf(state: TrackedState, { returnState, imageFor }: PatchRequest): StateView | undefined {
  const wanted = returnState || (imageFor !== undefined && (imageFor === 'all' || imageFor.includes(state.document.activeType)))
  return wanted ? state.view() : undefined
}

type Refused = Exclude<ReturnType<typeof apply>, { kind: 'applied' }>

function refusal(refused: Refused): PatchAnswer {
  return refused.kind === 'refused'
    ? { kind: 'unprocessable', op: refused.op, reason: refused.reason }
    : { kind: 'too-large', limitBytes: refused.limitBytes }
}

function mayWrite(made: CreationData, request: PatchRequest): boolean {
  if (request.authority === 'system') return true
  if (made.reserved) return false
  if (made.owner === request.user && made.domain === request.domain) return true
  return request.authority === 'granted' && request.ops.every((op) => onlyActive(op))
}

/** Writers by grant change `active` only: name and active_type stay the owner's. */
function onlyActive(op: Op): boolean {
  return op.path[0] === 'active' && (op.op !== 'move' || op.from[0] === 'active')
}
