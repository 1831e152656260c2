import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { indexName, inPublic, quoteBody, quoteIdentifier, quoteLiteral } from '#shared/domain/sql-text.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((one) => !one.includes('\0'))
const odd = fc.oneof(text, fc.array(fc.constantFrom("'", '"', '\\', '$', '$body0', '$body0$', '$body1$', '$$', 'a', '\n', ';--')).map((parts) => parts.join('')))

/** What Postgres reads: doubled quotes as one, and with E a doubled backslash as one. */
function literalRead(sql: string): string {
  const escaped = sql.startsWith('E')
  const inside = sql.slice(escaped ? 2 : 1, -1)
  const pattern = escaped ? /''|\\\\|['\\]/g : /''|'/g
  return inside.replace(pattern, (found) => {
    if (found.length !== 2) throw new Error(`ends early: ${sql}`)
    return found[0]!
  })
}

describe('quoting', () => {
  test('literals are read as what they were, and end where they end', () => {
    fc.assert(fc.property(odd, (value) => {
      const sql = quoteLiteral(value)
      expect(literalRead(sql)).toBe(value)
      // A backslash means something, with some settings, everywhere but in E''.
      expect(sql.startsWith('E')).toBe(value.includes('\\'))
    }))
  })

  test('bodies end at their own tag only', () => {
    fc.assert(fc.property(odd, (body) => {
      const sql = quoteBody(body)
      const tag = /^\$[A-Za-z0-9]+\$/.exec(sql)![0]
      expect(sql.indexOf(tag, tag.length)).toBe(sql.length - tag.length)
      expect(sql.slice(tag.length, -tag.length)).toBe(body)
    }))
  })

  test('identifiers', () => {
    expect(['select', 'MixedCase', '_', 'a"b', 'a.b'].map(quoteIdentifier)).toEqual(['"select"', '"MixedCase"', '"_"', '"a""b"', '"a.b"'])
    expect(inPublic('user')).toBe('public."user"')
    for (const wrong of ['', 'a\0', 'x'.repeat(64), '\ud800']) expect(() => quoteIdentifier(wrong)).toThrow('identifier')
  })

  test('names of indices are told apart from each other, from tables, and fit', () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/)
    fc.assert(fc.property(fc.uniqueArray(fc.tuple(name, name), { maxLength: 8, selector: (pair) => pair.join('.') }), (pairs) => {
      const names = pairs.map(([table, index]) => indexName(table, index))
      expect(new Set(names).size).toBe(names.length)
      for (const one of names) {
        expect(one).toContain('.')
        expect(one.length).toBeLessThanOrEqual(63)
      }
    }))
    expect(indexName('scores', 'by_points')).toBe('scores.by_points')
    const long = 'x'.repeat(63)
    expect(new Set([indexName(long, ''), indexName(long, 'a'), indexName(long, 'b'), indexName(`${long.slice(1)}y`, 'a')]).size).toBe(4)
  })
})
