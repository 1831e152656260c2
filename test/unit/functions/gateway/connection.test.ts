/** Connections by the clock: heartbeats, those that never say who they are, slow ones. */
import { expect, test } from '@jest/globals'
import { Connection } from '#functions/gateway/connection.ts'
import type { Session } from '#functions/gateway/session.ts'
import { limits } from '#shared/limits.ts'

function connect(): { readonly connection: Connection; readonly did: string[]; readonly clock: { ms: number }; readonly transport: { bufferedBytes: number; mayBeSilent: boolean }; readonly session: Session } {
  const did: string[] = []
  const clock = { ms: 0 }
  const transport = {
    origin: undefined,
    host: undefined,
    sid: undefined,
    mayBeSilent: false,
    bufferedBytes: 0,
    send: (text: string) => void did.push(text),
    heartbeat: () => void did.push('heartbeat'),
    close: () => void did.push('close'),
    cut: () => void did.push('cut'),
  }
  const heard = { of: { session: 's' }, receive: (message: object) => void did.push(`received ${JSON.stringify(message)}`), end: () => void did.push('end'), detach: () => void did.push('detach') }
  const session = heard as unknown as Session
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const connection = new Connection({ transport, nowMs: () => clock.ms, log, onClosed: () => undefined, greet: () => Promise.resolve(session) })
  return { connection, did, clock, transport, session }
}

test('a heartbeat is sent after a silence of ours, and not before', () => {
  const { connection, did, clock, session } = connect()
  connection.opened(session)
  connection.look(limits.agentHeartbeatMs - 1)
  expect(did).toEqual([])
  clock.ms = limits.agentHeartbeatMs
  connection.look(clock.ms)
  connection.look(clock.ms + 1)
  expect(did).toEqual(['heartbeat'])
  connection.send('{}')
  clock.ms = 2 * limits.agentHeartbeatMs - 1
  connection.look(clock.ms)
  expect(did).toEqual(['heartbeat', '{}'])
})

test('a connection that never says who it is gets cut off, but for the old sockets of socket.io', () => {
  const { connection, did } = connect()
  connection.look(limits.agentGreetingMs - 1)
  expect(did).toEqual([])
  connection.look(limits.agentGreetingMs)
  expect(did).toEqual(['cut'])
  const silent = connect()
  silent.transport.mayBeSilent = true
  silent.connection.look(limits.agentGreetingMs)
  expect(silent.did).toEqual([])
})

test('a client that does not take what it is sent is cut off, and its session waits for it', () => {
  const { connection, did, transport, session } = connect()
  connection.opened(session)
  transport.bufferedBytes = limits.followerBufferBytes + 1
  connection.send('{}')
  connection.closed('broken')
  expect(did).toEqual(['cut', 'detach'])
})

test('a client that takes nothing for long is cut off, however little it is', () => {
  const { connection, did, transport, session } = connect()
  connection.opened(session)
  const stall = limits.agentStallMs
  const looks: readonly (readonly [atMs: number, bufferedBytes: number, isCut: boolean])[] = [
    [stall, 0, false],
    [2 * stall - 1, 10, false],
    // It has taken some.
    [2 * stall, 5, false],
    [3 * stall - 1, 7, false],
    [3 * stall, 7, true],
  ]
  for (const [atMs, bufferedBytes, isCut] of looks) {
    transport.bufferedBytes = bufferedBytes
    connection.look(atMs)
    expect([atMs, did.includes('cut')]).toEqual([atMs, isCut])
  }
})

test('an abandoned connection is silent, deaf and left open', () => {
  const { connection, did, session } = connect()
  connection.opened(session)
  connection.abandon()
  connection.send('{}')
  connection.message({ si: 0 })
  connection.look(limits.agentHeartbeatMs * 3)
  connection.closed('clean')
  expect(did).toEqual([])
})

test.each([
  ['clean', undefined, ['end']],
  ['broken', undefined, ['detach']],
  ['keepalive', undefined, ['detach']],
  ['clean', { type: 'close', info: { keepalive: true } }, ['close', 'detach']],
] as const)('a %s close after %j ends or keeps the session', (how, message, expected) => {
  const { connection, did, session } = connect()
  connection.opened(session)
  if (message !== undefined) connection.message(message)
  connection.closed(how)
  expect(did).toEqual(expected)
})
