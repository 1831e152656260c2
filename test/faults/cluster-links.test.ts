/**
 * Links between state processes, and from the api to them, that are cut or silent, one way or both, and storage that is
 * slow, fails, and says nothing about puts that take effect, now or later: promises 1 to 7 hold, and all comes back.
 */
import { afterEach, expect, test } from '@jest/globals'
import { setTimeout as passed } from 'node:timers/promises'
import { Chance } from './support/chance.ts'
import { openSession } from './support/client.ts'
import { knobs, report } from './support/knobs.ts'
import { Load } from './support/load.ts'
import { faultsOf, membersAt, byLeadership, Pauses } from './support/members.ts'
import { closeClusters, OwnCluster } from './support/own-cluster.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await closeClusters()
  removeTemporaryFolders()
})

const STATES = 9
const idOf = (n: number): string => `${String(n).padStart(8, '0')}-4444-4444-8444-444444444444`
/** Longer than leases and stale records, shorter than a client's patience. */
const CUT_LEAST_MS = 1_000
const CUT_MOST_MS = 3_000
const FINE = { slowMs: 0, failed: 0, unknown: 0, lateMs: 0 }

async function populate(load: Load): Promise<void> {
  const session = await openSession(load.target.port)
  for (let n = 0; n < STATES; n++) {
    const state = await load.addState(idOf(n), session)
    load.addWriter(state, n % 3 === 2 ? 'conditional' : 'plain')
    load.addFollower(state)
    load.addReader(state, n % 3 === 1 ? 'tracked' : 'strong')
  }
}

const CUTS = Math.max(5, knobs.rounds)

test(
  `P1-P7 hold through ${CUTS} cut and silent links`,
  async () => {
    const chance = new Chance(knobs.seed)
    report(`links: FAULT_SEED=${knobs.seed}`)
    const cluster = await OwnCluster.start(temporaryFolder(), { seed: knobs.seed, processes: 3 })
    const load = new Load({ chance })
    load.target.up(cluster.port)
    await populate(load)
    const pauses = new Pauses(load)
    await load.conduct(async () => {
      await pauses.allGoOn(3)
      const figures: string[] = []
      for (let round = 0; round < CUTS; round++) {
        const [leader] = byLeadership(await membersAt(cluster.port))
        const others = cluster.names.filter((name) => name !== leader!.name)
        const links = others.map((name) => cluster.link(leader!.name, name))
        const ofApi = cluster.between('api', leader!.name)
        pauses.reset()
        const faults: readonly (readonly [string, () => void])[] = [
          ['the leader cut off from the others, not from the api', () => links.forEach((link) => link.cut())],
          ['the api cut off from the leader', () => ofApi.cut()],
          ['the leader silent to all', () => [...links, ofApi].forEach((link) => link.silence('there', 'back'))],
          ['one link, one way', () => links[0]!.silence(chance.one(['there', 'back']))],
          ['the leader cut off from all', () => [...links, ofApi].forEach((link) => link.cut())],
          ['every link between state processes', () => cluster.names.forEach((a) => cluster.names.forEach((b) => a < b && cluster.link(a, b).cut()))],
        ]
        const [what, fault] = faults[round % faults.length]!
        fault()
        await passed(chance.between(CUT_LEAST_MS, CUT_MOST_MS))
        cluster.passAll()
        await pauses.allGoOn(3)
        figures.push(`${what}: ${pauses.longestMs.toFixed(0)} ms`)
      }
      report(`links, longest pause of a state: ${figures.join('; ')}`)
      await load.repeatSome(2)
      await load.end()
    }).finally(() => pauses.stop())
    report(`links: ${load.summary()}`)
    expect(faultsOf(load)).toEqual([])
    expect(cluster.fallen).toEqual([])
    expect({ cuts: load.cuts, lagged: load.lagged }).toEqual({ cuts: 0, lagged: 0 })
  },
  60_000 + CUTS * 30_000,
)

const STORAGE_ROUNDS = Math.ceil(knobs.rounds / 6)

test(
  'P1-P7 hold on storage that is slow, fails, and lies about outcomes, while leaders are cut off',
  async () => {
    const chance = new Chance(knobs.seed)
    const cluster = await OwnCluster.start(temporaryFolder(), { seed: knobs.seed, processes: 3 })
    const load = new Load({ chance })
    load.target.up(cluster.port)
    await populate(load)
    await load.conduct(async () => {
      await load.progress(50)
      for (let round = 0; round < STORAGE_ROUNDS; round++) {
        for (const name of cluster.names) cluster.storage(name, { slowMs: 60, failed: 0.05, unknown: 0.2, lateMs: 2_000 })
        await load.progress(100)
        const [leader] = byLeadership(await membersAt(cluster.port))
        const links = cluster.names.filter((name) => name !== leader!.name).map((name) => cluster.link(leader!.name, name))
        for (const link of [...links, cluster.between('api', leader!.name)]) link.cut()
        // Long enough to be taken for dead, and sealed while its puts are under way.
        await passed(CUT_MOST_MS)
        cluster.passAll()
        await load.progress(100)
        // One whose storage is out of order altogether; the others' is fine.
        for (const name of cluster.names) cluster.storage(name, name === leader!.name ? { ...FINE, failed: 1 } : FINE)
        await passed(CUT_LEAST_MS)
        cluster.storage(leader!.name, FINE)
        await load.progress(100)
      }
      await load.repeatSome(2)
      await load.end()
    })
    report(`storage: ${load.summary()}`)
    expect(faultsOf(load)).toEqual([])
    expect(cluster.fallen).toEqual([])
    expect({ cuts: load.cuts, lagged: load.lagged }).toEqual({ cuts: 0, lagged: 0 })
  },
  60_000 + STORAGE_ROUNDS * 60_000,
)
