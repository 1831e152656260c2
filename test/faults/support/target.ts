/** Where the server is at present: it comes back at another port after each start, and clients wait for that. */
import { Bell } from './bell.ts'

const BACK_DEADLINE_MS = 30_000

export class Target {
  readonly #bell = new Bell()
  #port: number | undefined
  /** Counts the starts. */
  #life = 0
  #isClosed = false

  up(port: number): void {
    this.#port = port
    this.#life += 1
    this.#bell.ring()
  }

  down(): void {
    this.#port = undefined
    this.#bell.ring()
  }

  /** Nobody waits for it any more: whoever does hears that it is over. */
  close(): void {
    this.#isClosed = true
    this.#bell.ring()
  }

  get life(): number {
    return this.#life
  }

  get port(): number {
    if (this.#port === undefined) throw new Error('the server is down')
    return this.#port
  }

  /** The port of a server that was started after `life`. */
  async after(life: number): Promise<number> {
    await this.#bell.until(() => this.#isClosed || (this.#port !== undefined && this.#life > life), { what: `another start of the server after start ${life}`, deadlineMs: BACK_DEADLINE_MS })
    if (this.#port === undefined || this.#life <= life) throw new Error('the test is over')
    return this.#port
  }
}
