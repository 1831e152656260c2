/** Waiting for what happens, with a deadline: whoever changes something rings, whoever waits looks again. */

export class Bell {
  #waiting = new Set<() => void>()

  ring(): void {
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const wake of waiting) wake()
  }

  /** Resolves when `condition` holds. Rejects with what was waited for when the deadline passes first. */
  async until(condition: () => boolean, options: { readonly what: string | (() => string); readonly deadlineMs: number }): Promise<void> {
    if (condition()) return
    const { what, deadlineMs } = options
    let wake = (): void => undefined
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      wake()
    }, deadlineMs)
    try {
      while (!condition()) {
        if (isLate) throw new Error(`not within ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`)
        await new Promise<void>((resolve) => {
          wake = resolve
          this.#waiting.add(resolve)
        })
      }
    } finally {
      clearTimeout(timer)
    }
  }
}

/** `promise`, or a rejection that says what did not happen in time. */
export async function within<T>(promise: Promise<T>, deadlineMs: number, what: string | (() => string)): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`)), deadlineMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
