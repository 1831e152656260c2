import { describe, expect, test } from '@jest/globals'
import type { Cycle, Slot } from '#shared/ids.ts'
import { partOf, readLog, type DeadLog } from '#shared/protocol/dead-log.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import { encodeSegment } from '#shared/records/bundle.ts'
import { logObjectName, segmentName } from '#shared/records/names.ts'
import { A, B, bundle, Driver, seq, storeBundles, storeSeal, X } from './drive.ts'

const name = (n: number): string => logObjectName(A, seq(n))
const SLOT = slotOf(X)

function read(driver: Driver, last: number, low?: number): DeadLog {
  let result: DeadLog | undefined
  readLog(driver.context, A, seq(last), low === undefined ? undefined : { low: seq(low) }, (log) => (result = log))
  driver.run()
  return result!
}
const numbers = (log: DeadLog): number[] => (log.slots.get(SLOT)?.get(X) ?? []).map(({ seq: at }) => at)
const reads = (driver: Driver): string[] => driver.operations.filter((operation) => operation.startsWith('get ')).map((operation) => operation.slice(4))
const segment = (driver: Driver, from: number, to: number): string => {
  const bundles = Array.from({ length: to - from + 1 }, (_, at) => bundle(A, from + at))
  driver.storage.objects.set(segmentName(A, seq(from), seq(to)), encodeSegment(A, seq(from), seq(to), bundles))
  return segmentName(A, seq(from), seq(to))
}

test('every number up to the last, in order, whatever order they come in', () => {
  const driver = new Driver()
  storeBundles(driver.storage, A, 30)
  expect(numbers(read(driver, 30))).toEqual(Array.from({ length: 30 }, (_, at) => at + 1))
})

test('a log that holds nothing costs nothing', () => {
  const driver = new Driver()
  expect(read(driver, 0)).toMatchObject({ slots: new Map(), broken: new Map() })
  expect(driver.operations).toEqual([])
})

describe('rule K4: from the low on', () => {
  test('that the last bundle names', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    driver.storage.objects.set(name(6), bundle(A, 6, { low: 5 }))
    const log = read(driver, 6)
    expect([log.low, numbers(log)]).toEqual([5, [5, 6]])
    expect(reads(driver)).toEqual([name(6), name(5), name(6)])
  })

  test('that its own seal names: nothing else need be asked', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    expect(numbers(read(driver, 5, 4))).toEqual([4, 5])
    expect(read(new Driver(), 5, 6)).toMatchObject({ slots: new Map(), broken: new Map() })
  })

  test('without the word of the last bundle everything is read', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 3)
    driver.storage.objects.set(name(4), Buffer.from('nonsense'))
    const log = read(driver, 4)
    expect([log.low, numbers(log), [...log.broken.keys()]]).toEqual([1, [1, 2, 3], [4]])
  })
})

describe('rule S1: the log ends at the first seal', () => {
  test('that stands before the one that `end` names', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 2)
    storeSeal(driver.storage, A, 3)
    expect(numbers(read(driver, 3))).toEqual([1, 2])
  })

  test('bundles behind it count for nobody, and what is missing behind it is nobody’s loss', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 6)
    storeSeal(driver.storage, A, 3)
    driver.storage.objects.delete(name(5))
    const log = read(driver, 6)
    expect([numbers(log), [...log.broken.keys()]]).toEqual([[1, 2], []])
  })

  test('two seals, one behind the other: the last bundle before them knows the low', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 2)
    driver.storage.objects.set(name(3), bundle(A, 3, { low: 2 }))
    storeSeal(driver.storage, A, 4)
    storeSeal(driver.storage, A, 5)
    const log = read(driver, 5)
    expect([log.low, numbers(log)]).toEqual([2, [2, 3]])
  })
})

describe('rule C1: a number that is missing or corrupt is named', () => {
  test.each([
    ['missing', undefined, 'missing'],
    ['corrupt', Buffer.from('nonsense'), 'no record header'],
    ['of another log', bundle(B, 2), 'under another name'],
    ['of another number', bundle(A, 3), 'under another name'],
  ])('%s', (_what, bytes, reason) => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 3)
    if (bytes === undefined) driver.storage.objects.delete(name(2))
    else driver.storage.objects.set(name(2), bytes)
    const log = read(driver, 3)
    expect([...log.broken]).toEqual([[2, { object: name(2), reason: expect.stringContaining(reason) }]])
    const part = (first: number, last: number): unknown => partOf(log, { slot: SLOT, cycle: 1 as Cycle, first: seq(first), last: seq(last) })
    // It breaks the parts that contain it, and no other.
    expect(part(1, 3)).toMatchObject({ object: name(2) })
    expect(part(2, 2)).toMatchObject({ object: name(2) })
    expect(part(3, 3)).toBeInstanceOf(Map)
    expect(part(1, 1)).toBeInstanceOf(Map)
  })
})

describe('rule S5: segments', () => {
  test('at each number the longest one, else the bundle', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 9)
    segment(driver, 1, 2)
    const longest = segment(driver, 1, 4)
    const second = segment(driver, 6, 7)
    expect(numbers(read(driver, 9))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(reads(driver).slice(1).sort()).toEqual([longest, second, name(5), name(8), name(9)].sort())
  })

  test('one that begins before the low serves from the low on', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 6)
    const from = segment(driver, 1, 4)
    const log = read(driver, 6, 3)
    expect(numbers(log)).toEqual([3, 4, 5, 6])
    expect(reads(driver).sort()).toEqual([from, name(5), name(6)].sort())
  })

  test('bundles that are gone are in it', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    segment(driver, 1, 4)
    for (const n of [1, 2, 3, 4]) driver.storage.objects.delete(name(n))
    expect(numbers(read(driver, 5))).toEqual([1, 2, 3, 4, 5])
  })

  test.each([
    ['corrupt', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([0])])],
    ['truncated', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['of other numbers', () => encodeSegment(A, seq(2), seq(4), [2, 3, 4].map((n) => bundle(A, n)))],
  ])('one that is %s decides nothing: the bundles do', (_what, damage) => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    const damaged = segment(driver, 1, 4)
    driver.storage.objects.set(damaged, damage(Buffer.from(driver.storage.objects.get(damaged)!)))
    const log = read(driver, 5)
    expect([numbers(log), log.broken.size]).toEqual([[1, 2, 3, 4, 5], 0])
  })

  test('one that reaches beyond the last number that counts is not taken', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    const beyond = segment(driver, 1, 5)
    expect(numbers(read(driver, 3))).toEqual([1, 2, 3])
    expect(reads(driver)).not.toContain(beyond)
  })
})

test('rule E2: a part holds the interactions of its cycle, from its first number to its last', () => {
  const driver = new Driver()
  for (const [n, cycle] of [1, 1, 2, 2, 1].entries()) driver.storage.objects.set(name(n + 1), bundle(A, n + 1, { cycle }))
  const log = read(driver, 5)
  const part = (cycle: number, first: number, last: number): number[] => {
    const states = partOf(log, { slot: SLOT, cycle: cycle as Cycle, first: seq(first), last: seq(last) })
    return 'object' in states ? [] : ((states as ReadonlyMap<typeof X, readonly { seq: number }[]>).get(X) ?? []).map(({ seq: at }) => at)
  }
  expect([part(1, 1, 5), part(2, 1, 5), part(1, 2, 4), part(2, 4, 5), part(3, 1, 5)]).toEqual([[1, 2, 5], [3, 4], [2], [4], []])
  expect(partOf(log, { slot: ((SLOT + 1) % 1024) as Slot, cycle: 1 as Cycle, first: seq(1), last: seq(5) })).toEqual(new Map())
})
