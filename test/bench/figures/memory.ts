/**
 * What a tracked state costs beyond its JSON: heap and external memory after a collection, over many states
 * that got one keyed patch each, plus what further keys cost, taken from some of them.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import type { Generator } from '../generator.ts'
import { residentBytes, treeCpuMs } from '../measure.ts'
import { KEYS_IN_WINDOW, type Profile } from '../profile.ts'
import type { Report } from '../report.ts'
import { startPlatform } from '../subjects/platform.ts'
import type { Server, Workshop } from '../workshop.ts'

const LIMIT_BYTES = 2_048
const CLIENTS = 64
const PROBE_DEADLINE_MS = 15_000
const SETTLE_MS = 5_000

export async function measureMemory(start: readonly string[], workshop: Workshop, generator: Generator, profile: Profile, report: Report): Promise<void> {
  const name = 'memory'
  const running = await startPlatform(workshop, { name, start, probe: true })
  const { server, target } = running
  const { memoryStates: states, memoryKeyedStates: keyedStates } = profile
  const empty = await memory(workshop, server)
  const made = await generator.ask('populate', { name, target, states, clients: CLIENTS, keyed: true })
  report.fault('memory', made.faults)
  const oneKey = await memory(workshop, server)
  const keyed = await generator.ask('fill', { name, states: keyedStates, times: KEYS_IN_WINDOW - 1, clients: CLIENTS })
  report.fault('memory', keyed.faults)
  const allKeys = await memory(workshop, server)

  const id = await generator.ask('id', { name, at: 0 })
  const answer = await fetch(`http://127.0.0.1:${target.port}/v1/states/${id}`, { headers: { authorization: `Bearer ${target.bearer}` } })
  const jsonBytes = Buffer.byteLength(await answer.text())
  const stateBytes = (oneKey.keptBytes - empty.keptBytes) / states
  const keyBytes = (allKeys.keptBytes - oneKey.keptBytes) / (keyedStates * (KEYS_IN_WINDOW - 1))
  const aboveJson = stateBytes + (KEYS_IN_WINDOW - 1) * keyBytes - jsonBytes
  const residentPerState = (oneKey.residentBytes - empty.residentBytes) / states
  report.row(
    `memory, ${states} tracked states`,
    `${aboveJson.toFixed(0)} B above the JSON (${jsonBytes} B) with ${KEYS_IN_WINDOW} keys: ${stateBytes.toFixed(0)} B heap with one, ${keyBytes.toFixed(0)} B a further key; RSS ${residentPerState.toFixed(0)} B a state, ${(allKeys.residentBytes / 2 ** 20).toFixed(0)} MiB in all`,
    `under ${LIMIT_BYTES} B`,
    aboveJson < LIMIT_BYTES,
  )
  // Not SIGTERM: it would write an ID file for each of them.
  await server.stop()
}

type Memory = { readonly keptBytes: number; readonly residentBytes: number }

async function memory(workshop: Workshop, server: Server): Promise<Memory> {
  await settled(server)
  const pid = server.serverPid
  const file = workshop.path(`${pid}.json`)
  rmSync(file, { force: true })
  process.kill(pid, 'SIGUSR2')
  for (let waited = 0; !existsSync(file); waited += 20) {
    if (waited > PROBE_DEADLINE_MS) throw new Error('the server did not tell its memory use')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const usage = JSON.parse(readFileSync(file, 'utf8')) as NodeJS.MemoryUsage
  return { keptBytes: usage.heapUsed + usage.external, residentBytes: residentBytes(pid) }
}

/** Until what the load left behind is written, or for a while: what is kept for good counts, not what is on its way. */
async function settled(server: Server): Promise<void> {
  for (let waited = 0; waited < SETTLE_MS; waited += 500) {
    const before = treeCpuMs(server.pid)
    await new Promise((resolve) => setTimeout(resolve, 500))
    if (!(treeCpuMs(server.pid) - before > 50)) return
  }
}
