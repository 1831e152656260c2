import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { limits } from '#shared/limits.ts'
import { apply } from '#shared/patch/apply.ts'
import { documentOf } from '#shared/patch/document.ts'
import { makeStrict } from '#shared/patch/lenient.ts'
import type { Op } from '#shared/patch/op.ts'
import { parsePatch } from '#shared/patch/parse.ts'
import { jsonBytes, nesting } from '#shared/patch/size.ts'
import { active, type Choice, choice, json, opOf, patches } from './arbitraries.ts'
import { aliases, bytesOf, documentWith, parsed, picture, valuesPicture } from './helpers.ts'
import { lenientReference, type SentOp, sorted, strictReference, type Values } from './reference.ts'

const RUNS = { numRuns: 1_500 }

function same(actual: Values, expected: Values): void {
  const plain = ({ active: value, activeType, name }: Values): unknown => [value === undefined ? 'removed' : sorted(value), activeType, name]
  expect(plain(actual)).toEqual(plain(expected))
}

/** What an op meets depends on the ops before it; the reference tells what that is, and few ops that it refuses are kept. */
function opsOf(choices: readonly Choice[], before: Values): Op[] {
  const ops: Op[] = []
  let values = before
  for (const [i, chosen] of choices.entries()) {
    const op = opOf(chosen, values)
    const next = strictReference(values, [op])
    const last = ops.length === 0 && i === choices.length - 1
    if (next !== undefined || last || chosen.path.place % 4 === 0) ops.push(op)
    values = next ?? values
  }
  return ops
}

describe('apply', () => {
  test('decides as the plain reference does, keeps the exact size, shares nothing, and replays', () => {
    const seen = { applied: 0, refused: 0 }
    fc.assert(
      fc.property(active, patches, (start, sequence) => {
        const document = documentWith(start)
        let values: Values = { active: structuredClone(start), activeType: 'application/json', name: null }
        const log: string[] = []
        for (const choices of sequence) {
          const ops = parsed(opsOf(choices, values))
          const text = JSON.stringify(ops)
          const before = picture(document)
          const expected = strictReference(values, ops)
          const outcome = apply(document, ops)
          if (expected === undefined) {
            seen.refused++
            expect(outcome.kind).toBe('refused')
            expect(picture(document)).toBe(before)
            continue
          }
          seen.applied++
          expect(outcome).toEqual({ kind: 'applied' })
          same(document, expected)
          values = expected
          log.push(text)
          expect(document.sizeBound).toBe(bytesOf(document))
          expect(nesting(document.active ?? null)).toBeLessThanOrEqual(limits.nestingLevels)
          expect(aliases(document.active)).toBe(0)
        }
        const replayed = documentWith(start)
        for (const text of log) expect(apply(replayed, parsePatch(JSON.parse(text)).ops ?? [])).toEqual({ kind: 'applied' })
        expect(picture(replayed)).toBe(picture(document))
      }),
      RUNS,
    )
    // The generator is worth something only when both happen often.
    expect(seen.applied).toBeGreaterThan(RUNS.numRuns)
    expect(seen.refused).toBeGreaterThan(RUNS.numRuns)
  })

  test('a document loaded from its text in between goes on as the one in memory, to the order of keys', () => {
    fc.assert(
      fc.property(active, patches, (start, sequence) => {
        const document = documentWith(start)
        let loaded = documentWith(start)
        for (const choices of sequence) {
          const text = JSON.stringify(choices.map((chosen) => opOf(chosen, document)))
          const first = apply(document, parsed(JSON.parse(text)))
          expect(apply(loaded, parsed(JSON.parse(text)))).toEqual(first)
          expect(valuesPicture(loaded)).toBe(valuesPicture(document))
          loaded = documentOf({ active: undefined, ...(JSON.parse(JSON.stringify(loaded)) as Omit<Values, 'active'>) })
        }
      }),
      { numRuns: 500 },
    )
  })

  test('a patch that is refused after it was applied in full changes nothing', () => {
    fc.assert(
      fc.property(active, fc.array(choice, { minLength: 1, maxLength: 12 }), (start, choices) => {
        const document = documentWith(start)
        const good: Op[] = []
        let values: Values = { active: structuredClone(start), activeType: 'application/json', name: null }
        for (const chosen of choices) {
          const op = opOf(chosen, values)
          const next = strictReference(values, [op])
          if (next === undefined) continue
          good.push(op)
          values = next
        }
        const before = picture(document)
        const bad = { op: 'test', path: ['active_type'], value: 1 }
        expect(apply(document, parsed([...good, bad]))).toMatchObject({ kind: 'refused', op: good.length })
        expect(picture(document)).toBe(before)
        if (good.length > 0) expect(apply(document, parsed(good))).toEqual({ kind: 'applied' })
        same(document, values)
        expect(document.sizeBound).toBe(bytesOf(document))
      }),
      RUNS,
    )
  })
})

describe('makeStrict', () => {
  /** Of a move only the last element of `from` counts. Half of the paths have text in place of all numbers. */
  function lenientOp(chosen: Choice, values: Values): SentOp {
    const op = opOf(chosen, values)
    if ('from' in op) return { op: 'move', from: ['list', chosen.from.place % 4], path: op.path }
    // As a splice sends it: `active` several times.
    if (op.op === 'remove') return { op: 'remove', path: chosen.present ? ['active', 'active', ...op.path] : op.path }
    return { op: op.op === 'replace' ? 'replace' : 'add', path: op.path, value: op.value }
  }

  test('gives strict ops that apply takes, to the effect of the plain reference of section 6, and changes nothing itself', () => {
    const seen = { strict: 0, refused: 0, dropped: 0 }
    fc.assert(
      fc.property(active, fc.array(choice, { minLength: 1, maxLength: 6 }), (start, choices) => {
        const document = documentWith(start)
        const before = picture(document)
        const ops: SentOp[] = []
        let values: Values = { active: structuredClone(start), activeType: 'application/json', name: null }
        for (const chosen of choices) {
          const op = lenientOp(chosen, values)
          ops.push(op)
          values = lenientReference(values, [op]) ?? values
        }
        const text = JSON.stringify(ops)
        const expected = lenientReference(document, ops)
        const outcome = makeStrict(document, ops)
        expect(picture(document)).toBe(before)
        expect(JSON.stringify(ops)).toBe(text)
        if (expected === undefined) {
          seen.refused++
          expect(outcome.kind).toBe('refused')
          return
        }
        if (outcome.kind !== 'strict') throw new Error(JSON.stringify(outcome))
        seen.strict++
        if (outcome.ops.length < ops.length) seen.dropped++
        const logged = JSON.stringify(outcome.ops)
        expect(apply(document, outcome.ops)).toEqual({ kind: 'applied' })
        same(document, expected)
        expect(document.sizeBound).toBe(bytesOf(document))
        const replayed = documentWith(start)
        if (logged !== '[]') expect(apply(replayed, parsed(JSON.parse(logged)))).toEqual({ kind: 'applied' })
        expect(picture(replayed)).toBe(picture(document))
      }),
      { numRuns: 3_000 },
    )
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(100)
  })
})

test('jsonBytes is the length of the text that JSON.stringify makes', () => {
  fc.assert(fc.property(json, (value) => expect(jsonBytes(value)).toBe(Buffer.byteLength(JSON.stringify(value)))), RUNS)
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => expect(jsonBytes(value)).toBe(JSON.stringify(value).length)), RUNS)
})
