/**
 * What is done when this process ends in whatever way, kill -9 included: a shell of its own waits for the end of a pipe that
 * only this process holds. Handlers of "exit" do not run when a test runner is killed, or in the realm that it runs tests in.
 */
import { spawn, type ChildProcess } from 'node:child_process'

export class LastWill {
  readonly #executor: ChildProcess

  /** `script` for `sh`, with `args` as $1, $2 ... */
  constructor(script: string, ...args: readonly string[]) {
    this.#executor = spawn('sh', ['-c', `read _; ${script}`, 'last-will', ...args], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
    // It may be gone before it is told to be.
    this.#executor.stdin!.on('error', () => undefined)
    this.#executor.on('error', () => undefined)
    this.#executor.unref()
    ;(this.#executor.stdin as unknown as { unref(): void }).unref()
  }

  /** Nothing is left to do. */
  revoke(): void {
    this.#executor.kill('SIGKILL')
    this.#executor.stdin!.destroy()
  }
}
