/** 100 followers and 64 writers on one state: every follower has every patch, once, in order, and memory stays flat. */
import { afterEach, expect, test } from '@jest/globals'
import { setTimeout as passed } from 'node:timers/promises'
import { limits } from '#shared/limits.ts'
import { Bell } from './support/bell.ts'
import { begin, Connection, once, openSession, type Session } from './support/client.ts'
import { knobs, report } from './support/knobs.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

const ID = '11111111-1111-4111-8111-111111111111'
const PATH = `/v1/states/${ID}`
const FOLLOWERS = 100
const WRITERS = 64
/**
 * Between two quiet phases under the same load: more is growth, less is what a heap does, and what the process is meant to
 * keep: bundles until a checkpoint has passed them, up to `logTailBytes`. A minute's run comes to that, then it is flat.
 */
const HEAP_BYTES = 64 * 1024 * 1024
const KEPT_BYTES_PER_PATCH = 2 * 1024
const growthBytes = (patches: number): number => HEAP_BYTES + Math.min(patches * KEPT_BYTES_PER_PATCH, 2 * limits.logTailBytes)

/**
 * What went out, once for all followers: an event that one follower has seen is what all others must see. Events are
 * compared as they come; a hundred times parsing them would be the load of this test.
 */
class Swarm {
  readonly faults: string[] = []
  readonly bell = new Bell()
  /** Events by index, as text. */
  readonly events: (string | undefined)[] = []
  readonly positions: number[] = []
  received = 0
  lagged = 0
  #isOver = false
  readonly #stops = new Set<() => void>()
  readonly #server: ServerProcess
  readonly #session: Session

  constructor(server: ServerProcess, session: Session) {
    this.#server = server
    this.#session = session
  }

  fault(text: string): void {
    if (this.faults.length < 20) this.faults.push(text)
  }

  add(): void {
    const follower = this.positions.push(0) - 1
    this.#open(follower)
  }

  /** All of them have everything up to `ii`. */
  async reached(ii: number): Promise<void> {
    await this.bell.until(() => this.positions.every((position) => position >= ii), {
      what: () => `all followers at ${ii}: the last is at ${Math.min(...this.positions)}; ${this.faults.join('\n')}`,
      deadlineMs: 60_000,
    })
  }

  close(): void {
    this.#isOver = true
    for (const stop of this.#stops) stop()
  }

  #open(follower: number): void {
    const position = this.positions[follower]!
    const headers = { Accept: 'text/event-stream', ...(position === 0 ? {} : { 'Last-Event-ID': String(position) }) }
    const request = begin(this.#server.port, { path: PATH, bearer: this.#session.bearer, headers }, false)
    const stop = (): void => void request.destroy()
    this.#stops.add(stop)
    let isLagged = false
    const ended = (): void => {
      if (!this.#stops.delete(stop) || this.#isOver) return
      if (!isLagged) return this.fault(`stream ${follower} was cut at ${this.positions[follower]}`)
      this.lagged += 1
      this.#open(follower)
    }
    request.on('error', ended)
    request.on('response', (response) => {
      if (response.statusCode !== 200) this.fault(`stream ${follower} was answered ${response.statusCode}`)
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        const text = rest + part
        let start = 0
        for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n', start)) {
          const event = text.slice(start, end)
          start = end + 2
          if (event.startsWith('event: lagged')) isLagged = true
          else if (!event.startsWith(':')) this.#take(follower, event)
        }
        rest = text.slice(start)
        this.bell.ring()
      })
      response.on('error', ended)
      response.on('close', ended)
    })
  }

  #take(follower: number, event: string): void {
    const head = /^event: (state|patch)\nid: (\d+)\n/.exec(event)
    if (head === null) return this.fault(`not an event: ${event.slice(0, 100)}`)
    const ii = Number(head[2])
    const position = this.positions[follower]!
    if (head[1] === 'state') {
      if (position !== 0) this.fault(`stream ${follower} started again at ${ii} instead of going on from ${position}`)
      this.positions[follower] = ii
      return
    }
    if (ii !== position + 1) this.fault(`stream ${follower} had ${position}, and got ${ii}`)
    const before = (this.events[ii] ??= event)
    if (before !== event) this.fault(`stream ${follower} got another interaction ${ii} than others`)
    this.positions[follower] = ii
    this.received += 1
  }
}

test(
  `${FOLLOWERS} followers and ${WRITERS} writers on one state for ${knobs.seconds} s`,
  async () => {
    const server = await ServerProcess.start(temporaryFolder())
    const session = await openSession(server.port)
    const call = { method: 'PATCH', path: PATH, bearer: session.bearer } as const
    const opsOf = (writer: number, n: number): object => ({ patch: [{ op: 'add', path: ['active', `w${writer}`], value: n }] })
    expect((await once(server.port, { ...call, body: opsOf(0, 0) })).status).toBe(200)

    const swarm = new Swarm(server, session)
    for (let n = 0; n < FOLLOWERS; n++) swarm.add()
    await swarm.reached(1)

    /** What each writer was told: its n-th patch is interaction ii. */
    const told: { readonly writer: number; readonly n: number; readonly ii: number }[] = []
    const counts = Array.from({ length: WRITERS }, () => 0)
    const write = async (seconds: number): Promise<void> => {
      let isOver = false
      const writers = counts.map(async (_, writer) => {
        const connection = new Connection()
        while (!isOver) {
          const n = (counts[writer] = counts[writer]! + 1)
          const answer = await connection.call(server.port, { ...call, body: opsOf(writer, n) })
          if (answer.kind === 'cut' || answer.status !== 200) return swarm.fault(`writer ${writer}: ${answer.kind === 'cut' ? answer.reason : answer.text}`)
          told.push({ writer, n, ii: answer.body.ii })
        }
        connection.close()
      })
      // How long there is load, not how long something is waited for.
      await passed(seconds * 1_000)
      isOver = true
      await Promise.all(writers)
      await swarm.reached(told.length + 1)
    }

    try {
      const pids = await server.members()
      // The first third brings heap and buffers to their size under this load.
      await write(knobs.seconds / 3)
      const warm = server.rssBytes(pids)
      const patchesBefore = told.length
      await write((knobs.seconds * 2) / 3)
      const end = server.rssBytes(pids)
      const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MB`
      report(
        `${WRITERS} writers: ${told.length} patches; ${FOLLOWERS} followers: ${swarm.received} events, ${swarm.lagged} lagged; ` +
          `resident ${megabytes(warm)} after a third, ${megabytes(end)} in the end`,
      )
      expect(swarm.faults).toEqual([])

      const last = told.length + 1
      expect(swarm.received).toBe(FOLLOWERS * told.length)
      expect(told.map(({ ii }) => ii).toSorted((a, b) => a - b)).toEqual(Array.from({ length: told.length }, (_, at) => at + 2))
      for (const { writer, n, ii } of told) {
        const { data } = /\ndata: (?<data>.*)$/.exec(swarm.events[ii]!)!.groups!
        const event = JSON.parse(data!)
        if (event.ii !== ii || event.user !== session.user || JSON.stringify(event.patch) !== JSON.stringify((opsOf(writer, n) as { patch: object }).patch)) {
          swarm.fault(`writer ${writer} was told that its patch ${n} is ${ii}, followers saw ${data}`)
        }
      }
      const present = await once(server.port, { path: PATH, bearer: session.bearer })
      expect(present.body.ii).toBe(last)
      expect(present.body.active).toEqual(Object.fromEntries(counts.map((n, writer) => [`w${writer}`, n])))
      expect(swarm.faults).toEqual([])
      expect(end - warm).toBeLessThan(growthBytes(told.length - patchesBefore))
    } finally {
      swarm.close()
    }
  },
  120_000 + knobs.seconds * 5_000,
)
