/** The adapters of Google Cloud as settings name them: what entries of parts that run there are composed of, and load for nothing else. */
import type { Firestore } from '@google-cloud/firestore'
import { openColdStorage } from '#shared/adapters/gcp/cold-storage.ts'
import { openCloudSql } from '#shared/adapters/gcp/cloud-sql.ts'
import { openDirectory } from '#shared/adapters/gcp/directory.ts'
import { openFanOut } from '#shared/adapters/gcp/fan-out.ts'
import { openFirestoreClient } from '#shared/adapters/gcp/firestore-client.ts'
import { openPubsubClient } from '#shared/adapters/gcp/pubsub-client.ts'
import { openServiceTokens } from '#shared/adapters/gcp/service-tokens.ts'
import { openSignerClient, openStorageClient } from '#shared/adapters/gcp/storage-client.ts'
import { openUploads } from '#shared/adapters/gcp/uploads.ts'
import { openDomainRegistry } from '#shared/adapters/gcp/domain-registry.ts'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { parseDatabaseUrl, type AdminConnection } from '#shared/adapters/postgres/admin-connection.ts'
import type { LinkCredentials } from '#shared/link/connect.ts'
import { idTokens } from '#shared/link/id-tokens.ts'
import type { Log } from '#shared/log.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import type { Directory } from '#shared/ports/directory.ts'
import type { FanOut } from '#shared/ports/fan-out.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { Settings, SettingsWith } from '#shared/settings.ts'

const faults = (log: Log, what: string) => (fault: { readonly what: string; readonly reason: string }): void => log.warn(fault, what)

/** Of a part that dials; `ADDRESS` and `LINK_CALLERS` make one that is dialled as well. */
export function idTokenCredentials({ LINK_CALLERS, ADDRESS, ID_TOKEN_KEYS }: Settings, log: Log): LinkCredentials {
  const called = ADDRESS === undefined ? undefined : { audience: ADDRESS, callers: LINK_CALLERS, keys: ID_TOKEN_KEYS }
  return idTokens({ tokenFor: openServiceTokens(), called, onFault: (reason) => log.warn({ reason }, 'an ID token of a link could not be had, or was refused') })
}

export function coldStorageOf({ GOOGLE_CLOUD_PROJECT, STORAGE_EMULATOR_HOST, COLD_STORAGE_BUCKET }: SettingsWith<'GOOGLE_CLOUD_PROJECT' | 'COLD_STORAGE_BUCKET'>): ColdStorage {
  return openColdStorage({ client: openStorageClient(storageAt(GOOGLE_CLOUD_PROJECT, STORAGE_EMULATOR_HOST)), bucket: COLD_STORAGE_BUCKET })
}

/** Rejects where the account that signs cannot be used. */
export async function uploadsOf(settings: SettingsWith<'GOOGLE_CLOUD_PROJECT' | 'UPLOADS_BUCKET'>): Promise<Uploads> {
  const { GOOGLE_CLOUD_PROJECT: projectId, STORAGE_EMULATOR_HOST, UPLOADS_BUCKET, UPLOADS_SIGNER, UPLOAD_LIMIT_MIB } = settings
  const client = openStorageClient(storageAt(projectId, STORAGE_EMULATOR_HOST))
  const signer = UPLOADS_SIGNER === undefined ? client : await openSignerClient({ projectId, account: UPLOADS_SIGNER })
  return openUploads({ client, signer, bucket: UPLOADS_BUCKET, limitBytes: UPLOAD_LIMIT_MIB * 2 ** 20, clock: systemClock })
}

const storageAt = (projectId: string, apiEndpoint: string | undefined) => ({ projectId, ...(apiEndpoint === undefined ? {} : { apiEndpoint }) })

/** Both on one client, which `close` ends with them. */
export type DirectoryParts = { readonly directory: Directory; readonly registry: DomainRegistry; close(): Promise<void> }

export function directoryOf(settings: SettingsWith<'GOOGLE_CLOUD_PROJECT'>, log: Log): DirectoryParts {
  const client = openFirestore(settings)
  const onFault = faults(log, 'directory fault')
  const directory = openDirectory({ client, onFault })
  const registry = openDomainRegistry({ client, takesMs: settings.REGISTRY_TAKES_MS, onFault })
  return {
    directory,
    registry,
    close: async () => {
      await Promise.all([directory.close(), registry.close()])
      await client.terminate()
    },
  }
}

function openFirestore({ GOOGLE_CLOUD_PROJECT: projectId, FIRESTORE_DATABASE: databaseId, FIRESTORE_EMULATOR_HOST }: SettingsWith<'GOOGLE_CLOUD_PROJECT'>): Firestore {
  return openFirestoreClient({ projectId, databaseId, ...(FIRESTORE_EMULATOR_HOST === undefined ? {} : { emulatorHost: FIRESTORE_EMULATOR_HOST }) })
}

export type PostgresParts = { readonly admin: AdminConnection; close(): void }

/** Rejects where Cloud SQL cannot be asked. Throws where neither an address nor an instance is named. */
export async function postgresOf({ DATABASE_URL, CLOUD_SQL_INSTANCE, CLOUD_SQL_USER, DATABASE_NAME }: Settings): Promise<PostgresParts> {
  if (DATABASE_URL !== undefined) return { admin: parseDatabaseUrl(DATABASE_URL), close: () => undefined }
  if (CLOUD_SQL_INSTANCE === undefined || CLOUD_SQL_USER === undefined) throw new Error('CLOUD_SQL_INSTANCE and CLOUD_SQL_USER, or DATABASE_URL, say where the tables of domains are')
  return openCloudSql({ instance: CLOUD_SQL_INSTANCE, user: CLOUD_SQL_USER, database: DATABASE_NAME })
}

export type StateProcessParts = { readonly coldStorage: ColdStorage; readonly directory: Directory; readonly fanOut: FanOut; close(): Promise<void> }

export function stateProcessOf(settings: SettingsWith<'GOOGLE_CLOUD_PROJECT' | 'COLD_STORAGE_BUCKET'>, log: Log): StateProcessParts {
  const { GOOGLE_CLOUD_PROJECT: projectId, PUBSUB_EMULATOR_HOST: emulatorHost, FAN_OUT_TOPIC: topic } = settings
  const client = openFirestore(settings)
  const directory = openDirectory({ client, onFault: faults(log, 'directory fault') })
  const fanOut = openFanOut({ client: openPubsubClient({ projectId, emulatorHost }), topic, onFault: faults(log, 'fan-out fault') })
  return {
    coldStorage: coldStorageOf(settings),
    directory,
    fanOut,
    close: async () => {
      await directory.close()
      await client.terminate()
    },
  }
}
