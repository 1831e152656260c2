/** The gateway on Google Cloud: published agents, and the REST API, on one port. */
import { createServer } from 'node:http'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { dieLoudly } from '#shared/die-loudly.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { composeApi, NEEDED } from '#functions/api/compose.ts'
import { DomainAgents } from '#functions/domain-agents/domain-agents.ts'
import { Gateway } from './gateway.ts'

/** Cloud Run gives 10 s. */
const STOP_MS = 9_000
/** Longer than the load balancer keeps a connection (600 s): one that it takes up again must not just be ending. */
const KEEP_ALIVE_MS = 620_000

const read = readSettings(process.env, { required: [...NEEDED, 'BEARER_KEY', 'NAME_KEY', 'DOMAIN_WORKER_URL'] })
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { settings } = read
const log = openLog({ level: settings.LOG_LEVEL, service: 'gateway' })
dieLoudly(log)
// A child of `npm run start:emulated`, which is gone.
process.on('disconnect', () => process.exit(0))
const { api, worker, stop: stopApi } = await composeApi({ settings, name: 'gateway', bearerKey: settings.BEARER_KEY, nameKey: settings.NAME_KEY, log })
const domainAgents = new DomainAgents({ domains: api.agentDomains, ground: api.ground, worker, log })
const gateway = new Gateway({ ground: domainAgents.ground, clock: systemClock, log })
domainAgents.open((transport) => gateway.open(transport))
const server = createServer(gateway.before(api.handler))
server.keepAliveTimeout = KEEP_ALIVE_MS
gateway.attach(server)
server.listen(settings.PORT, settings.HOST)

let isStopping = false
const stop = async (): Promise<void> => {
  if (isStopping) return
  isStopping = true
  setTimeout(() => process.exit(1), STOP_MS).unref()
  server.close()
  domainAgents.close()
  gateway.close()
  api.close()
  server.closeIdleConnections()
  await stopApi()
  process.exit(0)
}
process.on('SIGTERM', () => void stop())
// Ctrl-C reaches the whole group: whoever is our parent decides.
process.on('SIGINT', () => process.channel === undefined && void stop())
