/**
 * A stored interaction as published agents can apply it: they know `add`, `replace` and `remove` of places that are there.
 *
 * - `move` and `copy` become a `remove` and an `add` of the value that stood there (agents take `from` for a pointer that it is not).
 * - `test` is left out: it has been passed.
 * - What comes after a `remove` of `active` in one patch meets an `active` that is not there for agents: it is made first.
 * - The end of an array is `-`.
 */
import type { Json } from '#shared/json.ts'
import { apply } from '#shared/patch/apply.ts'
import { documentOf } from '#shared/patch/document.ts'
import type { Document } from '#shared/patch/document.ts'
import type { Op, Path, PathElement } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

/** `patch` as JSON text; undefined: it takes the state before the interaction to tell. */
export function translated(patch: string): string | undefined {
  // Most patches have none of these words, and are not parsed.
  if (!/"(?:move|copy|test|remove|-)"|-1/.test(patch)) return patch
  const ops = JSON.parse(patch) as Op[]
  if (ops.some(({ op }) => op === 'move' || op === 'copy')) return undefined
  return JSON.stringify(finished(ops))
}

/** `before`: the state that `patch` was applied to. */
export function translatedOn(before: StateView, patch: string): string {
  const ops = JSON.parse(patch) as Op[]
  const active = before.active === 'null' ? undefined : (JSON.parse(before.active) as Json)
  const document = documentOf({ active, activeType: before.activeType, name: before.name })
  const out: Op[] = []
  for (const op of ops) {
    if (op.op === 'move' || op.op === 'copy') {
      const value = structuredClone(valueAt(document, op.from))
      if (op.op === 'move') out.push({ op: 'remove', path: op.from })
      out.push({ op: 'add', path: op.path, value })
    } else out.push(op)
    apply(document, [structuredClone(op) as Op])
  }
  return JSON.stringify(finished(out))
}

function finished(ops: readonly Op[]): Op[] {
  const out: Op[] = []
  let isReset = false
  for (const op of ops) {
    if (op.op === 'test') continue
    const isActive = op.path[0] === 'active'
    if (isActive && op.path.length === 1) isReset = op.op === 'remove'
    else if (isActive && isReset) {
      out.push({ op: 'add', path: ['active'], value: {} })
      isReset = false
    }
    out.push(op.path.at(-1) === -1 ? { ...op, path: [...op.path.slice(0, -1), '-'] } : op)
  }
  return out
}

function valueAt(document: Document, path: Path): Json {
  if (path[0] === 'name') return document.name
  if (path[0] === 'active_type') return document.activeType
  let value: Json | undefined = document.active
  for (const element of path.slice(1)) value = childOf(value, element)
  return value ?? null
}

function childOf(value: Json | undefined, element: PathElement): Json | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (Array.isArray(value)) return value[Number(element)]
  return Object.hasOwn(value, element) ? value[String(element)] : undefined
}
