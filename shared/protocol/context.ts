/**
 * The plumbing between the core's parts and its one door: storage operations and timers as continuations,
 * the clock as it was when the present event was read, effects in order.
 *
 * Owns: tokens and what continues when they come back. Does not own: any protocol decision.
 * I1. A continuation runs at most once, and not at all after `end()`; nothing is emitted then either.
 */
import type { DeleteOutcome, GetOutcome, ListOutcome, PutOutcome } from '#shared/ports/cold-storage.ts'
import type { ClockReading, EffectToken, Event } from '#shared/protocol/events.ts'
import type { Effect } from '#shared/protocol/effects.ts'
import { limits } from '#shared/limits.ts'

/** Milliseconds from `earlier` to `later` by the faster of the two clocks (SPEC.md, rule L2). */
export function elapsedMs(earlier: ClockReading, later: ClockReading): number {
  return Math.max(later.wallMs - earlier.wallMs, later.monotonicMs - earlier.monotonicMs)
}

/** The bounds that the core keeps; a simulation sets them low, so that they bind. */
export type Tuning = { readonly [N in keyof typeof limits]: number }

const NONE: readonly Effect[] = []

export class Context {
  now: ClockReading
  readonly tuning: Tuning
  #effects: Effect[] = []
  #nextToken = 1
  #puts = new Map<EffectToken, (outcome: PutOutcome) => void>()
  #gets = new Map<EffectToken, (outcome: GetOutcome) => void>()
  #lists = new Map<EffectToken, (outcome: ListOutcome) => void>()
  #deletes = new Map<EffectToken, (outcome: DeleteOutcome) => void>()
  #timers = new Map<EffectToken, () => void>()
  #ended = false

  constructor(now: ClockReading, tuning: Partial<Tuning> = {}) {
    this.now = now
    this.tuning = { ...limits, ...tuning }
  }

  emit(effect: Effect): void {
    if (!this.#ended) this.#effects.push(effect)
  }

  takeEffects(): readonly Effect[] {
    if (this.#effects.length === 0) return NONE
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  get ended(): boolean {
    return this.#ended
  }

  /** After this no continuation runs any more, and nothing is emitted. */
  end(): void {
    this.#ended = true
    for (const waiting of [this.#puts, this.#gets, this.#lists, this.#deletes, this.#timers]) waiting.clear()
  }

  put(name: string, bytes: Uint8Array, then: (outcome: PutOutcome) => void): void {
    this.emit({ kind: 'put', token: this.#await(this.#puts, then), name, bytes })
  }

  get(name: string, then: (outcome: GetOutcome) => void, range?: { from: number; to: number }): void {
    this.emit({ kind: 'get', token: this.#await(this.#gets, then), name, range })
  }

  list(prefix: string, then: (outcome: ListOutcome) => void, after?: string): void {
    this.emit({ kind: 'list', token: this.#await(this.#lists, then), prefix, after })
  }

  delete(name: string, then: (outcome: DeleteOutcome) => void): void {
    this.emit({ kind: 'delete', token: this.#await(this.#deletes, then), name })
  }

  timer(ms: number, then: () => void): void {
    this.emit({ kind: 'timer', token: this.#await(this.#timers, then), ms })
  }

  /** Gets until the store answers: "failed" is tried again after a growing pause. */
  read(name: string, then: (bytes: Uint8Array | undefined) => void, range?: { from: number; to: number }): void {
    const attempt = (pauseMs: number): void =>
      this.get(
        name,
        (outcome) => {
          if (outcome.kind !== 'failed') return then(outcome.kind === 'found' ? outcome.bytes : undefined)
          this.log('warning', 'storage read failed', { name, reason: outcome.reason })
          this.timer(pauseMs, () => attempt(this.#nextPause(pauseMs)))
        },
        range,
      )
    attempt(this.tuning.storageRetryFirstMs)
  }

  /** Lists until the store answers. */
  names(prefix: string, then: (names: readonly string[]) => void, after?: string): void {
    const attempt = (pauseMs: number): void =>
      this.list(
        prefix,
        (outcome) => {
          if (outcome.kind === 'names') return then(outcome.names)
          this.log('warning', 'storage list failed', { prefix, reason: outcome.reason })
          this.timer(pauseMs, () => attempt(this.#nextPause(pauseMs)))
        },
        after,
      )
    attempt(this.tuning.storageRetryFirstMs)
  }

  /**
   * Puts until it is certain that `name` is taken. `then` hears whether it is by these very bytes (by this put
   * or an earlier attempt of it); the bytes that are there otherwise. `onFault` hears of attempts that did not
   * succeed.
   */
  create(name: string, bytes: Uint8Array, then: (taken: 'ours' | Uint8Array) => void, onFault?: (reason: string) => void): void {
    const attempt = (pauseMs: number): void =>
      this.put(name, bytes, (outcome) => {
        switch (outcome.kind) {
          case 'stored':
            return then('ours')
          case 'exists':
            return this.read(name, (found) => {
              // Deleted between put and get, or not visible to a get yet: the put decides again.
              if (found === undefined) return this.timer(pauseMs, () => attempt(this.#nextPause(pauseMs)))
              then(Buffer.compare(found, bytes) === 0 ? 'ours' : found)
            })
          case 'not-stored':
          case 'unknown':
            this.log('warning', 'storage put did not succeed', { name, outcome: outcome.kind, reason: outcome.reason })
            onFault?.(outcome.reason)
            return this.timer(pauseMs, () => attempt(this.#nextPause(pauseMs)))
        }
      })
    attempt(this.tuning.storageRetryFirstMs)
  }

  log(level: 'info' | 'warning' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.emit({ kind: 'log', level, message, fields })
  }

  /** Runs what waits for `event`. */
  resume(event: Extract<Event, { kind: 'put-done' | 'get-done' | 'list-done' | 'delete-done' | 'timer' }>): void {
    switch (event.kind) {
      case 'put-done':
        return take(this.#puts, event.token)?.(event.outcome)
      case 'get-done':
        return take(this.#gets, event.token)?.(event.outcome)
      case 'list-done':
        return take(this.#lists, event.token)?.(event.outcome)
      case 'delete-done':
        return take(this.#deletes, event.token)?.(event.outcome)
      case 'timer':
        return take(this.#timers, event.token)?.()
    }
  }

  #nextPause(pauseMs: number): number {
    return Math.min(pauseMs * 2, this.tuning.storageRetryMaxMs)
  }

  #await<T>(waiting: Map<EffectToken, T>, then: T): EffectToken {
    const token = this.#nextToken++
    waiting.set(token, then)
    return token
  }
}

function take<T>(waiting: Map<EffectToken, T>, token: EffectToken): T | undefined {
  const then = waiting.get(token)
  waiting.delete(token)
  return then
}
