/** A clean stop under load: nothing lost, exit 0, the last word is "stopped", and the next start has nothing to wait for. */
import { afterEach, expect, test } from '@jest/globals'
import { Chance } from './support/chance.ts'
import { knobs, report } from './support/knobs.ts'
import { Load } from './support/load.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { StorageFiles } from './support/storage.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

const ROUNDS = 2

test('P1-P7 hold through SIGTERM under load, and every interaction is in an ID file', async () => {
  const dataDir = temporaryFolder()
  const files = new StorageFiles(dataDir)
  let server = await ServerProcess.start(dataDir)
  const load = new Load({ chance: new Chance(knobs.seed) })
  load.serve(server)
  const ids = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222']
  for (const id of ids) {
    const state = await load.addState(id)
    for (let n = 0; n < 6; n++) load.addWriter(state)
    load.addWriter(state, 'conditional')
    load.addReader(state)
    load.addFollower(state)
    load.addFollower(state)
  }
  await load.conduct(async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await load.progress(200)
      server.signal('SIGTERM')
      const exit = await server.exit()
      load.target.down()
      expect(exit).toEqual({ code: 0, signal: null })
      expect(server.stdout).toBe(`ready http://127.0.0.1:${server.port}\n`)
      expect(server.log.at(-1)).toMatchObject({ severity: 'INFO', message: 'stopped' })
      // Nothing but the log, and nothing in it that went wrong.
      expect(server.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))).toEqual([])
      expect(server.log.filter(({ severity }) => severity !== 'INFO')).toEqual([])

      // What was acknowledged is in ID files, so that the next start reads no log.
      for (const { book } of load.states) {
        const newest = Number(files.names(`ids/${book.scope}/`).at(-1)!.slice(-12))
        expect(newest).toBeGreaterThanOrEqual(book.floor)
      }

      server = await ServerProcess.start(dataDir)
      load.serve(server)
      await load.settle()
      await load.repeatSome(5)
      // Logs were ended by their own hand after the last answer: nobody waits for a lease (a seal "by itself").
      const seals = server.log.filter(({ message }) => message === 'log is sealed')
      expect(seals.length).toBeGreaterThan(0)
      for (const seal of seals) expect(seal['by']).toBe(seal['log'])
    }
    await load.end()
  })
  report(`SIGTERM: ${load.summary()}; ready again after ${server.readyMs.toFixed(0)} ms`)
  expect(load.faults).toEqual([])
  expect(load.resumed).toBeGreaterThan(0)
})
