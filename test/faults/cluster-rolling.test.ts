/**
 * Rolling restart: SIGTERM to each of three state processes, one after another, under load. No request fails that was
 * retried for 5 s (the api retries as long itself: so none is answered 503), no stream ends, nothing is lost.
 */
import { afterEach, expect, test } from '@jest/globals'
import { Chance } from './support/chance.ts'
import { openSession } from './support/client.ts'
import { knobs, report } from './support/knobs.ts'
import { Load } from './support/load.ts'
import { byLeadership, faultsOf, membersAt, Pauses, wholeAgain } from './support/members.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

const STATES = 16
const idOf = (n: number): string => `${String(n).padStart(8, '0')}-2222-4222-8222-222222222222`
const ROLLS = Math.ceil(knobs.rounds / 6)

test(
  'P1-P7 hold through SIGTERM to one state process after another, and nobody fails',
  async () => {
    const server = await ServerProcess.start(temporaryFolder(), { STATE_PROCESSES: '3' })
    const load = new Load({ chance: new Chance(knobs.seed), abandoned: 0 })
    load.serve(server)
    const session = await openSession(load.target.port)
    for (let n = 0; n < STATES; n++) {
      const state = await load.addState(idOf(n), session)
      load.addWriter(state, n % 4 === 3 ? 'conditional' : 'plain')
      load.addFollower(state)
      if (n % 2 === 0) load.addReader(state)
      if (n % 4 === 0) load.addReader(state, 'tracked')
    }
    const pauses = new Pauses(load)
    await load.conduct(async () => {
      await pauses.allGoOn(3)
      for (let roll = 0; roll < ROLLS; roll++) {
        const members = byLeadership(await membersAt(server.port))
        const figures: string[] = []
        for (const { name, pid, slots } of members) {
          pauses.reset()
          process.kill(pid, 'SIGTERM')
          await server.logged((line) => line.message === 'state process has died: starting it again' && line['pid'] === pid, { what: `the end of ${name}` })
          const end = server.log.find((line) => line.message === 'state process has died: starting it again' && line['pid'] === pid)
          expect(end).toMatchObject({ code: 0, signal: null })
          const stoppedMs = pauses.sinceReset
          await wholeAgain(server.port, 3, [pid])
          await pauses.allGoOn(3)
          figures.push(`${slots} slots: ended after ${stoppedMs.toFixed(0)} ms, longest pause ${pauses.longestMs.toFixed(0)} ms`)
        }
        report(`rolling restart: ${figures.join('; ')}`)
      }
      await load.repeatSome(1)
      await load.end()
    }).finally(() => pauses.stop())
    report(`rolling restart: ${load.summary()}`)
    expect(faultsOf(load)).toEqual([])
    expect({ unavailable: load.unavailable, cuts: load.cuts, lagged: load.lagged }).toEqual({ unavailable: 0, cuts: 0, lagged: 0 })
  },
  60_000 + ROLLS * 60_000,
)
