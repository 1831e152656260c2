/**
 * Simulated cold storage: atomic, create-only, consistent; slow, failing, and silent about outcomes as the seed says.
 * A put takes effect at a moment of its own between request and answer, or long after the asking process has died.
 */
import type { DeleteOutcome, GetOutcome, ListOutcome, PutOutcome } from '#shared/ports/cold-storage.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'

export type StorageFaults = { unknown: number; failed: number; typicalMs: number }

type Failed = { readonly kind: 'failed'; readonly reason: string }

export class SimulatedStorage {
  readonly objects = new Map<string, Uint8Array>()
  faults: StorageFaults
  /** Off: everything fails. */
  available = true
  onStored: (name: string, bytes: Uint8Array) => void = () => undefined
  readonly #random: Random
  readonly #timeline: Timeline

  constructor(random: Random, timeline: Timeline, faults: StorageFaults) {
    this.#random = random
    this.#timeline = timeline
    this.faults = faults
  }

  put(name: string, bytes: Uint8Array, then: (outcome: PutOutcome) => void): void {
    const random = this.#random
    const copy = Uint8Array.from(bytes)
    if (!this.available || random.chance(this.faults.failed)) {
      return this.#timeline.after(random.delayMs(this.faults.typicalMs), () => then({ kind: 'not-stored', reason: 'simulated' }))
    }
    const silent = random.chance(this.faults.unknown)
    const lost = silent && random.chance(0.5)
    this.#timeline.after(random.delayMs(this.faults.typicalMs), () => {
      const exists = this.objects.has(name)
      if (!exists && !lost) {
        this.objects.set(name, copy)
        this.onStored(name, copy)
      }
      if (!silent) this.#timeline.after(random.delayMs(this.faults.typicalMs), () => then(exists ? { kind: 'exists' } : { kind: 'stored' }))
    })
    // The caller gives up at some time, before the put takes effect or after.
    if (silent) this.#timeline.after(random.delayMs(this.faults.typicalMs * 2), () => then({ kind: 'unknown', reason: 'simulated' }))
  }

  get(name: string, range: { from: number; to: number } | undefined, then: (outcome: GetOutcome) => void): void {
    this.#read<GetOutcome>(then, () => {
      const bytes = this.objects.get(name)
      if (bytes === undefined) return { kind: 'missing' }
      return { kind: 'found', bytes: range ? bytes.slice(range.from, range.to) : bytes.slice() }
    })
  }

  /** Page by page: what is put meanwhile is on a later page, or was before its turn came and is missed. */
  list(prefix: string, after: string | undefined, then: (outcome: ListOutcome) => void): void {
    const random = this.#random
    const names: string[] = []
    const pageNames = random.pick([1, 3, 1000, 1000])
    const page = (): void => {
      if (!this.available) return then({ kind: 'failed', reason: 'simulated' })
      const last = names.at(-1) ?? after
      const more = [...this.objects.keys()].filter((name) => name.startsWith(prefix) && (last === undefined || name > last)).sort()
      names.push(...more.slice(0, pageNames))
      if (more.length <= pageNames) this.#timeline.after(random.delayMs(this.faults.typicalMs), () => then({ kind: 'names', names }))
      else this.#timeline.after(random.delayMs(this.faults.typicalMs), page)
    }
    if (random.chance(this.faults.failed)) this.#timeline.after(random.delayMs(this.faults.typicalMs), () => then({ kind: 'failed', reason: 'simulated' }))
    else this.#timeline.after(random.delayMs(this.faults.typicalMs), page)
  }

  delete(name: string, then: (outcome: DeleteOutcome) => void): void {
    this.#read<DeleteOutcome>(then, () => {
      this.objects.delete(name)
      return { kind: 'deleted' }
    })
  }

  #read<T extends GetOutcome | DeleteOutcome>(then: (outcome: T | Failed) => void, look: () => T): void {
    const random = this.#random
    const failed = !this.available || random.chance(this.faults.failed)
    this.#timeline.after(random.delayMs(this.faults.typicalMs), () => {
      const outcome = failed ? ({ kind: 'failed', reason: 'simulated' } as const) : look()
      this.#timeline.after(random.delayMs(this.faults.typicalMs), () => then(outcome))
    })
  }
}
