import type { Document } from '#shared/patch/document.ts'
import type { Op } from '#shared/patch/op.ts'
import { begin, commit, rollBack, step } from '#shared/patch/run.ts'

export type Outcome =
  | { readonly kind: 'applied' }
  /** `op` is the index of the op that cannot be applied. */
  | { readonly kind: 'refused'; readonly op: number; readonly reason: string }
  | { readonly kind: 'too-large'; readonly limitBytes: number }

const APPLIED: Outcome = { kind: 'applied' }

/**
 * Applies a patch by RFC 6902, in place, all or nothing: unless it is applied, the document is what it was, to the order
 * of keys.
 *
 * The values of `ops` become part of the document, and even a refused patch may have been inside them: after this call
 * `ops` are no longer the caller's, who makes their JSON text before.
 *
 * Where the RFC and the contract (rest-api.md, States) leave room:
 * - Paths start with one of three roots, so there is no whole document: the empty path is refused.
 * - The roots always exist. `remove` empties them: `active` to removed (reads as null), `active_type` to its default,
 *   `name` to null. A `move` away does the same. `active_type` and `name` take strings, from `move` and `copy` too.
 * - The first op that puts something into a removed `active` makes it `{}`; a null that was set has no inside.
 * - In an object an integer is the key of its decimals; -1 is none, nor are integers beyond 2^53.
 * - `move` to where the value is does nothing, whichever way an index is written.
 */
export function apply(document: Document, ops: readonly Op[]): Outcome {
  const run = begin(document)
  for (let i = 0; i < ops.length; i++) {
    const stop = step(run, ops[i] as Op)
    if (stop === undefined) continue
    rollBack(run)
    return stop.kind === 'refused' ? { kind: 'refused', op: i, reason: stop.reason } : stop
  }
  commit(run)
  return APPLIED
}
