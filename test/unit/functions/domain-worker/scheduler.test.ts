/** Whose turn it is, by a clock of the test's. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Scheduler } from '#functions/domain-worker/scheduler.ts'
import type { Tenant } from '#functions/domain-worker/tenant.ts'
import { limits } from '#shared/limits.ts'

beforeEach(() => void jest.useFakeTimers({ doNotFake: ['queueMicrotask'] }))
afterEach(() => void jest.useRealTimers())

const TURNS = 2
let begun: string[] = []

function tenant(name: string): Tenant & { hasWork: boolean } {
  return { hasWork: true, hasSandbox: true, begin: () => void begun.push(name) } as unknown as Tenant & { hasWork: boolean }
}

function schedule(): { scheduler: Scheduler; turns: () => Promise<string[]> } {
  begun = []
  return {
    scheduler: new Scheduler({ turns: TURNS, makeRoom: () => true }),
    turns: async () => {
      await Promise.resolve()
      return begun.splice(0)
    },
  }
}

test('as many as there are turns, then in line: whoever has computed least is next', async () => {
  const { scheduler, turns } = schedule()
  const [a, b, c] = ['a', 'b', 'c'].map(tenant) as [Tenant, Tenant, Tenant]
  for (const each of [a, b, c]) scheduler.wants(each)
  expect(await turns()).toEqual(['a', 'b'])
  jest.advanceTimersByTime(100)
  scheduler.over(a)
  expect(await turns()).toEqual(['c'])
  jest.advanceTimersByTime(10)
  scheduler.over(c)
  // a has computed 100 ms, and c 10, although a has waited for longer.
  expect(await turns()).toEqual(['c'])
})

test('where all turns are theirs who have computed far more, it does not wait; a few at most', async () => {
  const { scheduler, turns } = schedule()
  const [a, b, hot] = ['a', 'b', 'hot'].map(tenant) as [Tenant, Tenant, Tenant]
  scheduler.wants(hot)
  await turns()
  jest.advanceTimersByTime(100)
  ;(hot as { hasWork: boolean }).hasWork = false
  scheduler.over(hot)
  for (const each of [a, b]) scheduler.wants(each)
  expect(await turns()).toEqual(['a', 'b'])
  jest.advanceTimersByTime(200)
  ;(hot as { hasWork: boolean }).hasWork = true
  scheduler.wants(hot)
  expect(await turns()).toEqual([])
  for (let n = 0; n <= limits.coolTurns; n++) scheduler.wants(tenant(`cool ${n}`))
  expect(await turns()).toEqual(Array.from({ length: limits.coolTurns }, (_, n) => `cool ${n}`))
})
