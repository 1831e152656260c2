/** Simulated time: what is to happen, in order of time and then of arrival. */
type Entry = { readonly at: number; readonly order: number; readonly run: () => void }

export class Timeline {
  nowMs = 0
  #heap: Entry[] = []
  #order = 0

  after(delayMs: number, run: () => void): void {
    const entry = { at: this.nowMs + delayMs, order: this.#order++, run }
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  /** Runs what comes next. False: nothing is left. */
  step(): boolean {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined) return false
    const last = heap.pop()!
    if (heap.length > 0) {
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
        if (!before(heap[child]!, last)) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = last
    }
    this.nowMs = first.at
    first.run()
    return true
  }
}

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
