/**
 * Lanes (a subject under one kind of load), one after the other and that several times over: the machine
 * gets slower and faster, so a lane is only compared with what ran next to it, in the same round.
 */
import type { Generator } from './generator.ts'
import { count, type Faults } from './load/population.ts'
import { median, type Spread, spread, treeCpuMs } from './measure.ts'
import type { Profile } from './profile.ts'
import type { Running } from './subjects/subject.ts'

export type Lane = {
  readonly name: string
  readonly running: Running
  /** Name of its states in the generator. */
  readonly population: string
  readonly clients: number
  readonly mode: 'disjoint' | 'shared'
  /** Of the profile's time. */
  readonly timeShare: number
}

type Round = {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuUsPerAcknowledgement: number
  readonly generatorShare: number
  readonly othersShare: number
}

export class LaneFigures {
  readonly lane: Lane
  readonly rounds: Round[] = []
  readonly faults: Faults = {}

  constructor(lane: Lane) {
    this.lane = lane
  }

  of(figure: keyof Round): Spread {
    return spread(this.rounds.map((round) => round[figure]))
  }

  /** Median over the rounds of this lane's figure divided by the other's in the same round. */
  ratio(figure: keyof Round, base: LaneFigures | undefined): number {
    return median(this.rounds.map((round, n) => round[figure] / (base?.rounds[n]?.[figure] ?? NaN)))
  }
}

export async function runRounds(
  generator: Generator,
  lanes: readonly Lane[],
  profile: Profile,
  progress: (text: string) => void,
): Promise<Map<string, LaneFigures>> {
  const figures = new Map(lanes.map((lane) => [lane.name, new LaneFigures(lane)]))
  for (let n = 0; n < profile.rounds; n += 1) {
    for (const lane of lanes) {
      await quiet(lanes.filter((other) => other.running !== lane.running).map((other) => other.running.server.pid))
      const result = await generator.ask('drive', {
        name: lane.population,
        clients: lane.clients,
        mode: lane.mode,
        warmUpMs: (n === 0 ? profile.firstWarmUpMs : profile.warmUpMs) * lane.timeShare,
        ms: profile.roundMs * lane.timeShare,
        serverPid: lane.running.server.pid,
      })
      const figure = figures.get(lane.name)!
      const wallMs = result.seconds * 1000
      const round = {
        perSecond: result.acknowledged / result.seconds,
        p50Ms: result.p50Ms,
        p99Ms: result.p99Ms,
        cpuUsPerAcknowledgement: (result.serverCpuMs * 1000) / result.acknowledged,
        generatorShare: result.generatorCpuMs / wallMs,
        othersShare: result.othersCpuMs / wallMs,
      }
      figure.rounds.push(round)
      if (result.acknowledged === 0) count(figure.faults, 'round without an acknowledgement')
      for (const [fault, times] of Object.entries(result.faults)) figure.faults[fault] = (figure.faults[fault] ?? 0) + times
      progress(`round ${n + 1}/${profile.rounds}  ${lane.name}: ${Math.round(round.perSecond)}/s, p50 ${round.p50Ms.toFixed(2)} ms`)
    }
  }
  return figures
}

const QUIET_SAMPLE_MS = 200
const QUIET_CPU_MS = 20
const QUIET_DEADLINE_MS = 3_000

/** Waits, for a while, until the other subjects have finished what their own load left them to do. */
async function quiet(pids: readonly number[]): Promise<void> {
  const cpuMs = (): number => [...new Set(pids)].reduce((sum, pid) => sum + treeCpuMs(pid), 0)
  for (let waited = 0; waited < QUIET_DEADLINE_MS; waited += QUIET_SAMPLE_MS) {
    const before = cpuMs()
    await new Promise((resolve) => setTimeout(resolve, QUIET_SAMPLE_MS))
    if (!(cpuMs() - before > QUIET_CPU_MS)) return
  }
}
