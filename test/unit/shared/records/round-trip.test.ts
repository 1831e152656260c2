import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Cycle, Incarnation } from '#shared/ids.ts'
import { decodeBundle, decodeSegment, encodeBundle, encodeSegment, entryLine, type LogEntry } from '#shared/records/bundle.ts'
import { decodeIdFileBase, decodeIdFileHistory, encodeIdFile } from '#shared/records/id-file.ts'
import { ID_HEADER, ii, INCARNATION, seq, X, Y } from './samples.ts'

/** Any text, lone surrogates, tabs and line feeds included. */
const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constantFrom('\t', '\n', '\u2028', '\ud800', '"', '\\', '\0'))
const digest = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const whole = fc.maxSafeNat()
/** Lone surrogates reach storage escaped only: that is how JSON.stringify writes them. */
const patch = fc.array(fc.record({ op: fc.constant('add'), path: fc.array(anyText), value: fc.jsonValue() })).map((ops) => JSON.stringify(ops))

const entry: fc.Arbitrary<LogEntry> = fc.record({
  id: fc.constantFrom(X, Y),
  cycle: whole.map((n) => n as Cycle),
  ii: whole.map(ii),
  ts: whole,
  user: anyText,
  key: fc.oneof(fc.constant(''), digest),
  bodyDigest: fc.oneof(fc.constant(''), digest),
  creation: fc.option(fc.record({ domain: anyText, owner: anyText, name: fc.option(anyText), reserved: fc.boolean() }), { nil: undefined }),
  patch,
})

test('bundles and segments give back what they were made of', () => {
  fc.assert(
    fc.property(fc.array(fc.array(entry, { maxLength: 5 }), { minLength: 1, maxLength: 4 }), whole, (bundles, low) => {
      const encoded = bundles.map((entries, at) => encodeBundle({ incarnation: INCARNATION, seq: seq(at + 1), low: seq(low) }, entries.map(entryLine)))
      const decoded = encoded.map((bytes, at) => decodeBundle(bytes, INCARNATION, seq(at + 1)))
      expect(decoded.map(({ entries }) => entries)).toEqual(bundles)
      expect(decodeSegment(encodeSegment(INCARNATION, seq(1), seq(bundles.length), encoded), INCARNATION, seq(1), seq(bundles.length))).toEqual(decoded)
    }),
  )
})

test('ID files give back what they were made of', () => {
  const history = fc.array(fc.record({ ii: whole.map(ii), ts: whole, user: anyText, patch }), { maxLength: 5 })
  fc.assert(
    fc.property(fc.jsonValue(), anyText, fc.uint8Array({ maxLength: 200 }), history, (active, name, window, entries) => {
      const header = { ...ID_HEADER, name }
      const bytes = encodeIdFile(header, JSON.stringify(active), window, entries)
      expect(decodeIdFileBase(bytes, X, ii(2))).toEqual({ header: expect.objectContaining(header), active: JSON.stringify(active), window: Buffer.from(window) })
      expect(decodeIdFileHistory(bytes, X, ii(2)).history).toEqual(entries)
    }),
  )
})

test('bytes are read where they lie: in the middle of a larger buffer', () => {
  const bytes = encodeBundle({ incarnation: 'a' as Incarnation, seq: seq(1), low: seq(1) }, [])
  const larger = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')])
  expect(decodeBundle(new Uint8Array(larger.buffer, larger.byteOffset + 6, bytes.byteLength), 'a' as Incarnation, seq(1)).entries).toEqual([])
})
