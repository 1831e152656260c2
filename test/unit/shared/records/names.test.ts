import { describe, expect, test } from '@jest/globals'
import type { Cycle, Slot } from '#shared/ids.ts'
import { AssertionError } from '#shared/assert.ts'
import * as names from '#shared/records/names.ts'
import { ii, INCARNATION, seq, X } from './samples.ts'

const slot = 7 as Slot
const cycle = (n: number): Cycle => n as Cycle

test('golden names', () => {
  expect([
    names.logObjectName(INCARNATION, seq(1)),
    names.endName(INCARNATION),
    names.segmentName(INCARNATION, seq(1), seq(16)),
    names.epochName(slot, cycle(1)),
    names.checkpointName(slot, { cycle: cycle(2), seq: seq(0) }, undefined),
    names.checkpointName(slot, { cycle: cycle(3), seq: seq(9) }, { cycle: cycle(2), seq: seq(40) }),
    names.idFileName(X, ii(12)),
  ]).toEqual([
    `leaders/${INCARNATION}/000000000001`,
    `leaders/${INCARNATION}/end`,
    `leaders/${INCARNATION}/segments/000000000001-000000000016`,
    'slots/0007/00000001',
    'slots/0007/checkpoints/00000002-000000000000',
    'slots/0007/checkpoints/00000003-000000000009-00000002-000000000040',
    `ids/${X}/000000000012`,
  ])
})

test('names are what ports of cold storage allow, and sort as their numbers do', () => {
  const numbers = [0, 1, 9, 10, 99, 1e6, 999_999_999_999]
  const sorted = numbers.map((n) => names.logObjectName(INCARNATION, seq(n)))
  expect([...sorted].sort()).toEqual(sorted)
  expect(numbers.map((n) => names.idFileName(X, ii(n))).every((name) => /^[0-9a-z/-]+$/.test(name))).toBe(true)
  // `end` and segments stand behind every number: a list after a number sees them, and skips them.
  expect([names.endName(INCARNATION), names.segmentPrefix(INCARNATION)].every((name) => name > sorted.at(-1)!)).toBe(true)
})

test('rule O1: the checkpoint that covers most counts, and of two as far the one by which more is published', () => {
  const of = (...[c, s, pc, ps]: [number, number, number, number]): names.SlotCheckpoint => ({ cycle: cycle(c), seq: seq(s), published: { cycle: cycle(pc), seq: seq(ps) } })
  const ascending = [of(1, 2, 1, 2), of(1, 3, 0, 0), of(1, 3, 1, 2), of(1, 3, 1, 3), of(2, 0, 1, 1), of(2, 0, 2, 0)]
  expect([...ascending].reverse().sort(names.compareCheckpoints)).toEqual(ascending)
})

describe('names are read as they were made', () => {
  test('of a log', () => {
    const parse = (name: string): names.LogName => names.parseLogName(INCARNATION, name)
    expect(parse(names.logObjectName(INCARNATION, seq(12)))).toEqual({ kind: 'object', seq: 12 })
    expect(parse(names.segmentName(INCARNATION, seq(3), seq(18)))).toEqual({ kind: 'segment', from: 3, to: 18 })
    expect(parse(names.endName(INCARNATION))).toEqual({ kind: 'end' })
  })
  test('of a slot', () => {
    expect(names.parseSlotName(slot, names.epochName(slot, cycle(3)))).toEqual({ kind: 'epoch', cycle: 3 })
    const covered = { cycle: cycle(3), seq: seq(9) }
    const published = { cycle: cycle(2), seq: seq(40) }
    expect(names.parseSlotName(slot, names.checkpointName(slot, covered, undefined))).toEqual({ kind: 'checkpoint', checkpoint: { ...covered, published: covered } })
    expect(names.parseSlotName(slot, names.checkpointName(slot, covered, published))).toEqual({ kind: 'checkpoint', checkpoint: { ...covered, published } })
  })
  test('of a state', () => expect(names.parseIdFileName(X, names.idFileName(X, ii(4)))).toBe(4))

  test('others stop the process: something else writes into this storage', () => {
    expect(() => names.parseLogName(INCARNATION, `leaders/${INCARNATION}/1`)).toThrow(AssertionError)
    expect(() => names.parseSlotName(slot, 'slots/0007/1')).toThrow(AssertionError)
    expect(() => names.parseIdFileName(X, `ids/${X}/tmp`)).toThrow(AssertionError)
  })
})
