/**
 * What of one session is kept where every process can reach it, as this process has it: written when a subscription begins,
 * before it is answered, and else behind, so that little has to be sent again.
 *
 * Owns: the order of the writes, which version this process knows. Does not own: what is kept. Talks to: the ground.
 *
 * I1. One write is under way at a time, and is repeated as it is until its outcome is known.
 * I2. Who finds that another process has the session writes nothing more.
 */
import { limits } from '#shared/limits.ts'
import type { KeepAnswer, KeepChange, KeptSubscription } from '#shared/ports/agent-ground.ts'

/** `taken`: the session is another process's. `stopped`: nobody waits for it any more. */
export type Kept = 'kept' | 'taken' | 'full' | 'stopped'
export type Change = Omit<KeepChange, 'by'>

export type KeepingParts = {
  readonly process: string
  readonly version: number
  readonly keep: (version: number, change: KeepChange) => Promise<KeepAnswer>
  readonly onTaken: () => void
}

/** What the next write carries, and who waits for it. */
class Batch {
  readonly subscriptions: KeptSubscription[] = []
  readonly dropped: Pick<KeptSubscription, 'id' | 'label'>[] = []
  ack: number | undefined = undefined
  end: KeepChange['end'] = undefined
  readonly done: Promise<Kept>
  settle!: (how: Kept) => void

  constructor() {
    this.done = new Promise((resolve) => {
      this.settle = resolve
    })
  }

  add({ ack, subscriptions = [], dropped = [], end }: Change): void {
    this.ack = ack ?? this.ack
    this.end = end ?? this.end
    this.subscriptions.push(...subscriptions)
    this.dropped.push(...dropped)
  }

  change(by: string): KeepChange {
    const { ack, end, subscriptions, dropped } = this
    return { by, subscriptions, dropped, ...(ack === undefined ? {} : { ack }), ...(end === undefined ? {} : { end }) }
  }
}

export class Keeping {
  readonly #parts: KeepingParts
  #version: number
  #next: Batch | undefined = undefined
  #isWriting = false
  #isStopped = false

  constructor(parts: KeepingParts) {
    this.#parts = parts
    this.#version = parts.version
  }

  /** Resolves when it is stored, with all that came while another write was under way. */
  write(change: Change): Promise<Kept> {
    if (this.#isStopped) return Promise.resolve('stopped')
    this.#next ??= new Batch()
    const { done } = this.#next
    this.#next.add(change)
    if (!this.#isWriting) void this.#work()
    return done
  }

  stop(): void {
    this.#isStopped = true
    this.#next?.settle('stopped')
    this.#next = undefined
  }

  async #work(): Promise<void> {
    this.#isWriting = true
    while (this.#next !== undefined) {
      const batch = this.#next
      this.#next = undefined
      batch.settle(await this.#store(batch.change(this.#parts.process)))
    }
    this.#isWriting = false
  }

  async #store(change: KeepChange): Promise<Kept> {
    const { keep, onTaken } = this.#parts
    for (let pauseMs: number = limits.agentRetryFirstMs; !this.#isStopped; pauseMs = Math.min(2 * pauseMs, limits.agentRetryMaxMs)) {
      const answer = await keep(this.#version, change)
      switch (answer.kind) {
        case 'kept':
          this.#version = answer.version
          return 'kept'
        case 'full':
          return 'full'
        case 'taken':
          this.stop()
          onTaken()
          return 'taken'
        case 'unavailable':
          await new Promise((resolve) => setTimeout(resolve, pauseMs).unref())
      }
    }
    return 'stopped'
  }
}
