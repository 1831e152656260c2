import { expect, test } from '@jest/globals'
import { assert } from '#shared/assert.ts'
import type { Seq } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import { Segments } from '#shared/protocol/segments.ts'
import { decodeSegment } from '#shared/records/bundle.ts'
import { parseLogName } from '#shared/records/names.ts'
import { A, bundle, Driver, seq } from './drive.ts'

/** A log of which everything from `low` on is in memory. */
function logOf(low: () => number): LeaderLog {
  const kept = (n: Seq): { bytes: Buffer; linesAt: number } => {
    assert(n >= low(), `bundle ${n} is gone`)
    return { bytes: bundle(A, n), linesAt: 0 }
  }
  return { incarnation: A, kept } as unknown as LeaderLog
}

/** Adds `count` bundles. */
function grow(driver: Driver, segments: Segments, from: number, count: number): void {
  for (let n = from; n < from + count; n++) {
    segments.add(seq(n))
    driver.run()
  }
}
function ranges(driver: Driver): [number, number][] {
  return [...driver.storage.objects.keys()].map((name) => {
    const parsed = parseLogName(A, name)
    return parsed.kind === 'segment' ? [parsed.from, parsed.to] : [0, 0]
  })
}

test('rule S5: a segment holds every bundle from..to, as they were', () => {
  const driver = new Driver({ looseBundles: 3, segmentFanIn: 3 })
  grow(driver, new Segments(driver.context, logOf(() => 1), () => seq(1)), 1, 40)
  expect(ranges(driver).length).toBeGreaterThan(10)
  for (const [name, bytes] of driver.storage.objects) {
    const parsed = parseLogName(A, name) as { from: Seq; to: Seq }
    const bundles = decodeSegment(bytes, A, parsed.from, parsed.to)
    expect(bundles.map(({ header }) => header.seq)).toEqual(Array.from({ length: parsed.to - parsed.from + 1 }, (_, at) => parsed.from + at))
  }
})

test('recovery of a long log reads no more objects than the limit', () => {
  const driver = new Driver()
  const segments = new Segments(driver.context, logOf(() => 1), () => seq(1))
  for (let n = 1; n <= 3_000; n++) {
    segments.add(seq(n))
    driver.run()
    if (n % 41 !== 0 && n < 2_990) continue
    // The longest one at each number, as who reads the log takes them.
    const longest = new Map<number, number>()
    for (const [from, to] of ranges(driver)) longest.set(from, Math.max(to, longest.get(from) ?? 0))
    let objects = 0
    for (let at = 1; at <= n; at = (longest.get(at) ?? at) + 1) objects += 1
    expect(objects).toBeLessThanOrEqual(limits.recoveryObjects)
  }
})

test('what checkpoints cover is forgotten: it is in no segment any more', () => {
  const driver = new Driver({ looseBundles: 4, segmentFanIn: 4 })
  let low = 1
  const segments = new Segments(driver.context, logOf(() => low), () => seq(low))
  // Number 4 is the first that is not covered.
  grow(driver, segments, 1, 3)
  low = 3
  segments.trim()
  low = 4
  grow(driver, segments, 4, 1)
  segments.trim()
  grow(driver, segments, 5, 3)
  expect(ranges(driver)).toEqual([[4, 7]])
})

test('a piece that is half covered is not merged, for some of its bundles are gone, and holds up nothing behind it', () => {
  const driver = new Driver({ looseBundles: 2, segmentFanIn: 2 })
  let low = 1
  const segments = new Segments(driver.context, logOf(() => low), () => seq(low))
  grow(driver, segments, 1, 2)
  low = 2
  segments.trim()
  grow(driver, segments, 3, 8)
  expect(ranges(driver)).toEqual([
    [1, 2],
    [3, 4],
    [5, 6],
    [3, 6],
    [7, 8],
    [9, 10],
    [7, 10],
    [3, 10],
  ])
})

test('a checkpoint passes a run while it is being merged: it goes on behind it', () => {
  const driver = new Driver({ looseBundles: 2, segmentFanIn: 2 })
  let low = 1
  const segments = new Segments(driver.context, logOf(() => low), () => seq(low))
  segments.add(seq(1))
  segments.add(seq(2))
  low = 3
  segments.trim()
  driver.run()
  expect(ranges(driver)).toEqual([[1, 2]])
  grow(driver, segments, 3, 4)
  expect(ranges(driver)).toEqual([
    [1, 2],
    [3, 4],
    [5, 6],
    [3, 6],
  ])
})
