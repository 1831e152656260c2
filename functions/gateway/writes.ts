/**
 * Writes that are under way in this process: a read that arrives after a write, of any session, sees it, although clients
 * do not wait for the answer.
 *
 * Owns: which writes there are. Does not own: their order (session.ts). Talks to: nothing.
 *
 * I1. Who waits here waits for what came before only: nobody waits for each other.
 */
export class Writes {
  readonly #underWay = new Map<string, Set<Promise<void>>>()

  /** `write` never rejects. */
  note(keys: readonly string[], write: Promise<void>): void {
    for (const key of keys) {
      const all = this.#underWay.get(key) ?? new Set()
      this.#underWay.set(key, all)
      all.add(write)
      write.then(() => {
        all.delete(write)
        if (all.size === 0 && this.#underWay.get(key) === all) this.#underWay.delete(key)
      }, noted)
    }
  }

  /** Resolves when the writes of `key` that there are now have been answered. */
  before(key: string): Promise<unknown> | undefined {
    const all = this.#underWay.get(key)
    return all === undefined ? undefined : Promise.all(all)
  }
}

function noted(): void {
  // It never rejects.
}
