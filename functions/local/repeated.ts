/**
 * What runs again and again, as Cloud Scheduler makes it run elsewhere: at once, then a pause after the end of each run.
 *
 * Owns: the pauses. Does not own: what is run.
 *
 * I1. One run at a time. What was not done whole is tried again soon, and ever less often.
 */
export type RepeatedOptions = {
  /** Rejects, or resolves with false: there is something left to be done. */
  readonly run: () => Promise<boolean>
  readonly pauseMs: number
  /** After a run that was not whole; doubled with each, up to `pauseMs`. */
  readonly firstRetryMs: number
  readonly onFailure: (error: unknown) => void
}

export class Repeated {
  readonly #options: RepeatedOptions
  #timer: NodeJS.Timeout | undefined
  #retryMs: number
  #isStopped = false

  constructor(options: RepeatedOptions) {
    this.#options = options
    this.#retryMs = options.firstRetryMs
    void this.#run()
  }

  /** A run that is under way goes on. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  async #run(): Promise<void> {
    const { run, pauseMs, firstRetryMs, onFailure } = this.#options
    const isWhole = await run().catch((error: unknown) => {
      onFailure(error)
      return false
    })
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#run(), isWhole ? pauseMs : this.#retryMs).unref()
    this.#retryMs = isWhole ? firstRetryMs : Math.min(2 * this.#retryMs, pauseMs)
  }
}
