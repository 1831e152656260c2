import type { Json } from '#shared/json.ts'

/**
 * Bytes of `JSON.stringify(value)` in UTF-8, without making that text. Members that are `undefined` do not count,
 * as in JSON.stringify: a patch under way marks removed members so (`run.ts`).
 */
export function jsonBytes(value: Json): number {
  if (typeof value === 'string') return stringBytes(value)
  if (typeof value === 'number') return numberBytes(value)
  if (value === null || value === true) return 4
  if (value === false) return 5
  if (Array.isArray(value)) {
    let bytes = value.length === 0 ? 2 : 1 + value.length
    for (let i = 0; i < value.length; i++) bytes += jsonBytes(value[i] as Json)
    return bytes
  }
  let bytes = 1
  for (const key in value) {
    const member = value[key]
    if (member !== undefined) bytes += stringBytes(key) + 2 + jsonBytes(member)
  }
  return bytes === 1 ? 2 : bytes
}

/** Bytes of a string as JSON in UTF-8, with its quotes; a lone surrogate is escaped, as JSON.stringify does. */
export function stringBytes(text: string): number {
  const length = text.length
  let bytes = length + 2
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0x20 && unit < 0x80) {
      if (unit === 0x22 || unit === 0x5c) bytes += 1
    } else if (unit < 0x20) {
      bytes += (unit >= 0x08 && unit <= 0x0d && unit !== 0x0b) ? 1 : 5
    } else if (unit < 0x800) {
      bytes += 1
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes += 2
    } else if (unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      bytes += 2
      i++
    } else {
      bytes += 5
    }
  }
  return bytes
}

function numberBytes(value: number): number {
  if (Number.isInteger(value) && value >= 0 && value < 1000) return value < 10 ? 1 : value < 100 ? 2 : 3
  return String(value).length
}

/**
 * Levels of arrays and objects: 0 for a scalar, 1 for `[]`. Recursive: for values known to be bounded.
 * The members and elements that it walked over, and their holders, are added to `meter`.
 */
export function nesting(value: Json, meter?: { walked: number }): number {
  if (typeof value !== 'object' || value === null) return 0
  let inside = 0
  let walked = 1
  if (Array.isArray(value)) {
    walked += value.length
    for (let i = 0; i < value.length; i++) {
      const item = value[i]
      if (typeof item === 'object' && item !== null) inside = Math.max(inside, nesting(item, meter))
    }
  } else {
    for (const key in value) {
      walked++
      const member = value[key]
      if (typeof member === 'object' && member !== null) inside = Math.max(inside, nesting(member, meter))
    }
  }
  if (meter !== undefined) meter.walked += walked
  return inside + 1
}
