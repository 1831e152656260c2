/** The ring: which slot an ID falls into, which members own a slot. Frozen: see SPEC.md, rules R1 and R2. */
import { hash } from 'node:crypto'
import type { Slot, StateId } from '#shared/ids.ts'

export const SLOTS = 1024

/** First 10 bits of SHA-256 over the ID's 16 bytes. */
export function slotOf(id: StateId): Slot {
  const digest = hash('sha256', Buffer.from(id.replaceAll('-', ''), 'hex'), 'hex')
  return (parseInt(digest.slice(0, 4), 16) >> 6) as Slot
}

/**
 * Owners of a slot: the `count` names with the highest score, best first (rendezvous hashing, Thaler and
 * Ravishankar 1998). Score: first 8 bytes of SHA-256 over `slot` as 4 decimal digits, `/` and the name.
 */
export function ownersOf(slot: Slot, names: readonly string[], count: number): string[] {
  const scored = names.map((name) => ({ name, score: hash('sha256', `${String(slot).padStart(4, '0')}/${name}`, 'hex').slice(0, 16) }))
  scored.sort((a, b) => (a.score === b.score ? (a.name < b.name ? -1 : 1) : a.score > b.score ? -1 : 1))
  return scored.slice(0, count).map(({ name }) => name)
}
