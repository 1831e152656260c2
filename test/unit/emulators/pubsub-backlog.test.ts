import { describe, expect, test } from '@jest/globals'
import { Backlog, type BacklogRules } from '../../../emulators/pubsub/backlog.ts'

const RULES: BacklogRules = { ordered: true, laneBatch: 10, backoffMinMs: 0, backoffMaxMs: 0, maxAttempts: undefined }

function backlogOf(rules: Partial<BacklogRules>, keys: readonly string[]): Backlog {
  const backlog = new Backlog({ ...RULES, ...rules })
  keys.forEach((orderingKey, at) => backlog.add({ seq: at + 1, orderingKey, bytes: 10, expiresMs: 1_000_000 }))
  return backlog
}

const ROOM = { messages: 100, bytes: 1_000, deadlineMs: 100 }
const seqs = (taken: readonly { readonly seq: number }[]): number[] => taken.map(({ seq }) => seq)

describe('backlog of a subscription', () => {
  test('of an ordering key one batch is outstanding at a time (I1)', () => {
    const backlog = backlogOf({ laneBatch: 2 }, ['k', 'k', 'k', 'other', ''])
    const taken = backlog.take(0, ROOM)
    expect(seqs(taken)).toEqual([1, 2, 4, 5])
    expect(backlog.take(0, ROOM)).toEqual([])
    expect(backlog.acknowledge([taken[0]!.ackId]).done).toEqual([1])
    expect(backlog.take(0, ROOM)).toEqual([])
    backlog.acknowledge([taken[1]!.ackId])
    expect(seqs(backlog.take(0, ROOM))).toEqual([3])
  })

  test('without ordering the key means nothing', () => {
    const backlog = backlogOf({ ordered: false }, ['k', 'k'])
    const [first] = backlog.take(0, { ...ROOM, messages: 1 })
    expect(seqs(backlog.take(0, ROOM))).toEqual([2])
    backlog.modify(0, [first!.ackId], undefined)
    expect(seqs(backlog.take(0, ROOM))).toEqual([1])
  })

  test('one that comes back brings the later ones of its key, acknowledged ones too; nothing leaves before its turn (I2, I3)', () => {
    const backlog = backlogOf({}, ['k', 'k', 'k'])
    const [a, b, c] = backlog.take(0, ROOM)
    expect(backlog.acknowledge([c!.ackId]).done).toEqual([])
    const settled = backlog.modify(0, [b!.ackId], undefined)
    expect([settled.done, settled.freed]).toEqual([[], [b!.ackId]])
    // The first is still out: nothing of the key goes before it.
    expect(backlog.take(0, ROOM)).toEqual([])
    expect(backlog.acknowledge([a!.ackId]).done).toEqual([1])
    const again = backlog.take(0, ROOM)
    expect(again.map(({ seq, attempt }) => [seq, attempt])).toEqual([[2, 2], [3, 1]])
    // Ack ids of before are void (I4).
    expect(backlog.acknowledge([b!.ackId, c!.ackId])).toEqual({ done: [], dead: [], freed: [] })
    expect(again.map(({ ackId }) => backlog.acknowledge([ackId]).done)).toEqual([[2], [3]])
    expect(backlog.size).toBe(0)
  })

  test('a lease ends at its deadline, unless it is extended', () => {
    const backlog = backlogOf({}, ['', ''])
    const [a] = backlog.take(0, ROOM)
    backlog.modify(50, [a!.ackId], 200)
    expect(backlog.nextMs(50)).toBe(100)
    expect(backlog.expire(100).freed).toHaveLength(1)
    expect(seqs(backlog.take(100, { ...ROOM, deadlineMs: 300 }))).toEqual([2])
    expect(backlog.acknowledge([a!.ackId]).done).toEqual([1])
  })

  test('a failure pauses its lane, longer each time, and no other', () => {
    const backlog = backlogOf({ backoffMinMs: 10, backoffMaxMs: 30 }, ['k', 'other'])
    const pauses: number[] = []
    let now = 0
    for (let failure = 0; failure < 4; failure += 1) {
      const taken = backlog.take(now, ROOM).find(({ seq }) => seq === 1)!
      backlog.modify(now, [taken.ackId], undefined)
      const next = now + [10, 20, 30, 30][failure]!
      expect(backlog.take(next - 1, ROOM).map(({ seq }) => seq).includes(1)).toBe(false)
      pauses.push(next - now)
      now = next
    }
    expect(pauses).toEqual([10, 20, 30, 30])
    expect(seqs(backlog.take(now, ROOM))).toEqual([1])
  })

  test('after so many attempts it is a dead letter, and the next of its key has its turn', () => {
    const backlog = backlogOf({ maxAttempts: 2 }, ['k', 'k'])
    const first = backlog.take(0, ROOM)
    expect(backlog.modify(0, [first[0]!.ackId], undefined).dead).toEqual([])
    const second = backlog.take(0, ROOM)
    expect(second.map(({ seq, attempt }) => [seq, attempt])).toEqual([[1, 2], [2, 1]])
    expect(backlog.modify(0, [second[0]!.ackId], undefined).dead).toEqual([{ seq: 1, attempts: 2 }])
    expect(seqs(backlog.take(0, ROOM))).toEqual([2])
  })

  test('room bounds what is handed out; one entry of any size fits', () => {
    const backlog = backlogOf({}, ['a', 'b', 'c'])
    expect(seqs(backlog.take(0, { ...ROOM, bytes: 15 }))).toEqual([1, 2])
    expect(seqs(backlog.take(0, { ...ROOM, bytes: 1 }))).toEqual([3])
  })

  test('what is too old is dropped', () => {
    const backlog = backlogOf({}, ['a', 'b'])
    expect(backlog.expire(1_000_000).done).toEqual([1, 2])
    expect(backlog.size).toBe(0)
  })
})
