import { describe, expect, test } from '@jest/globals'
import type { Cycle, Incarnation, Seq, Slot } from '#shared/ids.ts'
import { firstToKeep, partsByLog, type LogPart } from '#shared/protocol/retention.ts'
import type { EpochRecord } from '#shared/records/fence.ts'
import type { SlotCheckpoint } from '#shared/records/names.ts'
import { A, B, seq } from './drive.ts'

const slot = (n: number): Slot => n as Slot
const epoch = (of: number, cycle: number, leader: Incarnation, first: number, predecessor?: [Incarnation, number]): EpochRecord => ({
  kind: 'epoch',
  slot: slot(of),
  cycle: cycle as Cycle,
  leader,
  name: 'p',
  first: seq(first),
  predecessor: predecessor ? { incarnation: predecessor[0], last: seq(predecessor[1]) } : null,
})
/** Slot, cycle, number; and the mark of what is published, where that is not as far. */
const checkpoints = (...of: [number, number, number, [number, number]?][]): ReadonlyMap<Slot, SlotCheckpoint> =>
  new Map(of.map(([n, cycle, at, [markCycle, markAt] = [cycle, at]]) => [slot(n), { cycle: cycle as Cycle, seq: seq(at), published: { cycle: markCycle as Cycle, seq: seq(markAt) } }]))
const part = (of: number, cycle: number, first: number, last?: number): LogPart => ({ slot: slot(of), cycle: cycle as Cycle, first: seq(first), last: last === undefined ? undefined : seq(last) })

test('rule E2: parts of each log, from the epoch records of all slots, in whatever order', () => {
  const epochs = [epoch(1, 2, B, 5, [A, 9]), epoch(2, 1, A, 4), epoch(1, 1, A, 1), epoch(1, 3, A, 20, [B, 7])]
  const parts = partsByLog(epochs)
  expect(parts.get(A)).toEqual(expect.arrayContaining([part(1, 1, 1, 9), part(2, 1, 4), part(1, 3, 20)]))
  expect(parts.get(A)).toHaveLength(3)
  expect(parts.get(B)).toEqual([part(1, 2, 5, 7)])
})

describe('rule D2: what a checkpoint of every slot covers may go', () => {
  const keep = (parts: readonly LogPart[], seal: number, covered: ReadonlyMap<Slot, SlotCheckpoint>): Seq => firstToKeep(parts, seq(seal), covered)

  test('nothing, where a slot has no checkpoint', () => expect(keep([part(1, 1, 1)], 10, checkpoints())).toBe(1))
  test('up to the checkpoint', () => expect(keep([part(1, 1, 1)], 10, checkpoints([1, 1, 6]))).toBe(7))
  test('the slot that is furthest behind decides', () => expect(keep([part(1, 1, 1), part(2, 1, 1)], 10, checkpoints([1, 1, 8], [2, 1, 3]))).toBe(4))
  test('a part that begins late holds back from there on only', () => expect(keep([part(1, 1, 1), part(2, 1, 6)], 10, checkpoints([1, 1, 9]))).toBe(6))
  test('a checkpoint of a later cycle covers the part', () => expect(keep([part(1, 1, 1, 5)], 10, checkpoints([1, 2, 0]))).toBe(9))
  test('one of an earlier cycle covers nothing of it', () => expect(keep([part(1, 2, 3)], 10, checkpoints([1, 1, 99]))).toBe(3))
  test('what is covered and not published stays', () => {
    expect(keep([part(1, 1, 1)], 10, checkpoints([1, 1, 9, [1, 4]]))).toBe(5)
    expect(keep([part(1, 1, 1, 5)], 10, checkpoints([1, 2, 3, [1, 2]]))).toBe(3)
    expect(keep([part(1, 1, 1, 5)], 10, checkpoints([1, 2, 3, [0, 0]]))).toBe(1)
  })
  test('an empty part holds nothing back', () => expect(keep([part(1, 1, 4, 3)], 10, checkpoints())).toBe(9))
  test('rule D3: the last bundle stays', () => {
    expect(keep([part(1, 1, 1)], 10, checkpoints([1, 1, 9]))).toBe(9)
    expect(keep([], 1, checkpoints())).toBe(1)
  })
})
