/**
 * State processes of one machine as children of `npm start`: started again when they die.
 *
 * Owns: the children. I1. Of one name at most one child lives. I2. When a child has died, the directory is told, so
 * that nobody waits for it to look dead.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Log } from '#shared/log.ts'
import type { Directory } from '#shared/ports/directory.ts'

const ENTRY = fileURLToPath(new URL('../state-process/index.ts', import.meta.url))
/** A child that dies again and again is not started more often than this. */
const RESTART_MS = 250

export type SupervisorParts = {
  readonly names: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly directory: Directory
  readonly log: Log
}

export class Supervisor {
  readonly #parts: SupervisorParts
  #children = new Map<string, ChildProcess>()
  #stopping = false

  constructor(parts: SupervisorParts) {
    this.#parts = parts
    for (const name of parts.names) this.#start(name)
  }

  #start(name: string): void {
    const { environment, log } = this.#parts
    const child = fork(ENTRY, [], { env: { ...environment, PROCESS_NAME: name, PORT: '0' }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#children.set(name, child)
    const startedAt = performance.now()
    child.once('exit', (code, signal) => {
      this.#children.delete(name)
      if (this.#stopping) return
      log.error({ name, pid: child.pid, code, signal }, 'state process has died: starting it again')
      void this.#tellDirectory(name, child.pid)
      setTimeout(() => {
        if (!this.#stopping) this.#start(name)
      }, Math.max(0, RESTART_MS - (performance.now() - startedAt)))
    })
  }

  async #tellDirectory(name: string, pid: number | undefined): Promise<void> {
    const { directory } = this.#parts
    const known = await directory.members()
    const member = known.kind === 'members' ? known.members.find((other) => other.name === name && other.pid === pid) : undefined
    // The record stays: the next life of this name finds in it whose log it has to seal.
    if (member) await directory.announce({ ...member, state: 'draining' })
  }

  /** Resolves when all have ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#children.values()].map(
        (child) =>
          new Promise<void>((resolve) => {
            child.once('exit', () => resolve())
            child.kill('SIGTERM')
          }),
      ),
    )
  }
}
