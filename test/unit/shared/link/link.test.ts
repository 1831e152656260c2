/** A link over a socket of the test's: frames, order, bounds, the end. Real sockets: test/contract/link.test.ts. */
import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { WebSocket } from 'ws'
import { limits } from '#shared/limits.ts'
import { Link } from '#shared/link/link.ts'
import { decodeFrame, encodeMessage, stateCodec, type Hello, type LinkMessage } from '#shared/link/messages.ts'
import { A } from './samples.ts'

const HELLO: Hello = { kind: 'hello', version: 1, role: 'peer', name: 'p', incarnation: A }
const forget = (token: number): LinkMessage => ({ kind: 'forget', token })

class FakeSocket extends EventEmitter {
  readonly frames: string[] = []
  bufferedAmount = 0
  pings = 0
  calls: string[] = []
  send(frame: string): void {
    this.frames.push(frame)
    this.calls.push('send')
  }
  ping(): void {
    this.pings += 1
  }
  close(): void {
    this.calls.push('close')
  }
  terminate(): void {
    this.calls.push('terminate')
  }
}

let socket: FakeSocket
let link: Link
let ends: number
let received: LinkMessage[]

beforeEach(() => {
  jest.useFakeTimers()
  socket = new FakeSocket()
  link = new Link(socket as unknown as WebSocket, HELLO, stateCodec)
  ends = 0
  received = []
  link.onEnd = () => (ends += 1)
  link.onMessage = (message) => received.push(message)
})
afterEach(() => {
  link.end()
  jest.useRealTimers()
})

/** The link's next turn of the event loop, if it has asked for one; its pulse is a timer too. */
const turn = (): void => {
  if (jest.getTimerCount() > 1) jest.advanceTimersToNextTimer()
}
/** Until a turn has brought nothing. */
const rest = (): void => {
  turn()
  turn()
}
const arrive = (text: string): boolean => socket.emit('message', Buffer.from(text))

test('what is sent in one turn goes in one frame, in order (I1, I2)', () => {
  for (let token = 1; token <= 3; token++) link.send(forget(token))
  expect(socket.frames).toEqual([])
  rest()
  expect(socket.frames.map(decodeFrame)).toEqual([[forget(1), forget(2), forget(3)]])
  link.send(forget(4))
  rest()
  expect(socket.frames.map(decodeFrame)).toEqual([[forget(1), forget(2), forget(3)], [forget(4)]])
  rest()
  expect(socket.frames).toHaveLength(2)
})

test('a frame waits as long as each turn brings more, for four turns at most, and not when it is large (I2)', () => {
  const tokens = (): number[][] => socket.frames.map((frame) => decodeFrame(frame).map((message) => ('token' in message ? message.token : 0)))
  for (let token = 1; token <= 6; token++) {
    link.send(forget(token))
    turn()
  }
  expect(tokens()).toEqual([[1, 2, 3, 4]])
  rest()
  expect(tokens()).toEqual([[1, 2, 3, 4], [5, 6]])
  link.send({ kind: 'follow-patch', token: 7, interaction: { ii: 1, user: 'u', ts: 1, patch: `"${'x'.repeat(64 * 1024)}"` } as never })
  turn()
  expect(socket.frames).toHaveLength(3)
})

describe('the pace of who answers', () => {
  test('what is sent before it returns goes at once, in one frame (I2)', async () => {
    jest.useFakeTimers({ doNotFake: ['queueMicrotask'] })
    const quick = new Link(socket as unknown as WebSocket, HELLO, stateCodec, 'at-once')
    for (let token = 1; token <= 3; token++) quick.send(forget(token))
    expect(socket.frames).toEqual([])
    await Promise.resolve()
    expect(socket.frames.map(decodeFrame)).toEqual([[forget(1), forget(2), forget(3)]])
    quick.end()
  })
})

test('messages of a frame arrive in order', () => {
  arrive([1, 2, 3].map((token) => encodeMessage(forget(token))).join(''))
  expect(received).toEqual([forget(1), forget(2), forget(3)])
})

test('garbage ends the link, once', () => {
  arrive('{"kind":')
  expect([ends, socket.calls]).toEqual([1, ['terminate']])
  socket.emit('close')
  socket.emit('error', new Error('late'))
  expect(ends).toBe(1)
})

test('after the end nothing is sent', () => {
  link.send(forget(1))
  link.end()
  link.send(forget(2))
  rest()
  expect(socket.frames).toEqual([])
})

test('close sends what waits, then ends', () => {
  link.send(forget(1))
  link.close()
  expect(socket.frames.map(decodeFrame)).toEqual([[forget(1)]])
  expect(socket.calls.slice(0, 2)).toEqual(['send', 'close'])
  expect(ends).toBe(1)
})

test('a peer that does not take what is sent is given up (I3)', () => {
  socket.bufferedAmount = limits.linkBufferBytes
  link.send(forget(1))
  rest()
  expect(ends).toBe(0)
  socket.bufferedAmount = limits.linkBufferBytes + 1
  link.send(forget(2))
  rest()
  expect(ends).toBe(1)
})

describe('a peer that falls silent', () => {
  test('is given up after two pulses without a word', () => {
    jest.advanceTimersByTime(limits.linkPulseMs)
    expect([socket.pings, ends]).toEqual([1, 0])
    jest.advanceTimersByTime(limits.linkPulseMs - 1)
    expect(ends).toBe(0)
    jest.advanceTimersByTime(1)
    expect(ends).toBe(1)
    jest.advanceTimersByTime(10 * limits.linkPulseMs)
    expect(ends).toBe(1)
  })

  test.each([
    ['a pong', () => socket.emit('pong')],
    ['a message', () => arrive(encodeMessage(forget(1)))],
  ])('%s keeps it', (_, speak) => {
    for (let n = 0; n < 5; n++) {
      jest.advanceTimersByTime(limits.linkPulseMs)
      speak()
    }
    expect(ends).toBe(0)
  })
})
