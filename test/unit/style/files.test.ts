/** Files are nouns in kebab-case; whatever has state says at its head what it owns. */
import { expect, test } from '@jest/globals'
import { source, sources, type Source } from './source.ts'

function misnamed({ path }: Pick<Source, 'path'>): string[] {
  const parts = path.split('/')
  const wrong = parts.filter((part, at) => !(at === parts.length - 1 ? /^[a-z0-9]+(?:[-.][a-z0-9]+)*\.ts$/ : /^[a-z0-9]+(?:-[a-z0-9]+)*$/).test(part))
  return wrong.map((part) => `${path}: ${part} is not in kebab-case`)
}

/** Fields of a class that change: not `readonly`, no method, no getter. */
const CHANGING_FIELD = /^ +(?:override )?#?(?!readonly\b|static\b|get\b|set\b|async\b|return\b|case\b|type\b)[\w$]+[?!]?(?::[^(){}=]+)?(?: = .*)?$/m

function headless({ path, text, code }: Source): string[] {
  const bodies = [...code.matchAll(/^(?:export )?(?:abstract )?class [^{]*\{\n([\s\S]*?)^\}/gm)].map((match) => match[1]!)
  // Methods are deeper by two: what stands at the first level are fields and signatures.
  const holdsState = bodies.some((body) => body.split('\n').some((line) => /^ {2}\S/.test(line) && CHANGING_FIELD.test(line)))
  return holdsState && !text.startsWith('/**') ? [`${path}: has a class with state and no header comment: purpose, owns, does not own, talks to, invariants`] : []
}

test('files and folders are in kebab-case', () => expect(sources('shared', 'functions', 'emulators', 'test').flatMap(misnamed)).toEqual([]))
test('files with state begin with a header', () => expect(sources('shared', 'functions', 'emulators').flatMap(headless)).toEqual([]))

test('misnamed files are found', () => {
  for (const path of ['shared/leaderLog.ts', 'shared/leader_log.ts', 'shared/Protocol/x.ts', 'shared/x-.ts']) expect(misnamed({ path })).toHaveLength(1)
  for (const path of ['shared/leader-log.ts', 'test/unit/x.test.ts', 'test/api/on-http.suite.ts']) expect(misnamed({ path })).toEqual([])
})

test('headless files are found', () => {
  const stateful = 'export class A {\n  readonly a = 1\n  #b = 2\n\n  f(): void {\n    this.#b = 3\n  }\n}\n'
  expect(headless(source('shared/a.ts', stateful))).toHaveLength(1)
  expect(headless(source('shared/a.ts', `/** Owns b. */\n${stateful}`))).toEqual([])
  const fixed = 'export class A {\n  readonly a: number\n  constructor(a: number) {\n    this.a = a\n  }\n  get b(): number {\n    return 1\n  }\n}\n'
  expect(headless(source('shared/a.ts', fixed))).toEqual([])
})
