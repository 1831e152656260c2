/**
 * Published agents, unmodified, through kill -9 and restarts of the gateway's process and through changes of leaders: no
 * update is lost or doubled, no interaction refused, and no session ends that could go on.
 */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { setTimeout as passed } from 'node:timers/promises'
import { loadClients } from '../support/agents.ts'
import type { Clients, TestAgent, Version } from '../support/agents.ts'
import { Bell } from './support/bell.ts'
import { report } from './support/knobs.ts'
import { byLeadership, membersAt, wholeAgain } from './support/members.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

const VERSIONS: readonly Version[] = ['0.9.155', '0.9.193']
const ALLOWING = { AUTHORIZE_DEFAULT: 'allow', LOG_LEVEL: 'warn' }
const PAUSE_MS = 4
/** The clients look at all that is not answered with every answer. */
const UNANSWERED_MOST = 50
const DEADLINE_MS = 40_000

let clients: Clients

beforeAll(async () => {
  clients = await loadClients()
})
afterAll(() => clients?.close())
afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

test(
  'kill -9 of the process that agents are connected to, and its end in order, cost them nothing',
  async () => {
    const dataDir = temporaryFolder()
    let server = await ServerProcess.start(dataDir, ALLOWING)
    const { port } = server
    const pairs = await Promise.all(VERSIONS.map((version) => Pair.open(version, port)))
    for (const how of ['SIGKILL', 'SIGTERM'] as const) {
      await allReach(pairs, 2 * UNANSWERED_MOST)
      server.signal(how)
      await server.exit()
      server = await ServerProcess.start(dataDir, { ...ALLOWING, PORT: String(port) })
      await allReach(pairs, 2 * UNANSWERED_MOST)
    }
    await endAll(pairs)
  },
  120_000,
)

test(
  'kill -9 of the leader with most slots of three, twice, costs them nothing',
  async () => {
    const server = await ServerProcess.start(temporaryFolder(), { ...ALLOWING, STATE_PROCESSES: '3' })
    const pairs = await Promise.all(VERSIONS.map((version) => Pair.open(version, server.port)))
    for (let round = 0; round < 2; round++) {
      await allReach(pairs, 2 * UNANSWERED_MOST)
      const [doomed] = byLeadership(await membersAt(server.port))
      process.kill(doomed!.pid, 'SIGKILL')
      await allReach(pairs, 2 * UNANSWERED_MOST)
      // One that is connected anew while a leader is missing.
      for (const { watcher } of pairs) watcher.breakConnection()
      await wholeAgain(server.port, 3, [doomed!.pid])
      await allReach(pairs, 2 * UNANSWERED_MOST)
    }
    await endAll(pairs)
  },
  120_000,
)

/** One agent that counts in a state of its own without waiting, and another that watches it. */
class Pair {
  readonly writer: TestAgent
  readonly watcher: TestAgent
  readonly #version: Version
  readonly #bell = new Bell()
  readonly #seen: { readonly ii: number | undefined; readonly n: number }[] = []
  readonly #refused: unknown[] = []
  #sent = 0
  #answered = 0
  #isOver = false
  #writing: Promise<void> = Promise.resolve()

  private constructor(version: Version, port: number) {
    this.#version = version
    this.writer = clients.open(version, { port })
    this.watcher = clients.open(version, { port })
  }

  static async open(version: Version, port: number): Promise<Pair> {
    const pair = new Pair(version, port)
    const { auth } = await pair.writer.agent.environment()
    pair.watcher.agent.watch(
      'counted',
      ({ state, ii }: { state: { n?: number }; ii?: number }) => {
        pair.#seen.push({ ii, n: state.n ?? 0 })
        pair.#bell.ring()
      },
      auth.user,
    )
    await pair.#bell.until(() => pair.#seen.length === 1, { what: `the first state of ${version}`, deadlineMs: DEADLINE_MS })
    pair.#writing = pair.#write()
    return pair
  }

  async #write(): Promise<void> {
    for (; !this.#isOver; await passed(PAUSE_MS)) {
      if (this.#sent - this.#answered >= UNANSWERED_MOST) continue
      this.#sent += 1
      this.writer.agent.interact('counted', [{ op: 'add', path: ['active', 'n'], value: this.#sent }]).then(
        () => (this.#answered += 1),
        (error: unknown) => this.#refused.push(error),
      )
    }
  }

  /** Resolves when the watcher has seen so many more than now. */
  async reach(more: number): Promise<void> {
    const wanted = this.#seen.at(-1)!.n + more
    await this.#bell.until(() => this.#seen.at(-1)!.n >= wanted, { what: () => `update ${wanted} of ${this.#version}: ${this.#told()}`, deadlineMs: DEADLINE_MS })
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#writing
    await this.#bell.until(() => this.#seen.at(-1)!.n === this.#sent, { what: () => `the last update of ${this.#version}: ${this.#told()}`, deadlineMs: DEADLINE_MS })
    const { ii } = await this.writer.agent.metadata('counted')
    expect(this.#seen.slice(1)).toEqual(Array.from({ length: this.#sent }, (_, at) => ({ ii: at + 1, n: at + 1 })))
    expect({ ii, answered: this.#answered, refused: this.#refused }).toEqual({ ii: this.#sent, answered: this.#sent, refused: [] })
    expect([this.writer.rebooted(), this.watcher.rebooted()]).toEqual([0, 0])
    report(`agents ${this.#version}: ${this.#told()}`)
    this.writer.leave()
    this.watcher.leave()
  }

  #told(): string {
    return `${this.#sent} sent, ${this.#answered} answered, ${this.#seen.length - 1} seen, ${this.writer.connections()} and ${this.watcher.connections()} connections`
  }
}

async function allReach(pairs: readonly Pair[], more: number): Promise<void> {
  await Promise.all(pairs.map((pair) => pair.reach(more)))
}

async function endAll(pairs: readonly Pair[]): Promise<void> {
  for (const pair of pairs) await pair.end()
}
