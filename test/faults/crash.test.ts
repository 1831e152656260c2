/**
 * kill -9 under load, at any moment of a server's life, many times: promises 1 to 7 hold over the whole history that
 * clients saw, followers resume, unknown outcomes are either in or out and stay so, bearers still work.
 */
import { afterEach, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { setTimeout as passed } from 'node:timers/promises'
import { Chance } from './support/chance.ts'
import { Connection, once, openSession, type Session } from './support/client.ts'
import { knobs, report } from './support/knobs.ts'
import { Load } from './support/load.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

/** When it is killed, by round: most often under load, and once at each point where something is half done. */
const MOMENTS = ['load', 'sealing', 'load', 'first answer', 'draining', 'load'] as const
const LOAD_LEAST_MS = 300
const LOAD_MOST_MS = 1_300
/** States that are written once a crowd and read in the end: their ID files keep a start busy for a while. */
const CROWD = 200
const CROWD_CLIENTS = 20
type Moment = (typeof MOMENTS)[number]

test(
  `P1-P7 hold through ${knobs.rounds} rounds of load and kill -9`,
  async () => {
    const chance = new Chance(knobs.seed)
    report(`kill -9: FAULT_SEED=${knobs.seed}`)
    const dataDir = temporaryFolder()
    let server = await ServerProcess.start(dataDir)
    const load = new Load({ chance })
    const { target } = load
    load.serve(server)
    const alice = await openSession(target.port)
    const spot = await load.addState('11111111-1111-4111-8111-111111111111', alice)
    const named = await load.addState('a room of its own', alice)
    const heavy = await load.addState('22222222-2222-4222-8222-222222222222')
    const quiet = await load.addState('33333333-3333-4333-8333-333333333333')
    for (let n = 0; n < 4; n++) for (const state of [spot, named, quiet]) load.addWriter(state)
    load.addWriter(spot, 'conditional')
    load.addWriter(named, 'conditional')
    load.addWriter(heavy, 'heavy')
    for (const state of [spot, named, heavy]) load.addReader(state)
    load.addReader(spot, 'tracked')
    for (const state of [spot, spot, named, heavy, quiet]) load.addFollower(state)

    const crowd = new Crowd(alice)

    const gone = await openSession(target.port)
    const closed = await once(target.port, { method: 'DELETE', path: `/v1/sessions/${gone.session}`, bearer: gone.bearer })
    expect(closed.status).toBe(200)

    await load.conduct(async () => {
      for (let round = 0; round < knobs.rounds; round++) {
        const moment: Moment = MOMENTS[round % MOMENTS.length]!
        // The moment itself, not a wait for something: whatever is under way then is what this test is about.
        await passed(chance.between(LOAD_LEAST_MS, LOAD_MOST_MS))
        await load.progress(1)
        if (moment === 'first answer') await crowd.write(target.port)
        if (moment === 'draining') {
          server.signal('SIGTERM')
          await server.logged((line) => line.message === 'stopping', { what: 'stopping' })
          target.down()
          await server.kill()
        } else {
          await server.killMembers()
          target.down()
        }
        if (moment === 'sealing') {
          const killed = ServerProcess.spawn(dataDir)
          await killed.logged((line) => line.message === 'log is sealed', { what: 'log is sealed' })
          await killed.kill()
        }
        server = await ServerProcess.start(dataDir)
        if (moment === 'first answer') {
          // What it inherited from the crowd is being written to ID files just now, and it has logged something of its own.
          load.serve(server)
          await load.progress(1)
          target.down()
          await server.kill()
          server = await ServerProcess.start(dataDir)
        }
        load.serve(server)
        await load.settle()
        await load.repeatSome(3)
      }
      await load.progress(100)
      const refused = await once(target.port, { path: '/v1/states/sessions', bearer: gone.bearer })
      expect(refused.status).toBe(401)
      await load.end()
      await crowd.check(target.port)
    })
    report(`kill -9: ${load.summary()}`)
    expect(load.faults).toEqual([])
    // That the test saw what it is about.
    expect(load.cuts).toBeGreaterThan(knobs.rounds)
    expect(load.resumed).toBeGreaterThan(0)
    expect(load.replays).toBeGreaterThan(0)
    expect(server.stdout).toBe(`ready http://127.0.0.1:${server.port}\n`)
  },
  60_000 + knobs.rounds * 30_000,
)

class Crowd {
  readonly #session: Session
  readonly #ids = Array.from({ length: CROWD }, () => randomUUID())
  #times = 0

  constructor(session: Session) {
    this.#session = session
  }

  /** One more interaction of each; all of them are acknowledged. */
  async write(port: number): Promise<void> {
    this.#times += 1
    await this.#each(async (connection, id) => {
      const body = { patch: [{ op: 'add', path: ['active', `n${this.#times}`], value: id }] }
      const answer = await connection.call(port, { method: 'PATCH', path: `/v1/states/${id}`, bearer: this.#session.bearer, body })
      expect(answer).toMatchObject({ status: 200, body: { ii: this.#times } })
    })
  }

  async check(port: number): Promise<void> {
    if (this.#times === 0) return
    await this.#each(async (connection, id) => {
      const active = Object.fromEntries(Array.from({ length: this.#times }, (_, at) => [`n${at + 1}`, id]))
      const answer = await connection.call(port, { path: `/v1/states/${id}`, bearer: this.#session.bearer })
      expect(answer).toMatchObject({ status: 200, body: { ii: this.#times, active } })
    })
  }

  async #each(one: (connection: Connection, id: string) => Promise<void>): Promise<void> {
    let next = 0
    const client = async (): Promise<void> => {
      const connection = new Connection()
      while (next < this.#ids.length) await one(connection, this.#ids[next++]!)
      connection.close()
    }
    await Promise.all(Array.from({ length: CROWD_CLIENTS }, client))
  }
}
