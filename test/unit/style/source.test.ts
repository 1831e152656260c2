import { expect, test } from '@jest/globals'
import { blank, source } from './source.ts'

test('comments, strings, templates and regular expressions are blanked, code stays where it is', () => {
  const text = [
    "const a = 'Date' // Date",
    'const b = `Date ${c(`x ${Date}`, {})} Date`',
    'const d = /[/"]Date/.test(e) ? 1 / Date / 2 : x.return / Date',
    '/* Date',
    ' * Date */ const f = "it\'s \\" Date"; g(Date)',
    'return /Date/g',
  ].join('\n')
  const code = blank(text)
  expect(code.length).toBe(text.length)
  expect(code.split('\n').map((line) => [...line.matchAll(/Date/g)].length)).toEqual([0, 1, 2, 0, 1, 0])
  expect(code).toContain('const d = /        /.test(e)')
})

test('imports: what they load, whether they are erased, where they lead', () => {
  const text = [
    "import type { A } from '#shared/ids.ts'",
    "import { b, type C } from './b.ts'",
    "import './side.ts'",
    'import {',
    '  d,',
    "} from 'node:crypto'",
    "export { e } from '../e.ts'",
    "const text = `import x from 'y'` // import x from 'z'",
    "await import('./late.ts')",
    "export const from = f('no')",
  ].join('\n')
  expect(source('shared/protocol/a.ts', text).imports).toEqual([
    { line: 1, specifier: '#shared/ids.ts', file: 'shared/ids.ts', typeOnly: true, names: ['A'], form: 'import' },
    { line: 2, specifier: './b.ts', file: 'shared/protocol/b.ts', typeOnly: false, names: ['b', 'type C'], form: 'import' },
    { line: 3, specifier: './side.ts', file: 'shared/protocol/side.ts', typeOnly: false, names: [], form: 'import' },
    { line: 4, specifier: 'node:crypto', file: undefined, typeOnly: false, names: ['d'], form: 'import' },
    { line: 7, specifier: '../e.ts', file: 'shared/e.ts', typeOnly: false, names: ['e'], form: 're-export' },
    { line: 9, specifier: './late.ts', file: 'shared/protocol/late.ts', typeOnly: false, names: [], form: 'dynamic' },
  ])
})
