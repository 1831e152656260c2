/** Everything that is left to chance comes from one seed (mulberry32, Tommy Ettinger 2017). */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0
  }
  /** 0 <= x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }
  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)]!
  }
  /** Mostly short, sometimes very long: what real delays look like. */
  delayMs(typicalMs: number): number {
    const u = this.next()
    return u < 0.9 ? this.between(1, typicalMs) : u < 0.99 ? this.between(typicalMs, typicalMs * 10) : this.between(typicalMs * 10, typicalMs * 100)
  }
}
