/**
 * Calls that have begun and not ended, so that closing an adapter can wait for them.
 *
 * Owns: nothing but the count. I1. After `close` was called no new call is let in; it resolves when the last one has ended.
 */
export class CallsUnderWay {
  readonly #calls = new Set<Promise<unknown>>()
  #isClosed = false

  get isClosed(): boolean {
    return this.#isClosed
  }

  async of<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call)
    try {
      return await call
    } finally {
      this.#calls.delete(call)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls)
  }
}
