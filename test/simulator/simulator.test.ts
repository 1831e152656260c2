/**
 * Seeded runs of a whole cluster against promises P1 to P7. `SIM_SEEDS` and `SIM_FROM` run more, or others:
 * `SIM_FROM=1000000 SIM_SEEDS=100000 npm test -- --selectProjects simulator`.
 */
import { describe, expect, test } from '@jest/globals'
import { regressions } from './regressions.ts'
import { simulate, type RunResult } from './world.ts'

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 2_000)
const FROM = Number(process.env['SIM_FROM'] ?? 1)
const SEEDS_A_TEST = 500

function run(seed: number): RunResult {
  try {
    return simulate({ seed })
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n  replay it: npm run sim -- --seed ${seed}`, { cause: error })
  }
}

/** Everything that happened, line by line. */
function traceOf(seed: number): string {
  const lines: string[] = []
  const result = simulate({ seed, trace: (line) => lines.push(line) })
  return `${lines.join('\n')}\n${JSON.stringify(result)}`
}

describe('seeds that once failed', () => {
  test.each(regressions)('seed $seed: $found', ({ seed }) => {
    expect(run(seed).acknowledged).toBeGreaterThan(0)
  })
})

describe('the promises hold', () => {
  const starts = Array.from({ length: Math.ceil(SEEDS / SEEDS_A_TEST) }, (_, at) => FROM + at * SEEDS_A_TEST)
  test.each(starts.map((from) => ({ from, to: Math.min(from + SEEDS_A_TEST, FROM + SEEDS) - 1 })))(
    'seeds $from to $to',
    ({ from, to }) => {
      let acknowledged = 0
      let lives = 0
      for (let seed = from; seed <= to; seed++) {
        const result = run(seed)
        acknowledged += result.acknowledged
        lives += result.lives
      }
      // A generator that does nothing finds nothing.
      const seeds = to - from + 1
      expect(acknowledged).toBeGreaterThan(10 * seeds)
      expect(lives).toBeGreaterThan(2 * seeds)
    },
    Math.max(120_000, SEEDS_A_TEST * 1_000),
  )
})

describe('a run is made by its seed and by nothing else', () => {
  test.each([1, 20, 31, 77, 1234])('seed %i twice gives the same trace to the byte', (seed) => {
    const once = traceOf(seed)
    expect(once.length).toBeGreaterThan(100)
    expect(traceOf(seed)).toBe(once)
  })

  test('two seeds give two traces', () => expect(traceOf(1)).not.toBe(traceOf(2)))
})
