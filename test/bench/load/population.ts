/**
 * The states of one subject, and the index that each must answer next. It lives as long as its subject, so
 * that a gap between two rounds would be seen as well.
 */
import { randomUUID } from 'node:crypto'
import { KEY_LENGTH, VALUE_GREATEST, VALUE_LEAST } from './channel.ts'
import type { Target } from './open-channels.ts'

export type Faults = Record<string, number>

export function count(faults: Faults, fault: string): void {
  faults[fault] = (faults[fault] ?? 0) + 1
}

export class Population {
  target: Target
  readonly ids: readonly string[]
  /** The last acknowledged index of each state. */
  readonly ii: Int32Array
  #value = VALUE_LEAST
  #keys = 0
  readonly #keyPrefix = randomUUID().slice(0, 8)

  constructor(target: Target, states: number) {
    this.target = target
    this.ids = Array.from({ length: states }, () => randomUUID())
    this.ii = new Int32Array(states)
  }

  nextValue(): number {
    this.#value = this.#value === VALUE_GREATEST ? VALUE_LEAST : this.#value + 1
    return this.#value
  }

  nextKey(): string {
    this.#keys += 1
    return this.#keyPrefix + String(this.#keys).padStart(KEY_LENGTH - this.#keyPrefix.length, '0')
  }

  /** Takes an answer for state `at`; only the one index that comes next is right. */
  acknowledge(at: number, status: number, ii: number, faults: Faults): boolean {
    if (status !== 200) {
      count(faults, status === 0 ? 'connection cut' : `status ${status}`)
      return false
    }
    const expected = this.ii[at]! + 1
    this.ii[at] = ii
    if (ii !== expected) {
      count(faults, ii === 0 ? 'answer without this id and ii' : `ii ${ii > expected ? 'ahead of' : 'behind'} the next one`)
      return false
    }
    return true
  }
}
