/** The codec of links: every message comes back as it went, alone and in a frame with others; nothing else gets in. */
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { decodeFrame, encodeMessage, LINK_VERSION, type LinkMessage } from '#shared/link/messages.ts'
import { A, AWKWARD, ID, ii, messages, patchRequest, view } from './samples.ts'

const kindOf = (message: LinkMessage): string =>
  message.kind + ('submission' in message ? ` ${message.submission.kind}` : 'answer' in message ? ` ${message.answer.kind}` : message.kind === 'peer' ? ` ${message.message.kind}` : '')

describe.each(AWKWARD)('with texts like %j', (value) => {
  test.each(messages(value).map((message, at) => [`${at} ${kindOf(message)}`, message] as const))('%s', (_, message) => {
    const line = encodeMessage(message)
    expect(line.indexOf('\n')).toBe(line.length - 1)
    // `toEqual`: a member that is undefined does not travel.
    expect(decodeFrame(line)).toEqual([message])
    // As it is after a socket.
    expect(decodeFrame(Buffer.from(line).toString())).toEqual([message])
  })

  test('all in one frame, in order, with the last line feed or without', () => {
    const all = messages(value)
    const frame = all.map(encodeMessage).join('')
    expect(decodeFrame(frame)).toEqual(all)
    expect(decodeFrame(frame.slice(0, -1))).toEqual(all)
  })
})

test('any strings', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 5 }), (values) => {
      const all = values.flatMap(messages)
      expect(decodeFrame(all.map(encodeMessage).join(''))).toEqual(all)
    }),
    { numRuns: 30 },
  )
})

test('a patch comes with its ops: from its text, and nobody else holds them', () => {
  const request = patchRequest('x')
  const [message] = decodeFrame(encodeMessage({ kind: 'submit', token: 1, submission: { kind: 'patch', request } }))
  const got = (message as Extract<LinkMessage, { kind: 'submit' }>).submission.request as typeof request
  expect(got.ops).toEqual(JSON.parse(request.text))
  expect(got.ops).not.toBe(request.ops)
  expect(got.text).toBe(request.text)
})

/** A change of these is a change of LINK_VERSION: processes of two versions run side by side while a deployment goes on. */
describe('golden lines', () => {
  const golden: readonly (readonly [string, LinkMessage, string])[] = [
    ['hello', { kind: 'hello', version: LINK_VERSION, role: 'peer', name: 'p', incarnation: A }, '{"kind":"hello","version":3,"role":"peer","name":"p","incarnation":"a"}\n'],
    [
      'patch',
      { kind: 'submit', token: 1, submission: { kind: 'patch', request: { ...patchRequest('é'), creation: undefined } } },
      `[1,1,"${ID}","é","app.localhost","owner",null,"\\u0000\u007f\u0080\u00ffkeykeykeykey","",7,true,false,null]\t[{"op":"add","path":["active","é"],"value":{"é":["é",null,1.5]}}]\n`,
    ],
    ['read', { kind: 'submit', token: 2, submission: { kind: 'read', request: { id: ID, mode: 'strong', minIi: undefined } } }, `{"kind":"submit","token":2,"submission":{"kind":"read","request":{"id":"${ID}","mode":"strong"}}}\n`],
    ['stored', { kind: 'answer', token: 3, answer: { kind: 'stored', ii: ii(7), updated: 5, replayed: false, activeType: 'application/json', state: undefined } }, '[2,3,7,5,false,"application/json"]\n'],
    [
      'state',
      { kind: 'answer', token: 4, answer: { kind: 'state', state: view('n') } },
      `{"kind":"answer","token":4,"answer":{"kind":"state","state":{"id":"${ID}","ii":7,"domain":"app.localhost","owner":"n","name":"n","activeType":"application/json","created":1,"updated":2,"reserved":false}}}\t{"n":"n"}\n`,
    ],
    [
      'follow-patch',
      { kind: 'follow-patch', token: 5, interaction: { ii: ii(8), user: 'u', ts: 6, patch: '[]' } },
      '{"kind":"follow-patch","token":5,"interaction":{"ii":8,"user":"u","ts":6}}\t[]\n',
    ],
    ['peer', { kind: 'peer', message: { kind: 'heartbeat' } }, '{"kind":"peer","message":{"kind":"heartbeat"}}\n'],
  ]
  test.each(golden)('%s', (_, message, line) => {
    expect(encodeMessage(message)).toBe(line)
    expect(decodeFrame(line)).toEqual([message])
  })
})

describe('what no version of ours sends', () => {
  const NO_JSON = /JSON|Unexpected|undefined/
  test.each<[string, RegExp]>([
    ['x', NO_JSON],
    ['{', NO_JSON],
    ['{}\n{', NO_JSON],
    ['{"kind":"forget","token":1}\n\n{"kind"', NO_JSON],
    ['\t', NO_JSON],
    ['[1,1,"id","u","d","owner",null,"","",null,false,false,null]\tno json', NO_JSON],
    ['[2,3,7,5,false,"application/json"]\t[]', /a text that none of ours has/],
    ['[3]', /none of ours is/],
    ['null', /null/],
    ['{"kind":"hello"}\ttext', /a text that none of ours has/],
    ['null\ttext', /null/],
  ])('%j throws', (frame, message) => {
    expect(() => decodeFrame(frame)).toThrow(message)
  })

  test('an empty frame holds nothing', () => expect(decodeFrame('')).toEqual([]))
})
