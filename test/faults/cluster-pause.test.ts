/**
 * SIGSTOP of state processes under load for longer than any lease, then SIGCONT: others lead meanwhile, and the one that
 * wakes up acknowledges nothing that is not in its log before its seal, refuses only what is not in, and reads nothing
 * stale (P5, P7). A link of the test's own asks it directly, while it is frozen.
 */
import { afterEach, expect, test } from '@jest/globals'
import { setTimeout as passed } from 'node:timers/promises'
import { Chance } from './support/chance.ts'
import { openSession } from './support/client.ts'
import { DirectLink } from './support/direct-link.ts'
import { knobs, report } from './support/knobs.ts'
import { Load, type LoadedState } from './support/load.ts'
import { byLeadership, faultsOf, membersAt, Pauses, wholeAgain } from './support/members.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

const STATES = 12
const idOf = (n: number): string => `${String(n).padStart(8, '0')}-3333-4333-8333-333333333333`
/** Longer than the lease; and so long that links are given up and others lead. By round. */
const STOPPED_MS = [3_000, 6_000] as const
const ROUNDS = Math.max(STOPPED_MS.length, Math.ceil(knobs.rounds / 3))
const SENT_WHILE_FROZEN = 4

test(
  'P1-P7 hold through SIGSTOP and SIGCONT of the leader with most slots',
  async () => {
    const dataDir = temporaryFolder()
    const server = await ServerProcess.start(dataDir, { STATE_PROCESSES: '3' })
    const load = new Load({ chance: new Chance(knobs.seed) })
    load.serve(server)
    const session = await openSession(load.target.port)
    for (let n = 0; n < STATES; n++) {
      const state = await load.addState(idOf(n), session)
      load.addWriter(state)
      load.addFollower(state)
      load.addReader(state, n % 3 === 0 ? 'tracked' : 'strong')
    }
    const pauses = new Pauses(load)
    report(`SIGSTOP of a leader: FAULT_SEED=${knobs.seed}`)
    await load.conduct(async () => {
      await pauses.allGoOn(3)
      for (let round = 0; round < ROUNDS; round++) {
        const [frozen] = byLeadership(await membersAt(server.port))
        const direct = await DirectLink.open(dataDir, frozen!.address)
        const led: LoadedState[] = []
        for (const state of load.states) if (await direct.leads(state)) led.push(state)
        expect(led.length).toBeGreaterThan(0)
        pauses.reset()
        process.kill(frozen!.pid, 'SIGSTOP')
        try {
          // It is the fault itself that takes so long. It has all of this in its socket when it wakes up.
          for (let n = 0; n < SENT_WHILE_FROZEN; n++) {
            for (const [at, state] of led.entries()) direct.sendBoth(state, `direct-${round}-${n}-${at}`)
            await passed(STOPPED_MS[round % STOPPED_MS.length]! / SENT_WHILE_FROZEN)
          }
        } finally {
          process.kill(frozen!.pid, 'SIGCONT')
        }
        await direct.answered()
        direct.close()
        await pauses.allGoOn(3)
        await wholeAgain(server.port, 3)
        report(
          `SIGSTOP of a leader of ${frozen!.slots} slots for ${STOPPED_MS[round % STOPPED_MS.length]} ms: longest pause of a state ${pauses.longestMs.toFixed(0)} ms, ` +
            `the frozen one answered ${JSON.stringify(direct.answers)}`,
        )
        await load.repeatSome(1)
      }
      expect((await membersAt(server.port)).map(({ pid }) => pid).toSorted()).toHaveLength(3)
      await load.end()
    }).finally(() => pauses.stop())
    report(`SIGSTOP of a leader: ${load.summary()}`)
    expect(faultsOf(load)).toEqual([])
    expect({ cuts: load.cuts, lagged: load.lagged }).toEqual({ cuts: 0, lagged: 0 })
    // Nobody died of it.
    expect(server.log.filter(({ message }) => /has died/.test(message))).toEqual([])
  },
  60_000 + ROUNDS * 40_000,
)
