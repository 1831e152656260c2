/** Promises and rules that are cited exist in SPEC.md, and none stands there that nobody cites. */
import { expect, test } from '@jest/globals'
import { readFileSync } from 'node:fs'
import type { Slot, StateId } from '#shared/ids.ts'
import { ownersOf, slotOf } from '#shared/protocol/ring.ts'
import { lineOf, ROOT, sources } from './source.ts'

type Citation = { readonly rule: string; readonly at: string }

/** `P4`; `rule S1`, `rules A7, L1`, `rules A1 to A6`, `rules R1 and R2`. */
function citations(path: string, text: string): Citation[] {
  const found: Citation[] = []
  for (const match of text.matchAll(/(?<![\w$'#.-])P[0-9](?![\w$])/g)) found.push({ rule: match[0], at: `${path}:${lineOf(text, match.index)}` })
  for (const match of text.matchAll(/\brules? ([A-Z]\d(?:(?:, | and | to )[A-Z]\d)*)(?!\w)/g)) {
    const at = `${path}:${lineOf(text, match.index)}`
    const parts = match[1]!.split(/(, | and | to )/)
    for (let i = 0; i < parts.length; i += 2) {
      const rule = parts[i]!
      found.push({ rule, at })
      if (parts[i + 1] !== ' to ') continue
      for (let n = Number(rule[1]) + 1; n < Number(parts[i + 2]![1]); n++) found.push({ rule: `${rule[0]}${n}`, at })
    }
  }
  return found
}

/** Rules of SPEC.md: a paragraph or a table row that begins with the number in bold. */
const defined = (spec: string): string[] => [...spec.matchAll(/^(?:\| )?\*\*([A-Z]\d)\*\*/gm)].map((match) => match[1]!)

const spec = readFileSync(`${ROOT}shared/protocol/SPEC.md`, 'utf8')
const cited = sources('shared', 'functions', 'test')
  .filter(({ path }) => !path.startsWith('test/unit/style/'))
  .flatMap(({ path, text }) => citations(path, text))

test('every rule that is cited is in SPEC.md', () => {
  const rules = new Set(defined(spec))
  expect(cited.filter(({ rule }) => !rules.has(rule)).map(({ rule, at }) => `${at} ${rule} is not in SPEC.md`)).toEqual([])
  expect([...rules].sort()).toEqual(defined(spec).sort())
})

test('every rule of SPEC.md is cited by code or by a test', () => {
  const known = new Set(cited.map(({ rule }) => rule))
  expect(defined(spec).filter((rule) => !known.has(rule))).toEqual([])
})

test('the hashes that SPEC.md names are those of the code', () => {
  const slots = [...spec.matchAll(/^\| ([0-9a-f-]{36}) \| (\d+) \|$/gm)].map((match) => [match[1], Number(match[2])])
  expect(slots.length).toBeGreaterThan(2)
  expect(slots.map(([id]) => [id, slotOf(id as StateId)])).toEqual(slots)
  const names = [0, 1, 2, 3, 4].map((n) => `state-process-${n}`)
  const owners = [...spec.matchAll(/^\| (\d+) \| (state-process-\d(?:, state-process-\d)*) \|/gm)].map((match) => [Number(match[1]), match[2]])
  expect(owners.length).toBeGreaterThan(2)
  expect(owners.map(([slot]) => [slot, ownersOf(slot as Slot, names, 3).join(', ')])).toEqual(owners)
})

test('SPEC.md names no rule that it does not hold', () => {
  const rules = new Set(defined(spec))
  const named = [...spec.matchAll(/\b[A-Z][0-9]\b/g)].map((match) => match[0])
  expect(named.filter((rule) => !rules.has(rule))).toEqual([])
})

test('citations are read', () => {
  expect(citations('a.ts', '// (P1, P3)\n// rules A1 to A4 of SPEC.md, rule S1: x, (rules A7, L1)').map(({ rule, at }) => `${at} ${rule}`)).toEqual([
    'a.ts:1 P1',
    'a.ts:1 P3',
    'a.ts:2 A1',
    'a.ts:2 A2',
    'a.ts:2 A3',
    'a.ts:2 A4',
    'a.ts:2 S1',
    'a.ts:2 A7',
    'a.ts:2 L1',
  ])
  expect(defined('**S1** text\n| **P2** | x |\nsee **S9**')).toEqual(['S1', 'P2'])
})
