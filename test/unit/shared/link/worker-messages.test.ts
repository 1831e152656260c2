/** What goes over a link between an api and a domain worker. */
import { expect, test } from '@jest/globals'
import { workerCodec, type WorkerMessage } from '#shared/link/worker-messages.ts'

const MESSAGES: readonly WorkerMessage[] = [
  { kind: 'module', module: 1, domain: 'a.test', key: 'k', source: 'export const a = 1\n\t// \u20ac' },
  { kind: 'drop', module: 1 },
  { kind: 'load', token: 1, module: 1 },
  { kind: 'call', token: 2, module: 1, handler: 'prePersistence', deadlineMs: undefined, argument: '{"a":"\\t\\n"}' },
  { kind: 'call', token: 3, module: 1, handler: { closeScript: 'le\tave' }, deadlineMs: 50, argument: '[1,{}]' },
  { kind: 'answer', ask: 1, ok: false, text: '"no"' },
  { kind: 'done', tokens: [2, 3] },
  { kind: 'ask', token: 2, ask: 1, number: 0, method: 'patch', args: '["s",[]]' },
  { kind: 'outcome', token: 4, outcome: { kind: 'returned', value: '{"a":1}', log: ['x\ty'] } },
  { kind: 'outcome', token: 5, outcome: { kind: 'threw', message: 'a\nb\tc', log: [] } },
  { kind: 'outcome', token: 6, outcome: { kind: 'exceeded', what: 'time', log: [] } },
  { kind: 'loaded', token: 1, outcome: { kind: 'loaded', handlers: { prePersistence: true, postPersistence: false, configure: false, closeScripts: [] }, log: [] } },
  { kind: 'agent', agent: 1, module: 1 },
  { kind: 'tell', agent: 1, text: '{"a":"\\t"}' },
  { kind: 'pass', agent: 1, text: '{}' },
  { kind: 'end-agent', agent: 1 },
  { kind: 'said', agent: 1, connection: 'a\t"b\n', text: '{"si":0}' },
  { kind: 'passed', agent: 1, text: '{}' },
  { kind: 'agent-joined', agent: 1 },
  { kind: 'agent-log', agent: 1, lines: ['a\tb\n'] },
  { kind: 'agent-settled', agent: 1, handlers: { prePersistence: true, postPersistence: false, configure: false, closeScripts: ['bye'] } },
  { kind: 'agent-ended', agent: 1, why: { kind: 'failed', message: 'Error: a\nb', inPromise: true, line: 1, column: 2 } },
]

test('a frame of any messages reads as them', () => {
  expect(workerCodec.decode(MESSAGES.map((message) => workerCodec.encode(message)).join(''))).toEqual(MESSAGES)
})

test('the lines of what goes with every call', () => {
  expect(MESSAGES.filter(({ kind }) => ['call', 'answer', 'done', 'ask'].includes(kind)).map((message) => workerCodec.encode(message))).toEqual([
    '["c",2,1,"prePersistence",0]\t{"a":"\\t\\n"}\n',
    '["c",3,1,{"closeScript":"le\\tave"},50]\t[1,{}]\n',
    '["a",1,false]\t"no"\n',
    '["d",2,3]\n',
    '["q",2,1,0,"patch"]\t["s",[]]\n',
  ])
})

test('what none of ours sends throws', () => {
  for (const frame of ['x\n', '["z",1]\n', '["c"\n']) expect(() => workerCodec.decode(frame)).toThrow(Error)
})
