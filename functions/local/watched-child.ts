/**
 * One process of this machine as a child of `npm start`, started again when it dies. It tells its port when it listens.
 *
 * Owns: the child. I1. At most one lives. I2. `onPort(undefined)` comes when it has died, before it is started again.
 */
import { fork, type ChildProcess } from 'node:child_process'
import type { Log } from '#shared/log.ts'

/** A child that dies again and again is not started more often than this. */
const RESTART_MS = 250
const STOP_MS = 2_000

export type WatchedChildParts = {
  readonly name: string
  /** The module that it runs. */
  readonly entry: URL
  readonly environment: Readonly<Record<string, string>>
  readonly onPort: (port: number | undefined) => void
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
    const { name, entry, environment, onPort, log } = this.#parts
    const child = fork(entry, [], { env: { ...environment, PORT: '0' }, execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child = child
    const startedAt = performance.now()
    child.on('message', (message: { readonly port?: number }) => {
      if (typeof message.port === 'number') onPort(message.port)
    })
    child.once('exit', (code, signal) => {
      this.#child = undefined
      onPort(undefined)
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
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      child.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      // It ends when its parent lets go of it.
      if (child.connected) child.disconnect()
      else child.kill('SIGKILL')
    })
  }
}
