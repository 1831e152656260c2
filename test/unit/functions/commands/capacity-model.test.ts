import { expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { assumed, bounds, capacity, prices, type Size } from '#functions/commands/capacity-model.ts'

const middle: Size = { patchesPerSecond: 100, states: 100_000, domains: 10, followers: 1_000, stateProcesses: 3 }
const cost = (size: Size, what: string): number => capacity(size).costs.find((one) => one.what === what)!.usdPerMonth

test('nothing is put while nothing is patched', () => {
  const idle = capacity({ ...middle, patchesPerSecond: 0 })
  expect(idle).toMatchObject({ bundlePutsPerSecond: 0, patchesPerBundle: 0, idFilePutsPerSecond: 0, messagesPerSecond: 0, rowsPerSecond: 0, usdPerMillionPatches: undefined })
  expect(idle.usdPerMonth).toBeGreaterThan(0)
})

test('a bundle a patch at first, then one a put and process, whatever the load', () => {
  const most = 3 / (assumed.putMs / 1000)
  expect(capacity({ ...middle, patchesPerSecond: 10 }).bundlePutsPerSecond).toBe(10)
  expect(capacity({ ...middle, patchesPerSecond: 1_000 }).bundlePutsPerSecond).toBeCloseTo(most)
  expect(capacity({ ...middle, patchesPerSecond: 2_000 }).bundlePutsPerSecond).toBeCloseTo(most)
  expect(capacity({ ...middle, patchesPerSecond: 1_000 }).patchesPerBundle).toBeCloseTo(1_000 / most)
})

test('bundles that are full go besides', () => {
  const patchesPerSecond = limits.bundleInteractions * 1_000
  expect(capacity({ ...middle, patchesPerSecond }).patchesPerBundle).toBeLessThanOrEqual(limits.bundleInteractions)
})

test('ID files: one a changed state and checkpoint, never more than patches', () => {
  expect(capacity({ ...middle, states: 60 }).idFilePutsPerSecond).toBeCloseTo(60 / (limits.slotTailAgeMs / 1000))
  expect(capacity({ ...middle, states: 1e9 }).idFilePutsPerSecond).toBeCloseTo(middle.patchesPerSecond)
})

test('10 puts a second for a month cost about 130 USD', () => {
  expect(((10 * 30 * 86_400) / 1e6) * prices.gcsClassAPerMillion).toBeCloseTo(129.6)
  const { classAPerSecond, classBPerSecond } = capacity(middle)
  expect(cost(middle, 'cold storage, operations')).toBeCloseTo(2.592 * (classAPerSecond * 5 + classBPerSecond * 0.4))
})

test('costs add up, and are divided by the patches of the month', () => {
  const { costs, usdPerMonth, usdPerMillionPatches } = capacity(middle)
  expect(costs.reduce((sum, { usdPerMonth: one }) => sum + one, 0)).toBeCloseTo(usdPerMonth)
  expect(usdPerMillionPatches! * 259.2).toBeCloseTo(usdPerMonth)
  expect(cost({ ...middle, domains: 0 }, 'domain worker')).toBe(0)
})

test('a million patches cost less the more there are', () => {
  const perMillion = [1, 10, 100, 1_000, 5_000].map((patchesPerSecond) => capacity({ ...middle, patchesPerSecond }).usdPerMillionPatches!)
  expect([...perMillion].sort((a, b) => b - a)).toEqual(perMillion)
})

test('memory grows with states and ends at the bound of tracked states', () => {
  const of = (states: number): number => capacity({ ...middle, states }).memoryMibPerStateProcess
  expect(of(0)).toBeLessThan(of(50_000))
  expect(of(limits.trackedStates)).toBe(of(limits.trackedStates * 10))
})

test('limits: the nearest first, each with its share and a way out', () => {
  for (const size of [middle, { ...middle, patchesPerSecond: 30_000 }, { ...middle, followers: 1e6 }]) {
    const found = capacity(size).limits
    expect(found.map(({ share }) => share)).toEqual(found.map(({ share }) => share).sort((a, b) => b - a))
    for (const { used, bound, share, change } of found) expect({ share, told: change.length > 10 }).toEqual({ share: used / bound, told: true })
  }
})

test('one hot state meets the bound of its key in Pub/Sub, and streams make instances', () => {
  const hot = capacity({ ...middle, patchesPerSecond: 2_000, states: 1 }).limits.find(({ what }) => what.includes('one key'))!
  expect(hot.share).toBeGreaterThan(1)
  expect(hot.bound).toBe(bounds.pubsubBytesPerKeyPerSecond)
  expect(capacity({ ...middle, followers: 12_500 }).apiInstances).toBe(13)
})
