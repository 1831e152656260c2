/**
 * What the core has emitted for the fan-out, on its way there: off the path of answers, in batches, again and again until
 * the fan-out has it.
 *
 * Owns: the queue, one call at a time, pauses. Does not own: what must be published (the core, by its log), so a queue that
 * dies with its process loses nothing. Talks to: the fan-out. I1. Messages are handed over in the order of `add`.
 * I2. `onPublished` tells of every message once, in that order, when the fan-out surely has it.
 */
import { limits } from '#shared/limits.ts'
import type { Log } from '#shared/log.ts'
import type { FanOut, FanOutMessage } from '#shared/ports/fan-out.ts'

/** `life`: of the core that emitted it. */
type Queued = { readonly life: number; readonly message: FanOutMessage }

export class Outbox {
  readonly #fanOut: FanOut
  readonly #log: Log
  readonly #onPublished: (life: number, messages: number, characters: number) => void
  #queue: Queued[] = []
  #underWay = false
  #closed = false

  constructor(options: { readonly fanOut: FanOut; readonly log: Log; readonly onPublished: (life: number, messages: number, characters: number) => void }) {
    this.#fanOut = options.fanOut
    this.#log = options.log
    this.#onPublished = options.onPublished
  }

  /** Goes out with the next `flush`, or when what is under way has its outcome. */
  add(life: number, message: FanOutMessage): void {
    this.#queue.push({ life, message })
  }

  /** The life that emitted them is over: whoever leads next publishes from the mark. What is under way goes on. */
  forget(): void {
    this.#queue = []
  }

  /** Nothing is handed over any more, nor again. */
  close(): void {
    this.#closed = true
    this.forget()
  }

  flush(): void {
    if (!this.#underWay && this.#queue.length > 0) void this.#run()
  }

  async #run(): Promise<void> {
    this.#underWay = true
    while (this.#queue.length > 0 && !this.#closed) {
      const batch = this.#take()
      const messages = batch.map(({ message }) => message)
      for (let pauseMs: number = limits.publicationRetryFirstMs; ; pauseMs = Math.min(2 * pauseMs, limits.publicationRetryMaxMs)) {
        const outcome = await this.#fanOut.publish(messages)
        if (outcome.kind === 'published') break
        if (this.#closed) return
        this.#log.warn({ reason: outcome.reason, messages: messages.length, pauseMs }, 'the fan-out did not take messages; they are handed over again')
        await new Promise((resolve) => setTimeout(resolve, pauseMs).unref())
      }
      const characters = messages.reduce((sum, { patch }) => sum + patch.length, 0)
      this.#onPublished(batch[0]!.life, messages.length, characters)
    }
    this.#underWay = false
  }

  /** The first of the queue, of one life. */
  #take(): Queued[] {
    const { life } = this.#queue[0]!
    let count = 0
    for (let characters = 0; count < this.#queue.length && count < limits.publicationMessages; count++) {
      const queued = this.#queue[count]!
      characters += queued.message.patch.length
      if (queued.life !== life || (count > 0 && characters > limits.publicationBytes)) break
    }
    return count === this.#queue.length ? this.#queue.splice(0) : this.#queue.splice(0, count)
  }
}
