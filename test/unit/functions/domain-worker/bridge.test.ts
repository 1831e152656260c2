/** The only door: what a sandbox says is believed as far as it can do no harm. */
import { describe, expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { readFault, readLoaded, readRecords, stepText } from '#functions/domain-worker/bridge.ts'

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)

test('a step is JSON; arguments and answers go in as the texts that they are', () => {
  const text = stepText({ forget: [7], answers: [{ ask: 3, ok: true, text: '{"a":1}' }], calls: [{ token: 1, handler: 0, argument: '{"n":1}' }, { token: 2, handler: 'le"ave', argument: '[1,{}]' }] })
  expect(JSON.parse(text)).toEqual([[[1, 0, { n: 1 }], [2, 'le"ave', [1, {}]]], [[3, true, { a: 1 }]], [7]])
})

describe('records', () => {
  test('of every kind', () => {
    expect(readRecords('[5,[6,"returned",{"a":[1]}],[7,"nothing",null,["x"]],[8,"rejected","no"],[9,"threw","Error: x"],[10,"exceeded","calls"],[11,"agent",1,"patch",["s",[]]]]', 100)).toEqual([
      { kind: 'returned', token: 5, value: undefined, log: [] },
      { kind: 'returned', token: 6, value: '{"a":[1]}', log: [] },
      { kind: 'returned', token: 7, value: undefined, log: ['x'] },
      { kind: 'rejected', token: 8, words: 'no', log: [] },
      { kind: 'threw', token: 9, words: 'Error: x', log: [] },
      { kind: 'exceeded', token: 10, what: 'calls', log: [] },
      { kind: 'agent', token: 11, ask: 1, method: 'patch', args: '["s",[]]', bytes: 8 },
    ])
  })

  test.each([
    ['no JSON', 'x'],
    ['no list', '{}'],
    ['a token that is no whole number', '[1.5]'],
    ['a token that is a text', '[["1","returned",1]]'],
    ['no kind', '[[1]]'],
    ['an unknown kind', '[[1,"admin",1]]'],
    ['a kind of the prototype', '[[1,"constructor",1]]'],
    ['words that are none', '[[1,"threw",{}]]'],
    ['a bound that is none', '[[1,"exceeded","toString"]]'],
    ['a log that is none', '[[1,"returned",1,{"length":5}]]'],
    ['log lines that are none', '[[1,"returned",1,[1]]]'],
    ['a method that is none', '[[1,"agent",1,"__proto__",[]]]'],
    ['an ask that is none', '[[1,"agent","1","state",[]]]'],
    ['arguments that are none', '[[1,"agent",1,"state",{"length":1}]]'],
  ])('forged: %s', (_, text) => expect(readRecords(text, 100)).toBeUndefined())

  test('forged: more than comes out of a step', () => expect(readRecords(`[${' '.repeat(limits.stepOutCharacters)}]`, 100)).toBeUndefined())

  test('values past their bounds do not leave', () => {
    const one = (value: string): unknown => readRecords(`[[1,"returned",${value}]]`, 5_000)?.[0]
    expect(one(nested(limits.nestingLevels))).toMatchObject({ kind: 'returned' })
    expect(one(nested(limits.nestingLevels + 1))).toMatchObject({ kind: 'threw', words: 'the result is nested too deeply' })
    expect(one(nested(200_000))).toMatchObject({ kind: 'threw' })
    expect(one('{"a":[{"__proto__":1}]}')).toMatchObject({ kind: 'threw' })
    expect(one(`"${'€'.repeat(1_666)}"`)).toMatchObject({ kind: 'returned' })
    expect(one(`"${'€'.repeat(1_667)}"`)).toMatchObject({ kind: 'exceeded', what: 'result-size' })
    expect(readRecords(`[[1,"agent",1,"patch",${nested(300)}]]`, 100)?.[0]).toMatchObject({ kind: 'threw' })
  })

  test('texts are well-formed and bounded, without lines feeds or tabs of their own', () => {
    const [threw] = readRecords(JSON.stringify([[1, 'threw', `\ud800${'x'.repeat(10_000)}`, Array.from({ length: 500 }, () => '\udfff'.repeat(5_000))]]), 100) as unknown as [{ words: string; log: string[] }]
    expect(threw.words.isWellFormed()).toBe(true)
    expect(threw.words.length).toBeLessThan(limits.handlerMessageCharacters + 10)
    expect(threw.log).toHaveLength(limits.handlerLogLines)
    expect(threw.log.every((line) => line.isWellFormed() && line.length < limits.handlerLogCharacters + 10)).toBe(true)
    expect(readRecords('[[1,"returned",[\n\t"\\n"]]]', 100)?.[0]).toMatchObject({ value: '["\\n"]' })
  })
})

test('what a module exports, and why it does not load', () => {
  expect(readLoaded('[["configure"],["a"],[]]')).toEqual({ handlers: { prePersistence: false, postPersistence: false, configure: true, closeScripts: ['a'] }, log: [] })
  expect(readLoaded('[["configure"],"a",[]]')).toBeUndefined()
  expect(readLoaded('null')).toBeUndefined()
  expect(readFault('["Error: x",false,3,7]')).toEqual({ message: 'Error: x', line: 3, column: 7 })
  expect(readFault('[{},false,-1,"x"]')).toEqual({ message: 'the module does not load', line: undefined, column: undefined })
  expect(readFault('{')).toMatchObject({ message: 'the module does not load' })
})
