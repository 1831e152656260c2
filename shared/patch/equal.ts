import type { Json } from '#shared/json.ts'
import { memberCount } from '#shared/patch/members.ts'

/**
 * Equality of RFC 6902 section 4.6: numbers numerically (0 is -0), members in any order. The work is bounded by `expected`:
 * only its members are looked for, then counts are compared.
 */
export function equalJson(actual: Json, expected: Json): boolean {
  if (actual === expected) return true
  if (typeof actual !== 'object' || typeof expected !== 'object' || actual === null || expected === null) return false
  if (Array.isArray(actual)) {
    if (!Array.isArray(expected) || actual.length !== expected.length) return false
    for (let i = 0; i < expected.length; i++) if (!equalJson(actual[i] as Json, expected[i] as Json)) return false
    return true
  }
  if (Array.isArray(expected)) return false
  let count = 0
  for (const key in expected) {
    count++
    const member = Object.hasOwn(actual, key) ? actual[key] : undefined
    if (member === undefined || !equalJson(member, expected[key] as Json)) return false
  }
  return memberCount(actual) === count
}
