/** The door of a domain agent's script: what it says is believed as far as it can do no harm. */
import { describe, expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { readAgentOut } from '#functions/domain-worker/agent-bridge.ts'

const of = (record: string): unknown => readAgentOut(`[-1,[${record}],0]`)?.records[0]

test('records of every kind', () => {
  const out = readAgentOut('[7,[["said",{"connection":"c","si":0,"patch":[]}],["beat"],["log","x"],["settled",[["prePersistence"],["bye"],[]]],["failed","Error: x",true,false,3,0],["failed","x",false,true,0,0],["exit",4]],0]')
  expect(out).toEqual({
    dueMs: 7,
    hasUnheard: false,
    records: [
      { kind: 'said', connection: 'c', text: '{"si":0,"patch":[]}' },
      { kind: 'beat' },
      { kind: 'log', line: 'x' },
      { kind: 'settled', handlers: { prePersistence: true, postPersistence: false, configure: false, closeScripts: ['bye'] } },
      { kind: 'failed', message: 'Error: x', inPromise: true, line: 3, column: undefined },
      { kind: 'memory' },
      { kind: 'exit', code: 4 },
    ],
  })
})

test('when the next turn is of use is a time, or none', () => {
  expect([-1, 0, 1e12].map((due) => readAgentOut(`[${due},[],0]`)?.dueMs)).toEqual([undefined, 0, 2 ** 31 - 1])
})

describe('what agent-world.ts does not write', () => {
  test.each(['x', '{}', '[]', '["1",[]]', '[null,[]]', '[1e999,[],0]', '[1,{"length":1},0]', '[1,[]]'])('as a whole: %s', (text) => expect(readAgentOut(text)).toBeUndefined())
  test.each(['{}', '[]', '["admin"]', '["constructor"]', '["said"]', '["said",[]]', '["said",null]', '["log",{}]', '["settled",{}]', '["settled",[{}]]', '["failed",1]', '["exit","1"]', '["exit",1.5]'])('as a record: %s', (record) =>
    expect(of(record)).toBeUndefined(),
  )
})

describe('messages that the script may not send are the end of it', () => {
  test.each([
    ['nested too deeply', `{"connection":"c","a":${'['.repeat(limits.nestingLevels + 1)}${']'.repeat(limits.nestingLevels + 1)}}`],
    ['with a key "__proto__"', '{"connection":"c","a":{"__proto__":1}}'],
    ['that is one', '{"connection":"c","__proto__":{"a":1}}'],
    ['without a connection', '{"a":1}'],
    ['with one that is no text', '{"connection":1}'],
    ['with one that is too long', `{"connection":"${'c'.repeat(limits.domainAgentConnectionCharacters + 1)}"}`],
    ['with one that is not well-formed', '{"connection":"\\ud800"}'],
  ])('%s', (_, message) => expect(of(`["said",${message}]`)).toMatchObject({ kind: 'failed' }))
  test('too large, one or all', () => {
    expect(of(`["said",{"connection":"c","a":"${'x'.repeat(limits.domainAgentMessageCharacters)}"}]`)).toEqual({ kind: 'too-large' })
    expect(readAgentOut(' '.repeat(limits.domainAgentOutCharacters + 1))).toEqual({ dueMs: undefined, records: [{ kind: 'too-large' }], hasUnheard: false })
  })
})
