import type { Clock } from '#shared/ports/clock.ts'

/** The clocks of the machine. `performance.now` is CLOCK_MONOTONIC, which does not count a suspended machine's sleep. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}
