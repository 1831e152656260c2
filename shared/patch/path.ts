import type { Json, JsonObject } from '#shared/json.ts'
import type { Path, PathElement } from '#shared/patch/op.ts'

/** Why an op cannot be applied. Its words show no part of the document, and none of the path, which may be long. */
export class Refused {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

export type Holder = Json[] | JsonObject

/**
 * What an element means to an array: an index (perhaps past the end), or -1 for none. A digit string without a leading
 * zero is an index as well.
 */
export function indexOf(element: PathElement): number {
  if (typeof element === 'number') return element >= 0 ? element : -1
  if (element.length === 0 || (element.length > 1 && element.charCodeAt(0) === 0x30)) return -1
  for (let i = 0; i < element.length; i++) {
    const unit = element.charCodeAt(i)
    if (unit < 0x30 || unit > 0x39) return -1
  }
  return Number(element)
}

/**
 * What an element means to an object: a key, integers in decimal; undefined for -1, and for integers whose decimals a
 * double does not tell.
 */
export function keyOf(element: PathElement): string | undefined {
  if (typeof element === 'string') return element
  return element >= 0 && Number.isSafeInteger(element) ? String(element) : undefined
}

/** What `holder` has at `element`; undefined for nothing. Own members only. */
export function childOf(holder: Holder, element: PathElement): Json | undefined {
  if (Array.isArray(holder)) {
    const index = indexOf(element)
    return index >= 0 && index < holder.length ? holder[index] : undefined
  }
  const key = keyOf(element)
  return key !== undefined && Object.hasOwn(holder, key) ? holder[key] : undefined
}

/** The array or object that holds what `path` names below `active`. `path` has two elements or more. */
export function holderOf(active: Json, path: Path): Holder | Refused {
  let value: Json = active
  for (let i = 1; i < path.length; i++) {
    if (typeof value !== 'object' || value === null) return new Refused(`nothing is inside path[${i - 1}]`)
    if (i === path.length - 1) return value
    const child = childOf(value, path[i] as PathElement)
    if (child === undefined) return nothingAt(i)
    value = child
  }
  return new Refused('the path has no inside')
}

export function nothingAt(position: number): Refused {
  return new Refused(`nothing is at path[${position}]`)
}

/** Whether `path` names what `prefix` names, or something inside it. An index and its digits are the same. */
export function startsWith(path: Path, prefix: Path): boolean {
  if (path.length < prefix.length) return false
  for (let i = 0; i < prefix.length; i++) {
    if (path[i] !== prefix[i] && String(path[i]) !== String(prefix[i])) return false
  }
  return true
}
