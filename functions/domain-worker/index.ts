/**
 * The domain worker: a process of its own, started, and started again, by `npm start`, which it tells its port; or a service on
 * Google Cloud.
 */
import { availableParallelism } from 'node:os'
import { randomUUID } from 'node:crypto'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { dieLoudly } from '#shared/die-loudly.ts'
import type { Incarnation } from '#shared/ids.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { SandboxHost } from '#functions/domain-worker/host.ts'
import { serveDomainWorker } from '#functions/domain-worker/serve.ts'

const read = readSettings(process.env)
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { settings } = read
const log = openLog({ level: settings.LOG_LEVEL, service: 'domain-worker' })
dieLoudly(log)
const sandboxes = new SandboxHost({
  memoryBytes: Math.max(16, settings.SANDBOX_MEMORY_MIB) * 2 ** 20,
  sliceMs: settings.SANDBOX_SLICE_MS,
  callMs: settings.HANDLER_CALL_MS,
  resultBytes: settings.HANDLER_RESULT_KIB * 1024,
  agentCalls: settings.HANDLER_AGENT_CALLS,
  agentBytes: settings.HANDLER_AGENT_KIB * 1024,
  living: settings.SANDBOXES,
  running: settings.SANDBOXES_RUNNING ?? availableParallelism(),
  warm: settings.SANDBOXES_WARM,
})
const server = await serveDomainWorker({
  sandboxes,
  host: settings.HOST,
  port: settings.PORT,
  // The libraries of Google Cloud are loaded where they are used.
  credentials: settings.LINK_ID_TOKENS ? (await import('#functions/google-cloud/compose.ts')).idTokenCredentials(settings, log) : sharedSecret(secret(settings.DATA_DIR, 'link.key', 32)),
  incarnation: randomUUID() as Incarnation,
})
process.send?.({ port: server.port })

const stop = async (): Promise<void> => {
  sandboxes.close()
  await server.close()
  process.exit(0)
}
// Signals reach the whole group: a parent decides, so that its api can still be served while it drains.
process.on('SIGTERM', () => process.channel === undefined && void stop()).on('SIGINT', () => undefined)
process.on('disconnect', () => void stop())
