/** `npm run sim -- --seeds N [--from S] [--stop]` runs seeds (until one fails); `npm run sim -- --seed S` replays one with its trace. */
import { parseArgs } from 'node:util'
import { simulate } from './world.ts'

const { values } = parseArgs({ options: { seeds: { type: 'string' }, seed: { type: 'string' }, from: { type: 'string' }, stop: { type: 'boolean' } } })

if (values.seed !== undefined) {
  const result = simulate({ seed: Number(values.seed), trace: (line) => process.stdout.write(`${line}\n`) })
  process.stdout.write(`seed ${values.seed} passed: ${JSON.stringify(result)}\n`)
} else {
  const from = Number(values.from ?? 1)
  const count = Number(values.seeds ?? 1000)
  let acknowledged = 0
  let failed = 0
  for (let seed = from; seed < from + count; seed++) {
    try {
      acknowledged += simulate({ seed }).acknowledged
    } catch (error) {
      failed += 1
      process.stdout.write(`seed ${seed} failed: ${error instanceof Error ? error.stack : error}\n  npm run sim -- --seed ${seed}\n`)
      if (values.stop) break
    }
  }
  process.stdout.write(`${count} seeds, ${failed} failed, ${acknowledged} acknowledged interactions\n`)
  process.exitCode = failed > 0 ? 1 : 0
}
