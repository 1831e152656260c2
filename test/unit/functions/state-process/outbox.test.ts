import { expect, jest, test } from '@jest/globals'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Log } from '#shared/log.ts'
import type { FanOut, FanOutMessage, PublishOutcome } from '#shared/ports/fan-out.ts'
import { Outbox } from '#functions/state-process/outbox.ts'
import { turns } from '../../../contract/eventually.ts'

const message = (ii: number, patch = '[]'): FanOutMessage => ({
  id: '11111111-1111-4111-8111-111111111111' as StateId,
  ii: ii as InteractionIndex,
  domain: 'd',
  owner: 'o',
  user: 'u',
  activeType: 'application/json',
  ts: 1,
  patch,
})

/** A fan-out whose calls end when the test says so. */
function scripted(): { outbox: Outbox; calls: number[][]; published: string[]; end(outcome?: PublishOutcome): Promise<void> } {
  const calls: number[][] = []
  const waiting: ((outcome: PublishOutcome) => void)[] = []
  const published: string[] = []
  const fanOut: FanOut = {
    publish: (messages) => {
      calls.push(messages.map(({ ii }) => ii))
      return new Promise((resolve) => waiting.push(resolve))
    },
    subscribe: () => () => undefined,
    close: () => Promise.resolve(),
  }
  const outbox = new Outbox({ fanOut, log: { warn: () => undefined } as unknown as Log, onPublished: (life, messages, characters) => published.push(`life ${life}: ${messages}, ${characters}`) })
  return {
    outbox,
    calls,
    published,
    end: async (outcome = { kind: 'published' }) => {
      waiting.shift()!(outcome)
      await turns()
    },
  }
}

test('one call at a time, in order; what is added meanwhile goes with the next', async () => {
  const { outbox, calls, published, end } = scripted()
  outbox.add(0, message(1))
  outbox.flush()
  for (const ii of [2, 3]) outbox.add(0, message(ii, '[{}]'))
  outbox.flush()
  expect(calls).toEqual([[1]])
  await end()
  expect([calls, published]).toEqual([[[1], [2, 3]], ['life 0: 1, 2']])
  await end()
  expect(published).toEqual(['life 0: 1, 2', 'life 0: 2, 8'])
})

test('what the fan-out did not take is handed over again, all of it, before anything else, after growing pauses', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  try {
    const { outbox, calls, published, end } = scripted()
    for (const ii of [1, 2]) outbox.add(0, message(ii))
    outbox.flush()
    outbox.add(0, message(3))
    for (const pauseMs of [limits.publicationRetryFirstMs, 2 * limits.publicationRetryFirstMs]) {
      const before = calls.length
      await end({ kind: 'failed', reason: 'gone' })
      jest.advanceTimersByTime(pauseMs - 1)
      await turns()
      expect(calls).toHaveLength(before)
      jest.advanceTimersByTime(1)
      await turns()
      expect(calls).toHaveLength(before + 1)
    }
    expect([calls, published]).toEqual([[[1, 2], [1, 2], [1, 2]], []])
    await end()
    expect(calls.at(-1)).toEqual([3])
  } finally {
    jest.useRealTimers()
  }
})

test('a call is bounded in messages and bytes, and is of one life', async () => {
  const { outbox, calls, end } = scripted()
  const large = 'x'.repeat(limits.publicationBytes)
  for (const [at, patch] of [large, large, '[]'].entries()) outbox.add(0, message(at + 1, patch))
  for (let ii = 4; ii < 4 + limits.publicationMessages; ii++) outbox.add(0, message(ii))
  outbox.add(1, message(1))
  outbox.flush()
  for (let n = 0; n < 4; n++) await end()
  expect(calls.map(({ length }) => length)).toEqual([1, 1, limits.publicationMessages, 1, 1])
  expect(calls.at(-1)).toEqual([1])
})

test('what a life left behind is forgotten with it; after the end nothing is handed over again', async () => {
  const { outbox, calls, published, end } = scripted()
  for (const ii of [1, 2]) {
    outbox.add(0, message(ii))
    outbox.flush()
  }
  outbox.forget()
  outbox.add(1, message(2))
  await end()
  expect(calls).toEqual([[1], [2]])
  outbox.close()
  await end({ kind: 'failed', reason: 'gone' })
  outbox.add(1, message(3))
  outbox.flush()
  await turns()
  expect([calls.length, published]).toEqual([2, ['life 0: 1, 2']])
})
