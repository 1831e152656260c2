import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { COLUMN_TYPES, type ColumnType } from '#shared/domain/column-types.ts'
import type { Json } from '#shared/json.ts'
import { timestampOfMs, timestampOfText } from '#shared/mirror/timestamp.ts'
import { columnValue, Misfit } from '#shared/mirror/values.ts'
import { hostileJson, hostileText } from './arbitraries.ts'

const value = (of: Json | undefined, type: ColumnType, indexed = false): string | null => {
  const result = columnValue(of, type, { indexed })
  return result instanceof Misfit ? `misfit: ${result.reason}` : result
}
const storable = (text: string): boolean => !text.includes('\0') && text.isWellFormed()

/** Whether every text in it, keys too, can be a text in Postgres. */
function holdsStorable(of: Json): boolean {
  if (typeof of === 'string') return storable(of)
  if (typeof of !== 'object' || of === null) return true
  return Array.isArray(of) ? of.every(holdsStorable) : Object.entries(of).every(([key, member]) => storable(key) && holdsStorable(member))
}

/** `{"a",NULL}` as Postgres reads it. */
function arrayRead(literal: string): (string | null)[] {
  expect(literal).toMatch(/^\{.*\}$/s)
  const items: (string | null)[] = []
  let at = 1
  while (at < literal.length - 1) {
    if (literal.startsWith('NULL', at)) {
      items.push(null)
      at += 4
    } else {
      expect(literal[at]).toBe('"')
      let text = ''
      for (at++; literal[at] !== '"'; at++) {
        if (literal[at] === '\\') at++
        text += literal[at]
      }
      items.push(text)
      at++
    }
    if (at < literal.length - 1) expect(literal[at++]).toBe(',')
  }
  return items
}

/** What Postgres accepts for the type, by rules written apart from the code. */
const ACCEPTED: Record<ColumnType, (text: string) => boolean> = {
  TEXT: storable,
  'TEXT[]': (text) => arrayRead(text).every((item) => item === null || storable(item)),
  INTEGER: (text) => /^-?\d+$/.test(text) && Math.abs(Number(text) + 0.5) <= 2_147_483_647.5,
  BIGINT: (text) => /^-?\d+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text),
  BOOLEAN: (text) => text === 'true' || text === 'false',
  'DOUBLE PRECISION': (text) => text !== '' && Number.isFinite(Number(text)),
  TIMESTAMP: (text) => /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}(?:\d{3})?$/.test(text) && !Number.isNaN(Date.parse(`${text.slice(0, 23).replace(' ', 'T')}Z`)) && !text.startsWith('0000'),
  JSON: (text) => JSON.parse(text) !== undefined,
  JSONB: (text) => holdsStorable(JSON.parse(text) as Json),
}

describe('values of columns', () => {
  test('of any JSON: what Postgres accepts, NULL, or why not; never a throw', () => {
    const seen = new Map<string, number>()
    fc.assert(
      fc.property(hostileJson, fc.constantFrom(...COLUMN_TYPES), fc.boolean(), (json, type, indexed) => {
        const result = columnValue(json, type, { indexed })
        seen.set(`${type} ${result instanceof Misfit}`, (seen.get(`${type} ${result instanceof Misfit}`) ?? 0) + 1)
        if (result instanceof Misfit) expect(result.reason).not.toBe('')
        else if (result === null) expect(json).toBeNull()
        else if (!ACCEPTED[type](result)) throw new Error(`${type} does not take ${JSON.stringify(result)}`)
      }),
      { numRuns: 6_000 },
    )
    for (const type of COLUMN_TYPES) expect(seen.get(`${type} false`)).toBeGreaterThan(5)
    for (const type of COLUMN_TYPES) if (type !== 'JSON') expect(seen.get(`${type} true`)).toBeGreaterThan(5)
  })

  test('nothing there is NULL', () => {
    for (const type of COLUMN_TYPES) expect([value(undefined, type), value(null, type)]).toEqual([null, null])
  })

  test.each<[ColumnType, Json, string]>([
    ['TEXT', '', ''],
    ['TEXT', 'NULL', 'NULL'],
    ['TEXT', 1.5, '1.5'],
    ['TEXT', false, 'false'],
    ['TEXT', 'a\0b', 'misfit: a NUL character'],
    ['TEXT', '\udc00', 'misfit: half of a surrogate pair'],
    ['TEXT', {}, 'misfit: an object is no TEXT'],
    ['TEXT', ['a'], 'misfit: a list is no TEXT'],
    ['TEXT[]', ['a', null, 'b"\\,{}', 5], '{"a",NULL,"b\\"\\\\,{}","5"}'],
    ['TEXT[]', [], '{}'],
    ['TEXT[]', ['NULL', ''], '{"NULL",""}'],
    ['TEXT[]', 'a', 'misfit: a text that is no TEXT[]'],
    ['TEXT[]', [['a']], 'misfit: an element: a list is no TEXT'],
    ['TEXT[]', ['a', '\0'], 'misfit: an element: a NUL character'],
    ['INTEGER', 2_147_483_647, '2147483647'],
    ['INTEGER', 2_147_483_648, 'misfit: out of the range of INTEGER'],
    ['INTEGER', -2_147_483_648, '-2147483648'],
    ['INTEGER', -2_147_483_649, 'misfit: out of the range of INTEGER'],
    ['INTEGER', -0, '0'],
    ['INTEGER', ' +12 ', '12'],
    ['INTEGER', '', 'misfit: a text that is no INTEGER'],
    ['INTEGER', '0x10', 'misfit: a text that is no INTEGER'],
    ['INTEGER', 1.5, 'misfit: a number with a fraction is no INTEGER'],
    ['INTEGER', true, 'misfit: a boolean is no INTEGER'],
    ['BIGINT', 2 ** 53, '9007199254740992'],
    ['BIGINT', '9223372036854775807', '9223372036854775807'],
    ['BIGINT', '9223372036854775808', 'misfit: out of the range of BIGINT'],
    ['BIGINT', '-9223372036854775808', '-9223372036854775808'],
    ['BIGINT', 1e300, 'misfit: out of the range of BIGINT'],
    ['BIGINT', '9'.repeat(50), 'misfit: a text that is no BIGINT'],
    ['BOOLEAN', true, 'true'],
    ['BOOLEAN', 'false', 'false'],
    ['BOOLEAN', 0, 'misfit: a number is no BOOLEAN'],
    ['BOOLEAN', 'yes', 'misfit: a text that is no BOOLEAN'],
    ['DOUBLE PRECISION', 5e-324, '5e-324'],
    ['DOUBLE PRECISION', '-1.5e3', '-1500'],
    ['DOUBLE PRECISION', '1e309', 'misfit: out of the range of DOUBLE PRECISION'],
    ['DOUBLE PRECISION', 'NaN', 'misfit: a text that is no DOUBLE PRECISION'],
    ['DOUBLE PRECISION', 'Infinity', 'misfit: a text that is no DOUBLE PRECISION'],
    ['TIMESTAMP', 0, '1970-01-01 00:00:00.000'],
    ['TIMESTAMP', 1_795_506_300_123.9, '2026-11-24 07:45:00.123'],
    ['TIMESTAMP', 1e17, 'misfit: ms outside the years 1 to 9999'],
    ['TIMESTAMP', 'soon', 'misfit: a text that is no time of ISO 8601 in the years 1 to 9999'],
    ['TIMESTAMP', true, 'misfit: a boolean is no TIMESTAMP'],
    ['JSON', 'a\0', '"a\\u0000"'],
    ['JSON', { a: [1, null] }, '{"a":[1,null]}'],
    ['JSONB', { a: [1, null] }, '{"a":[1,null]}'],
    ['JSONB', '\\u0000', '"\\\\u0000"'],
    ['JSONB', { '\0': 1 }, 'misfit: a NUL character or half of a surrogate pair in it'],
    ['JSONB', ['\\\ud800'], 'misfit: a NUL character or half of a surrogate pair in it'],
    ['JSONB', '😀', '"😀"'],
  ])('%s of %j', (type, json, expected) => expect(value(json, type)).toBe(expected))

  test('lists are read as what they were', () => {
    fc.assert(fc.property(fc.array(fc.oneof(hostileText.filter(storable), fc.constant(null))), (list) => expect(arrayRead(value(list, 'TEXT[]')!)).toEqual(list)))
  })

  test('JSONB refuses just what holds a text that Postgres cannot', () => {
    fc.assert(fc.property(hostileJson, (json) => json === null || expect(value(json, 'JSONB')!.startsWith('misfit')).toBe(!holdsStorable(json))), { numRuns: 2_000 })
  })

  test('an index has room for 2,600 bytes: of a text, of each element', () => {
    for (const [text, fits] of [['x'.repeat(2_600), true], ['x'.repeat(2_601), false], ['ä'.repeat(1_300), true], ['ä'.repeat(1_301), false]] as const) {
      expect(value(text, 'TEXT')).toBe(text)
      expect(value(text, 'TEXT', true)).toBe(fits ? text : 'misfit: longer than the 2600 bytes that its index takes')
      expect(value(['a', text, text], 'TEXT[]', true)!.startsWith('misfit')).toBe(!fits)
    }
  })
})

describe('times', () => {
  const shown = (ms: number): string => new Date(ms).toISOString().slice(0, 23).replace('T', ' ')
  const ms = fc.oneof(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), fc.constantFrom(-62_135_596_800_000, 253_402_300_799_999, 951_782_400_000, -1, 0))

  test('of ms, as Date has them', () => {
    fc.assert(fc.property(ms, (at) => expect(timestampOfMs(at)).toBe(shown(at))), { numRuns: 3_000 })
    expect([timestampOfMs(-62_135_596_800_001), timestampOfMs(253_402_300_800_000), timestampOfMs(NaN), timestampOfMs(Infinity)]).toEqual([undefined, undefined, undefined, undefined])
  })

  test('of text with any zone, as Date has them', () => {
    const zone = fc.oneof(fc.constant('Z'), fc.tuple(fc.constantFrom('+', '-'), fc.nat(15), fc.nat(59)).map(([sign, hours, minutes]) => `${sign}${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`))
    fc.assert(
      fc.property(ms, zone, (at, suffix) => {
        const text = `${new Date(at).toISOString().slice(0, 23)}${suffix}`
        const utc = Date.parse(text)
        const inside = utc >= -62_135_596_800_000 && utc <= 253_402_300_799_999
        expect(timestampOfText(text)).toBe(inside ? shown(utc) : undefined)
      }),
      { numRuns: 3_000 },
    )
  })

  test.each([
    ['2024-02-29', '2024-02-29 00:00:00.000'],
    ['2024-02-29T12:30', '2024-02-29 12:30:00.000'],
    ['2024-02-29 12:30:01', '2024-02-29 12:30:01.000'],
    ['2024-02-29T12:30:01,5+0530', '2024-02-29 07:00:01.500'],
    ['2024-02-29T00:30:00+01', '2024-02-28 23:30:00.000'],
    ['2024-02-29T12:30:01.123456789z', '2024-02-29 12:30:01.123456'],
    ['2024-02-29T12:30:01.1234Z', '2024-02-29 12:30:01.123400'],
    ['2023-02-29', undefined],
    ['1900-02-29', undefined],
    ['2024-13-01', undefined],
    ['2024-00-01', undefined],
    ['2024-01-00', undefined],
    ['2024-04-31', undefined],
    ['2024-01-01T24:00:00', undefined],
    ['2024-01-01T23:60:00', undefined],
    ['2024-01-01T23:59:60', undefined],
    ['2024-01-01T00:00:00+16:00', undefined],
    ['0000-01-01', undefined],
    ['0001-01-01T00:00:00+01:00', undefined],
    ['+12024-01-01', undefined],
    ['24-01-01', undefined],
    ['now', undefined],
    ['', undefined],
    [`2024-01-01${' '.repeat(100)}`, undefined],
  ])('of %j', (text, expected) => expect(timestampOfText(text)).toBe(expected))
})
