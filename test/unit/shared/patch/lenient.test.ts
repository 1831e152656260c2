import { describe, expect, test } from '@jest/globals'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { apply } from '#shared/patch/apply.ts'
import { documentOf } from '#shared/patch/document.ts'
import { makeStrict } from '#shared/patch/lenient.ts'
import type { Op } from '#shared/patch/op.ts'
import { parseLenientPatch } from '#shared/patch/parse.ts'
import { documentWith, picture } from './helpers.ts'

/** agent-protocol.md, section 6. `ops` are as clients send them. */
function strict(active: Json | undefined, ops: unknown[]): { ops: unknown; active: unknown } | string {
  const document = documentWith(active)
  const before = picture(document)
  const outcome = makeStrict(document, parseLenientPatch(JSON.parse(JSON.stringify(ops))).ops as Op[])
  expect(picture(document)).toBe(before)
  if (outcome.kind === 'refused') return `${outcome.op}: ${outcome.reason}`
  if (outcome.kind === 'too-large') return outcome.kind
  const text = JSON.stringify(outcome.ops)
  expect(apply(document, outcome.ops)).toEqual({ kind: 'applied' })
  return { ops: JSON.parse(text), active: document.active }
}

const add = (path: unknown[], value: unknown): unknown => ({ op: 'add', path: ['active', ...path], value })
const replace = (path: unknown[], value: unknown): unknown => ({ op: 'replace', path: ['active', ...path], value })
const remove = (...path: unknown[]): unknown => ({ op: 'remove', path: ['active', ...path] })

describe('add and replace', () => {
  test('replace creates a missing key: an add', () => {
    expect(strict({}, [replace(['a'], 1), replace(['a'], 2)])).toEqual({ ops: [add(['a'], 1), replace(['a'], 2)], active: { a: 2 } })
  })

  test('add of a key that is there sets it', () => {
    expect(strict({ a: 1 }, [add(['a'], 2)])).toEqual({ ops: [add(['a'], 2)], active: { a: 2 } })
  })

  test('add inserts into an array, replace overwrites; at the length both append, beyond it is an error', () => {
    expect(strict([1, 2], [add([0], 0), replace([1], 9), add([3], 3), replace([4], 4)])).toEqual({
      ops: [add([0], 0), replace([1], 9), add([3], 3), add([4], 4)],
      active: [0, 9, 2, 3, 4],
    })
    expect(strict([1], [add([0], 0), add([3], 1)])).toBe('1: path[1] is beyond the end of the array')
    expect(strict([1], [replace([2], 1)])).toBe('0: path[1] is beyond the end of the array')
  })

  test('a missing parent: no effect, and the rest applies', () => {
    expect(strict({ s: 'text' }, [add(['a', 'b'], 1), replace(['s', 'x'], 1), add(['c'], 2), { op: 'add', path: ['name', 'x'], value: 1 }])).toEqual({
      ops: [add(['c'], 2)],
      active: { s: 'text', c: 2 },
    })
    expect(strict({}, [add(['a', 'b'], 1)])).toEqual({ ops: [], active: {} })
  })

  test('text is a key and a number an index: the other kind leads nowhere', () => {
    const active = { list: [{ a: 1 }], map: { 0: { a: 1 } } }
    const nowhere = [add(['list', '0', 'a'], 2), add(['map', 0, 'a'], 2), add(['list', '0'], 2), add(['map', 0], 2), remove('list', '0'), remove('map', 0), add(['list', 'length'], 0), add(['list', '-'], 0)]
    expect(strict(active, nowhere)).toEqual({ ops: [], active })
    expect(strict(active, [add(['map', '0', 'a'], 2), add(['list', 0, 'a'], 2), add(['map', '1'], 3)])).toMatchObject({
      active: { list: [{ a: 2 }], map: { 0: { a: 2 }, 1: 3 } },
    })
  })

  test('names of Object.prototype lead nowhere until they are there', () => {
    expect(strict({}, [add(['toString', 'x'], 1), remove('valueOf'), replace(['toString'], 1)])).toEqual({ ops: [add(['toString'], 1)], active: { toString: 1 } })
  })
})

describe('active', () => {
  test('removed: the first op into it creates it', () => {
    expect(strict(undefined, [replace(['a'], 1)])).toEqual({ ops: [add(['a'], 1)], active: { a: 1 } })
    expect(strict({ a: 1 }, [remove(), add(['b'], 2)])).toEqual({ ops: [remove(), add(['b'], 2)], active: { b: 2 } })
    expect(strict(undefined, [add(['a', 'b'], 1), remove('a'), remove()])).toEqual({ ops: [], active: undefined })
  })

  test('null: the first op that has an effect replaces it by {}, which is no add of active', () => {
    expect(strict(null, [add(['a'], 1), add(['b'], 2)])).toEqual({ ops: [replace([], {}), add(['a'], 1), add(['b'], 2)], active: { a: 1, b: 2 } })
    expect(strict({ a: 1 }, [add([], null), add(['b'], 2)])).toEqual({ ops: [add([], null), replace([], {}), add(['b'], 2)], active: { b: 2 } })
    expect(strict(null, [add(['a', 'b'], 1), add([0], 1), remove('a')])).toEqual({ ops: [], active: null })
    expect(strict(null, [remove()])).toEqual({ ops: [remove()], active: undefined })
  })

  test('other scalars have no inside', () => {
    expect(strict('text', [add(['a'], 1)])).toEqual({ ops: [], active: 'text' })
  })
})

describe('remove', () => {
  test('of nothing is dropped', () => {
    expect(strict({ a: 1, list: [1] }, [remove('b'), remove('a', 'b'), remove('list', 1), remove('a'), remove('a'), { op: 'remove', path: ['name'] }])).toEqual({
      ops: [remove('a')],
      active: { list: [1] },
    })
  })

  test('of active_type and of a name there is', () => {
    const document = documentOf({ active: {}, activeType: 'a', name: 'n' })
    const ops: Op[] = [{ op: 'remove', path: ['name'] }, { op: 'remove', path: ['active_type'] }]
    expect(makeStrict(document, ops)).toEqual({ kind: 'strict', ops })
  })

  test('a splice of n elements, as published clients send it', () => {
    const splice = [1, 2, 3].map(() => remove('active', 'active', 'list', 1))
    expect(strict({ list: [0, 1, 2, 3, 4] }, [...splice, add(['list', 1], 'new')])).toEqual({
      ops: [remove('list', 1), remove('list', 1), remove('list', 1), add(['list', 1], 'new')],
      active: { list: [0, 'new', 4] },
    })
    expect(strict([0, 1, 2], [remove('active', 0), remove('active', 0)])).toMatchObject({ active: [2] })
  })

  test('a path with several "active" that leads somewhere is taken as it is; one that leads nowhere fails nothing', () => {
    expect(strict({ active: { list: [1] }, list: [2] }, [remove('active', 'list', 0)])).toMatchObject({ active: { active: { list: [] }, list: [2] } })
    expect(strict({ active: { list: [1, 2] } }, [remove('active', 'active', 'list', 0), remove('active', 'active', 'list', 0)])).toMatchObject({ active: { active: { list: [] } } })
    expect(strict({ a: 1 }, [remove('active', 'a'), remove('active', 'b', 0), add(['c'], 1)])).toEqual({ ops: [add(['c'], 1)], active: { a: 1, c: 1 } })
  })
})

describe('move', () => {
  const move = (from: unknown[], path: unknown[]): unknown => ({ op: 'move', from, path: ['active', ...path] })

  test('within the array that path names; of from only the last element counts', () => {
    expect(strict({ list: [1, 2, 3] }, [move(['list', 2], ['list', 0])])).toEqual({
      ops: [{ op: 'move', from: ['active', 'list', 2], path: ['active', 'list', 0] }],
      active: { list: [3, 1, 2] },
    })
    expect(strict([1, 2], [move([0], [1]), move(['what', 'ever', 1], [0]), move([1], [1])])).toMatchObject({ active: [1, 2] })
  })

  test('a sort and a reverse, as published clients send them', () => {
    const reverse = ['a', 'b', 'c'].map((_, i) => move(['list', i], ['list', 0]))
    expect(strict({ list: ['a', 'b', 'c'] }, reverse)).toMatchObject({ active: { list: ['c', 'b', 'a'] } })
  })

  test('where there is no array it has no effect, beyond the end it is an error', () => {
    expect(strict({ map: { a: 1 } }, [move(['map', 'a'], ['map', 'b']), move([0], ['none', 0]), move(['map', 0], ['map', 0]), move([], [0]), move([0], [])])).toEqual({ ops: [], active: { map: { a: 1 } } })
    expect(strict([1, 2], [move(['0'], [1]), move([0], ['1'])])).toEqual({ ops: [], active: [1, 2] })
    expect(strict([1, 2], [move([2], [0])])).toBe('0: from is beyond the end of the array')
    expect(strict([1, 2], [move([0], [2])])).toBe('0: path[1] is beyond the end of the array')
  })
})

test('what strict rules forbid anyway is refused', () => {
  expect(strict({}, [add(['a'], 1), { op: 'add', path: ['owner'], value: 'x' }])).toBe('1: a path starts with active, active_type or name')
  expect(strict({}, [{ op: 'add', path: [], value: 'x' }])).toBe('0: a path starts with active, active_type or name')
  expect(strict({}, [{ op: 'remove', path: ['id'] }])).toBe('0: a path starts with active, active_type or name')
  expect(strict([1], [{ op: 'move', from: ['active', 0], path: ['owner', 0] }])).toMatch(/^0: /)
  expect(strict({}, [{ op: 'add', path: ['name'], value: null }])).toBe('0: name takes a string')
  expect(strict({}, [{ op: 'test', path: ['active', 'a'], value: 1 }])).toBe('0: nothing is at path[1]')
  expect(strict({ a: 'x'.repeat(limits.stateBytes - 100) }, [{ op: 'copy', from: ['active', 'a'], path: ['active', 'b'] }])).toBe('too-large')
})

test('sent values are as they came, although later ops of the message change them', () => {
  const ops = [add(['a'], { list: [1] }), add(['a', 'list', 0], 0), remove('a', 'list', 1), replace(['a', 'b'], 2), remove('a', 'list')]
  expect(strict({}, ops)).toEqual({ ops: [ops[0], ops[1], ops[2], add(['a', 'b'], 2), ops[4]], active: { a: { b: 2 } } })
})

test('a wide object costs no more than a narrow one', () => {
  const document = documentWith(Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`key ${i}`, i])))
  const start = performance.now()
  for (let i = 0; i < 2_000; i++) {
    const ops: Op[] = [{ op: 'replace', path: ['active', `new ${i}`], value: i }, { op: 'remove', path: ['active', `key ${i}`] }]
    const outcome = makeStrict(document, ops)
    expect(outcome.kind).toBe('strict')
    if (outcome.kind === 'strict') expect(apply(document, outcome.ops)).toEqual({ kind: 'applied' })
  }
  expect(performance.now() - start).toBeLessThan(10_000)
})
