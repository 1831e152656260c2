import type { JsonObject } from '#shared/json.ts'

/**
 * How many members an object has, which decides whether its JSON has a comma more. JavaScript counts keys in time
 * proportional to their number, and even a loop that breaks at its first key collects all keys of a large object first, so
 * the count of a wide object is kept. Weak: it goes with the object. A member that is `undefined` does not count (`run.ts`).
 */
const countsOfWideObjects = new WeakMap<JsonObject, number>()
/** Up to this many, counting costs no more than looking up. */
const NARROW_MEMBERS = 16

export function memberCount(object: JsonObject): number {
  const kept = countsOfWideObjects.get(object)
  if (kept !== undefined) return kept
  let count = 0
  for (const key in object) if (object[key] !== undefined) count++
  if (count > NARROW_MEMBERS) countsOfWideObjects.set(object, count)
  return count
}

/** To be called with every member that comes (1) or goes (-1), also when that is undone. */
export function memberCountChanged(object: JsonObject, by: 1 | -1): void {
  const kept = countsOfWideObjects.get(object)
  if (kept !== undefined) countsOfWideObjects.set(object, kept + by)
}
