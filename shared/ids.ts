/**
 * Branded types for what must not be mixed up. Values get their brand where they are made or checked
 * (a gateway, a codec, the protocol core); everywhere else the type vouches for them.
 */
declare const brand: unique symbol
type Brand<T, B extends string> = T & { readonly [brand]: B }

/** A state's UUID in lower case. */
export type StateId = Brand<string, 'StateId'>
/** `hash(ID) mod 1024`. */
export type Slot = Brand<number, 'Slot'>
/** Election cycle index of a slot: 1, 2, 3 ... */
export type Cycle = Brand<number, 'Cycle'>
/** One life of a state process: a fresh id at every boot, and after being fenced. */
export type Incarnation = Brand<string, 'Incarnation'>
/** Number of an object in a leader log: 1, 2, 3 ... */
export type Seq = Brand<number, 'Seq'>
/**
 * Index of an interaction of one state: 1, 2, 3 ... A creation record takes 0, a state that nobody
 * has written is at 0 as well.
 */
export type InteractionIndex = Brand<number, 'InteractionIndex'>

const UUID_V1_TO_5 = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
export const NIL_UUID = '00000000-0000-0000-0000-000000000000' as StateId

/** `text` as a state id: UUIDs of versions 1 to 5 and nil, in any case. Undefined for anything else. */
export function parseStateId(text: string): StateId | undefined {
  if (text.length !== 36) return undefined
  const lower = text.toLowerCase()
  return UUID_V1_TO_5.test(lower) || lower === NIL_UUID ? (lower as StateId) : undefined
}

const UUID_SHAPE = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Whether `text` has the shape of a UUID of any version: such a text is never taken for a name. */
export function hasUuidShape(text: string): boolean {
  return UUID_SHAPE.test(text)
}
