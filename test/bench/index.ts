/**
 * npm run bench: the figures of the architecture ("What it must reach"), side by side with the bare limits
 * in one run on one machine. `npm run bench -- --help` lists the options.
 *
 * Fails (exit 1) when an answer is wrong, lost or not a 200, or when what is there does not start; a figure
 * that falls short is printed and fails nothing: a noisy machine is no fault of the code.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { measureCluster } from './figures/cluster.ts'
import { measureFollowers } from './figures/followers.ts'
import { measureMemory } from './figures/memory.ts'
import { measureRestarts } from './figures/restart.ts'
import { LANES, throughputRows } from './figures/throughput.ts'
import { Generator } from './generator.ts'
import { machineCpuMs } from './measure.ts'
import { type Profile, quick, standard } from './profile.ts'
import { Report } from './report.ts'
import { type Lane, type LaneFigures, runRounds } from './rounds.ts'
import { bareHttp } from './subjects/bare-http.ts'
import { bareLog } from './subjects/bare-log.ts'
import { frameworkApi, frameworkBare } from './subjects/framework.ts'
import { handled, mirrored } from './subjects/configured.ts'
import { platform, type RunningPlatform } from './subjects/platform.ts'
import { stateProcessLink } from './subjects/state-process-link.ts'
import type { Running, Subject } from './subjects/subject.ts'
import { figureTable, laneTable } from './table.ts'
import { Workshop } from './workshop.ts'

const PARTS = ['rest', 'hot', 'mirror', 'latency', 'framework', 'link', 'followers', 'restart', 'memory', 'cluster'] as const
type Part = (typeof PARTS)[number]
/** Far above what a run takes: nothing may hang for ever. */
const OVERALL_DEADLINE_MS = 10 * 60_000

/** Other processes' CPU, of a core, from which on the figures are called noisy. */
const NOISE_SHARE = 0.25

const { values: args } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    start: { type: 'string', default: 'npm start --silent' },
    help: { type: 'boolean', default: false },
  },
})
if (args.help) {
  console.log(`npm run bench -- [--quick] [--only ${PARTS.join(',')}] [--start "<command>"]

--quick   about a minute instead of four, coarser
--only    one or more parts, separated by commas; the bare limits they are compared with always run
--start   another command that starts the platform, instead of "npm start --silent"`)
  process.exit(0)
}
const parts = new Set(args.only?.split(',') as Part[] | undefined) as ReadonlySet<Part>
const unknown = [...parts].filter((part) => !PARTS.includes(part))
if (unknown.length > 0) {
  console.error(`no part "${unknown.join(', ')}"; there are ${PARTS.join(', ')}`)
  process.exit(2)
}
const wanted = (part: Part): boolean => parts.size === 0 || parts.has(part)
const profile: Profile = args.quick ? quick : standard
const start = args.start.split(' ')

const workshop = new Workshop()
const generator = new Generator()
const report = new Report()
process.on('exit', () => {
  generator.kill()
  workshop.destroy()
})
process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))
process.on('SIGHUP', () => process.exit(129))
setTimeout(() => {
  console.error(`stopped: not done after ${OVERALL_DEADLINE_MS / 60_000} minutes`)
  process.exit(1)
}, OVERALL_DEADLINE_MS).unref()

const progress = (text: string): void => console.error(text)
/** Why a lane is missing. */
const reasons = new Map<string, string>()

/** The running subject with its states made, or undefined and a reason. */
async function enter(subject: Subject, required: boolean): Promise<Running | undefined> {
  progress(`starting ${subject.name}`)
  try {
    const running = await subject.start(workshop)
    const { faults } = await generator.ask('populate', {
      name: subject.name,
      target: running.target,
      states: profile.states,
      clients: profile.clients,
      keyed: false,
    })
    report.fault(`${subject.name}, making its states`, faults)
    return running
  } catch (error) {
    const reason = `not available: ${(error as Error).message}`
    reasons.set(subject.name, reason)
    if (required) report.fault(subject.name, { [reason]: 1 })
    return undefined
  }
}

/** A part of its own: what goes wrong in it is a fault of the run, and does not end it. */
async function part(name: Part, needs: Running | undefined, measure: () => Promise<void>): Promise<void> {
  if (!wanted(name)) return
  if (needs === undefined) return report.skip(name, '', reasons.get(LANES.rest) ?? 'not available')
  progress(`measuring ${name}`)
  try {
    await measure()
  } catch (error) {
    report.fault(name, { [(error as Error).message]: 1 })
  }
}

async function main(): Promise<void> {
  const before = machineCpuMs()
  const startedAt = Date.now()
  const lanes: Lane[] = []
  const lane = (name: string, subject: Subject, running: Running | undefined, options: Partial<Lane> = {}): void => {
    if (running === undefined) return void reasons.set(name, reasons.get(subject.name) ?? 'not available')
    lanes.push({ name, running, population: subject.name, clients: profile.clients, mode: 'disjoint', timeShare: 1, ...options })
  }

  const rest = platform(start)
  const needsPlatform = (['rest', 'hot', 'mirror', 'latency', 'followers', 'restart', 'memory', 'cluster'] as const).some(wanted)
  const http = await enter(bareHttp, true)
  const log = await enter(bareLog, true)
  const running = needsPlatform ? ((await enter(rest, true)) as RunningPlatform | undefined) : undefined
  lane(LANES.http, bareHttp, http)
  lane(LANES.log, bareLog, log)
  if (wanted('rest') || wanted('hot') || wanted('mirror')) lane(LANES.rest, rest, running)
  if (wanted('hot')) lane(LANES.hot, rest, running, { mode: 'shared' })
  if (wanted('mirror')) {
    const subject = mirrored(start)
    lane(LANES.mirrored, subject, await enter(subject, true))
    const both = handled(start)
    lane(LANES.handled, both, await enter(both, true))
  }
  if (wanted('framework')) {
    lane(LANES.frameworkBare, frameworkBare, await enter(frameworkBare, true))
    lane(LANES.framework, frameworkApi, await enter(frameworkApi, false))
  }
  if (wanted('link')) lane(LANES.link, stateProcessLink, await enter(stateProcessLink, false))
  if (wanted('latency')) {
    lane(LANES.logAlone, bareLog, log, { clients: 1, timeShare: 0.5 })
    lane(LANES.restAlone, rest, running, { clients: 1, timeShare: 0.5 })
  }

  const figures = await runRounds(generator, lanes, profile, progress)
  throughputRows(figures, reasons, report)
  for (const [name, { faults }] of figures) report.fault(name, faults)
  // What is measured next has the machine to itself.
  for (const one of new Set(lanes.map((entry) => entry.running))) if (one !== running) await one.server.stop()

  await part('followers', running, () => measureFollowers(running!, generator, profile, report))
  await part('restart', running, () => measureRestarts(running!, rest.name, start, workshop, generator, profile, report))
  await running?.server.stop()
  await part('memory', running, () => measureMemory(start, workshop, generator, profile, report))
  const bareHttpPerSecond = figures.get(LANES.http)?.of('perSecond').median ?? NaN
  await part('cluster', running, () => measureCluster(start, bareHttpPerSecond, workshop, generator, profile, report))

  print(figures, (Date.now() - startedAt) / 1000, (machineCpuMs().stolenMs - before.stolenMs) / (Date.now() - startedAt))
}

function print(figures: ReadonlyMap<string, LaneFigures>, seconds: number, stolenShare: number): void {
  const { states, clients, rounds, roundMs } = profile
  console.log(
    `\nPATCH over loopback, ${clients} clients, ${states} states, ${rounds} rounds of ${roundMs / 1000} s each, median; CPU shares are of one core.\n` +
      `${cpus().length} x ${cpus()[0]?.model ?? '?'}, Node ${process.version}, ${seconds.toFixed(0)} s, ${(stolenShare * 100).toFixed(1)} % of a core stolen by the hypervisor.\n`,
  )
  const others = Math.max(...[...figures.values()].map((lane) => lane.of('othersShare').median))
  if (others > NOISE_SHARE) console.log(`NOISE  other processes used up to ${(others * 100).toFixed(0)} % of a core: trust the ratios, and those with care.\n`)
  console.log(`${laneTable(figures, { http: LANES.http, log: LANES.log })}\n`)
  console.log(`${figureTable(report.rows)}\n`)
  for (const fault of report.faults) console.log(`FAULT  ${fault}`)
}

try {
  await main()
} catch (error) {
  report.fault('bench', { [(error as Error).stack ?? String(error)]: 1 })
  console.error((error as Error).stack)
}
process.exit(report.faults.length === 0 ? 0 : 1)
