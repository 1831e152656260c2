/**
 * What one session gets of one state, under the scope that it subscribed by: every interaction once, in order.
 *
 * Owns: how far the session is, and which updates its client may have lost. Does not own: connections. Talks to: the topic.
 *
 * I1. Updates are sent in order of their index, without gap.
 * I2. `#floor` and everything from it on is sent again after a break: the client has said nothing that proves it has them.
 */
import { limits } from '#shared/limits.ts'
import type { StateId } from '#shared/ids.ts'
import type { Topic, Topics } from './topic.ts'

/** A read that failed is tried again after this, so often. */
const RETRY_MS = 200
const RETRIES = 25

export type SubscriptionOf = {
  readonly id: StateId
  /** As the client named it. */
  readonly label: string
  readonly owner: string
  readonly domain: string
  /** The index of the state that the client was answered with. */
  readonly ii: number
}

/** What the session is for its subscriptions. */
export type Outlet = {
  /** False: there is no connection. */
  readonly isOpen: boolean
  /** Grows with every answer that waits for its acknowledgement. */
  readonly epoch: number
  send(text: string): void
  fail(reason: string): void
}

/** Updates that were sent before the answer of the next epoch: all below `end`. */
type Run = { readonly epoch: number; end: number }

export class Subscription {
  readonly of: SubscriptionOf
  readonly #topics: Topics
  readonly #topic: Topic
  readonly #outlet: Outlet
  readonly #prefix: string
  #floor: number
  #next: number
  #runs: Run[] = []
  #isReading = false
  #failures = 0
  #waiting: { readonly ii: number; readonly resolve: () => void }[] = []
  #isEnded = false
  readonly #onMore = (): void => this.pump()

  constructor(of: SubscriptionOf, topics: Topics, outlet: Outlet) {
    this.of = of
    this.#topics = topics
    this.#outlet = outlet
    this.#prefix = `{"domain":${JSON.stringify(of.domain)},"user":${JSON.stringify(of.owner)},"scope":${JSON.stringify(of.label)},"patch":`
    this.#floor = this.#next = of.ii + 1
    this.#topic = topics.listen(of.id, this.#onMore)
  }

  /** Sends what there is. */
  pump(): void {
    while (this.#outlet.isOpen && !this.#isReading && !this.#isEnded && this.#next <= this.#topic.last) {
      const ii = this.#next
      const text = this.#topic.update(ii)
      if (typeof text === 'string') this.#send(ii, text)
      else this.#read(ii, text)
    }
    this.#settle()
  }

  /** Resolves when interaction `ii` was sent, or cannot be now: the connection has ended. */
  reached(ii: number): Promise<void> | undefined {
    if (this.#next > ii || this.#isEnded || !this.#outlet.isOpen) return undefined
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish(), limits.agentEchoMs)
      const finish = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.#waiting.push({ ii, resolve: finish })
    })
  }

  /** The client has everything that was sent before the answer of this epoch. */
  acknowledge(epoch: number): void {
    while (this.#runs[0] !== undefined && this.#runs[0].epoch <= epoch) this.#floor = this.#runs.shift()!.end
  }

  /** For a new connection: everything from the floor on again. False: it is too much. */
  rewind(): boolean {
    this.#next = this.#floor
    this.#runs = []
    return this.#topic.last - this.#floor < limits.agentReplayUpdates
  }

  /** Resolves when what is known now was sent. */
  caughtUp(): Promise<void> | undefined {
    this.pump()
    return this.reached(this.#topic.last)
  }

  /** The connection has ended: nobody waits for it any more. */
  release(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  end(): void {
    this.#isEnded = true
    this.release()
    this.#topics.leave(this.#topic, this.#onMore)
  }

  #send(ii: number, text: string): void {
    this.#next = ii + 1
    this.#failures = 0
    const { epoch } = this.#outlet
    const run = this.#runs.at(-1)
    if (run?.epoch === epoch) run.end = this.#next
    else this.#runs.push({ epoch, end: this.#next })
    this.#outlet.send(`${this.#prefix}${text},"ii":${ii}}`)
  }

  #read(ii: number, text: Promise<string | undefined>): void {
    this.#isReading = true
    text
      .catch(() => undefined)
      .then(async (found) => {
        if (found === undefined) await this.#pause()
        this.#isReading = false
        // A new connection may have begun from further back meanwhile.
        if (found !== undefined && this.#next === ii && !this.#isEnded && this.#outlet.isOpen) this.#send(ii, found)
        this.pump()
      })
      .catch(() => this.#outlet.fail('an update could not be sent'))
  }

  async #pause(): Promise<void> {
    this.#failures += 1
    if (this.#failures > RETRIES) {
      this.#failures = 0
      this.#outlet.fail('updates cannot be read')
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }

  #settle(): void {
    if (this.#waiting.length === 0) return
    const reached = this.#waiting.filter(({ ii }) => ii < this.#next)
    this.#waiting = this.#waiting.filter(({ ii }) => ii >= this.#next)
    for (const { resolve } of reached) resolve()
  }
}
