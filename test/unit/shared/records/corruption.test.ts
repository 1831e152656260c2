/** Whatever happened to an object's bytes, reading it says so (rule C2) and never gives another value. */
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { decodeBundle, decodeSegment } from '#shared/records/bundle.ts'
import { CorruptRecord, wrap } from '#shared/records/envelope.ts'
import { decodeSmall, logObjectType } from '#shared/records/fence.ts'
import { decodeIdFileBase, decodeIdFileHistory } from '#shared/records/id-file.ts'
import * as sample from './samples.ts'
import { ii, INCARNATION, OTHER, seq, X, Y } from './samples.ts'

type Reading = { readonly name: string; readonly bytes: Buffer; readonly read: (bytes: Uint8Array) => unknown }

const whole: readonly Reading[] = [
  { name: 'bundle', bytes: sample.GOLDEN_BUNDLE, read: (bytes) => decodeBundle(bytes, INCARNATION, seq(7)) },
  { name: 'segment', bytes: sample.GOLDEN_SEGMENT, read: (bytes) => decodeSegment(bytes, INCARNATION, seq(7), seq(8)) },
  { name: 'seal', bytes: sample.GOLDEN_OWN_SEAL, read: (bytes) => decodeSmall('seal', bytes) },
  { name: 'end', bytes: sample.GOLDEN_END, read: (bytes) => decodeSmall('end', bytes) },
  { name: 'epoch', bytes: sample.GOLDEN_EPOCH, read: (bytes) => decodeSmall('epoch', bytes) },
  { name: 'checkpoint', bytes: sample.GOLDEN_CHECKPOINT, read: (bytes) => decodeSmall('checkpoint', bytes) },
  { name: 'checkpoint, version 2', bytes: sample.GOLDEN_CHECKPOINT_BEHIND, read: (bytes) => decodeSmall('checkpoint', bytes) },
  { name: 'history of an ID file', bytes: sample.GOLDEN_ID_FILE, read: (bytes) => decodeIdFileHistory(bytes, X, ii(2)).history },
]
const base: Reading = { name: 'base of an ID file', bytes: sample.GOLDEN_ID_FILE, read: (bytes) => decodeIdFileBase(bytes, X, ii(2)) }
/** One section can be read where another one is damaged. */
const partial = (name: string): boolean => name.includes('ID file')

const outcomeOf = ({ read }: Reading, bytes: Uint8Array): unknown => {
  try {
    return read(bytes)
  } catch (error) {
    if (error instanceof CorruptRecord) return 'corrupt'
    throw error
  }
}

describe.each(whole)('$name', (reading) => {
  const good = reading.read(reading.bytes)

  test('every truncation is corrupt', () => {
    for (let length = 0; length < reading.bytes.byteLength; length++) expect([length, outcomeOf(reading, reading.bytes.subarray(0, length))]).toEqual([length, 'corrupt'])
  })

  test('every flipped bit is corrupt', () => {
    for (let at = 0; at < reading.bytes.byteLength; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Buffer.from(reading.bytes)
        bytes[at]! ^= 1 << bit
        const outcome = outcomeOf(reading, bytes)
        if (partial(reading.name) && outcome !== 'corrupt') expect(outcome).toEqual(good)
        else expect([at, bit, outcome]).toEqual([at, bit, 'corrupt'])
      }
    }
  })

  test('any damage is corrupt, or gives the very value', () => {
    const damage = fc.array(fc.record({ at: fc.nat(reading.bytes.byteLength - 1), mask: fc.integer({ min: 1, max: 255 }) }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(damage, fc.uint8Array({ maxLength: 3 }), (flips, tail) => {
        const bytes = Buffer.concat([reading.bytes, tail])
        for (const { at, mask } of flips) bytes[at]! ^= mask
        const outcome = outcomeOf(reading, bytes)
        if (outcome !== 'corrupt') expect(outcome).toEqual(good)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('bytes behind a record', () => {
  test.each(whole.filter(({ name }) => !partial(name)))('$name', (reading) => expect(outcomeOf(reading, Buffer.concat([reading.bytes, Buffer.from([10])]))).toBe('corrupt'))
})

describe('base of an ID file', () => {
  const good = base.read(base.bytes)

  test('a truncation is corrupt, or says how much it takes', () => {
    for (let length = 0; length < sample.ID_BASE_BYTES; length++) {
      const outcome = outcomeOf(base, base.bytes.subarray(0, length))
      if (outcome !== 'corrupt') expect([length, outcome]).toEqual([length, { needBytes: sample.ID_BASE_BYTES }])
    }
  })

  test('a flipped bit is corrupt; behind the window it changes nothing', () => {
    for (let at = 0; at < base.bytes.byteLength; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Buffer.from(base.bytes)
        bytes[at]! ^= 1 << bit
        expect([at, bit, outcomeOf(base, bytes)]).toEqual([at, bit, at < sample.ID_BASE_BYTES ? 'corrupt' : good])
      }
    }
  })
})

describe('a record under another name is refused (rule C4)', () => {
  test.each<readonly [string, () => unknown]>([
    ['bundle of another log', () => decodeBundle(sample.GOLDEN_BUNDLE, OTHER, seq(7))],
    ['bundle of another number', () => decodeBundle(sample.GOLDEN_BUNDLE, INCARNATION, seq(8))],
    ['segment of another log', () => decodeSegment(sample.GOLDEN_SEGMENT, OTHER, seq(7), seq(8))],
    ['segment from elsewhere', () => decodeSegment(sample.GOLDEN_SEGMENT, INCARNATION, seq(6), seq(8))],
    ['segment to elsewhere', () => decodeSegment(sample.GOLDEN_SEGMENT, INCARNATION, seq(7), seq(9))],
    ['ID file of another state', () => decodeIdFileBase(sample.GOLDEN_ID_FILE, Y, ii(2))],
    ['ID file of another index', () => decodeIdFileBase(sample.GOLDEN_ID_FILE, X, ii(3))],
    ['history of another index', () => decodeIdFileHistory(sample.GOLDEN_ID_FILE, X, ii(3))],
  ])('%s', (_name, read) => expect(read).toThrow(CorruptRecord))
})

describe('a type where another one belongs', () => {
  test.each<readonly [string, () => unknown]>([
    ['a seal as a bundle', () => decodeBundle(sample.GOLDEN_SEAL, INCARNATION, seq(9))],
    ['a bundle as a seal', () => decodeSmall('seal', sample.GOLDEN_BUNDLE)],
    ['an end as a seal', () => decodeSmall('seal', sample.GOLDEN_END)],
    ['a bundle as a segment', () => decodeSegment(sample.GOLDEN_BUNDLE, INCARNATION, seq(7), seq(7))],
    ['a bundle as an ID file', () => decodeIdFileBase(sample.GOLDEN_BUNDLE, X, ii(2))],
    ['a payload of another kind', () => decodeSmall('seal', wrap('seal', Buffer.from('{"kind":"end"}')))],
    ['a payload that is no object', () => decodeSmall('seal', wrap('seal', Buffer.from('null')))],
    ['a payload that is no JSON', () => decodeSmall('seal', wrap('seal', Buffer.from('{')))],
    ['a bundle line without patch', () => decodeBundle(wrap('bundle', Buffer.from(`{"incarnation":"${INCARNATION}","seq":7,"low":5}\n["x",1,1,1,"","",""]\n`)), INCARNATION, seq(7))],
    ['a bundle line of too few fields', () => decodeBundle(wrap('bundle', Buffer.from(`{"incarnation":"${INCARNATION}","seq":7,"low":5}\n["x",1]\t[]\n`)), INCARNATION, seq(7))],
    ['a last bundle line that does not end', () => decodeBundle(wrap('bundle', Buffer.from(`{"incarnation":"${INCARNATION}","seq":7,"low":5}\n["x",1,1,1,"","",""]\t[]`)), INCARNATION, seq(7))],
    ['a segment that lacks a bundle', () => decodeSegment(wrap('segment', Buffer.concat([Buffer.from(`{"incarnation":"${INCARNATION}","from":7,"to":8}\n`), sample.GOLDEN_BUNDLE])), INCARNATION, seq(7), seq(8))],
    ['a segment with bytes behind its last bundle', () => decodeSegment(wrap('segment', Buffer.concat([Buffer.from(`{"incarnation":"${INCARNATION}","from":7,"to":7}\n`), sample.GOLDEN_BUNDLE, Buffer.from([10])])), INCARNATION, seq(7), seq(7))],
    ['a segment with its bundles in another order', () => decodeSegment(wrap('segment', Buffer.concat([Buffer.from(`{"incarnation":"${INCARNATION}","from":7,"to":8}\n`), sample.GOLDEN_BUNDLE_8, sample.GOLDEN_BUNDLE])), INCARNATION, seq(7), seq(8))],
  ])('%s', (_name, read) => expect(read).toThrow(CorruptRecord))
})

test.each(whole.concat(base))('a version that is not known is refused: $name', (reading) => {
  for (const version of ['0', reading.name.startsWith('checkpoint') ? '3' : '2', '10']) {
    const bytes = Buffer.from(reading.bytes.toString('latin1').replace(/\/\d+ /, `/${version} `), 'latin1')
    expect(() => reading.read(bytes)).toThrow(new CorruptRecord(`record version ${version} is not known`))
  }
})

test('what a numbered object is cannot be told of a damaged one', () => {
  const bytes = Buffer.from(sample.GOLDEN_SEAL)
  bytes[bytes.byteLength - 1]! ^= 1
  expect(() => logObjectType(bytes)).toThrow(CorruptRecord)
})

test('a checkpoint is of version 2 where it names a mark, and only there', () => {
  for (const [golden, version] of [[sample.GOLDEN_CHECKPOINT, '2'], [sample.GOLDEN_CHECKPOINT_BEHIND, '1']] as const) {
    const bytes = Buffer.from(golden.toString('latin1').replace(/\/\d+ /, `/${version} `), 'latin1')
    expect(() => decodeSmall('checkpoint', bytes)).toThrow(new CorruptRecord('payload has not the shape of its type'))
  }
})
