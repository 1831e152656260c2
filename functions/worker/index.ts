/** The domain worker as a child process: composition. It ends with the process that started it. */
import { dieLoudly } from '#shared/die-loudly.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import type { FromWorker, ToWorker } from './messages.ts'
import { Sandboxes } from './sandboxes.ts'
import { WorkerService } from './service.ts'

const read = readSettings(process.env)
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { settings } = read
dieLoudly(openLog({ level: settings.LOG_LEVEL, service: 'domain-worker' }))
const sandboxes = new Sandboxes({
  memoryBytes: settings.SANDBOX_MEMORY_MIB * 2 ** 20,
  sliceMs: settings.SANDBOX_SLICE_MS,
  callMs: settings.HANDLER_CALL_MS,
  resultCharacters: settings.HANDLER_RESULT_KIB * 1024,
  agentCalls: settings.HANDLER_AGENT_CALLS,
  agentCharacters: settings.HANDLER_AGENT_KIB * 1024,
})
const service = new WorkerService(sandboxes, (batch: readonly FromWorker[]) => void process.send?.(batch))
process.on('message', (batch: readonly ToWorker[]) => service.take(batch))
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => process.exit(0))
