/** Three state processes: throughput and CPU beside one, and how long a state is without its leader when that is killed. */
import type { Generator } from '../generator.ts'
import type { DriveResult } from '../load/drive.ts'
import type { Profile } from '../profile.ts'
import type { Report } from '../report.ts'
import { type RunningPlatform, startPlatform } from '../subjects/platform.ts'
import type { Workshop } from '../workshop.ts'

const STATE_PROCESSES = 3
/** With so many times the clients every log has its bundles full. */
const MANY_TIMES = 6
/** CPU an acknowledgement of three processes, of what one takes. */
const CPU_LIMIT = 1.3
const FAILOVER_LIMIT_MS = 3_000
const BEFORE_MS = 1_500
const AFTER_MS = 6_000

type Members = { readonly members?: readonly { readonly pid?: number; readonly slots?: number }[] }

export async function measureCluster(
  start: readonly string[],
  bareHttpPerSecond: number,
  workshop: Workshop,
  generator: Generator,
  profile: Profile,
  report: Report,
): Promise<void> {
  const failover = { title: 'failover, leader killed', reach: `next acknowledgement within ${FAILOVER_LIMIT_MS} ms` }
  const { clients } = profile
  const counts = [clients, clients * MANY_TIMES]
  const load = async (name: string, stateProcesses: number): Promise<{ readonly running: RunningPlatform; readonly loads: readonly DriveResult[] }> => {
    const running = await startPlatform(workshop, { name, start, stateProcesses })
    const { server, target } = running
    const made = await generator.ask('populate', { name, target, states: profile.states, clients, keyed: false })
    report.fault(name, made.faults)
    const loads: DriveResult[] = []
    for (const count of counts) {
      const result = await generator.ask('drive', { name, clients: count, mode: 'disjoint', warmUpMs: profile.firstWarmUpMs, ms: profile.loadMs, serverPid: server.pid })
      report.fault(name, result.faults)
      loads.push(result)
    }
    return { running, loads }
  }
  const one = await load('1 state process', 1)
  await one.running.server.stop()
  const name = `${STATE_PROCESSES} state processes`
  const { running, loads } = await load(name, STATE_PROCESSES)
  const { server, target } = running
  for (const [at, { acknowledged, seconds, p50Ms, ...of }] of loads.entries()) {
    const perSecond = acknowledged / seconds
    const cpuUs = (of.serverCpuMs * 1000) / acknowledged
    const cpuUsOfOne = (one.loads[at]!.serverCpuMs * 1000) / one.loads[at]!.acknowledged
    const ofClients = `${counts[at]} clients`
    report.row(`${name}, ${ofClients}`, `${perSecond.toFixed(0)}/s, ${(perSecond / bareHttpPerSecond).toFixed(2)} of bare-http with ${clients}, p50 ${p50Ms.toFixed(2)} ms`, '', undefined)
    report.row(
      `CPU an acknowledgement, ${ofClients}`,
      `${cpuUs.toFixed(0)} us, ${(cpuUs / cpuUsOfOne).toFixed(2)} of the ${cpuUsOfOne.toFixed(0)} us of 1 state process`,
      `at most ${CPU_LIMIT} of 1 state process`,
      cpuUs <= CPU_LIMIT * cpuUsOfOne,
    )
  }

  const answer = await fetch(`http://127.0.0.1:${target.port}/v1/cluster`, { headers: { authorization: `Bearer ${target.bearer}` } })
  const { members = [] } = (await answer.json()) as Members
  const leader = members.toSorted((a, b) => (b.slots ?? 0) - (a.slots ?? 0))[0]
  if (members.length < STATE_PROCESSES || leader?.pid === undefined) {
    report.skip(failover.title, failover.reach, `GET /v1/cluster (${answer.status}) names ${members.length} members with STATE_PROCESSES=${STATE_PROCESSES}`)
    await server.stop()
    return
  }
  const result = await generator.ask('chase', { name, clients, beforeMs: BEFORE_MS, afterMs: AFTER_MS, victimPid: leader.pid })
  report.fault('failover', result.faults)
  const retries = Object.entries(result.retries).map(([what, times]) => `${times} x ${what}`)
  report.row(
    failover.title,
    `${result.failoverMs.toFixed(0)} ms for the last of ${clients} states (${result.statesThatWaited} waited, middle ${result.failoverP50Ms.toFixed(0)} ms); retried: ${retries.join(', ') || 'nothing'}`,
    failover.reach,
    result.failoverMs <= FAILOVER_LIMIT_MS,
  )
  await server.stop()
}
