/** The api on `node:http` over a cluster in memory, with the handles that only a test of its insides needs. */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { http } from '@google-cloud/functions-framework'
import { getTestServer } from '@google-cloud/functions-framework/testing'
import { Origins } from '#functions/api/cors.ts'
import { claimedDomains, createApi } from '#functions/api/index.ts'
import type { ApiSettings } from '#functions/api/parts.ts'
import { openUploads } from '#shared/adapters/embedded/uploads.ts'
import type { EmbeddedUploads } from '#shared/adapters/embedded/uploads.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import { signLocalIdToken } from '#shared/sessions/local-issuer.ts'
import type { TestServer } from '../api/fixture.ts'
import { MemoryCluster } from './memory-cluster.ts'
import { memoryRegistry, noDatabase, noProof, noStates, noWorker } from './no-database.ts'

const SECRETS = {
  bearerKey: Buffer.alloc(32, 1),
  nameKey: Buffer.alloc(32, 2),
  localIssuerKey: Buffer.alloc(32, 3),
  uploadsKey: Buffer.alloc(32, 4),
  operatorToken: undefined,
}

export const UPLOAD_LIMIT_BYTES = 1024 * 1024

export const LOCAL_SETTINGS: ApiSettings = {
  openDomains: true,
  corsOrigins: [],
  issuers: [],
  authorizeDefault: 'deny',
  clusterInfo: true,
  publicUrl: undefined,
  adminDomain: undefined,
}

export type MemoryServer = TestServer & { readonly cluster: MemoryCluster; readonly uploads: EmbeddedUploads; readonly logged: object[]; readonly clock: { wallMs(): number; aheadMs: number } }

export async function startMemoryServer(
  options: { readonly settings?: Partial<ApiSettings>; readonly claimed?: readonly string[]; readonly cluster?: MemoryCluster; readonly operatorToken?: string; readonly mount?: 'http' | 'framework'; /** Closed with the server; undefined: there is no Postgres. */ readonly database?: DomainDatabase } = {},
): Promise<MemoryServer> {
  const clock = { aheadMs: 0, wallMs: () => Date.now() + clock.aheadMs }
  const cluster = options.cluster ?? new MemoryCluster({ nowMs: clock.wallMs })
  const logged: object[] = []
  const note = (fields: object, message: string): void => {
    logged.push({ ...fields, message })
  }
  const settings = { ...LOCAL_SETTINGS, ...options.settings }
  const registry = memoryRegistry(options.claimed)
  const origins = new Origins({ settings, domains: claimedDomains(registry) })
  const folder = await mkdtemp(join(tmpdir(), 'api-memory-'))
  const uploads = openUploads({ folder, key: SECRETS.uploadsKey, limitBytes: UPLOAD_LIMIT_BYTES, allowsOrigin: (origin) => origins.allows(origin), clock })
  const api = createApi({
    cluster,
    uploads,
    settings,
    secrets: { ...SECRETS, operatorToken: options.operatorToken },
    registry,
    database: options.database ?? noDatabase,
    proof: noProof,
    worker: noWorker,
    survey: noStates,
    clock,
    log: { info: note, warn: note, error: note },
  })
  const handler = uploads.before(api.handler)
  const server = options.mount === 'framework' ? frameworkServer(handler) : createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    tokenOf: (user, { validMs = 3_600_000 } = {}) => signLocalIdToken({ key: SECRETS.localIssuerKey, user, nowMs: clock.wallMs(), validMs }),
    cluster,
    uploads,
    logged,
    clock,
    stop: async () => {
      api.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await uploads.close()
      await options.database?.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What the deployed function runs on, its parsers in front included. */
function frameworkServer(handler: Parameters<typeof http>[1]): Server {
  const name = `api-${randomUUID()}`
  http(name, handler)
  return getTestServer(name)
}
