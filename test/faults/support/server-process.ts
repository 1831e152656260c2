/**
 * `npm start`, or `npm run start:emulated`, as a real process, for whoever means it harm.
 *
 * Owns: the process group, what it printed. Does not own: the data directory, which outlives it.
 * I1. Whatever becomes of the test, no process of it stays: groups are killed at the end of each test and
 *     with this process (last-will.ts).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { resolve } from 'node:path'
import { Bell, within } from './bell.ts'
import { LastWill } from './last-will.ts'

/** The folder whose `functions/local` is started. Another one: to see that a test finds a fault that was put in. */
const SUBJECT = resolve(process.env['FAULT_SUBJECT'] ?? new URL('../../..', import.meta.url).pathname)

const START_DEADLINE_MS = 20_000
/** A dozen processes, emulators first. */
const EMULATED_DEADLINE_MS = 40_000
const EXIT_DEADLINE_MS = 15_000

/** Of `functions/local`. */
type Entry = 'index.ts' | 'emulated.ts'

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }
export type LogLine = { readonly severity: string; readonly message: string; readonly [field: string]: unknown }

const living = new Set<ServerProcess>()

/** Kills all that is left; for `afterEach`. */
export async function killLeftovers(): Promise<void> {
  await Promise.all([...living].map((server) => server.kill()))
}

export class ServerProcess {
  readonly #child: ChildProcess
  readonly #bell = new Bell()
  readonly exited: Promise<Exit>
  readonly startedAt = performance.now()
  /** Milliseconds from the start to the line `ready`. */
  readyMs = 0
  stdout = ''
  stderr = ''
  readonly log: LogLine[] = []
  #unparsed = ''
  #exit: Exit | undefined
  readonly #will: LastWill | undefined
  #isMeantToEnd = false
  #port: number | undefined

  private constructor(dataDir: string, environment: Readonly<Record<string, string>>, entry: Entry = 'index.ts') {
    const inherited = Object.fromEntries(['PATH', 'HOME', 'TMPDIR', 'LANG'].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
    this.#child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', `functions/local/${entry}`], {
      cwd: SUBJECT,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited, PORT: '0', DATA_DIR: dataDir, ...environment },
    })
    living.add(this)
    this.#will = this.#child.pid === undefined ? undefined : new LastWill('kill -s KILL -- "-$1"', String(this.#child.pid))
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      const port = /^ready http:\/\/[^\s:]+:(\d+)\n/m.exec(this.stdout)?.[1]
      if (port !== undefined && this.#port === undefined) {
        this.#port = Number(port)
        this.readyMs = performance.now() - this.startedAt
      }
      this.#bell.ring()
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
      this.#read(text)
      this.#bell.ring()
    })
    this.exited = new Promise((done) => {
      // "close": what it had printed has been read.
      this.#child.once('close', (code, signal) => {
        this.#exit = { code, signal }
        this.#will?.revoke()
        living.delete(this)
        this.#bell.ring()
        done(this.#exit)
      })
      this.#child.once('error', (error) => {
        this.stderr += String(error)
        this.#exit = { code: null, signal: null }
        living.delete(this)
        this.#bell.ring()
        done(this.#exit)
      })
    })
  }

  /** Does not wait for anything. */
  static spawn(dataDir: string, environment: Readonly<Record<string, string>> = {}): ServerProcess {
    return new ServerProcess(dataDir, environment)
  }

  /** Resolves when it serves. */
  static async start(dataDir: string, environment: Readonly<Record<string, string>> = {}, entry: Entry = 'index.ts'): Promise<ServerProcess> {
    const server = new ServerProcess(dataDir, environment, entry)
    await server.ready(entry === 'index.ts' ? START_DEADLINE_MS : EMULATED_DEADLINE_MS)
    return server
  }

  get port(): number {
    if (this.#port === undefined) throw new Error('the server is not ready')
    return this.#port
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the server was not started')
    return this.#child.pid
  }

  get isAlive(): boolean {
    return this.#exit === undefined
  }

  async ready(deadlineMs = START_DEADLINE_MS): Promise<void> {
    await this.#bell.until(() => this.#port !== undefined || this.#exit !== undefined, { what: () => `the line "ready"\n${this.#told()}`, deadlineMs })
    if (this.#port === undefined) throw new Error(`the server ended before it was ready: ${JSON.stringify(this.#exit)}\n${this.#told()}`)
  }

  /** Resolves when it has logged such a line. */
  async logged(isIt: (line: LogLine) => boolean, options: { readonly what: string; readonly deadlineMs?: number }): Promise<void> {
    const { what, deadlineMs = START_DEADLINE_MS } = options
    const found = (): boolean => this.log.some(isIt)
    await this.#bell.until(() => found() || this.#exit !== undefined, { what: () => `a line of the log: ${what}\n${this.#told()}`, deadlineMs })
    if (!found()) throw new Error(`the server ended before it logged: ${what}\n${this.#told()}`)
  }

  /** Resolves with its last words if it ends and nobody has sent it a signal that ends it. */
  async fallen(): Promise<string> {
    const exit = await this.exited
    if (this.#isMeantToEnd) return new Promise(() => undefined)
    return `the server ended by itself: ${JSON.stringify(exit)}\n${this.#told()}`
  }

  /** Pids that do the work, as `/v1/cluster` names them. */
  async members(): Promise<number[]> {
    const text = await within(
      new Promise<string>((done, reject) => {
        get({ port: this.port, path: '/v1/cluster', agent: false }, (response) => {
          let body = ''
          response.setEncoding('utf8').on('data', (part: string) => (body += part))
          response.on('end', () => done(body)).on('error', reject)
        }).on('error', reject)
      }),
      EXIT_DEADLINE_MS,
      'an answer of /v1/cluster',
    )
    const { members } = JSON.parse(text) as { members: { pid: number }[] }
    return members.map(({ pid }) => pid)
  }

  /** To the whole group. False: there is nobody any more. */
  signal(signal: NodeJS.Signals): boolean {
    if (this.#child.pid === undefined || this.#exit !== undefined) return false
    if (signal === 'SIGKILL' || signal === 'SIGTERM') this.#isMeantToEnd = true
    try {
      return process.kill(-this.#child.pid, signal)
    } catch {
      return false
    }
  }

  /** kill -9 of those whom `/v1/cluster` names, then of everything else; resolves when it is gone. */
  async killMembers(): Promise<Exit> {
    const pids = await this.members()
    this.#isMeantToEnd = true
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    return this.kill()
  }

  /** kill -9 of everything; resolves when it is gone. */
  async kill(): Promise<Exit> {
    this.signal('SIGKILL')
    return this.exit()
  }

  exit(deadlineMs = EXIT_DEADLINE_MS): Promise<Exit> {
    return within(this.exited, deadlineMs, () => `the end of the server\n${this.#told()}`)
  }

  /** Resident memory of all that works, in bytes. */
  rssBytes(pids: readonly number[]): number {
    let sum = 0
    for (const pid of pids) sum += Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? NaN) * 1024
    return sum
  }

  #read(text: string): void {
    const lines = (this.#unparsed + text).split('\n')
    this.#unparsed = lines.pop()!
    for (const line of lines) {
      try {
        this.log.push(JSON.parse(line) as LogLine)
      } catch {
        // Not of the log: Node's own last words, which are in `stderr`.
      }
    }
  }

  #told(): string {
    return `stdout: ${this.stdout.slice(-2_000)}\nstderr: ${this.stderr.slice(-4_000)}`
  }
}
