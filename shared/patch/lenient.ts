/**
 * The lenient forms of published agents (agent-protocol.md, section 6) as strict ops for the present document, so that
 * what is logged, forwarded and replayed is strict only.
 *
 * The meaning of an op depends on what the ops before it did, so each is tried on the document itself, and all are
 * rolled back at the end. (A draft that shares structure would copy every object touched: 100 ms for a wide one.)
 */
import type { Json } from '#shared/json.ts'
import type { Outcome } from '#shared/patch/apply.ts'
import type { Document } from '#shared/patch/document.ts'
import type { Op, Path, PathElement } from '#shared/patch/op.ts'
import { type Holder, Refused } from '#shared/patch/path.ts'
import { begin, rollBack, step } from '#shared/patch/run.ts'

/** Without a refusal, `ops` are strict, and `apply` takes them as long as the document is the same. There may be none. */
export type Strict = { readonly kind: 'strict'; readonly ops: Op[] } | Exclude<Outcome, { readonly kind: 'applied' }>

/**
 * Ops in lenient form as strict ones for `document`, which is left as it is. The values of `ops` go over to the result.
 *
 * - In a path, text is a key and a number an index; text that meets an array leads nowhere, as does a number that meets
 *   an object.
 * - `remove` of nothing, and `add`, `replace` or `move` to where nothing is to hold the value, are dropped.
 * - `replace` of a missing key, or at the length of an array, is an `add`; an index beyond the length is refused.
 * - A null `active` becomes `{}` by the first op that puts something into it: by a `replace`, as an `add` of `active` has
 *   effects.
 * - `move` is within the array that `path` leads into; of `from` only the last element counts.
 * - A `remove` that leads nowhere is tried with fewer `active` at its start, where it leads into an array (splices).
 * - `test` and `copy`, which published clients never send, are strict.
 */
export function makeStrict(document: Document, ops: readonly Op[]): Strict {
  const run = begin(document)
  const strict: Op[] = []
  try {
    for (let i = 0; i < ops.length; i++) {
      const forms = strictForms(document, ops[i] as Op)
      if (forms instanceof Refused) return { kind: 'refused', op: i, reason: forms.reason }
      for (const form of forms) {
        const stop = step(run, form)
        if (stop !== undefined) return stop.kind === 'refused' ? { kind: 'refused', op: i, reason: stop.reason } : stop
        strict.push(form)
      }
    }
  } finally {
    rollBack(run)
  }
  return { kind: 'strict', ops: strict }
}

const NOTHING: readonly Op[] = []

function strictForms(document: Document, op: Op): readonly Op[] | Refused {
  switch (op.op) {
    case 'test':
    case 'copy':
      return [op]
    case 'add':
    case 'replace':
      return put(document, op.op, op.path, op.value)
    case 'remove':
      return remove(document, op.path)
    case 'move':
      return move(document, op.from, op.path)
  }
}

function put(document: Document, how: 'add' | 'replace', path: Path, value: Json): readonly Op[] | Refused {
  if (path.length < 2 || !isRoot(path[0])) return [{ op: how, path, value }]
  const missing = document.active === undefined || document.active === null
  const holder = missing && path.length === 2 && path[0] === 'active' ? {} : holderOf(document, path)
  if (holder === undefined) return NOTHING
  const element = path[path.length - 1] as PathElement
  if (Array.isArray(holder)) {
    if (typeof element !== 'number') return NOTHING
    if (element > holder.length) return beyond(path)
    return [{ op: element === holder.length ? 'add' : how, path, value }]
  }
  if (typeof element !== 'string') return NOTHING
  const form: Op = { op: childOf(holder, element) === undefined ? 'add' : how, path, value }
  return document.active === null ? [{ op: 'replace', path: ['active'], value: {} }, form] : [form]
}

function remove(document: Document, path: Path): readonly Op[] {
  if (path.length < 2 || !isRoot(path[0])) {
    const nothing = (path[0] === 'active' && document.active === undefined) || (path[0] === 'name' && document.name === null)
    return nothing ? NOTHING : [{ op: 'remove', path }]
  }
  if (leadsSomewhere(holderOf(document, path), path)) return [{ op: 'remove', path }]
  for (let start = 1; path[start] === 'active'; start++) {
    const holder = holderOf(document, path, start)
    if (Array.isArray(holder) && leadsSomewhere(holder, path)) return [{ op: 'remove', path: path.slice(start) }]
  }
  return NOTHING
}

function move(document: Document, from: Path, path: Path): readonly Op[] | Refused {
  if (!isRoot(path[0])) return [{ op: 'move', from, path }]
  const array = holderOf(document, path)
  const source = from[from.length - 1]
  const target = path[path.length - 1]
  if (!Array.isArray(array) || typeof source !== 'number' || typeof target !== 'number') return NOTHING
  if (source >= array.length) return new Refused('from is beyond the end of the array')
  if (target >= array.length) return beyond(path)
  return [{ op: 'move', from: [...path.slice(0, -1), source], path }]
}

function beyond(path: Path): Refused {
  return new Refused(`path[${path.length - 1}] is beyond the end of the array`)
}

function leadsSomewhere(holder: Holder | undefined, path: Path): boolean {
  return holder !== undefined && childOf(holder, path[path.length - 1] as PathElement) !== undefined
}

/**
 * The array or object that holds what `path` names, taken from `start` on; undefined where it leads nowhere, as into
 * `name` or a removed `active`.
 */
function holderOf(document: Document, path: Path, start = 0): Holder | undefined {
  if (path[start] !== 'active') return undefined
  let value = document.active
  for (let i = start + 1; i < path.length; i++) {
    if (typeof value !== 'object' || value === null) return undefined
    if (i === path.length - 1) return value
    value = childOf(value, path[i] as PathElement)
  }
  return undefined
}

function childOf(holder: Holder, element: PathElement): Json | undefined {
  if (Array.isArray(holder)) return typeof element === 'number' ? holder[element] : undefined
  return typeof element === 'string' && Object.hasOwn(holder, element) ? holder[element] : undefined
}

/** Other paths go through as they are: a strict op outside the roots is refused. */
function isRoot(element: PathElement | undefined): boolean {
  return element === 'active' || element === 'active_type' || element === 'name'
}
