import { describe, expect, test } from '@jest/globals'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { apply } from '#shared/patch/apply.ts'
import { emptyDocument } from '#shared/patch/document.ts'
import { makeStrict } from '#shared/patch/lenient.ts'
import { parseJsonPatch, parseLenientPatch, parsePatch } from '#shared/patch/parse.ts'
import { bytesOf, documentWith, parsed, patch, picture } from './helpers.ts'

/** One patch stops the process for everybody while it is judged: about a second, where some of these would take minutes. */
const PATIENCE_MS = 20_000

function quick<T>(work: () => T): T {
  const start = performance.now()
  const result = work()
  expect(performance.now() - start).toBeLessThan(PATIENCE_MS)
  return result
}

test.each([
  ['arrays', '[', ']'],
  ['objects', '{"a":', '}'],
])('%s nested 100,000 deep are a fault, not the end of the stack', (_name, open, close) => {
  const deep = `${open.repeat(100_000)}1${close.repeat(100_000)}`
  const value: unknown = JSON.parse(`[{"op":"add","path":["active"],"value":${deep}}]`)
  expect(parsePatch(value).fault?.message).toBe('must be nested at most 256 levels deep')
  const members: unknown = JSON.parse(`[{"op":"remove","path":"/active","x":${deep}}]`)
  expect(parseJsonPatch(members).fault?.message).toBe('must be nested at most 256 levels deep')
  for (const text of [deep, `[${deep}]`, `[{"op":${deep}}]`, `[{"op":"add","value":1,"path":${deep}}]`, `[{"op":"add","value":1,"path":["active",${deep}]}]`]) {
    for (const parse of [parsePatch, parseJsonPatch, parseLenientPatch]) expect(parse(JSON.parse(text)).fault).toBeDefined()
  }
})

test('a prototype is neither read nor written', () => {
  const document = documentWith({ a: {} })
  for (const path of [['active', 'a', '__proto__', 'polluted'], ['active', '__proto__', 'polluted'], ['active', 'constructor', 'prototype', 'polluted']]) {
    expect(parsePatch([{ op: 'add', path, value: 1 }]).fault).toBeDefined()
    expect(parseJsonPatch([{ op: 'add', path: `/${path.join('/')}`, value: 1 }]).fault).toBeDefined()
  }
  expect(parsePatch(JSON.parse('[{"op":"add","path":["active","a"],"value":{"__proto__":{"polluted":1}}}]')).fault).toBeDefined()
  expect(patch(document, [{ op: 'add', path: ['active', 'a', 'toString', 'polluted'], value: 1 }])).toMatchObject({ kind: 'refused' })
  expect(patch(document, [{ op: 'add', path: ['active', 'a'], value: { constructor: { prototype: { polluted: 1 } }, toString: 2 } }])).toEqual({ kind: 'applied' })
  expect(patch(document, [{ op: 'copy', from: ['active', 'a'], path: ['active', 'b'] }, { op: 'remove', path: ['active', 'a', 'toString'] }])).toEqual({ kind: 'applied' })
  expect(JSON.stringify(document.active)).toBe('{"a":{"constructor":{"prototype":{"polluted":1}}},"b":{"constructor":{"prototype":{"polluted":1}},"toString":2}}')
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
})

test('an array keeps its length and its elements', () => {
  const document = documentWith({ list: [1, 2, 3] })
  const elements = ['length', '__defineGetter__', 'push', '-0', '01', '1e0', '1.0', '4294967295', '4294967296', '99999999999999999999', 4294967295, 4294967296, 1e21, Number.MAX_VALUE]
  for (const element of elements) {
    for (const op of [{ op: 'add', value: 0 }, { op: 'replace', value: 0 }, { op: 'test', value: 3 }, { op: 'remove' }]) {
      expect(patch(document, [{ ...op, path: ['active', 'list', element] }])).toMatchObject({ kind: 'refused' })
    }
    expect(patch(document, [{ op: 'copy', from: ['active', 'list', element], path: ['active', 'x'] }])).toMatchObject({ kind: 'refused' })
    expect(patch(document, [{ op: 'move', from: ['active', 'list', 0], path: ['active', 'list', element] }])).toMatchObject({ kind: 'refused' })
  }
  expect(picture(document)).toBe(picture(documentWith({ list: [1, 2, 3] })))
})

describe('what a patch costs is bounded', () => {
  test('copying everything 64 times ends at the limit, not in memory', () => {
    const document = documentWith({ a: 'x'.repeat(1000) })
    const before = picture(document)
    const ops = parsed(Array.from({ length: 64 }, (_, i) => ({ op: 'copy', from: ['active'], path: ['active', `copy ${i}`] })))
    expect(quick(() => apply(document, ops))).toEqual({ kind: 'too-large', limitBytes: limits.stateBytes })
    expect(picture(document)).toBe(before)
  })

  const half = Array.from({ length: 60_000 }, (_, i) => ({ id: i, text: 'some text that takes its room' }))
  const OVERWORKED = { kind: 'refused', reason: 'this is more work than one patch may make' }

  test.each([
    ['objects', half],
    ['texts', Array.from({ length: 9_000 }, () => 'x'.repeat(430))],
  ])('thousands of copies of half the state, %s, over each other', (_name, source) => {
    const document = documentWith({ source, deep: {} })
    const before = document.sizeBound
    const ops = parsed(Array.from({ length: 12_000 }, () => ({ op: 'copy', from: ['active', 'source'], path: ['active', 'x'] })))
    expect(quick(() => apply(document, ops))).toMatchObject(OVERWORKED)
    expect(document.sizeBound).toBe(before)
    expect(Object.keys(document.active as object)).toEqual(['source', 'deep'])
  })

  test('thousands of insertions before millions of elements', () => {
    const document = documentWith(Array.from({ length: 4_000_000 }, () => 1))
    const ops = parsed(Array.from({ length: 20_000 }, () => ({ op: 'add', path: ['active', 0], value: 1 })))
    expect(quick(() => apply(document, ops))).toMatchObject(OVERWORKED)
    expect((document.active as Json[]).length).toBe(4_000_000)
    const removals = parsed(Array.from({ length: 20_000 }, () => ({ op: 'remove', path: ['active', 1] })))
    expect(quick(() => apply(document, removals))).toMatchObject(OVERWORKED)
    expect((document.active as Json[]).length).toBe(4_000_000)
  })

  test('thousands of moves of half the state, deeper and back', () => {
    const document = documentWith({ half, down: { down: {} } })
    const ops = parsed(Array.from({ length: 12_000 }, (_, i) => (i % 2 === 0
      ? { op: 'move', from: ['active', 'half'], path: ['active', 'down', 'down', 'half'] }
      : { op: 'move', from: ['active', 'down', 'down', 'half'], path: ['active', 'half'] })))
    expect(quick(() => apply(document, ops))).toMatchObject(OVERWORKED)
  })

  test('thousands of removals, each followed by a copy of the emptied object', () => {
    const document = documentWith({ wide: Object.fromEntries(Array.from({ length: 12_000 }, (_, i) => [`k${i}`, 1])) })
    const removals = Array.from({ length: 12_000 }, (_, i) => ({ op: 'remove', path: ['active', 'wide', `k${i}`] }))
    const copies = Array.from({ length: 12_000 }, () => ({ op: 'copy', from: ['active', 'wide'], path: ['active', 'x'] }))
    expect(quick(() => apply(document, parsed([...removals, ...copies])))).toMatchObject(OVERWORKED)
    const tests = Array.from({ length: 12_000 }, () => ({ op: 'test', path: ['active', 'wide'], value: {} }))
    expect(quick(() => apply(document, parsed([...removals, ...tests])))).toEqual({ kind: 'applied' })
    expect(document.active).toEqual({ wide: {} })
  })

  test('a body full of path', () => {
    const many = Array.from({ length: 100_000 }, () => 'active')
    const document = documentWith({ active: { active: [1] } })
    expect(quick(() => makeStrict(document, parsed([{ op: 'remove', path: [...many, 0] }])))).toMatchObject({ kind: 'strict' })
    expect(quick(() => patch(document, [{ op: 'remove', path: [...many, 0] }]))).toMatchObject({ kind: 'refused' })
    expect(quick(() => parseJsonPatch([{ op: 'remove', path: '/~01'.repeat(250_000) }])).ops).toHaveLength(1)
  })
})

test('keys and strings that JSON escapes are counted as they are written', () => {
  const document = emptyDocument()
  const texts = ['"', '\\', '\n', '\u0000', '\u001f', '\u007f', 'é', '\u2028', '\uffff', '😀', '\ud83d', '\ude00', '\ude00\ud83d', 'a\ud83db', '\ud800\ud83d\ude00']
  for (const [i, text] of texts.entries()) {
    expect(patch(document, [{ op: 'add', path: ['active', text], value: [text, i] }, { op: 'add', path: ['name'], value: text }, { op: 'add', path: ['active_type'], value: text }])).toEqual({ kind: 'applied' })
    expect(document.sizeBound).toBe(bytesOf(document))
  }
  for (const text of texts) {
    expect(patch(document, [{ op: 'remove', path: ['active', text] }])).toEqual({ kind: 'applied' })
    expect(document.sizeBound).toBe(bytesOf(document))
  }
})
