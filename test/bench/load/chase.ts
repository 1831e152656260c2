/**
 * Load over a fault: clients that do not give up. What is not answered with 200 is sent again under the same
 * Idempotency-Key, over a new connection if the old one was cut, so that each acknowledgement still has
 * exactly one right index.
 */
import { performance } from 'node:perf_hooks'
import type { Channel } from './channel.ts'
import { sleep } from './drive.ts'
import { openChannels } from './open-channels.ts'
import { count, type Faults, type Population } from './population.ts'

export type ChaseOptions = {
  /** One state each. */
  readonly clients: number
  readonly beforeMs: number
  readonly afterMs: number
  /** Gets SIGKILL at `beforeMs`. */
  readonly victimPid: number
}

export type ChaseResult = {
  /** From the kill to the first acknowledgement of a request sent after it: the state that waited longest, ... */
  readonly failoverMs: number
  /** ... and the middle one, which the victim led or not. */
  readonly failoverP50Ms: number
  readonly statesThatWaited: number
  readonly perSecondBefore: number
  /** Answers on the way that asked to try again: expected here. */
  readonly retries: Faults
  readonly faults: Faults
}

const RETRY_PAUSE_MS = 20
/** A state waited for the fail-over if it was without acknowledgement for longer than this. */
const WAITED_MS = 200

export async function chase(population: Population, options: ChaseOptions): Promise<ChaseResult> {
  const retries: Faults = {}
  const faults: Faults = {}
  const firstAfter = Array.from({ length: options.clients }, () => Infinity)
  let killedAt = Infinity
  let stopped = false
  let acknowledged = 0

  const runClient = async (at: number): Promise<void> => {
    let channel = await openOne(population)
    while (!stopped) {
      const sentAt = performance.now()
      const key = population.nextKey()
      const value = population.nextValue()
      for (;;) {
        const answer = await patch(channel, population.ids[at]!, value, key)
        if (answer.status === 200) {
          population.acknowledge(at, answer.status, answer.ii, faults)
          acknowledged += 1
          if (sentAt > killedAt) firstAfter[at] = Math.min(firstAfter[at]!, performance.now())
          break
        }
        if (stopped) break
        count(answer.status === 0 || answer.status === 503 ? retries : faults, answer.status === 0 ? 'connection cut' : `status ${answer.status}`)
        await sleep(RETRY_PAUSE_MS)
        if (answer.status === 0) channel = await openOne(population).catch(() => channel)
      }
    }
    channel.close()
  }
  const clients = Array.from({ length: options.clients }, (_, at) => runClient(at))
  await sleep(options.beforeMs)
  const perSecondBefore = acknowledged / (options.beforeMs / 1000)
  process.kill(options.victimPid, 'SIGKILL')
  killedAt = performance.now()
  await sleep(options.afterMs)
  stopped = true
  await Promise.all(clients)

  const waits = firstAfter.map((at) => at - killedAt).sort((a, b) => a - b)
  if (waits.at(-1) === Infinity) count(faults, `state without an acknowledgement ${options.afterMs} ms after the kill`)
  return {
    failoverMs: waits.at(-1)!,
    failoverP50Ms: waits[Math.floor(waits.length / 2)]!,
    statesThatWaited: waits.filter((wait) => wait > WAITED_MS).length,
    perSecondBefore,
    retries,
    faults,
  }
}

async function openOne(population: Population): Promise<Channel> {
  const [channel] = await openChannels(population.target, 1, { op: 'replace', keyed: true })
  return channel!
}

function patch(channel: Channel, id: string, value: number, key: string): Promise<{ readonly status: number; readonly ii: number }> {
  return new Promise((resolve) => channel.patch(id, value, key, (status, ii) => resolve({ status, ii })))
}
