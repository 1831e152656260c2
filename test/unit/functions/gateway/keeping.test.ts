/** What is kept of a session: one write at a time, repeated until its outcome is known, and none by who has lost the session. */
import { expect, test } from '@jest/globals'
import { Keeping } from '#functions/gateway/keeping.ts'
import type { KeepAnswer, KeepChange, KeptSubscription } from '#shared/ports/agent-ground.ts'
import type { StateId } from '#shared/ids.ts'

const follows = (label: string): KeptSubscription => ({ id: '11111111-1111-4111-8111-111111111111' as StateId, label, owner: 'o', domain: 'd', ii: 1, si: 2 })

function keeping(): { readonly keeping: Keeping; readonly writes: { version: number; change: KeepChange }[]; readonly answer: (answer: KeepAnswer) => void; readonly did: string[] } {
  const writes: { version: number; change: KeepChange }[] = []
  const waiting: ((answer: KeepAnswer) => void)[] = []
  const did: string[] = []
  const made = new Keeping({
    process: 'p',
    version: 3,
    keep: (version, change) => {
      writes.push({ version, change })
      return new Promise((resolve) => waiting.push(resolve))
    },
    onTaken: () => did.push('taken'),
  })
  return { keeping: made, writes, answer: (answer) => waiting.shift()!(answer), did }
}

test('what comes while a write is under way goes with the next one, and nobody is told before it is stored', async () => {
  const { keeping: subject, writes, answer } = keeping()
  const told: string[] = []
  const first = subject.write({ subscriptions: [follows('a')] }).then((how) => told.push(`a ${how}`))
  const later = [subject.write({ subscriptions: [follows('b')] }), subject.write({ ack: 7, dropped: [follows('a')] }), subject.write({ ack: 9 })].map((each) => each.then((how) => told.push(how)))
  expect(writes).toEqual([{ version: 3, change: { by: 'p', subscriptions: [follows('a')], dropped: [] } }])
  answer({ kind: 'kept', version: 4 })
  await first
  expect(told).toEqual(['a kept'])
  expect(writes[1]).toEqual({ version: 4, change: { by: 'p', subscriptions: [follows('b')], dropped: [follows('a')], ack: 9 } })
  answer({ kind: 'kept', version: 5 })
  await Promise.all(later)
  expect(writes).toHaveLength(2)
})

test('a write whose outcome nobody knows is sent again as it was, before anything else', async () => {
  const { keeping: subject, writes, answer } = keeping()
  const first = subject.write({ ack: 1 })
  const second = subject.write({ ack: 2 })
  answer({ kind: 'unavailable' })
  while (writes.length < 2) await new Promise((resolve) => setImmediate(resolve))
  expect(writes[1]).toEqual(writes[0])
  answer({ kind: 'kept', version: 4 })
  expect(await first).toBe('kept')
  answer({ kind: 'kept', version: 5 })
  expect(await second).toBe('kept')
})

test('who finds that another process has the session writes nothing more', async () => {
  const { keeping: subject, writes, answer, did } = keeping()
  const first = subject.write({ ack: 1 })
  const second = subject.write({ end: 'over' })
  answer({ kind: 'taken' })
  expect([await first, await second, await subject.write({ ack: 3 })]).toEqual(['taken', 'stopped', 'stopped'])
  expect([writes.length, did]).toEqual([1, ['taken']])
})
