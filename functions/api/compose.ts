/**
 * The api on the adapters of Google Cloud, without a server: what the functions `api`, `mirror` and `close-sessions` and the
 * gateway have in common.
 */
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openCodeExchange } from '#shared/adapters/network/code-exchange.ts'
import { openDomainProof } from '#shared/adapters/network/domain-proof.ts'
import { AwaitedServer } from '#shared/adapters/postgres/awaited-server.ts'
import { connectionLimits } from '#shared/adapters/postgres/database-limits.ts'
import { openDomainDatabase } from '#shared/adapters/postgres/domain-database.ts'
import { limits } from '#shared/limits.ts'
import { DirectoryRoutes } from '#shared/link/directory-routes.ts'
import { DomainWorkerClient } from '#shared/link/domain-worker-client.ts'
import { RoutedCluster } from '#shared/link/routed-cluster.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Log } from '#shared/log.ts'
import { allStates } from '#shared/mirror/survey.ts'
import type { DomainWorker } from '#shared/ports/domain-worker.ts'
import type { SettingsWith } from '#shared/settings.ts'
import { coldStorageOf, directoryOf, idTokenCredentials, postgresOf, uploadsOf } from '#functions/google-cloud/compose.ts'
import { createApi, type Api } from './index.ts'
import { apiSettingsOf } from './parts.ts'

/** What none of these parts can do without. */
export const NEEDED = ['GOOGLE_CLOUD_PROJECT', 'COLD_STORAGE_BUCKET', 'UPLOADS_BUCKET', 'DOMAIN_ROLES_KEY'] as const

export type ComposedApi = {
  readonly api: Api
  /** For what else runs modules of domains. */
  readonly worker: DomainWorker
  /** What is missing before it serves; empty when ready. */
  missing(): readonly string[]
  /** Resolves when nothing is missing any more. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

export type ComposeOptions = {
  readonly settings: SettingsWith<(typeof NEEDED)[number]>
  /** Who dials state processes and the domain worker. */
  readonly name: string
  /** For what a part does not do any key will do: without a door it signs and verifies no bearer, without handlers it needs no name. */
  readonly bearerKey: Uint8Array
  readonly nameKey: Uint8Array
  readonly log: Log
}

/** Rejects where what signs addresses of uploads cannot be used. */
export async function composeApi({ settings, name, bearerKey, nameKey, log }: ComposeOptions): Promise<ComposedApi> {
  const uploads = await uploadsOf(settings)
  const { directory, registry, close: closeDirectory } = directoryOf(settings, log)
  const coldStorage = coldStorageOf(settings)
  const credentials = settings.LINK_ID_TOKENS ? idTokenCredentials(settings, log) : sharedSecret(secret(settings.DATA_DIR, 'link.key', 32))
  const cluster = new RoutedCluster(new DirectoryRoutes({ directory, credentials, name, expected: settings.STATE_PROCESSES }), systemClock)
  const postgres = new AwaitedServer({
    start: async () => {
      const { admin, close } = await postgresOf(settings)
      return { admin, stop: () => Promise.resolve(close()) }
    },
    log,
  })
  const database = openDomainDatabase({ admin: postgres.admin, key: settings.DOMAIN_ROLES_KEY, log, limits: connectionLimits(settings.MAX_DATABASE_CONNECTIONS) })
  const worker = new DomainWorkerClient({ credentials, name })
  worker.at(settings.DOMAIN_WORKER_URL)
  const api = createApi({
    cluster,
    uploads,
    settings: apiSettingsOf(settings),
    secrets: {
      bearerKey,
      nameKey,
      localIssuerKey: settings.LOCAL_ISSUER ? secret(settings.DATA_DIR, 'local-issuer.key', 32) : undefined,
      operatorToken: settings.OPERATOR_TOKEN,
    },
    registry,
    database,
    proof: openDomainProof(),
    worker,
    encryptedTokens: settings.AGENT_TOKEN_KEY === undefined ? undefined : { key: settings.AGENT_TOKEN_KEY, exchange: openCodeExchange(settings.AGENT_PROVIDERS) },
    survey: () => allStates({ coldStorage, onUnread: (object, reason) => log.warn({ object, reason }, 'an object could not be read for the index of states: its states are not mirrored before their next patch') }),
    clock: systemClock,
    log,
  })
  let isRegistryRead = false
  void registry.ready().then(() => (isRegistryRead = true))
  const missing = (): readonly string[] => [...cluster.missing(), ...(isRegistryRead ? [] : ['the registry of domains has not been read'])]
  return {
    api,
    worker,
    missing,
    ready: untilNothing(missing, log),
    stop: async () => {
      api.close()
      await api.isMirrorCurrent()
      cluster.close()
      await worker.close()
      await database.close()
      await postgres.stop()
      await uploads.close()
      await coldStorage.close()
      await closeDirectory()
    },
  }
}

async function untilNothing(missing: () => readonly string[], log: Log): Promise<void> {
  if (missing().length > 0) log.info({ missing: missing() }, 'composed, and not ready yet')
  while (missing().length > 0) await new Promise((resolve) => setTimeout(resolve, limits.readyLookMs))
}
