/** What a longer run sets in the environment; the defaults keep the whole folder under 90 s on two cores. */

function count(name: string, byDefault: number): number {
  const text = process.env[name]
  if (text === undefined || text === '') return byDefault
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} must be a whole number from 1, not ${text}`)
  return value
}

export const knobs = {
  /** Rounds of load and kill -9. */
  rounds: count('FAULT_ROUNDS', 6),
  /** Seconds of 64 writers and 100 followers on one state. */
  seconds: count('FAULT_SECONDS', 5),
  /** Interactions of the state with the long history. */
  interactions: count('FAULT_INTERACTIONS', 20_000),
  seed: count('FAULT_SEED', 1 + (Date.now() % 1_000_000)),
} as const

/** A figure of interest; never asserted on. */
export function report(text: string): void {
  process.stderr.write(`  [faults] ${text}\n`)
}
