import { describe, expect, test } from '@jest/globals'
import { decodeBundle, decodeSegment, encodeBundle, encodeSegment, entryLine } from '#shared/records/bundle.ts'
import { unwrap, wrap } from '#shared/records/envelope.ts'
import { decodeSmall, encodeSmall, logObjectType } from '#shared/records/fence.ts'
import { decodeIdFileBase, decodeIdFileHistory, encodeIdFile } from '#shared/records/id-file.ts'
import * as sample from './samples.ts'
import { ii, INCARNATION, seq, X } from './samples.ts'

/** As text, so that a difference can be read. */
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

describe('golden bytes', () => {
  test('envelope: the checksum is CRC32C of the payload', () => {
    // The check value of CRC-32/ISCSI.
    expect(text(wrap('seal', Buffer.from('123456789')))).toBe('seal/1 e3069283 9\n123456789')
    expect(text(wrap('end', Buffer.alloc(0)))).toBe('end/1 00000000 0\n')
  })

  test('bundle', () => {
    expect(sample.ENTRIES.map(entryLine)).toEqual(sample.GOLDEN_LINES)
    expect(text(encodeBundle(sample.BUNDLE_HEADER, sample.ENTRIES.map(entryLine)))).toBe(text(sample.GOLDEN_BUNDLE))
    expect(decodeBundle(sample.GOLDEN_BUNDLE, INCARNATION, seq(7))).toEqual({ header: sample.BUNDLE_HEADER, entries: sample.ENTRIES })
  })

  test('segment: its bundles as they were', () => {
    expect(text(encodeSegment(INCARNATION, seq(7), seq(8), [sample.GOLDEN_BUNDLE, sample.GOLDEN_BUNDLE_8]))).toBe(text(sample.GOLDEN_SEGMENT))
    const bundles = decodeSegment(sample.GOLDEN_SEGMENT, INCARNATION, seq(7), seq(8))
    expect(bundles).toEqual([decodeBundle(sample.GOLDEN_BUNDLE, INCARNATION, seq(7)), decodeBundle(sample.GOLDEN_BUNDLE_8, INCARNATION, seq(8))])
  })

  test.each([
    ['seal', sample.SEAL, sample.GOLDEN_SEAL],
    ['seal by its own hand', sample.OWN_SEAL, sample.GOLDEN_OWN_SEAL],
    ['end', sample.END, sample.GOLDEN_END],
    ['first epoch record', sample.FIRST_EPOCH, sample.GOLDEN_FIRST_EPOCH],
    ['epoch record', sample.EPOCH, sample.GOLDEN_EPOCH],
    ['checkpoint', sample.CHECKPOINT, sample.GOLDEN_CHECKPOINT],
    ['checkpoint that is published less far', sample.CHECKPOINT_BEHIND, sample.GOLDEN_CHECKPOINT_BEHIND],
  ])('%s', (_name, value, golden) => {
    expect(text(encodeSmall(value))).toBe(text(golden))
    expect(decodeSmall(value.kind, golden)).toEqual(value)
  })

  test('ID file', () => {
    expect(text(encodeIdFile(sample.ID_HEADER, sample.ID_ACTIVE, sample.ID_WINDOW, sample.ID_HISTORY))).toBe(text(sample.GOLDEN_ID_FILE))
    const base = decodeIdFileBase(sample.GOLDEN_ID_FILE, X, ii(2))
    expect(base).toEqual({ header: expect.objectContaining(sample.ID_HEADER), active: sample.ID_ACTIVE, window: sample.ID_WINDOW })
    expect(decodeIdFileHistory(sample.GOLDEN_ID_FILE, X, ii(2)).history).toEqual(sample.ID_HISTORY)
  })

  test('an ID file is opened by its first bytes: the history costs nothing', () => {
    const head = sample.GOLDEN_ID_FILE.subarray(0, sample.ID_BASE_BYTES - 61)
    expect(decodeIdFileBase(head, X, ii(2))).toEqual({ needBytes: sample.ID_BASE_BYTES })
    expect(decodeIdFileBase(sample.GOLDEN_ID_FILE.subarray(0, sample.ID_BASE_BYTES), X, ii(2))).toEqual(decodeIdFileBase(sample.GOLDEN_ID_FILE, X, ii(2)))
  })

  test('what a numbered object of a log is', () => {
    expect([sample.GOLDEN_BUNDLE, sample.GOLDEN_SEAL, sample.GOLDEN_END].map(logObjectType)).toEqual(['bundle', 'seal', 'other'])
  })

  test('records stand behind one another', () => {
    const two = Buffer.concat([sample.GOLDEN_END, sample.GOLDEN_SEAL])
    const first = unwrap(two)
    expect([first.type, unwrap(two, first.next).type, unwrap(two, first.next).next]).toEqual(['end', 'seal', two.byteLength])
  })
})
