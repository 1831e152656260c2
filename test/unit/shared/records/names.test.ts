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
    names.checkpointName(slot, cycle(2), seq(0)),
    names.idFileName(X, ii(12)),
  ]).toEqual([
    `leaders/${INCARNATION}/000000000001`,
    `leaders/${INCARNATION}/end`,
    `leaders/${INCARNATION}/segments/000000000001-000000000016`,
    'slots/0007/00000001',
    'slots/0007/checkpoints/00000002-000000000000',
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

describe('names are read as they were made', () => {
  test('of a log', () => {
    const parse = (name: string): names.LogName => names.parseLogName(INCARNATION, name)
    expect(parse(names.logObjectName(INCARNATION, seq(12)))).toEqual({ kind: 'object', seq: 12 })
    expect(parse(names.segmentName(INCARNATION, seq(3), seq(18)))).toEqual({ kind: 'segment', from: 3, to: 18 })
    expect(parse(names.endName(INCARNATION))).toEqual({ kind: 'end' })
  })
  test('of a slot', () => {
    expect(names.parseSlotName(slot, names.epochName(slot, cycle(3)))).toEqual({ kind: 'epoch', cycle: 3 })
    expect(names.parseSlotName(slot, names.checkpointName(slot, cycle(3), seq(9)))).toEqual({ kind: 'checkpoint', cycle: 3, seq: 9 })
  })
  test('of a state', () => expect(names.parseIdFileName(X, names.idFileName(X, ii(4)))).toBe(4))

  test('others stop the process: something else writes into this storage', () => {
    expect(() => names.parseLogName(INCARNATION, `leaders/${INCARNATION}/1`)).toThrow(AssertionError)
    expect(() => names.parseSlotName(slot, 'slots/0007/1')).toThrow(AssertionError)
    expect(() => names.parseIdFileName(X, `ids/${X}/tmp`)).toThrow(AssertionError)
  })
})
