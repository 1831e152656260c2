/** SIGSTOP under load for longer than any lease, then SIGCONT: nothing lost, nothing doubled, nobody's read is stale. */
import { afterEach, expect, test } from '@jest/globals'
import { setTimeout as passed } from 'node:timers/promises'
import { Chance } from './support/chance.ts'
import { knobs, report } from './support/knobs.ts'
import { Load } from './support/load.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

/** Three leases. */
const STOPPED_MS = 3_000

test('P1-P7 hold through SIGSTOP and SIGCONT under load', async () => {
  const dataDir = temporaryFolder()
  const server = await ServerProcess.start(dataDir)
  const load = new Load({ chance: new Chance(knobs.seed) })
  load.serve(server)
  for (const id of ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222']) {
    const state = await load.addState(id)
    for (let n = 0; n < 6; n++) load.addWriter(state)
    load.addWriter(state, 'conditional')
    load.addReader(state)
    load.addReader(state)
    load.addFollower(state)
  }
  await load.conduct(async () => {
    await load.progress(200)
    server.signal('SIGSTOP')
    const before = load.acknowledged
    // The fault itself takes this long; nothing is waited for.
    await passed(STOPPED_MS)
    // Answers that were on their way had all this time: from now on there are none.
    const after = load.acknowledged
    server.signal('SIGCONT')
    await load.progress(200)
    report(`SIGSTOP: ${after - before} answers were on their way when it stopped`)
    await load.end()
  })
  report(`SIGSTOP: ${load.summary()}`)
  expect(load.faults).toEqual([])
  expect(load.cuts).toBe(0)
  expect(server.isAlive).toBe(true)
})
