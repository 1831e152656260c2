/**
 * Closed-loop load: each client sends its next patch when the last one is answered.
 *
 * `disjoint`: every client has states of its own and takes them in turn; each acknowledgement must carry the
 * index after the last. `shared`: all clients patch the first state; the acknowledged indexes together must
 * be the next n, each once.
 */
import { performance } from 'node:perf_hooks'
import { machineCpuMs, percentile, treeCpuMs } from '../measure.ts'
import { VALUE_LEAST } from './channel.ts'
import { openChannels } from './open-channels.ts'
import { count, type Faults, type Population } from './population.ts'

export type DriveOptions = {
  readonly clients: number
  readonly mode: 'disjoint' | 'shared'
  readonly warmUpMs: number
  readonly ms: number
  /** Root of the server's processes, for its CPU; undefined: not asked for. */
  readonly serverPid: number | undefined
}

export type DriveResult = {
  /** Acknowledged within the measured time ... */
  readonly acknowledged: number
  readonly seconds: number
  /** ... and over all, with warm-up and what was under way at the end. */
  readonly acknowledgedOverall: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly serverCpuMs: number
  readonly generatorCpuMs: number
  /** CPU of this machine that neither the server nor the generator used, hypervisor's theft included. */
  readonly othersCpuMs: number
  readonly faults: Faults
}

/** An answer that takes longer than this after the last request counts as missing. */
const DRAIN_MS = 10_000

export async function drive(population: Population, options: DriveOptions): Promise<DriveResult> {
  const { mode, clients } = options
  const channels = await openChannels(population.target, clients, { op: 'replace', keyed: false })
  const faults: Faults = {}
  const latencies: number[] = []
  const hot = new HotIndexes(population.ii[0]!)
  let measuring = false
  let stopped = false
  let overall = 0
  let live = clients
  const drained = Promise.withResolvers<void>()

  const startClient = (client: number): void => {
    const channel = channels[client]!
    let at = mode === 'shared' ? 0 : client
    let sentAt = 0
    const send = (): void => {
      if (stopped) return end()
      sentAt = performance.now()
      channel.patch(population.ids[at]!, population.nextValue(), '', onAnswer)
    }
    const onAnswer = (status: number, ii: number): void => {
      const right = mode === 'shared' ? hot.acknowledge(status, ii, faults) : population.acknowledge(at, status, ii, faults)
      if (right) overall += 1
      if (right && measuring) latencies.push(performance.now() - sentAt)
      if (status === 0) return end()
      if (mode === 'disjoint') at = at + clients < population.ids.length ? at + clients : client
      send()
    }
    const end = (): void => {
      live -= 1
      if (live === 0) drained.resolve()
    }
    send()
  }
  for (let client = 0; client < clients; client += 1) startClient(client)

  await Promise.race([sleep(options.warmUpMs), drained.promise])
  const before = cpuNow(options.serverPid)
  measuring = true
  await Promise.race([sleep(options.ms), drained.promise])
  measuring = false
  const after = cpuNow(options.serverPid)
  stopped = true
  await Promise.race([drained.promise, sleep(DRAIN_MS).then(() => count(faults, `no answer within ${DRAIN_MS} ms`))])
  for (const channel of channels) channel.close()
  if (mode === 'shared') population.ii[0] = hot.finish(faults)

  const sorted = Float64Array.from(latencies).sort()
  const serverCpuMs = after.serverMs - before.serverMs
  const generatorCpuMs = after.generatorMs - before.generatorMs
  return {
    acknowledged: latencies.length,
    seconds: (after.at - before.at) / 1000,
    acknowledgedOverall: overall,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    serverCpuMs,
    generatorCpuMs,
    othersCpuMs: after.machineMs - before.machineMs - (Number.isNaN(serverCpuMs) ? 0 : serverCpuMs) - generatorCpuMs,
    faults,
  }
}

/** The indexes acknowledged of one state that many clients patch: each once, and in the end all of them. */
class HotIndexes {
  readonly #from: number
  readonly #seen = new Set<number>()
  #greatest: number

  constructor(from: number) {
    this.#from = from
    this.#greatest = from
  }

  acknowledge(status: number, ii: number, faults: Faults): boolean {
    if (status !== 200) {
      count(faults, status === 0 ? 'connection cut' : `status ${status}`)
      return false
    }
    if (ii <= this.#from || this.#seen.has(ii)) {
      count(faults, 'ii acknowledged twice')
      return false
    }
    this.#seen.add(ii)
    this.#greatest = Math.max(this.#greatest, ii)
    return true
  }

  finish(faults: Faults): number {
    if (this.#seen.size !== this.#greatest - this.#from) count(faults, 'gap in the acknowledged ii')
    return this.#greatest
  }
}

/** Adds the counter to all states that have none, or replaces it `times` times in the first `states` of them. */
export async function fill(
  population: Population,
  options: { readonly clients: number; readonly op: 'add' | 'replace'; readonly states: number; readonly times: number; readonly keyed: boolean },
): Promise<{ readonly acknowledged: number; readonly seconds: number; readonly faults: Faults }> {
  const { states, times, keyed, op } = options
  const channels = await openChannels(population.target, Math.min(options.clients, states), { op, keyed })
  const faults: Faults = {}
  const startedAt = performance.now()
  let acknowledged = 0
  await Promise.all(
    channels.map(
      (channel, client) =>
        new Promise<void>((resolve) => {
          let at = client
          let left = times
          const send = (): void => {
            if (left === 0) {
              left = times
              at += channels.length
            }
            if (at >= states) return resolve()
            left -= 1
            const value = op === 'add' ? VALUE_LEAST : population.nextValue()
            channel.patch(population.ids[at]!, value, keyed ? population.nextKey() : '', (status, ii) => {
              if (population.acknowledge(at, status, ii, faults)) acknowledged += 1
              if (status === 0) return resolve()
              send()
            })
          }
          send()
        }),
    ),
  )
  for (const channel of channels) channel.close()
  return { acknowledged, seconds: (performance.now() - startedAt) / 1000, faults }
}

type Cpu = { readonly at: number; readonly serverMs: number; readonly generatorMs: number; readonly machineMs: number }

function cpuNow(serverPid: number | undefined): Cpu {
  const own = process.cpuUsage()
  const machine = machineCpuMs()
  return {
    at: performance.now(),
    serverMs: serverPid === undefined ? NaN : treeCpuMs(serverPid),
    generatorMs: (own.user + own.system) / 1000,
    machineMs: machine.busyMs + machine.stolenMs,
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
