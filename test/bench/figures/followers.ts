import type { Generator } from '../generator.ts'
import type { Profile } from '../profile.ts'
import type { Report } from '../report.ts'
import type { Running } from '../subjects/subject.ts'

const PAUSE_MS = 15
const LIMIT_MS = 20

/** All followers of one state, and one client that patches it at a steady pace. */
export async function measureFollowers(running: Running, generator: Generator, profile: Profile, report: Report): Promise<void> {
  const name = 'followed'
  const made = await generator.ask('populate', { name, target: running.target, states: 1, clients: 1, keyed: false })
  report.fault('followers', made.faults)
  const result = await generator.ask('follow', { name, followers: profile.followers, patches: profile.followedPatches, pauseMs: PAUSE_MS })
  report.fault('followers', result.faults)
  report.row(
    `${profile.followers} followers of one state`,
    `last has it: p50 ${result.lastP50Ms.toFixed(1)}, p99 ${result.lastP99Ms.toFixed(1)}, most ${result.greatestMs.toFixed(1)} ms; each p99 ${result.eachP99Ms.toFixed(1)} ms`,
    `within ${LIMIT_MS} ms of the acknowledgement, p99`,
    result.lastP99Ms <= LIMIT_MS,
  )
}
