/** Readings of time. Neither reading is trusted alone for a lease: elapsed time is the larger of the two differences. */
export interface Clock {
  /** ms since 1970, UTC. May jump either way. */
  wallMs(): number
  /** ms since a fixed moment of this process, with fractions. Never goes back; may stand still while the machine sleeps. */
  monotonicMs(): number
}
