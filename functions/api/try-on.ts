/** A patch on a copy of its state, to see what it would make of it. Work goes with the size of the state. */
import type { Json } from '#shared/json.ts'
import { apply } from '#shared/patch/apply.ts'
import type { Outcome } from '#shared/patch/apply.ts'
import { documentOf } from '#shared/patch/document.ts'
import type { Document } from '#shared/patch/document.ts'
import { makeStrict } from '#shared/patch/lenient.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

/** An `active` that reads as null is taken as removed: that lets more ops pass, and the leader judges. */
export function tryOn(view: StateView | undefined, name: string | null, ops: readonly Op[], lenient = false): { readonly outcome: Outcome; readonly document: Document } {
  const active: Json | undefined = view === undefined ? {} : view.active === 'null' ? undefined : (JSON.parse(view.active) as Json)
  const document = documentOf({ active, activeType: view?.activeType ?? 'application/json', name })
  if (!lenient) return { outcome: apply(document, ops), document }
  const strict = makeStrict(document, ops)
  return { outcome: strict.kind === 'strict' ? apply(document, strict.ops) : strict, document }
}
