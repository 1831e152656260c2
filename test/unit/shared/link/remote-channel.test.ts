/** A state process behind a link: answers find who asked, and the end of the link is an answer to all that is open. */
import { beforeEach, expect, test } from '@jest/globals'
import type { Slot } from '#shared/ids.ts'
import type { FollowEvents, Submission } from '#shared/link/channel.ts'
import type { Link } from '#shared/link/link.ts'
import type { LinkMessage } from '#shared/link/messages.ts'
import { RemoteChannel } from '#shared/link/remote-channel.ts'
import { A, answers, ID, ii, patchRequest, view } from './samples.ts'

class FakeLink {
  readonly peer = { kind: 'hello', version: 1, role: 'peer', name: 'p', incarnation: A } as const
  readonly sent: LinkMessage[] = []
  ended = false
  onMessage: (message: LinkMessage) => void = () => undefined
  onEnd: () => void = () => undefined
  send(message: LinkMessage): void {
    this.sent.push(message)
  }
  close(): void {
    this.end()
  }
  end(): void {
    if (this.ended) return
    this.ended = true
    this.onEnd()
  }
}

const READ: Submission = { kind: 'read', request: { id: ID, mode: 'strong', minIi: undefined } }
let link: FakeLink
let channel: RemoteChannel
let ends: number
let log: unknown[]

beforeEach(() => {
  link = new FakeLink()
  ends = 0
  log = []
  channel = new RemoteChannel(link as unknown as Link, () => (ends += 1))
})

const note = (name: string): ((value: unknown) => void) => (value) => log.push([name, value])
const events = (name: string): FollowEvents => ({ state: note(`${name} state`), patch: note(`${name} patch`), end: () => log.push(`${name} end`) })

test('answers go to whoever asked, in any order, once', () => {
  const [first, second] = [channel.submit(READ, note('first')), channel.submit({ kind: 'patch', request: patchRequest('x') }, note('second'))]
  expect(link.sent).toEqual([{ kind: 'submit', token: first, submission: READ }, expect.objectContaining({ kind: 'submit', token: second })])
  const [stored] = answers('x')
  link.onMessage({ kind: 'answer', token: second, answer: stored! })
  link.onMessage({ kind: 'answer', token: first, answer: { kind: 'unwritten' } })
  link.onMessage({ kind: 'answer', token: first, answer: { kind: 'unwritten' } })
  expect(log).toEqual([['second', stored], ['first', { kind: 'unwritten' }]])
})

test('what was taken back is not answered, and the other side is told once', () => {
  const token = channel.submit(READ, note('read'))
  channel.forget(token)
  channel.forget(token)
  link.onMessage({ kind: 'answer', token, answer: { kind: 'unwritten' } })
  link.end()
  expect(log).toEqual([])
  expect(link.sent.slice(1)).toEqual([{ kind: 'forget', token }])
})

test('followings get their events until they are taken back', () => {
  const [one, two] = [channel.follow(ID, undefined, events('one')), channel.follow(ID, ii(8), events('two'))]
  expect(link.sent).toEqual([{ kind: 'follow', token: one, id: ID, from: undefined }, { kind: 'follow', token: two, id: ID, from: 8 }])
  const interaction = { ii: ii(8), user: 'u', ts: 1, patch: '[]' }
  link.onMessage({ kind: 'follow-state', token: one, state: view('x') })
  link.onMessage({ kind: 'follow-patch', token: two, interaction })
  channel.unfollow(one)
  channel.unfollow(one)
  link.onMessage({ kind: 'follow-patch', token: one, interaction })
  link.onMessage({ kind: 'follow-end', token: two })
  link.onMessage({ kind: 'follow-patch', token: two, interaction })
  expect(log).toEqual([['one state', view('x')], ['two patch', interaction], 'two end'])
  expect(link.sent.slice(2)).toEqual([{ kind: 'unfollow', token: one }])
})

test('the link is lost: everything open hears of it, after the owner of the link', async () => {
  let order = ''
  channel = new RemoteChannel(link as unknown as Link, () => (order += 'owner '))
  channel.submit(READ, (answer) => (order += `${answer.kind} `))
  channel.follow(ID, undefined, { ...events('f'), end: () => (order += 'following ') })
  const status = channel.status()
  link.end()
  expect(order).toBe('owner link-lost following ')
  expect(await status).toBe(undefined)
})

test('status', async () => {
  const status = channel.status()
  const { token } = link.sent[0] as Extract<LinkMessage, { kind: 'status-ask' }>
  link.onMessage({ kind: 'status', token, leads: [3 as Slot, 5 as Slot], log: { seq: 4, waiting: 5 } })
  expect(await status).toEqual({ leads: [3, 5], log: { seq: 4, waiting: 5 } })
})

test.each<LinkMessage>([
  { kind: 'submit', token: 1, submission: READ },
  { kind: 'forget', token: 1 },
  { kind: 'follow', token: 1, id: ID, from: undefined },
  { kind: 'unfollow', token: 1 },
  { kind: 'status-ask', token: 1 },
  { kind: 'peer', message: { kind: 'heartbeat' } },
])('a state process that says $kind is none: the link ends', (message) => {
  channel.submit(READ, note('read'))
  link.onMessage(message)
  expect([link.ended, ends]).toEqual([true, 1])
  expect(log).toEqual([['read', { kind: 'link-lost' }]])
})
