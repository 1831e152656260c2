/**
 * The tester tested: with any one safeguard of the protocol switched off, the simulator finds a violation. `SAFEGUARD_SEEDS`
 * looks further than 2,000 seeds; each search ends at the first find.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { PatchedCopy } from './patched-copy.ts'
import { safeguards, type Edit } from './safeguards.ts'

const SEEDS = Number(process.env['SAFEGUARD_SEEDS'] ?? 2_000)
/** As many as the machine that this has to fit has cores. */
const AT_ONCE = 2
const SEARCH_MS = 170_000
/** What stands in for the search where nothing is switched off. */
const CONTROL_SEEDS = 40

type Search = { readonly edits: readonly Edit[]; readonly from: number; readonly seeds: number; readonly found: (text: string) => void; readonly failed: (error: unknown) => void }

const searches: Search[] = []
const copies = new Set<PatchedCopy>()
const finds = new Map<string, Promise<string>>()

function search(edits: readonly Edit[], seeds: number, from = 1): Promise<string> {
  const text = new Promise<string>((found, failed) => searches.push({ edits, from, seeds, found, failed }))
  // Whoever asks for it hears of a failure; until then it is nobody's.
  text.catch(() => undefined)
  return text
}

async function work(): Promise<void> {
  for (let next = searches.shift(); next !== undefined; next = searches.shift()) {
    try {
      const copy = new PatchedCopy(next.edits)
      copies.add(copy)
      next.found(await copy.run(['--stop', '--seeds', String(next.seeds), '--from', String(next.from)]).finally(() => copy.remove()))
      copies.delete(copy)
    } catch (error) {
      next.failed(error)
    }
  }
}

beforeAll(() => {
  finds.set('nothing', search([], CONTROL_SEEDS))
  for (const { name, edits, from } of safeguards) finds.set(name, search(edits, SEEDS, from))
  for (let n = 0; n < AT_ONCE; n++) void work()
})

afterAll(() => {
  searches.length = 0
  for (const copy of copies) copy.remove()
})

test('with all of them on, a copy finds nothing', async () => expect(await finds.get('nothing')).toMatch(`${CONTROL_SEEDS} seeds, 0 failed`), SEARCH_MS)

test.each(safeguards.map(({ name }) => name))(
  'off: %s',
  async (name) => {
    const text = await finds.get(name)!
    const found = /^seed (\d+) failed: Violation: (.*)$/m.exec(text)
    if (found === null) throw new Error(`nothing within ${SEEDS} seeds: ${text.slice(-500)}`)
    process.stderr.write(`  [safeguards] ${name}: seed ${found[1]}, ${found[2]!.slice(0, 120)}\n`)
  },
  SEARCH_MS,
)
