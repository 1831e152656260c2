/**
 * Fan-out of a simulated world: messages on their way out of one process, one call at a time, taken, refused, or taken in
 * part, late; what a process has not handed over when it crashes is lost.
 *
 * Owns: the queue of one life. Does not own: what may be published (the checker).
 */
import type { FanOutMessage } from '#shared/ports/fan-out.ts'
import type { Process } from './process.ts'

const MOST_AT_ONCE = 5

export type FanOutFaults = { failed: number; typicalMs: number }

export class SimulatedOutbox {
  readonly #process: Process
  #queue: FanOutMessage[] = []
  #underWay = false

  constructor(process: Process) {
    this.#process = process
  }

  add(message: FanOutMessage): void {
    this.#queue.push(message)
    if (!this.#underWay) this.#next()
  }

  #next(): void {
    const batch = this.#queue.splice(0, this.#process.world.random.between(1, MOST_AT_ONCE))
    this.#underWay = batch.length > 0
    if (this.#underWay) this.#call(batch)
  }

  /** A process that is frozen has its call under way all the same. */
  #call(batch: readonly FanOutMessage[]): void {
    const { random, timeline, checker, fanOutFaults } = this.#process.world
    const failed = random.chance(fanOutFaults.failed)
    const taken = failed ? random.between(0, batch.length - 1) : batch.length
    timeline.after(random.delayMs(fanOutFaults.typicalMs), () => {
      for (const message of batch.slice(0, taken)) {
        this.#process.world.trace(`${this.#process.incarnation} published ${message.id.slice(0, 8)}/${message.ii}`)
        checker.published(message)
      }
      timeline.after(random.delayMs(fanOutFaults.typicalMs), () => {
        if (!this.#process.alive) return
        if (failed) return this.#call(batch)
        this.#process.step({ kind: 'published', messages: batch.length, characters: batch.reduce((sum, { patch }) => sum + patch.length, 0) })
        this.#next()
      })
    })
  }
}
