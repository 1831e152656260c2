import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, expect, test } from '@jest/globals'
import type { Json } from '#shared/json.ts'
import { apply } from '#shared/patch/apply.ts'
import { parseJsonPatch, parsePatch } from '#shared/patch/parse.ts'
import { documentWith, picture } from './helpers.ts'

/**
 * The public json-patch-test-suite, its documents as `active`: a state's roots are fixed, so pointers get `/active` in front.
 * Every record is decided as the suite has it; there is no list of exceptions.
 */
interface SuiteRecord {
  doc: Json
  patch: { path?: string; from?: string }[]
  expected?: Json
  error?: string
  comment?: string
  disabled?: boolean
}

const require = createRequire(import.meta.url)

describe.each(['tests.json', 'spec_tests.json'])('json-patch-test-suite %s', (file) => {
  const records = JSON.parse(readFileSync(require.resolve(`json-patch-test-suite/${file}`), 'utf8')) as SuiteRecord[]
  const enabled = records.filter((record) => record.disabled !== true)

  test('has the records that it is known to have', () => {
    expect(enabled.length).toBe(file === 'tests.json' ? 75 : 16)
  })

  test.each(enabled.map((record, i) => [`${i} ${record.comment ?? record.error ?? ''}`, record] as const))('%s', (_title, record) => {
    const below = record.patch.map((op) => ({
      ...op,
      ...(op.path === undefined ? {} : { path: `/active${op.path}` }),
      ...(op.from === undefined ? {} : { from: `/active${op.from}` }),
    }))
    const document = documentWith(record.doc)
    const before = picture(document)
    const { ops, fault } = parseJsonPatch(below)
    const text = JSON.stringify(ops)
    const outcome = ops === undefined ? fault : apply(document, ops)
    if (record.error !== undefined) {
      expect(outcome).not.toEqual({ kind: 'applied' })
      expect(picture(document)).toBe(before)
      return
    }
    expect(outcome).toEqual({ kind: 'applied' })
    if (record.expected !== undefined) expect(document.active).toEqual(record.expected)
    // The text that is logged says the same to the parser of array paths, and to a fresh document.
    const logged = JSON.parse(text) as unknown[]
    if (logged.length === 0) return
    const again = documentWith(record.doc)
    expect(apply(again, parsePatch(logged).ops ?? [])).toEqual({ kind: 'applied' })
    expect(picture(again)).toBe(picture(document))
  })
})
