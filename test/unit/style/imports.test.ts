/**
 * Imports run one way: ground <- patch, records <- protocol, domain <- ports <- adapters <- functions. No cycles, no
 * barrel files, endings as Node wants them; adapters and the environment in composition only.
 */
import { describe, expect, test } from '@jest/globals'
import { lineOf, source, sources, type Source } from './source.ts'

const GROUND = 'shared/'
/** Rooms of shared/, lowest first in each list of what a room may load besides itself. */
const MAY_LOAD: Readonly<Record<string, readonly string[]>> = {
  [GROUND]: [],
  'shared/patch/': [GROUND],
  'shared/records/': [GROUND],
  'shared/protocol/': [GROUND, 'shared/patch/', 'shared/records/'],
  'shared/domain/': [GROUND, 'shared/patch/', 'shared/records/'],
  'shared/ports/': [GROUND, 'shared/patch/', 'shared/records/', 'shared/protocol/', 'shared/domain/'],
  'shared/adapters/': [GROUND, 'shared/patch/', 'shared/records/', 'shared/protocol/', 'shared/domain/', 'shared/ports/'],
  'shared/link/': [GROUND, 'shared/patch/', 'shared/records/', 'shared/protocol/', 'shared/ports/'],
  'shared/sessions/': [GROUND, 'shared/patch/', 'shared/records/', 'shared/domain/', 'shared/ports/'],
  'shared/mirror/': [GROUND, 'shared/patch/', 'shared/records/', 'shared/domain/', 'shared/ports/'],
}
/**
 * Ports are above the pure folders, and yet the core speaks in their types: outcomes of storage, requests, answers.
 * A type is erased before anything runs, so nothing of a port, still less of an adapter, can reach the core by it;
 * a copy of these types below would have to be kept equal by hand.
 */
const TYPES_ALSO_FROM: Readonly<Record<string, readonly string[]>> = {
  'shared/patch/': ['shared/ports/'],
  'shared/records/': ['shared/ports/'],
  'shared/protocol/': ['shared/ports/'],
  'shared/domain/': ['shared/ports/'],
}

/** What a process is started with, or loaded by: it alone reads the environment. */
const isEntry = (path: string): boolean => /^functions\/(?:[a-z-]+\/)?index\.ts$/.test(path) || /^functions\/[a-z-]+\/target\.ts$/.test(path) || path.startsWith('functions/commands/') || path === 'functions/local/emulated.ts' || path === 'emulators/index.ts'
/** Chooses adapters and puts rooms of functions/ together. */
const isComposition = (path: string): boolean => isEntry(path) || /^functions\/[a-z-]+\/compose\.ts$/.test(path)

function roomOf(path: string): string {
  const [top, second, third] = path.split('/')
  return top === 'shared' ? (third === undefined ? GROUND : `shared/${second}/`) : `${top}/${third === undefined ? '' : `${second}/`}`
}

function wrongDirections(file: Source): string[] {
  const room = roomOf(file.path)
  const faults: string[] = []
  for (const { line, specifier, file: target, typeOnly } of file.imports) {
    if (target === undefined) continue
    const to = roomOf(target)
    const fault = (why: string): number => faults.push(`${file.path}:${line} ${specifier}: ${why}`)
    if (to.startsWith('test/')) fault('nothing of a test runs in the product')
    else if (room.startsWith('shared/')) {
      const may = MAY_LOAD[room]
      if (may === undefined) fault(`the room ${room} is not in the order of imports: add it to MAY_LOAD`)
      else if (to !== room && !may.includes(to) && !(typeOnly && TYPES_ALSO_FROM[room]?.includes(to))) {
        fault(`${room} may load ${[...may, 'itself'].join(', ')}${TYPES_ALSO_FROM[room] ? `, and types of ${TYPES_ALSO_FROM[room].join(', ')}` : ''}`)
      }
    } else if (to.startsWith('functions/') && to !== room && !isComposition(file.path)) fault('rooms of functions/ meet in composition only: take it from shared/, or as a part')
    else if (to === 'shared/adapters/' && !typeOnly && !isComposition(file.path)) fault('adapters are chosen in composition only: take a port')
  }
  return faults
}

function wrongEndings(file: Source): string[] {
  return file.imports
    .filter(({ specifier, file: target }) => target !== undefined && !specifier.endsWith('.ts'))
    .map(({ line, specifier }) => `${file.path}:${line} ${specifier}: write the ending, .ts: Node runs these files as they are`)
}

/** A file that only hands on what others export. */
function barrels(file: Source): string[] {
  const wholesale = file.imports.filter(({ form, names }) => form === 're-export' && names.length === 0)
  if (wholesale.length > 0) return wholesale.map(({ line, specifier }) => `${file.path}:${line} export * from ${specifier}: import from the file itself`)
  const handsOn = file.imports.some(({ form }) => form === 're-export')
  const ownExports = /^export\b(?!\s*(?:type\s*)?\{|\s*\*)/m.test(file.code)
  return handsOn && !ownExports ? [`${file.path}: exports nothing of its own: import from the files themselves`] : []
}

/** Cycles of what is loaded; types are erased and may point anywhere. */
function cycles(files: readonly Source[]): string[] {
  const loads = new Map(files.map(({ path, imports }) => [path, imports.filter(({ typeOnly, file }) => !typeOnly && file !== undefined).map(({ file }) => file!)]))
  const found: string[] = []
  const done = new Set<string>()
  const way: string[] = []
  const visit = (path: string): void => {
    const at = way.indexOf(path)
    if (at >= 0) return void found.push([...way.slice(at), path].join(' -> '))
    if (done.has(path)) return
    way.push(path)
    for (const next of loads.get(path) ?? []) visit(next)
    way.pop()
    done.add(path)
  }
  for (const path of loads.keys()) visit(path)
  return found
}

function environmentReads(file: Source): string[] {
  if (isEntry(file.path) || file.path.startsWith('test/')) return []
  return [...file.code.matchAll(/\bprocess\s*(?:\.\s*env\b|\[)|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b|\bimport\s*\.\s*meta\s*\.\s*env\b/g)].map(
    (match) => `${file.path}:${lineOf(file.code, match.index)} process.env: name a setting in shared/settings.ts and take it as an option`,
  )
}

const product = sources('shared', 'functions', 'emulators')
const everything = [...product, ...sources('test')]

test('imports run one way', () => {
  expect(product.length).toBeGreaterThan(50)
  expect(product.flatMap(wrongDirections)).toEqual([])
})
test('there is no cycle of imports', () => expect(cycles(everything)).toEqual([]))
test('there is no barrel file', () => expect(product.flatMap(barrels)).toEqual([]))
test('imports end in .ts', () => expect(everything.flatMap(wrongEndings)).toEqual([]))
test('every import leads to a file', () => {
  const known = new Set(everything.map(({ path }) => path))
  const lost = everything.flatMap(({ path, imports }) => imports.filter(({ file }) => file !== undefined && !known.has(file)).map(({ line, specifier }) => `${path}:${line} ${specifier}`))
  expect(lost).toEqual([])
})
test('the environment is read in entries only', () => expect(everything.flatMap(environmentReads)).toEqual([]))

describe('faults are found', () => {
  test.each([
    ['shared/records/x.ts', "import { a } from '#shared/protocol/a.ts'"],
    ['shared/patch/x.ts', "import { a } from '#shared/records/a.ts'"],
    ['shared/protocol/x.ts', "import { a } from '#shared/ports/a.ts'"],
    ['shared/protocol/x.ts', "import { type A } from '#shared/ports/a.ts'"],
    ['shared/protocol/x.ts', "import type { A } from '#shared/adapters/embedded/a.ts'"],
    ['shared/limits.ts', "import { a } from '#shared/patch/a.ts'"],
    ['shared/ports/x.ts', "import type { A } from '../adapters/embedded/a.ts'"],
    ['shared/adapters/embedded/x.ts', "import { a } from '#functions/api/a.ts'"],
    ['shared/unheard-of/x.ts', "import { a } from '#shared/limits.ts'"],
    ['functions/api/x.ts', "import { a } from '#functions/state-process/a.ts'"],
    ['functions/api/x.ts', "import { a } from '#shared/adapters/embedded/a.ts'"],
    ['functions/local/x.ts', "import { a } from '../../test/support/a.ts'"],
    ['functions/local/x.ts', "import { a } from '#functions/api/a.ts'"],
  ])('direction: %s %s', (path, line) => expect(wrongDirections(source(path, `\n${line}`))).toEqual([expect.stringContaining(`${path}:2 `)]))

  test.each([
    ['shared/protocol/x.ts', "import type { A } from '#shared/ports/a.ts'"],
    ['shared/ports/x.ts', "import type { A } from '#shared/patch/op.ts'"],
    ['functions/local/index.ts', "import { a } from '#functions/state-process/a.ts'"],
    ['functions/local/index.ts', "import { a } from '#shared/adapters/embedded/a.ts'"],
    ['functions/api/x.ts', "import { a } from './a.ts'"],
  ])('direction allowed: %s %s', (path, line) => expect(wrongDirections(source(path, line))).toEqual([]))

  test('endings', () => expect(wrongEndings(source('shared/x.ts', "import { a } from './a'\nimport { b } from '#shared/b.js'\nimport c from 'c'"))).toHaveLength(2))

  test('barrels', () => {
    expect(barrels(source('shared/x.ts', "export * from './a.ts'"))).toHaveLength(1)
    expect(barrels(source('shared/x.ts', "export { a } from './a.ts'\nexport type { B } from './b.ts'"))).toHaveLength(1)
    expect(barrels(source('shared/x.ts', "export { a } from './a.ts'\nexport const b = 1"))).toEqual([])
  })

  test('cycles, types not counted', () => {
    const ring = [source('shared/a.ts', "import { b } from './b.ts'"), source('shared/b.ts', "import { c } from './c.ts'"), source('shared/c.ts', "import { a } from './a.ts'")]
    expect(cycles(ring)).toEqual(['shared/a.ts -> shared/b.ts -> shared/c.ts -> shared/a.ts'])
    expect(cycles([...ring.slice(0, 2), source('shared/c.ts', "import type { A } from './a.ts'")])).toEqual([])
  })

  test.each(['const a = process.env.HOST', "const a = process.env['HOST']", "const a = process['env']", 'const { env } = process', 'f(process . env)'])('environment: %s', (line) => {
    expect(environmentReads(source('functions/api/x.ts', `\n${line}`))).toEqual([expect.stringContaining('functions/api/x.ts:2 ')])
    expect(environmentReads(source('functions/local/compose.ts', `\n${line}`))).toHaveLength(1)
    for (const entry of ['functions/local/index.ts', 'functions/api/target.ts', 'functions/commands/token.ts', 'test/bench/x.ts']) expect(environmentReads(source(entry, line))).toEqual([])
  })
})
