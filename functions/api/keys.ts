/** Idempotency keys and what they stand for, as the 16-byte digests (latin1 strings) that the cluster keeps. */
import { hash, randomBytes } from 'node:crypto'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { Op } from '#shared/patch/op.ts'

const PRINTABLE = /^[\x20-\x7e]+$/

export function isClientKey(text: string): boolean {
  return text.length <= limits.keyCharacters && PRINTABLE.test(text)
}

function digest(text: string): string {
  return hash('sha256', text, 'buffer').toString('latin1', 0, 16)
}

export function clientKey(text: string): string {
  return digest(text)
}

const prefix = randomBytes(8).toString('latin1')
let minted = 0

/** A key of the api's own: unique without hashing, as a random prefix per process and a count of 8 bytes. */
export function mintKey(): string {
  minted += 1
  const high = Math.floor(minted / 0x1_0000_0000)
  const low = minted >>> 0
  return prefix + String.fromCharCode(
    high >>> 24, (high >>> 16) & 0xff, (high >>> 8) & 0xff, high & 0xff,
    low >>> 24, (low >>> 16) & 0xff, (low >>> 8) & 0xff, low & 0xff,
  )
}

export type KeyedBody = { readonly ops: readonly Op[]; readonly ii: number | undefined; readonly returnState: boolean; readonly lenient: boolean }

/** The same for the same body after parsing, whatever its white space and the order of members were. */
export function bodyDigest({ ops, ii, returnState, lenient }: KeyedBody): string {
  return digest(`${ii ?? ''} ${returnState} ${lenient} ${canonical(ops as unknown as Json[])}`)
}

/** JSON with the members of objects in the order of their names. Recursive: for what was checked for nesting. */
function canonical(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  return `{${Object.keys(value).toSorted().map((key) => `${JSON.stringify(key)}:${canonical(value[key]!)}`).join(',')}}`
}
