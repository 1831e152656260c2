/**
 * Cold storage, `kill -9` under load, and starts with existing data: one story on one data directory.
 */
import type { Generator } from '../generator.ts'
import type { Profile } from '../profile.ts'
import type { Report } from '../report.ts'
import { startPlatform, type RunningPlatform } from '../subjects/platform.ts'
import type { Workshop } from '../workshop.ts'
import { deadLogObjects, measurePutsIdle, measurePutsUnderLoad, objectNames } from './cold-storage.ts'

const START_LIMIT_MS = 5_000
const RECOVERY_OBJECTS_LIMIT = 64
const SETTLE_MS = 2_000

/** Takes over `running`, whose states `population` knows, and ends it. */
export async function measureRestarts(
  running: RunningPlatform,
  population: string,
  start: readonly string[],
  workshop: Workshop,
  generator: Generator,
  profile: Profile,
  report: Report,
): Promise<void> {
  await measurePutsUnderLoad(running, population, generator, profile, report)

  const { dataDirectory } = running
  const again = { name: 'platform', start, dataDirectory, bearer: running.target.bearer }
  const before = objectNames(dataDirectory)
  const crashed = await generator.ask('crash', {
    name: population,
    clients: profile.clients,
    ms: profile.crashMs,
    groupPid: running.server.pid,
  })
  report.fault('kill -9', crashed.faults)
  await running.server.kill()
  const objects = deadLogObjects(before, objectNames(dataDirectory))

  const recovered = await startPlatform(workshop, again)
  await generator.ask('retarget', { name: population, target: recovered.target })
  const { readyMs } = recovered.server
  const firstMs = await generator.ask('firstAcknowledgement', { name: population, deadlineMs: 10_000 })
  // Of each state one patch can have been under way, and the first one has just got another.
  const lost = await generator.ask('verify', { name: population, unacknowledged: 2 })
  report.fault('after kill -9', lost)
  report.row(
    'start after kill -9 under load',
    `ready ${readyMs.toFixed(0)} ms, first acknowledgement ${firstMs.toFixed(0)} ms later; ${crashed.acknowledged} acknowledged, ${Object.keys(lost).length === 0 ? 'all there' : 'not all there'}`,
    `ready within ${START_LIMIT_MS} ms`,
    readyMs <= START_LIMIT_MS,
  )
  report.row('objects of the dead log', `${objects} (checkpoints not counted off)`, `recovery reads at most ${RECOVERY_OBJECTS_LIMIT}`, objects <= RECOVERY_OBJECTS_LIMIT)

  if (!(await recovered.server.stop())) report.fault('SIGTERM', { 'had to be killed': 1 })
  const restarted = await startPlatform(workshop, again)
  await generator.ask('retarget', { name: population, target: restarted.target })
  report.row('start with existing data', `ready ${restarted.server.readyMs.toFixed(0)} ms`, `within ${START_LIMIT_MS} ms`, restarted.server.readyMs <= START_LIMIT_MS)
  report.fault('after a stop', await generator.ask('verify', { name: population, unacknowledged: 0 }))
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  await measurePutsIdle(restarted, profile, report)
  await restarted.server.stop()
}
