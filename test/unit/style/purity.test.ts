/** The pure folders stay pure: no clock, chance, IO, or promise, so that one event and one seed give one result. */
import { expect, test } from '@jest/globals'
import { lineOf, source, sources, type Source } from './source.ts'

const PURE = ['shared/protocol', 'shared/patch', 'shared/records', 'shared/domain']

/** What must not be there, and what takes its place. */
const IMPURE: readonly (readonly [RegExp, string])[] = [
  [/(?<![\w$.#])(?:Date|performance)\b/g, 'time comes in with the event: `context.now`'],
  [/\bMath\s*\.\s*random\b/g, 'chance comes in from the host, with an option or an event'],
  [/(?<![\w$#])(?:setTimeout|setInterval|clearTimeout|clearInterval)\b/g, 'emit a timer: `context.timer`'],
  [/(?<![\w$#])(?:setImmediate|queueMicrotask|nextTick)\b/g, 'emit a `turn` effect'],
  [/(?<![\w$.#])(?:process|globalThis|global)\b(?!\s*[:?])/g, 'what is needed comes in with an option or an event'],
  [/(?<![\w$.#])(?:async|await)\b(?!\s*[:?])/g, 'emit an effect and go on in its continuation'],
  [/(?<![\w$.#])(?:Promise|PromiseLike|fetch|WebSocket|EventEmitter|AbortController)\b/g, 'emit an effect and go on in its continuation'],
  [/(?<![\w$.#])console\b/g, 'emit a log effect: `context.log`'],
  [/(?<![\w$.#])(?:Intl|navigator)\b|\.(?:localeCompare|toLocale\w+)\b/g, 'compare and print without a locale: hosts differ in theirs'],
  [/(?<![\w$.#])(?:WeakRef|FinalizationRegistry)\b/g, 'nothing may depend on when memory is collected'],
]

/** Packages that compute and do nothing else, and what may be taken from them. */
const PURE_PACKAGES: Readonly<Record<string, readonly string[] | 'all'>> = {
  'node:crypto': ['hash'],
  '@node-rs/crc32': 'all',
  immer: 'all',
  // A text in, a value out.
  yaml: 'all',
}

function impurities(file: Source): string[] {
  const faults: string[] = []
  for (const [pattern, instead] of IMPURE) {
    for (const match of file.code.matchAll(pattern)) faults.push(`${file.path}:${lineOf(file.code, match.index)} ${match[0]}: ${instead}`)
  }
  for (const { line, specifier, file: target, typeOnly, names, form } of file.imports) {
    const at = `${file.path}:${line}`
    if (form === 'dynamic') faults.push(`${at} import(): import it at the top`)
    if (target !== undefined || typeOnly) continue
    const allowed = PURE_PACKAGES[specifier]
    if (allowed === undefined) faults.push(`${at} ${specifier}: the host does it, and hands over the outcome as an event`)
    else if (allowed !== 'all' && (names.length === 0 || names.some((name) => !allowed.includes(name)))) {
      faults.push(`${at} ${specifier}: only ${allowed.join(', ')} of it; anything else comes in from the host`)
    }
  }
  return faults
}

test('the pure folders are pure', () => {
  const files = sources('shared').filter(({ path }) => PURE.some((folder) => path.startsWith(`${folder}/`)))
  expect(files.length).toBeGreaterThan(20)
  expect(files.flatMap(impurities)).toEqual([])
})

test.each([
  ['const now = Date.now()', 'Date: time comes in with the event'],
  ['const x = Math.random()', 'Math.random: chance comes in from the host'],
  ['setTimeout(() => 1, 2)', 'setTimeout: emit a timer'],
  ['setImmediate(f)', 'setImmediate: emit a `turn` effect'],
  ['const p = process.pid', 'process: what is needed comes in'],
  ['async function f() {}', 'async: emit an effect'],
  ['const x = await y', 'await: emit an effect'],
  ['let p: Promise<void>', 'Promise: emit an effect'],
  ['names.sort((a, b) => a.localeCompare(b))', '.localeCompare: compare and print without a locale'],
  ["import { readFileSync } from 'node:fs'", 'node:fs: the host does it'],
  ["import { hash, randomUUID } from 'node:crypto'", 'node:crypto: only hash of it'],
  ["import * as crypto from 'node:crypto'", 'node:crypto: only hash of it'],
  ["import { type Clock } from 'node:timers'", 'node:timers: the host does it'],
])('found, with place and replacement: %s', (line, fault) => {
  const found = impurities(source('shared/protocol/x.ts', `// Date in a comment\n${line}\n`))
  expect(found).toHaveLength(1)
  expect(found[0]).toContain(`shared/protocol/x.ts:2 ${fault}`)
})

test.each(["const text = 'Date.now() await Promise'", "import { hash } from 'node:crypto'", "import type { KeyObject } from 'node:crypto'", 'const a = { process: 1, async: 2 }', 'state.process', 'const updated = entry.Date'])(
  'allowed: %s',
  (line) => expect(impurities(source('shared/protocol/x.ts', line))).toEqual([]),
)
