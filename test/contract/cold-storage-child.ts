/** Puts objects until it is killed, and prints the name of each when it was stored. For cold-storage-contract.ts. */
import { writeSync } from 'node:fs'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import { contentOf } from './cold-storage-content.ts'

const [module, place, prefix] = process.argv.slice(2) as [string, string, string]
const { open } = (await import(module)) as { open: (place: string) => Promise<ColdStorage> }
const storage = await open(place)
let count = 0

async function lane(): Promise<void> {
  // A bound, in case nobody kills it.
  while (count < 100_000) {
    count += 1
    const name = `${prefix}/${count % 7}/${String(count).padStart(12, '0')}`
    const outcome = await storage.put(name, contentOf(name, 100 + ((count * 7_919) % 50_000)))
    if (outcome.kind !== 'stored') throw new Error(`${name}: ${JSON.stringify(outcome)}`)
    writeSync(1, `${name}\n`)
  }
}

await Promise.all([lane(), lane(), lane(), lane(), lane()])
