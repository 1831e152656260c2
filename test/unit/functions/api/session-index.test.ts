/** The schedule's list of sessions, in a Postgres. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { StateId } from '#shared/ids.ts'
import type { FoundState } from '#shared/mirror/survey.ts'
import { SessionIndex } from '#functions/api/domains/session-index.ts'
import { SessionSurvey } from '#functions/api/domains/session-survey.ts'
import type { Names } from '#functions/api/names.ts'
import { silentLog, startTestPostgres } from '../../../support/postgres.ts'
import type { TestPostgres } from '../../../support/postgres.ts'

let postgres: TestPostgres
let database: DomainDatabase
let index: SessionIndex
let clock: { nowMs: number; wallMs(): number }
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())
beforeEach(() => {
  clock = { nowMs: 1_000, wallMs: () => clock.nowMs }
  // With another key it is another database.
  database = openDomainDatabase({ admin: postgres.admin, key: randomBytes(32), log: silentLog })
  index = reopened()
})
afterEach(async () => {
  index.close()
  await database.close()
})

/** As another process, or the next life, has it: nothing noted. */
const reopened = (): SessionIndex => new SessionIndex({ database, clock, isConfigured: (domain) => domain !== 'plain' })
const of = (session: string, domain = 'app'): { session: string; user: string; domain: string } => ({ session, user: 'u', domain })
async function found(times: { silentBeforeMs?: number; endingBeforeMs?: number; most?: number }, from = index): Promise<string[] | undefined> {
  const rows = await from.silent({ silentBeforeMs: 0, endingBeforeMs: 0, most: 100, ...times })
  return rows?.map(({ session }) => session).toSorted()
}

test('of a domain with a configuration a session is in it when its opening is answered, and its end before it is begun', async () => {
  expect(await index.opened(of('a'))).toBe(true)
  expect(await index.opened(of('b'))).toBe(true)
  clock.nowMs = 2_000
  expect(await index.ending(of('b'))).toBe(true)
  expect(await index.opened(of('c', 'plain'))).toBe(true)
  const next = reopened()
  expect(await found({ silentBeforeMs: 1_500 }, next)).toEqual(['a'])
  expect(await found({ silentBeforeMs: 2_500 }, next)).toEqual(['a', 'b'])
  expect(await found({ endingBeforeMs: 2_500 }, next)).toEqual(['b'])
})

test('a use puts silence off, and does not put off an end that was begun; that it goes on does', async () => {
  await index.opened(of('open'))
  await index.ending(of('ending'))
  clock.nowMs = 5_000
  const other = reopened()
  for (const each of [of('open'), of('ending')]) other.used(each)
  await other.flush()
  other.close()
  expect(await found({ silentBeforeMs: 4_000 })).toEqual(['ending'])
  expect(await found({ endingBeforeMs: 4_000 })).toEqual(['ending'])
  index.goesOn(of('ending'))
  expect(await found({ endingBeforeMs: 4_000 })).toEqual([])
  expect(await found({ endingBeforeMs: 6_000 })).toEqual(['ending'])
  await index.ended('ending')
  expect(await found({ silentBeforeMs: 9_000, endingBeforeMs: 9_000 })).toEqual(['open'])
})

test('lost with its database, it is made anew from the records of sessions: those that are not finished, each as used now, also where a survey names it twice', async () => {
  const record = (active: object): object => ({ reserved: true, activeType: 'application/json;type=session', owner: 'u', domain: 'app', active: JSON.stringify(active) })
  const views = new Map<string, object | undefined>([
    ['open', record({})],
    ['ending', record({ closed: 1, ran: [] })],
    ['finished', record({ closed: 1, scripts: [] })],
    ['browser', { ...record({}), activeType: 'application/json;type=browser' }],
    ['gone', undefined],
  ])
  let surveys = 0
  async function* survey(): AsyncGenerator<FoundState> {
    surveys += 1
    yield { id: 'state' as StateId, domain: 'app', reserved: false }
    for (const id of [...views.keys(), 'open']) yield { id: id as StateId, domain: 'app', reserved: true }
  }
  let isRead = false
  const names = { read: (id: StateId) => Promise.resolve(isRead ? { kind: 'view', view: views.get(id) } : { kind: 'unavailable', stored: false, reason: '' }) } as unknown as Names
  const surveyOf = (of: SessionIndex): SessionSurvey => new SessionSurvey({ survey, names, index: of, log: silentLog })
  expect(await surveyOf(index).complete()).toBe(false)
  isRead = true
  clock.nowMs = 5_000
  expect(await surveyOf(index).complete()).toBe(true)
  expect(await found({ silentBeforeMs: 5_000 })).toEqual([])
  expect(await found({ silentBeforeMs: 5_001 })).toEqual(['ending', 'open'])
  expect(await found({ endingBeforeMs: 5_001 })).toEqual(['ending'])
  expect(await surveyOf(reopened()).complete()).toBe(true)
  expect(surveys).toBe(2)
})

test('a domain with many silent sessions does not keep those of others from their turn', async () => {
  for (let n = 0; n < 20; n++) index.used(of(`many-${n}`, 'many'))
  clock.nowMs = 2_000
  index.used(of('one', 'one'))
  index.used(of('two', 'two'))
  expect(await found({ silentBeforeMs: 3_000, most: 3 })).toEqual(['many-0', 'one', 'two'].map((session) => expect.stringContaining(session.slice(0, 4))))
})
