import { expect, test } from '@jest/globals'
import type { Json } from '#shared/json.ts'
import { documentOf, emptyDocument } from '#shared/patch/document.ts'
import { memberCount, memberCountChanged } from '#shared/patch/members.ts'
import { jsonBytes, nesting, stringBytes } from '#shared/patch/size.ts'
import { nested } from './helpers.ts'

test('every UTF-16 unit counts as JSON.stringify writes it, alone and in pairs', () => {
  for (let unit = 0; unit < 0x10000; unit++) {
    const text = String.fromCharCode(unit)
    const expected = Buffer.byteLength(JSON.stringify(text))
    if (stringBytes(text) !== expected) throw new Error(`${unit}: ${stringBytes(text)}, not ${expected}`)
  }
  for (const text of ['😀', '\ud83d', '\ude00\ud83d', '\ud83d\ud83d\ude00', 'x\ud83d', '']) expect(stringBytes(text)).toBe(Buffer.byteLength(JSON.stringify(text)))
})

test('numbers count as they are written', () => {
  for (const number of [0, -0, 9, 10, 99, 100, 999, 1000, -1, 1.5, 1e21, 1e-7, 123456789012, -1e300, 5e-324]) expect(jsonBytes(number)).toBe(JSON.stringify(number).length)
})

test('containers count their commas, and members that are undefined not at all', () => {
  for (const value of [null, true, false, [], {}, [[]], [1, [2, {}], { a: [] }], { a: 1, b: { c: null } }] as Json[]) expect(jsonBytes(value)).toBe(JSON.stringify(value).length)
  const marked = { a: 1, b: undefined, c: { d: undefined } }
  expect(jsonBytes(marked as unknown as Json)).toBe('{"a":1,"c":{}}'.length)
})

test('nesting counts levels, and what it walked', () => {
  for (const levels of [0, 1, 2, 7, 256]) expect(nesting(nested(levels))).toBe(levels)
  const meter = { walked: 0 }
  expect(nesting({ a: [1, [2], 3], b: 'x' }, meter)).toBe(3)
  expect(meter.walked).toBe(3 + 4 + 2)
})

test('member counts, kept for wide objects', () => {
  const narrow = { a: 1, b: undefined } as unknown as { [key: string]: Json }
  expect(memberCount(narrow)).toBe(1)
  narrow['c'] = 1
  expect(memberCount(narrow)).toBe(2)
  const wide = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]))
  expect(memberCount(wide)).toBe(100)
  delete wide['k1']
  memberCountChanged(wide, -1)
  expect(memberCount(wide)).toBe(99)
})

test('the document of an unwritten state, and of stored values', () => {
  expect(emptyDocument()).toEqual({ active: {}, activeType: 'application/json', name: null, sizeBound: '{}"application/json"null'.length })
  expect(documentOf({ active: undefined, activeType: 'é', name: 'n' })).toEqual({ active: undefined, activeType: 'é', name: 'n', sizeBound: 4 + 4 + 3 })
})
