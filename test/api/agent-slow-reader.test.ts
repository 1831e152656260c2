/** A client that takes nothing is cut off before it costs others, and has missed nothing when it comes back. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { loadClients } from '../support/agents.ts'
import type { Clients, TestAgent, Version } from '../support/agents.ts'
import { startMemoryGateways } from '../support/memory-gateways.ts'
import type { MemoryGateways } from '../support/memory-gateways.ts'
import { eventually } from '../support/postgres.ts'

/** More than what the server keeps for a connection, and the operating system in both of its ends. */
const COUNT = 240
const TEXT = 'x'.repeat(64 * 1024)

let clients: Clients
let gateways: MemoryGateways

beforeAll(async () => {
  clients = await loadClients()
})
afterAll(() => clients?.close())
afterEach(() => gateways?.stop())

test.each<Version>(['0.9.155', '0.9.193'])('a client %s that stops reading is cut off, others get everything, and it does when it is back', async (version) => {
  gateways = await startMemoryGateways([{ authorizeDefault: 'allow' }])
  const { port, logged } = gateways.all[0]!
  const writer = clients.open(version, { port })
  const { auth } = await writer.agent.environment()
  const [slow, quick] = [await Watcher.open(version, port, auth.user), await Watcher.open(version, port, auth.user)]
  await eventually(() => expect(() => slow.agent.stopReading()()).not.toThrow())
  const goOn = slow.agent.stopReading()
  for (let n = 1; n <= COUNT; n++) await writer.agent.interact('heavy', [{ op: 'add', path: ['active', 'value'], value: { n, text: TEXT } }])
  await eventually(() => expect(logged).toContainEqual(expect.objectContaining({ message: 'a slow agent was cut off' })))
  await eventually(() => expect(quick.seen).toEqual(Array.from({ length: COUNT + 1 }, (_, n) => n)))
  expect(slow.seen.length).toBeLessThan(COUNT)
  expect([quick.agent.connections(), slow.agent.connections()]).toEqual([1, 1])
  goOn()
  await eventually(() => expect(slow.seen).toEqual(quick.seen), 30_000)
  expect(slow.agent.connections()).toBeGreaterThan(1)
  expect([slow.agent.rebooted(), quick.agent.connections()]).toEqual([0, 1])
  for (const { leave } of [writer, slow.agent, quick.agent]) leave()
})

class Watcher {
  readonly seen: number[] = []
  readonly agent: TestAgent

  private constructor(agent: TestAgent) {
    this.agent = agent
  }

  static async open(version: Version, port: number, user: string): Promise<Watcher> {
    const watcher = new Watcher(clients.open(version, { port }))
    watcher.agent.agent.watch('heavy', ({ state }: { state: { value?: { n: number } } }) => watcher.seen.push(state.value?.n ?? 0), user)
    await eventually(() => expect(watcher.seen).toEqual([0]))
    return watcher
  }
}
