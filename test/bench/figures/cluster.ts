/** Three state processes: throughput, and how long a state is without its leader when that is killed. */
import type { Generator } from '../generator.ts'
import type { Profile } from '../profile.ts'
import type { Report } from '../report.ts'
import { startPlatform } from '../subjects/platform.ts'
import type { Workshop } from '../workshop.ts'

const STATE_PROCESSES = 3
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
  const name = 'cluster'
  const failover = { title: 'failover, leader killed', reach: `next acknowledgement within ${FAILOVER_LIMIT_MS} ms` }
  const running = await startPlatform(workshop, { name, start, stateProcesses: STATE_PROCESSES })
  const { server, target } = running
  const { states, clients } = profile
  const made = await generator.ask('populate', { name, target, states, clients, keyed: false })
  report.fault('3 processes', made.faults)
  const load = await generator.ask('drive', { name, clients, mode: 'disjoint', warmUpMs: profile.firstWarmUpMs, ms: profile.loadMs, serverPid: server.pid })
  report.fault('3 processes', load.faults)
  const perSecond = load.acknowledged / load.seconds
  report.row(
    `${STATE_PROCESSES} state processes`,
    `${perSecond.toFixed(0)}/s, ${(perSecond / bareHttpPerSecond).toFixed(2)} of bare-http, p50 ${load.p50Ms.toFixed(2)} ms, ${((load.serverCpuMs * 1000) / load.acknowledged).toFixed(0)} us server CPU`,
    '',
    undefined,
  )

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
