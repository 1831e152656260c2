import { describe, expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { parseJsonPatch, parseLenientPatch, parsePatch } from '#shared/patch/parse.ts'
import { nested } from './helpers.ts'

const place = (value: unknown): string => parsePatch(value).fault?.place ?? 'no fault'
const pointerPlace = (value: unknown): string => parseJsonPatch(value).fault?.place ?? 'no fault'

describe('parsePatch', () => {
  test('takes every op, with its members in one order', () => {
    const ops = [
      { op: 'add', path: ['active', 'a', 0, '-'], value: null },
      { op: 'add', path: ['active', -1], value: { constructor: 1, prototype: [] } },
      { op: 'replace', path: [], value: 0 },
      { op: 'test', path: ['owner'], value: false },
      { op: 'remove', path: ['active', 9007199254740991] },
      { op: 'move', from: [1e21], path: ['a'] },
      { op: 'copy', from: [], path: [''] },
    ]
    expect(parsePatch(structuredClone(ops)).ops).toEqual(ops)
  })

  test.each([
    [undefined, 'patch'],
    [{}, 'patch'],
    ['[]', 'patch'],
    [[], 'patch'],
    [[null], 'patch[0]'],
    [[[]], 'patch[0]'],
    [[{ op: 'remove', path: [] }, 'add'], 'patch[1]'],
    [[{}], 'patch[0].op'],
    [[{ op: 'spam', path: [] }], 'patch[0].op'],
    [[{ op: ['add'], path: [], value: 1 }], 'patch[0].op'],
    [[{ op: 'toString', path: [] }], 'patch[0].op'],
    [[{ op: 'add', path: [] }], 'patch[0]'],
    [[{ op: 'replace', path: [] }], 'patch[0]'],
    [[{ op: 'test', path: [] }], 'patch[0]'],
    [[{ op: 'remove' }], 'patch[0].path'],
    [[{ op: 'remove', path: '/active' }], 'patch[0].path'],
    [[{ op: 'remove', path: { 0: 'active' } }], 'patch[0].path'],
    [[{ op: 'move', path: [] }], 'patch[0].from'],
    [[{ op: 'copy', path: [], from: 'active' }], 'patch[0].from'],
    [[{ op: 'copy', path: [], from: [[]] }], 'patch[0].from[0]'],
    [[{ op: 'remove', path: ['active', 1.5] }], 'patch[0].path[1]'],
    [[{ op: 'remove', path: ['active', null] }], 'patch[0].path[1]'],
    [[{ op: 'remove', path: ['active', true] }], 'patch[0].path[1]'],
    [[{ op: 'remove', path: ['active', JSON.parse('1e400')] }], 'patch[0].path[1]'],
    [[{ op: 'remove', path: ['active', -1] }], 'patch[0].path[1]'],
    [[{ op: 'replace', path: ['active', -1], value: 1 }], 'patch[0].path[1]'],
    [[{ op: 'add', path: ['active', -1, 'a'], value: 1 }], 'patch[0].path[1]'],
    [[{ op: 'add', path: ['active', -2], value: 1 }], 'patch[0].path[1]'],
    [[{ op: 'move', from: ['active', 0], path: ['active', -1] }], 'patch[0].path[1]'],
    [[{ op: 'copy', from: ['active', -1], path: ['active', 0] }], 'patch[0].from[1]'],
    [[{ op: 'remove', path: ['active'], value: 1 }], 'patch[0].value'],
    [[{ op: 'add', path: ['active'], value: 1, from: [] }], 'patch[0].from'],
    [[{ op: 'add', path: ['active'], value: 1, spurious: 1 }], 'patch[0].spurious'],
    [[{ op: 'add', path: ['active'], value: { a: [0, JSON.parse('1e400')] } }], 'patch[0].value.a[1]'],
    [[{ op: 'add', path: ['active'], value: { a: undefined } }], 'patch[0].value.a'],
  ])('%j is a fault at %s', (value, expected) => expect(place(value)).toBe(expected))

  test.each(['__proto__', 'constructor', 'prototype'])('%s is no element of a path, whatever the path', (name) => {
    expect(place([{ op: 'remove', path: ['active', name] }])).toBe('patch[0].path[1]')
    expect(place([{ op: 'remove', path: [name] }])).toBe('patch[0].path[0]')
    expect(place([{ op: 'add', path: ['active', name, 'x'], value: 1 }])).toBe('patch[0].path[1]')
    expect(place([{ op: 'copy', from: ['active', 'x', name], path: ['active'] }])).toBe('patch[0].from[2]')
    expect(pointerPlace([{ op: 'remove', path: `/active/${name}/a` }])).toBe('[0].path')
    expect(pointerPlace([{ op: 'move', from: `/${name}`, path: '/active' }])).toBe('[0].from')
  })

  test('__proto__ is no key, anywhere', () => {
    const at = (text: string): [string, string] => [place(JSON.parse(text)), pointerPlace(JSON.parse(text.replace('["active"]', '"/active"')))]
    expect(at('[{"op":"add","path":["active"],"value":{"__proto__":1}}]')).toEqual(['patch[0].value', '[0].value'])
    expect(at('[{"op":"add","path":["active"],"value":[{"a":{"__proto__":{}}}]}]')).toEqual(['patch[0].value[0].a', '[0].value[0].a'])
    expect(at('[{"op":"test","path":["active"],"value":{"a":1,"__proto__":null}}]')).toEqual(['patch[0].value', '[0].value'])
    expect(at('[{"op":"add","path":["active"],"value":1,"__proto__":{"op":"add"}}]')).toEqual(['patch[0]', '[0]'])
    expect(pointerPlace(JSON.parse('[{"op":"remove","path":"/active","note":[{"__proto__":1}]}]'))).toBe('[0].note[0]')
  })

  test('values are nested as deep as a document at most', () => {
    expect(place([{ op: 'add', path: ['active'], value: nested(limits.nestingLevels) }])).toBe('no fault')
    const { fault } = parsePatch([{ op: 'add', path: ['active'], value: nested(limits.nestingLevels + 1) }])
    expect(fault?.message).toBe('must be nested at most 256 levels deep')
    expect(fault?.place).toMatch(/^patch\[0\]\.value/)
  })

  test('a place shows no more than some of a key or path', () => {
    const key = 'k'.repeat(100_000)
    expect(place([{ op: 'add', path: [], value: 1, [key]: 1 }]).length).toBeLessThan(300)
    expect(place([{ op: 'add', path: [], value: JSON.parse(`${'{"key":'.repeat(200)}{"__proto__":1}${'}'.repeat(200)}`) }]).length).toBeLessThan(300)
  })
})

describe('parseJsonPatch', () => {
  test('decodes pointers, drops members that it does not know, and may be empty', () => {
    expect(parseJsonPatch([]).ops).toEqual([])
    const { ops } = parseJsonPatch([
      { op: 'add', path: '', value: 1, xyz: { a: 1 }, from: '/no/matter' },
      { op: 'test', path: '/', value: 1 },
      { op: 'remove', path: '/a~1b/m~0n/~01/~10//-/0/', value: 3 },
      { op: 'move', from: '/active', path: '/name', value: 1 },
    ])
    expect(JSON.stringify(ops)).toBe(
      '[{"op":"add","path":[],"value":1},{"op":"test","path":[""],"value":1},{"op":"remove","path":["a/b","m~n","~1","/0","","-","0",""]},' +
        '{"op":"move","from":["active"],"path":["name"]}]',
    )
  })

  test.each([
    [{}, ''],
    [[{ op: 'remove', path: ['active'] }], '[0].path'],
    [[{ op: 'remove', path: 'active' }], '[0].path'],
    [[{ op: 'remove', path: '/active/~' }], '[0].path'],
    [[{ op: 'remove', path: '/active/~2' }], '[0].path'],
    [[{ op: 'remove', path: '/~0/a~/b' }], '[0].path'],
    [[{ op: 'remove', path: '/a~~0' }], '[0].path'],
    [[{ op: 'remove', path: '/~0~1~' }], '[0].path'],
    [[{ op: 'remove', path: 1 }], '[0].path'],
    [[{ op: 'add', path: '' }], '[0]'],
    [[{ op: 'remove', path: '' }, { op: 'copy', path: '' }], '[1].from'],
    [[{ op: 'remove', path: '', note: JSON.parse('1e400') }], '[0].note'],
  ])('%j is a fault at "%s"', (value, expected) => expect(pointerPlace(value)).toBe(expected))
})

test('parseLenientPatch takes what published clients send', () => {
  expect(parseLenientPatch([]).ops).toEqual([])
  const { ops } = parseLenientPatch([
    { op: 'add', path: ['active'] },
    { op: 'replace', path: ['active', 'a'], note: 1 },
    { op: 'move', from: ['list', 2], path: ['active', 'list', 0] },
  ])
  expect(JSON.stringify(ops)).toBe(
    '[{"op":"add","path":["active"],"value":null},{"op":"replace","path":["active","a"],"value":null},{"op":"move","from":["list",2],"path":["active","list",0]}]',
  )
  expect(parseLenientPatch([{ op: 'test', path: [] }]).fault?.place).toBe('patch[0]')
  expect(parseLenientPatch([{ op: 'add', path: ['active', 'constructor'] }]).fault?.place).toBe('patch[0].path[1]')
})
