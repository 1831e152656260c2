/**
 * The whole platform on one machine: the api's handler over state processes on a folder, in this process or in
 * processes of their own. What mounts the handler on a server is the entry's business.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { leaveCleanMark, takeCleanMark } from '#shared/adapters/embedded/clean-mark.ts'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { lockDataDirectory, secret, type DataDirectoryLock } from '#shared/adapters/embedded/data-directory.ts'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import { openDomainRegistry } from '#shared/adapters/embedded/domain-registry.ts'
import { openFanOut } from '#shared/adapters/embedded/fan-out.ts'
import { startPostgres } from '#shared/adapters/embedded/postgres-server.ts'
import { openUploads } from '#shared/adapters/embedded/uploads.ts'
import { openCodeExchange } from '#shared/adapters/network/code-exchange.ts'
import { openDomainProof } from '#shared/adapters/network/domain-proof.ts'
import { AwaitedServer } from '#shared/adapters/postgres/awaited-server.ts'
import { connectionLimits } from '#shared/adapters/postgres/database-limits.ts'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import { DomainWorkerClient } from '#shared/link/domain-worker-client.ts'
import { DirectoryRoutes } from '#shared/link/directory-routes.ts'
import { RoutedCluster, type Routes } from '#shared/link/routed-cluster.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Log } from '#shared/log.ts'
import { allStates, statesInLogs } from '#shared/mirror/survey.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import type { Directory } from '#shared/ports/directory.ts'
import type { Settings } from '#shared/settings.ts'
import { Origins } from '#functions/api/cors.ts'
import { claimedDomains, createApi, type Api } from '#functions/api/index.ts'
import { DomainAgents } from '#functions/domain-agents/domain-agents.ts'
import { apiSettingsOf } from '#functions/api/parts.ts'
import { Gateway } from '#functions/gateway/gateway.ts'
import { runRetention } from '#functions/scheduled/retention.ts'
import { Repeated } from '#functions/local/repeated.ts'
import { Supervisor } from '#functions/local/supervisor.ts'
import { WatchedChild } from '#functions/local/watched-child.ts'
import { localRoutes } from '#functions/state-process/local-routes.ts'
import { startStateProcess } from '#functions/state-process/process.ts'

/** What `npm start` sets where the environment says nothing. */
export const PRESETS = { OPEN_DOMAINS: 'true', LOCAL_ISSUER: 'true', CLUSTER_INFO: 'true' }

const LOCK_ATTEMPTS = 10
const LOCK_PAUSE_MS = 200
const RETENTION_RUN_MS = 3_600_000
const CLOSE_SESSIONS_PAUSE_MS = 60_000
const CLOSE_SESSIONS_RETRY_MS = 1_000

export type Platform = {
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void
  /** Takes the upgrades of a server that has `handler`: published agents. */
  attach(server: Server): void
  /** What is missing before it serves; empty when ready. */
  missing(): readonly string[]
  /** Ends streams, so that a server can close. */
  endStreams(): void
  stop(): Promise<void>
}

/** The folder belongs to another start that lives. */
export class DataDirectoryTaken extends Error {
  override name = 'DataDirectoryTaken'
}

/** Throws `DataDirectoryTaken`. */
export async function composePlatform(settings: Settings, log: Log): Promise<Platform> {
  const { DATA_DIR } = settings
  const lock = await lockPatiently(DATA_DIR)
  const onFault = ({ what, reason }: { what: string; reason: string }): void => log.warn({ what, reason }, 'storage fault')
  const directory = await openDirectory({ folder: join(DATA_DIR, 'directory'), onFault })
  const state = settings.STATE_PROCESSES === 1 ? await inThisProcess(settings, directory, log) : await inProcessesOfTheirOwn(settings, directory, log)
  const cluster = new RoutedCluster(state.routes, systemClock)
  const apiSettings = apiSettingsOf(settings)
  const registry = await openDomainRegistry({ folder: join(DATA_DIR, 'domains') })
  const origins = new Origins({ settings: apiSettings, domains: claimedDomains(registry) })
  const postgresKey = secret(DATA_DIR, 'postgres.key', 32)
  const postgres = new AwaitedServer({ start: () => startPostgres({ dataDir: DATA_DIR, key: postgresKey, databaseUrl: settings.DATABASE_URL, log }), log })
  const database = openDomainDatabase({ admin: postgres.admin, key: postgresKey, log, limits: connectionLimits(settings.MAX_DATABASE_CONNECTIONS) })
  const uploads = openUploads({
    folder: join(DATA_DIR, 'uploads'),
    key: secret(DATA_DIR, 'uploads.key', 32),
    limitBytes: settings.UPLOAD_LIMIT_MIB * 2 ** 20,
    allowsOrigin: (origin) => origins.allows(origin),
    clock: systemClock,
    onFault,
  })
  const worker = new DomainWorkerClient({ credentials: sharedSecret(secret(DATA_DIR, 'link.key', 32)), name: 'api' })
  const workerProcess = new WatchedChild({
    name: 'domain-worker',
    entry: new URL('../domain-worker/index.ts', import.meta.url),
    environment: { DATA_DIR, ...handlerSettings(settings) },
    onPort: (port) => worker.at(port === undefined ? undefined : `127.0.0.1:${port}`),
    log,
  })
  const api = createApi({
    cluster,
    uploads,
    settings: apiSettings,
    secrets: {
      bearerKey: secret(DATA_DIR, 'bearer.key', 32),
      nameKey: secret(DATA_DIR, 'name.key', 32),
      localIssuerKey: settings.LOCAL_ISSUER ? secret(DATA_DIR, 'local-issuer.key', 32) : undefined,
      operatorToken: settings.OPERATOR_TOKEN,
    },
    registry,
    database,
    proof: openDomainProof(),
    worker,
    encryptedTokens: settings.AGENT_TOKEN_KEY === undefined ? undefined : { key: settings.AGENT_TOKEN_KEY, exchange: openCodeExchange(settings.AGENT_PROVIDERS) },
    survey: () => allStates({ coldStorage: state.coldStorage, onUnread: unread(log) }),
    clock: systemClock,
    log,
  })
  const domainAgents = new DomainAgents({ domains: api.agentDomains, ground: api.ground, worker, log })
  const gateway = new Gateway({ ground: domainAgents.ground, clock: systemClock, log })
  domainAgents.open((transport) => gateway.open(transport))
  const aloneSinceMs = systemClock.wallMs()
  const closeSessions = new Repeated({
    run: async () => (await api.closeSilentSessions(settings.SESSION_SILENCE_MINUTES * 60_000, aloneSinceMs)).isWhole,
    pauseMs: CLOSE_SESSIONS_PAUSE_MS,
    firstRetryMs: CLOSE_SESSIONS_RETRY_MS,
    onFailure: (error) => log.warn({ reason: error instanceof Error ? error.message : 'unknown' }, 'silent sessions could not be closed; the next run does it'),
  })
  api.resumeConfigurations(0).catch((error: unknown) => log.error({ err: error }, 'configurations that were being applied could not be looked for'))
  if (!takeCleanMark(DATA_DIR)) recoverMirror(api, state.coldStorage, log)
  return {
    handler: gateway.before(uploads.before(api.handler)),
    attach: (server) => gateway.attach(server),
    missing: () => cluster.missing(),
    endStreams: () => {
      domainAgents.close()
      gateway.close()
      api.close()
    },
    stop: async () => {
      closeSessions.stop()
      domainAgents.close()
      gateway.close()
      api.close()
      await uploads.close()
      // While states can still be read.
      const isInOrder = await api.isMirrorCurrent()
      await state.stop()
      cluster.close()
      await worker.close()
      await workerProcess.stop()
      await database.close()
      await postgres.stop()
      await registry.close()
      await directory.close()
      if (isInOrder) leaveCleanMark(DATA_DIR)
      await lock.release()
    },
  }
}

/** State processes as the api sees them, and their end. */
type StateProcesses = { readonly routes: Routes; readonly coldStorage: ColdStorage; stop(): Promise<void> }

async function inThisProcess(settings: Settings, directory: Directory, log: Log): Promise<StateProcesses> {
  const onFault = ({ what, reason }: { what: string; reason: string }): void => log.warn({ what, reason }, 'storage fault')
  const coldStorage = await openColdStorage({ directory: join(settings.DATA_DIR, 'cold-storage'), onFault })
  const fanOut = openFanOut()
  const name = 'state-process-0'
  const retention = retain(settings, coldStorage, log)
  const stateProcess = await startStateProcess({ name, links: undefined, gapRule: settings.GAP_RULE, coldStorage, directory, fanOut, clock: systemClock, log })
  return {
    routes: localRoutes(name, stateProcess),
    coldStorage,
    stop: async () => {
      clearInterval(retention)
      await stateProcess.stop()
      await fanOut.close()
      await coldStorage.close()
    },
  }
}

async function inProcessesOfTheirOwn(settings: Settings, directory: Directory, log: Log): Promise<StateProcesses> {
  const { DATA_DIR, LOG_LEVEL, GAP_RULE, STATE_PROCESSES } = settings
  const credentials = sharedSecret(secret(DATA_DIR, 'link.key', 32))
  const names = Array.from({ length: STATE_PROCESSES }, (_, at) => `state-process-${at}`)
  const environment = { DATA_DIR, LOG_LEVEL, GAP_RULE }
  const supervisor = new Supervisor({ names, environment, directory, log })
  const coldStorage = await openColdStorage({ directory: join(DATA_DIR, 'cold-storage') })
  const retention = retain(settings, coldStorage, log)
  return {
    routes: new DirectoryRoutes({ directory, credentials, name: 'api', expected: STATE_PROCESSES }),
    coldStorage,
    stop: async () => {
      clearInterval(retention)
      await supervisor.stop()
      await coldStorage.close()
    },
  }
}

/** What the domain worker is told: its bounds, and nothing else of this process. */
function handlerSettings({ LOG_LEVEL, SANDBOX_MEMORY_MIB, SANDBOX_SLICE_MS, HANDLER_CALL_MS, HANDLER_RESULT_KIB, HANDLER_AGENT_CALLS, HANDLER_AGENT_KIB, SANDBOXES, SANDBOXES_RUNNING, SANDBOXES_WARM }: Settings): Readonly<Record<string, string>> {
  const numbers = { SANDBOX_MEMORY_MIB, SANDBOX_SLICE_MS, HANDLER_CALL_MS, HANDLER_RESULT_KIB, HANDLER_AGENT_CALLS, HANDLER_AGENT_KIB, SANDBOXES, SANDBOXES_RUNNING, SANDBOXES_WARM }
  return { LOG_LEVEL, ...Object.fromEntries(Object.entries(numbers).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))) }
}

/** What was stored when the last life ended, and did not reach the tables. */
function recoverMirror(api: Api, coldStorage: ColdStorage, log: Log): void {
  api.recoverMirror(statesInLogs({ coldStorage, onUnread: unread(log) })).catch((error: unknown) => {
    log.error({ reason: error instanceof Error ? error.message : 'unknown' }, 'the tables of domains could not be recovered: npm run mirror:rebuild makes them anew')
  })
}

function unread(log: Log): (name: string, reason: string) => void {
  return (name, reason) => log.warn({ name, reason }, 'an object could not be read for the index of states: its states are not mirrored before their next patch')
}

/** What Cloud Scheduler does elsewhere. */
function retain(settings: Settings, coldStorage: ColdStorage, log: Log): NodeJS.Timeout {
  const keepMs = settings.RETENTION_HOURS * 3_600_000
  const run = (): void => {
    runRetention({ coldStorage, nowMs: systemClock.wallMs(), keepMs, log }).catch((error: unknown) => {
      log.error({ reason: error instanceof Error ? error.message : 'unknown' }, 'retention has not finished; it goes on with the next run')
    })
  }
  return setInterval(run, RETENTION_RUN_MS).unref()
}

/** One that is just ending, as after `kill -9` of its parent, is waited for. Throws `DataDirectoryTaken`. */
export async function lockPatiently(dataDir: string): Promise<DataDirectoryLock & { readonly kind: 'locked' }> {
  for (let attempt = 1; ; attempt++) {
    const lock = await lockDataDirectory(dataDir)
    if (lock.kind === 'locked') return lock
    if (attempt > LOCK_ATTEMPTS) throw new DataDirectoryTaken(`DATA_DIR ${dataDir} is in use${lock.by ? ` by ${lock.by}` : ''}: stop that one first, or set another DATA_DIR`)
    await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE_MS))
  }
}
