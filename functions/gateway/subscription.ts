/**
 * What one session gets of one state, under the scope that it subscribed by: every interaction once, in order.
 *
 * Owns: how far the session is, and which updates its client may have lost. Does not own: connections. Talks to: the topic.
 *
 * I1. Updates are sent in order of their index, without gap.
 * I2. `#floor` and everything from it on is sent again after a break: the client has said nothing that proves it has them.
 * I3. Nothing is sent before the answer to the message that asked for it, after a break neither: watchers of published clients
 *     would not be called with it.
 */
import { limits } from '#shared/limits.ts'
import type { KeptSubscription } from '#shared/ports/agent-ground.ts'
import type { Topic, Topics } from './topic.ts'


/** What the session is for its subscriptions. */
export type Outlet = {
  /** False: there is no connection. */
  readonly isOpen: boolean
  /** The connection has enough to take: older updates are not read yet. */
  readonly isFull: boolean
  /** Grows with every answer that waits for its acknowledgement. */
  readonly epoch: number
  send(text: string): void
  fail(reason: string): void
}

/** Updates that were sent before the answer of the next epoch: all below `end`. */
type Run = { readonly epoch: number; end: number }

export class Subscription {
  /** `ii`: of the state that the client was answered with, or all that it had taken when another process had the session. */
  readonly of: KeptSubscription
  readonly #topics: Topics
  readonly #topic: Topic
  readonly #outlet: Outlet
  readonly #prefix: string
  #floor: number
  /** What is kept of `#floor` elsewhere. */
  #keptFloor: number
  #next: number
  /** Since the last break nothing was sent: what there is may be too much. */
  #isRewound = true
  #runs: Run[] = []
  #isHeld = true
  #isReading = false
  #failures = 0
  #waiting: { readonly ii: number; readonly resolve: () => void }[] = []
  #isEnded = false
  readonly #onMore = (): void => this.pump()

  constructor(of: KeptSubscription, topics: Topics, outlet: Outlet) {
    this.of = of
    this.#topics = topics
    this.#outlet = outlet
    this.#prefix = `{"domain":${JSON.stringify(of.domain)},"user":${JSON.stringify(of.owner)},"scope":${JSON.stringify(of.label)},"patch":`
    this.#floor = this.#keptFloor = this.#next = of.ii + 1
    this.#topic = topics.listen(of.id, this.#onMore)
  }

  /** Until its answer is sent. */
  hold(): void {
    this.#isHeld = true
  }

  /** Its answer is sent. Resolves when what is known now was sent. */
  begin(): Promise<void> | undefined {
    this.#isHeld = false
    return this.caughtUp()
  }

  /** Sends what there is. */
  pump(): void {
    if (this.#isRewound && !this.isWithinReach) return this.#outlet.fail('the client has missed too much')
    while (this.#outlet.isOpen && !this.#isHeld && !this.#isReading && !this.#isEnded && this.#next <= this.#topic.last) {
      const ii = this.#next
      const text = this.#topic.atHand(ii)
      if (typeof text === 'string') this.#send(ii, text)
      else this.#read(ii, text ?? this.#older(ii))
    }
    this.#settle()
  }

  /** Resolves when interaction `ii` was sent, or cannot be now: the connection has ended. */
  reached(ii: number): Promise<void> | undefined {
    if (this.#next > ii || this.#isHeld || this.#isEnded || !this.#outlet.isOpen) return undefined
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

  /** Whether what the client may have missed is not too much to be sent again. */
  get isWithinReach(): boolean {
    return this.#topic.last - this.#floor < limits.agentReplayUpdates
  }

  /** For a new connection: everything from the floor on again. */
  rewind(): void {
    this.#next = this.#floor
    this.#runs = []
    this.#isRewound = true
  }

  /** What other processes must be told of it: undefined where they know. */
  moved(): KeptSubscription | undefined {
    if (this.#floor === this.#keptFloor) return undefined
    this.#keptFloor = this.#floor
    return { ...this.of, ii: this.#floor - 1 }
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
    this.#isRewound = false
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
        if (found !== undefined && this.#next === ii && !this.#isHeld && !this.#isEnded && this.#outlet.isOpen) this.#send(ii, found)
        this.pump()
      })
      .catch(() => this.#outlet.fail('an update could not be sent'))
  }

  /** Not faster than the client takes them: it would be cut off, and come back for the same. */
  async #older(ii: number): Promise<string | undefined> {
    while (this.#outlet.isOpen && this.#outlet.isFull) await passed(limits.agentDrainLookMs)
    return this.#topic.update(ii)
  }

  async #pause(): Promise<void> {
    const pauseMs = Math.min(limits.agentRetryFirstMs * 2 ** this.#failures, limits.agentRetryMaxMs)
    this.#failures += 1
    await passed(pauseMs)
  }

  #settle(): void {
    if (this.#waiting.length === 0) return
    const reached = this.#waiting.filter(({ ii }) => ii < this.#next)
    this.#waiting = this.#waiting.filter(({ ii }) => ii >= this.#next)
    for (const { resolve } of reached) resolve()
  }
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
