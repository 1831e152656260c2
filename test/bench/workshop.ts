/**
 * The place where one run happens: a temporary directory and the processes started in it.
 *
 * Owns: the directory, every process started through it and whatever those started (they inherit a mark in
 * their environment). Invariant: after `destroy()`, which is synchronous so that a signal handler can call
 * it, none of them runs and the directory is gone.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createServer, type AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { allPids, commandLine, processTree } from './measure.ts'

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))

export type SpawnOptions = {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A port that was chosen for it; otherwise its `ready http://127.0.0.1:PORT` line tells. */
  readonly port?: number
  readonly deadlineMs: number
}

export class Workshop {
  readonly directory: string
  readonly #mark = `BENCH_RUN=${randomUUID()}`
  readonly #children = new Set<ChildProcess>()

  constructor() {
    // The file system of the repository: /tmp may be memory, where a flush costs nothing.
    const sameDisk = statSync(tmpdir()).dev === statSync(REPOSITORY).dev
    const parent = sameDisk ? tmpdir() : join(REPOSITORY, 'node_modules', '.cache')
    mkdirSync(parent, { recursive: true })
    this.directory = mkdtempSync(join(parent, 'bench-'))
    // Postgres runs as another user and must be able to get to its own directory.
    chmodSync(this.directory, 0o755)
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Starts a server in a process group of its own and waits until it can be connected to. */
  async spawn(options: SpawnOptions): Promise<Server> {
    const logFile = this.path(`${options.name}-${this.#children.size}.log`)
    const log = openSync(logFile, 'a')
    const [markName, markValue] = this.#mark.split('=') as [string, string]
    const startedAt = performance.now()
    const child = spawn(options.command, options.args, {
      cwd: REPOSITORY,
      detached: true,
      stdio: ['pipe', 'pipe', log],
      // This Node first, so that npm and what it starts run on it as well.
      env: { ...process.env, PATH: `${join(process.execPath, '..')}${delimiter}${process.env['PATH']}`, ...options.env, [markName]: markValue },
    })
    closeSync(log)
    this.#children.add(child)
    const server = new Server(child, logFile)
    const deadline = startedAt + options.deadlineMs
    const port = options.port === undefined ? await server.printedPort(deadline) : await server.openPort(options.port, deadline)
    server.opened(port, performance.now() - startedAt)
    return server
  }

  destroy(): void {
    for (const child of this.#children) if (child.pid !== undefined) kill(-child.pid)
    // What left its parent's group (a detached Postgres) still has the mark.
    for (const pid of allPids()) if (pid !== process.pid && hasMark(pid, this.#mark)) kill(pid)
    if (existsSync(this.directory)) rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}

function hasMark(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)
  } catch {
    return false
  }
}

function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}

const STOP_DEADLINE_MS = 15_000

export class Server {
  /** Leader of its process group and root of its processes: npm, where npm starts it. */
  readonly pid: number
  port = 0
  readyMs = NaN
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #exited: Promise<string>

  constructor(child: ChildProcess, logFile: string) {
    this.#child = child
    this.#logFile = logFile
    this.pid = child.pid ?? 0
    this.#exited = new Promise((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('exit', (code, signal) => resolve(`exit ${signal ?? code}`))
    })
    child.stdin?.on('error', () => {})
  }

  opened(port: number, readyMs: number): void {
    this.port = port
    this.readyMs = readyMs
  }

  /** The first process below `pid` that is the server itself and not npm or its shell. */
  get serverPid(): number {
    const own = processTree(this.pid).find((pid) => {
      const [command = '', script = ''] = commandLine(pid)
      return !/(^|\/)(npm|sh|dash|bash)\b/.test(command) && !/(^|\/)(npm|npm-cli\.js)$/.test(script)
    })
    return own ?? this.pid
  }

  printedPort(deadline: number): Promise<number> {
    return this.#within(
      deadline,
      new Promise((resolve) => {
        let printed = ''
        this.#child.stdout?.on('data', (chunk) => {
          printed = (printed + String(chunk)).slice(-10_000)
          const ready = /^ready http:\/\/127\.0\.0\.1:(\d+)/m.exec(printed)
          if (ready !== null) resolve(Number(ready[1]))
        })
      }),
    )
  }

  openPort(port: number, deadline: number): Promise<number> {
    this.#child.stdout?.resume()
    const answers = async (): Promise<number> => {
      for (;;) {
        const answer = await fetch(`http://127.0.0.1:${port}/v1/ready`).catch(() => undefined)
        await answer?.body?.cancel()
        if (answer !== undefined && answer.status < 500) return port
        await new Promise((resolve) => setTimeout(resolve, 20).unref())
        if (performance.now() > deadline) throw new Error('never answered')
      }
    }
    return this.#within(deadline, answers())
  }

  /** SIGTERM to the server, as a platform would send it. True: it ended by itself. */
  async stop(): Promise<boolean> {
    this.#child.stdin?.end()
    kill(this.serverPid, 'SIGTERM')
    const timer = setTimeout(() => kill(-this.pid), STOP_DEADLINE_MS)
    const how = await this.#exited
    clearTimeout(timer)
    kill(-this.pid)
    return !how.includes('SIGKILL')
  }

  async kill(): Promise<void> {
    kill(-this.pid)
    await this.#exited
  }

  async #within<T>(deadline: number, opening: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('not ready in time'), deadline - performance.now())
    })
    const failed = Promise.race([this.#exited, late]).then((why) => {
      throw new Error(`${why}${this.#logTail()}`)
    })
    try {
      return await Promise.race([opening, failed])
    } catch (error) {
      kill(-this.pid)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  #logTail(): string {
    const lines = readFileSync(this.#logFile, 'utf8').split('\n').filter((line) => line.trim() !== '' && !/^\s+at /.test(line))
    const telling = lines.find((line) => /error/i.test(line)) ?? lines.at(-1)
    return telling === undefined ? '' : `: ${telling.trim().slice(0, 200)}`
  }
}

/** The framework takes port 0 but never says which it got. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
