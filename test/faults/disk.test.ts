/**
 * A disk that is full, or read-only: 503 with Retry-After and no acknowledgement, the process lives, reads are right or
 * 503, and service comes back by itself when the disk does.
 */
import { afterEach, expect, test } from '@jest/globals'
import { Chance } from './support/chance.ts'
import { once } from './support/client.ts'
import { removeDisks, SmallDisk, whyNoDisk } from './support/disk.ts'
import { knobs, report } from './support/knobs.ts'
import { Load, scopePath, type LoadedState } from './support/load.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeDisks()
  removeTemporaryFolders()
})

const why = whyNoDisk()
if (why !== undefined) report(`skipped: full and read-only disk (${why})`)

const DISK_MEGABYTES = 48

;(why === undefined ? test : test.skip)('P1-P7 hold on a disk that is full, then read-only, then full at a start', async () => {
  const disk = new SmallDisk(DISK_MEGABYTES)
  let server = await ServerProcess.start(disk.dataDir)
  // Patches of clients that give up after a 503 show whether "stored": false is true.
  const load = new Load({ chance: new Chance(knobs.seed), abandoned: 0.5 })
  const { target } = load
  load.serve(server)
  const busy = await load.addState('11111111-1111-4111-8111-111111111111')
  const other = await load.addState('22222222-2222-4222-8222-222222222222')
  const still = await load.addState('33333333-3333-4333-8333-333333333333')
  for (let n = 0; n < 4; n++) for (const state of [busy, other]) load.addWriter(state)
  load.addReader(busy)
  load.addReader(still)
  load.addReader(other, 'tracked')
  for (const state of [busy, busy, other]) load.addFollower(state)

  /** Everything fails that should, and nothing else. `uncertain`: long enough for what was under way to be given up. */
  const expectOutage = async (name: string, options: { readonly uncertain?: number } = {}): Promise<void> => {
    const before = load.unavailable
    const { uncertain = 0 } = options
    await load.until(() => load.unavailable >= before + 10 && load.uncertain >= uncertain, `503 of a disk that is ${name}`)
    // The token stands for a patch that must never come in: "stored" is false, so that this is certain.
    const refused = await patchOnce(target.port, still, `never-${name}`)
    expect(refused).toMatchObject({ status: 503, body: { stored: false, type: 'urn:problem:unavailable' } })
    expect(refused.headers['retry-after']).toBeDefined()
    still.book.refused(`never-${name}`, '503 stored: false')
    const read = await once(target.port, { path: scopePath(still.book), bearer: still.session.bearer })
    expect([200, 503]).toContain(read.status)
    const ready = await once(target.port, { path: '/v1/ready' })
    expect(ready.status).toBe(503)
    expect((await once(target.port, { path: '/v1/health' })).status).toBe(200)
    report(`disk ${name}: a read of a state at rest answers ${read.status}; ${load.summary()}`)
  }

  await load.conduct(async () => {
    await load.progress(200)
    disk.fill()
    await expectOutage('full', { uncertain: 1 })
    disk.free()
    await load.progress(100)

    disk.readOnly()
    await expectOutage('read-only')
    disk.writable()
    await load.progress(100)
    expect((await once(target.port, { path: '/v1/ready' })).status).toBe(200)
    expect(server.isAlive).toBe(true)

    // Killed while nothing can be stored, started while nothing can be stored.
    disk.fill()
    await expectOutage('full again')
    target.down()
    await server.kill()
    server = ServerProcess.spawn(disk.dataDir)
    await server.logged(({ message }) => message === 'storage put did not succeed', { what: 'that nothing can be stored' })
    expect(server.stdout).toBe('')
    disk.free()
    await server.ready()
    load.serve(server)
    await load.settle()
    await load.progress(100)
    await load.repeatSome(3)
    await load.end()
  })
  report(`disk: ${load.summary()}`)
  expect(load.faults).toEqual([])
})

function patchOnce(port: number, state: LoadedState, token: string): ReturnType<typeof once> {
  state.book.sending(token)
  const body = { patch: [{ op: 'add', path: ['active', 'log', '-'], value: token }] }
  return once(port, { method: 'PATCH', path: scopePath(state.book), bearer: state.session.bearer, body })
}
