import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { InteractionIndex } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import { KeyWindow } from '#shared/protocol/key-window.ts'
import { ID_WINDOW } from '../records/samples.ts'

const ii = (n: number): InteractionIndex => n as InteractionIndex
/** A 16-byte key; bytes above 127 too. */
const key = (n: number): string => `${String.fromCharCode(n & 255, 255 - (n & 255))}key${String(n).padStart(11, '0')}`
const BODY = 'a body digest..,'

function filled(count: number, msBetween: number, bodyDigest: string = BODY): KeyWindow {
  const window = new KeyWindow()
  for (let n = 1; n <= count; n++) window.add(key(n), bodyDigest, ii(n), n * msBetween)
  return window
}

/** First and last index that is still known; every one between them must be. */
function known(window: KeyWindow, count: number): [number, number] {
  const found = Array.from({ length: count }, (_, at) => at + 1).filter((n) => window.find(key(n)) !== undefined)
  expect(found).toEqual(Array.from({ length: found.length }, (_, at) => found[0]! + at))
  return [found[0]!, found.at(-1)!]
}

test('golden bytes: key digest, body digest, ii and updated as doubles, little-endian', () => {
  const window = new KeyWindow()
  const bytes = (from: number): string => String.fromCharCode(...Array.from({ length: 16 }, (_, at) => from + at))
  window.add(bytes(0), bytes(240), ii(2), 1700000000001)
  expect(window.packed().toString('hex')).toBe(ID_WINDOW.toString('hex'))
  expect(new KeyWindow(Buffer.from(ID_WINDOW)).find(bytes(0))).toEqual({ ii: 2, updated: 1700000000001, bodyDigest: bytes(240) })
})

describe('rule W1: what must be known', () => {
  test('the last 1,024, however old', () => {
    const count = 3_000
    expect(known(filled(count, limits.keyWindowMs), count)).toEqual([count - limits.keyWindowInteractions + 1, count])
  })

  test('those of the last 60 s, however many', () => {
    const count = 5_000
    const msBetween = 20
    const [first, last] = known(filled(count, msBetween), count)
    expect(last).toBe(count)
    // Of the moment of the last one, its age included.
    expect(first).toBeLessThanOrEqual(count - limits.keyWindowMs / msBetween)
    expect(first).toBeGreaterThan(count - limits.keyWindowMs / msBetween - 3)
  })

  test("the api's own keys for 15 s, however many", () => {
    const count = 5_000
    const msBetween = 10
    const [first] = known(filled(count, msBetween, ''), count)
    expect(first).toBeLessThanOrEqual(count - limits.mintedKeyWindowMs / msBetween)
    expect(first).toBeGreaterThan(count - limits.mintedKeyWindowMs / msBetween - 3)
  })

  test("a client's key is not forgotten for the sake of the api's own behind it", () => {
    const window = new KeyWindow()
    window.add(key(1), BODY, ii(1), 0)
    for (let n = 2; n <= 4_000; n++) window.add(key(n), '', ii(n), limits.keyWindowMs)
    expect(window.find(key(1))).toMatchObject({ ii: 1 })
    window.add(key(4_001), '', ii(4_001), limits.keyWindowMs + 1)
    expect(window.find(key(1))).toBeUndefined()
  })

  test('memory is bounded: what need not be known is not kept', () => {
    expect(filled(20_000, limits.keyWindowMs).size).toBe(limits.keyWindowInteractions)
    expect(filled(20_000, limits.keyWindowMs).packed().byteLength).toBe(48 * limits.keyWindowInteractions)
  })
})

/** What the window must do, in a few lines and without any packing. */
class Model {
  entries: { key: string; body: string; ii: number; updated: number }[] = []
  add(k: string, body: string, n: number, updated: number): void {
    while (this.entries.length >= limits.keyWindowInteractions) {
      const first = this.entries[0]!
      if (updated - first.updated <= (first.body === '' ? limits.mintedKeyWindowMs : limits.keyWindowMs)) break
      this.entries.shift()
    }
    this.entries.push({ key: k, body, ii: n, updated })
  }
}

test('scan, index and model agree, whenever the window was packed and opened again', () => {
  const step = fc.record({ ms: fc.oneof({ weight: 20, arbitrary: fc.nat(5) }, { weight: 1, arbitrary: fc.nat(40_000) }), minted: fc.boolean(), reopen: fc.integer({ min: 0, max: 199 }).map((n) => n === 0) })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 400, size: 'max' }), fc.integer({ min: 1, max: 12 }), (steps, repeat) => {
      const model = new Model()
      let window = new KeyWindow()
      let now = 0
      let n = 0
      for (let round = 0; round < repeat; round++) {
        for (const { ms, minted, reopen } of steps) {
          n += 1
          now += ms
          window.add(key(n), minted ? '' : BODY, ii(n), now)
          model.add(key(n), minted ? '' : BODY, n, now)
          // Looked up in between: the index is built early, and then kept up to date.
          if (n % 97 === 0) expect(window.find(key(n))?.ii).toBe(n)
          if (reopen) window = new KeyWindow(window.packed())
        }
      }
      expect(window.size).toBe(model.entries.length)
      for (const { key: k, body, ii: at, updated } of model.entries) expect(window.find(k)).toEqual({ ii: at, updated, bodyDigest: body })
      for (let gone = 1; gone < model.entries[0]!.ii; gone++) expect(window.find(key(gone))).toBeUndefined()
      expect(window.find(key(n + 1))).toBeUndefined()
      const again = new KeyWindow(window.packed())
      expect(again.packed().equals(window.packed())).toBe(true)
      expect(model.entries.every(({ key: k, ii: at }) => again.find(k)?.ii === at)).toBe(true)
    }),
    // Shrinking takes minutes, and the smallest case tells no more.
    { numRuns: 40, endOnFailure: true },
  )
})

test.each([1, 31, 32, 33, 34, 100])('with %i entries every one is found: by a scan up to 32, by an index above', (count) => {
  const window = filled(count, 1)
  for (let n = 1; n <= count; n++) expect(window.find(key(n))).toEqual({ ii: n, updated: n, bodyDigest: BODY })
  expect(window.find(key(count + 1))).toBeUndefined()
})

test('a packed window is a copy: what is added later is not in it', () => {
  const window = filled(3, 1)
  const packed = window.packed()
  const before = packed.toString('hex')
  window.add(key(4), BODY, ii(4), 4)
  expect(packed.toString('hex')).toBe(before)
  expect(new KeyWindow(packed).find(key(4))).toBeUndefined()
})

test('opening a window does not write into the bytes it was opened with', () => {
  const packed = filled(3, 1).packed()
  const before = packed.toString('hex')
  new KeyWindow(packed).add(key(4), BODY, ii(4), 4)
  expect(packed.toString('hex')).toBe(before)
})
