import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Slot, StateId } from '#shared/ids.ts'
import { ownersOf, slotOf, SLOTS } from '#shared/protocol/ring.ts'

/** Computed by another implementation from SPEC.md. Frozen: a deployment's objects lie where these say. */
describe('golden vectors', () => {
  test.each([
    ['00000000-0000-0000-0000-000000000000', 221],
    ['11111111-1111-4111-8111-111111111111', 911],
    ['22222222-2222-4222-8222-222222222222', 997],
    ['33333333-3333-4333-8333-333333333333', 121],
    ['6ba7b810-9dad-11d1-80b4-00c04fd430c8', 314],
    ['ffffffff-ffff-4fff-bfff-ffffffffffff', 815],
  ])('rule R1: the slot of %s is %i', (id, slot) => expect(slotOf(id as StateId)).toBe(slot))

  const names = [0, 1, 2, 3, 4].map((n) => `state-process-${n}`)
  test.each([
    [0, [4, 2, 1]],
    [7, [4, 2, 1]],
    [911, [0, 3, 4]],
    [1023, [3, 0, 4]],
  ])('rule R2: the owners of slot %i are %j', (slot, owners) => expect(ownersOf(slot as Slot, names, 3)).toEqual(owners.map((n) => `state-process-${n}`)))
})

const slot = fc.integer({ min: 0, max: SLOTS - 1 }).map((n) => n as Slot)
const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 8 })

test('rule R2: the order in which names are given changes nothing', () => {
  fc.assert(fc.property(slot, names, fc.nat(8), (at, given, count) => expect(ownersOf(at, [...given].reverse(), count)).toEqual(ownersOf(at, given, count))))
})

test('rule R2: fewer are owners where fewer are there', () => {
  fc.assert(fc.property(slot, names, (at, given) => expect(ownersOf(at, given, 99).sort()).toEqual([...given].sort())))
})

test('rule R2: one that leaves takes only its own place', () => {
  fc.assert(
    fc.property(slot, names, (at, given) => {
      const [first, ...rest] = ownersOf(at, given, given.length)
      expect(ownersOf(at, given.filter((name) => name !== first), given.length)).toEqual(rest)
    }),
  )
})

test('slots are even, and so is who comes first', () => {
  const members = ['p0', 'p1', 'p2']
  const first = new Map<string, number>()
  for (let n = 0; n < SLOTS; n++) {
    const [name] = ownersOf(n as Slot, members, 1)
    first.set(name!, (first.get(name!) ?? 0) + 1)
  }
  for (const name of members) expect(Math.abs(first.get(name)! - SLOTS / 3)).toBeLessThan(60)
  const used = new Set(Array.from({ length: 10_000 }, (_, n) => slotOf(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}` as StateId)))
  expect(used.size).toBeGreaterThan(SLOTS * 0.99)
  expect(Math.max(...used)).toBeLessThan(SLOTS)
})
