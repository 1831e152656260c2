/**
 * One process of this machine as a child of ours, started again when it dies. It tells its port when it listens, or has one given.
 *
 * Owns: the child. I1. At most one lives. I2. `onPort(undefined)` comes when it has died, before it is started again.
 */
import { fork, type ChildProcess } from 'node:child_process'
import type { Log } from '#shared/log.ts'

/** A child that dies again and again is not started more often than this. */
const RESTART_MS = 250
/** What it prints is no word of ours: standard output is for the line that says ready. */
const STANDARD_ERROR = 2
const STOP_MS = { disconnect: 2_000, SIGTERM: 8_000 }

export type WatchedChildParts = {
  readonly name: string
  /** The module that it runs. */
  readonly entry: URL
  readonly args?: readonly string[]
  /** `PORT` among it where the port is given. */
  readonly environment: Readonly<Record<string, string>>
  /** Undefined: it has died. */
  readonly onPort?: (port: number | undefined) => void
  /** How it is asked to end: its parent lets go of it, or a signal. */
  readonly endBy?: 'disconnect' | 'SIGTERM'
  readonly log: Log
}

export class WatchedChild {
  readonly #parts: WatchedChildParts
  #child: ChildProcess | undefined
  #again: NodeJS.Timeout | undefined
  #stopping = false

  constructor(parts: WatchedChildParts) {
    this.#parts = parts
    this.#start()
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  #start(): void {
    const { name, entry, args = [], environment, onPort, log } = this.#parts
    const child = fork(entry, args, { env: { PORT: '0', ...environment }, execArgv: [], stdio: ['ignore', STANDARD_ERROR, 'inherit', 'ipc'] })
    this.#child = child
    const startedAt = performance.now()
    child.on('message', (message: { readonly port?: number }) => {
      if (typeof message.port === 'number') onPort?.(message.port)
    })
    child.once('exit', (code, signal) => {
      this.#child = undefined
      onPort?.(undefined)
      if (this.#stopping) return
      log.error({ name, pid: child.pid, code, signal }, 'a process has died: starting it again')
      this.#again = setTimeout(() => this.#start(), Math.max(0, RESTART_MS - (performance.now() - startedAt)))
    })
  }

  /** Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#again)
    const child = this.#child
    if (child === undefined) return
    const { endBy = 'disconnect' } = this.#parts
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS[endBy])
      child.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      if (endBy === 'SIGTERM') child.kill('SIGTERM')
      else if (child.connected) child.disconnect()
      else child.kill('SIGKILL')
    })
  }
}
