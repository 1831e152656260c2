/** Which sessions the schedule ends, and in whose turn. */
import { expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { runCloseSessions, type CloseSessionsParts } from '#functions/scheduled/close-sessions.ts'

const NOW_MS = 1_000_000_000
const of = (domain: string, session: string): { domain: string; session: string; user: string } => ({ domain, session, user: 'u' })

function parts(found: readonly ReturnType<typeof of>[], finish: CloseSessionsParts['closing']['finish']): CloseSessionsParts & { asked: unknown[]; clock: { nowMs: number } } {
  const asked: unknown[] = []
  const clock = { nowMs: NOW_MS, wallMs: () => clock.nowMs }
  const silent = (query: unknown): Promise<typeof found> => {
    asked.push(query)
    return Promise.resolve(found)
  }
  return { index: { silent }, closing: { mark: () => Promise.resolve({ kind: 'none' }), finish }, clock, silenceMs: 3_600_000, aloneSinceMs: undefined, log: { warn: () => undefined }, asked }
}

test('among others an end is taken over when it is old enough, alone when it was begun by a life before', async () => {
  const asked = parts([], () => Promise.reject(new Error('there is none')))
  await runCloseSessions(asked)
  await runCloseSessions({ ...asked, aloneSinceMs: NOW_MS - 5 })
  await runCloseSessions({ ...asked, aloneSinceMs: NOW_MS - 2 * limits.sessionEndingMs })
  expect(asked.asked).toMatchObject([NOW_MS - limits.sessionEndingMs, NOW_MS - 5, NOW_MS - limits.sessionEndingMs].map((endingBeforeMs) => ({ endingBeforeMs })))
})

test('a use that another process has seen, and not written yet, counts', async () => {
  const asked = parts([], () => Promise.reject(new Error('there is none')))
  await runCloseSessions(asked)
  expect(asked.asked).toMatchObject([{ silentBeforeMs: NOW_MS - 3_600_000 - limits.sessionUseMs }])
})

test("a domain whose scripts are slow does not hold up another's, and has its turn for a bounded time", async () => {
  const others = Promise.withResolvers<void>()
  const order: string[] = []
  const found = [of('slow', 's1'), of('slow', 's2'), of('quick', 'q1'), of('quick', 'q2')]
  const run = parts(found, async ({ domain }, session) => {
    if (domain === 'slow') await others.promise
    order.push(session)
    if (session === 'q2') {
      run.clock.nowMs += limits.sessionClosingMs
      others.resolve()
    }
    return { kind: 'finished' }
  })
  expect(await runCloseSessions(run)).toEqual({ ended: 3, left: 1 })
  expect(order).toEqual(['q1', 'q2', 's1'])
})

test('a domain whose scripts cannot be run is left to the next run, the others are not', async () => {
  const tried: string[] = []
  const run = parts([of('down', 'd1'), of('down', 'd2'), of('up', 'u1')], ({ domain }, session) => {
    tried.push(session)
    return Promise.resolve({ kind: domain === 'down' ? 'later' : 'finished' })
  })
  expect(await runCloseSessions(run)).toEqual({ ended: 1, left: 2 })
  expect(tried.toSorted()).toEqual(['d1', 'u1'])
})
