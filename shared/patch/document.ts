/**
 * The document of a state: what its patches change, and nothing else of it (owner, times, `ii` are the core's).
 *
 * Owns: the values and their size. Does not own: the rules of change (`apply.ts`).
 * I1  Only `apply` changes a document or anything inside `active`; no value is reachable by two paths, nor from outside.
 * I2  `sizeBound` is exact: the bytes of `active` as JSON plus those of `active_type` and `name` as JSON. (A mere bound
 *     would have a state just below the limit measured whole on every patch.)
 * I3  `active` is nested at most `limits.nestingLevels` deep: recursion over it is safe.
 */
import type { Json } from '#shared/json.ts'
import { jsonBytes } from '#shared/patch/size.ts'

export const DEFAULT_ACTIVE_TYPE = 'application/json'

export interface Document {
  /** Undefined: removed. It reads as null, and the next op into it starts from `{}`; a null that was set does neither. */
  active: Json | undefined
  activeType: string
  name: string | null
  sizeBound: number
}

/** The document of a state that nobody has written. */
export function emptyDocument(): Document {
  return documentOf({ active: {}, activeType: DEFAULT_ACTIVE_TYPE, name: null })
}

/** A document of stored values, which it adopts; measures them, so the cost is that of the state. */
export function documentOf(values: Pick<Document, 'active' | 'activeType' | 'name'>): Document {
  const { active, activeType, name } = values
  return {
    active,
    activeType,
    name,
    sizeBound: jsonBytes(active ?? null) + jsonBytes(activeType) + jsonBytes(name),
  }
}

/** JSON text of `active` as it reads: "null" when removed. */
export function activeText(document: Document): string {
  return JSON.stringify(document.active ?? null)
}
