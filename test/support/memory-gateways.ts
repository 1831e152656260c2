/** Several processes with api and gateway over one cluster in memory, as instances of a service are: they share nothing else. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApi } from '#functions/api/index.ts'
import type { ApiSettings } from '#functions/api/parts.ts'
import { Gateway } from '#functions/gateway/gateway.ts'
import { openUploads } from '#shared/adapters/embedded/uploads.ts'
import { MemoryCluster } from './memory-cluster.ts'
import { LOCAL_SETTINGS } from './memory-server.ts'
import { memoryRegistry, noDatabase, noProof, noStates, noWorker } from './no-database.ts'

const SECRETS = { bearerKey: Buffer.alloc(32, 1), nameKey: Buffer.alloc(32, 2), localIssuerKey: Buffer.alloc(32, 3), operatorToken: undefined }

export type MemoryGateway = {
  readonly port: number
  readonly logged: { readonly message: string; readonly [field: string]: unknown }[]
  readonly clock: { wallMs(): number; aheadMs: number }
  /** Connections break, and nothing is ended in order. */
  readonly kill: () => Promise<void>
}
export type MemoryGateways = { readonly cluster: MemoryCluster; readonly all: readonly MemoryGateway[]; readonly stop: () => Promise<void> }

/** One for each of `settings`. */
export async function startMemoryGateways(settings: readonly Partial<ApiSettings>[]): Promise<MemoryGateways> {
  const cluster = new MemoryCluster()
  const folder = await mkdtemp(join(tmpdir(), 'gateways-'))
  const registry = memoryRegistry()
  const all = await Promise.all(settings.map((each) => start(cluster, folder, registry, { ...LOCAL_SETTINGS, ...each })))
  return {
    cluster,
    all,
    stop: async () => {
      for (const each of all) await each.kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function start(cluster: MemoryCluster, folder: string, registry: ReturnType<typeof memoryRegistry>, settings: ApiSettings): Promise<MemoryGateway> {
  const clock = { aheadMs: 0, wallMs: () => Date.now() + clock.aheadMs }
  const logged: { readonly message: string }[] = []
  const note = (fields: object, message: string): void => void logged.push({ ...fields, message })
  const log = { info: note, warn: note, error: note }
  const uploads = openUploads({ folder, key: Buffer.alloc(32, 4), limitBytes: 1024, allowsOrigin: () => true, clock })
  const api = createApi({ cluster, uploads, settings, secrets: SECRETS, registry, database: noDatabase, proof: noProof, worker: noWorker, survey: noStates, clock, log })
  const gateway = new Gateway({ ground: api.ground, clock, log })
  const server = createServer(gateway.before(api.handler))
  gateway.attach(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  let isUp = true
  return {
    port: (server.address() as AddressInfo).port,
    logged,
    clock,
    kill: async () => {
      if (!isUp) return
      isUp = false
      gateway.close()
      api.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await uploads.close()
    },
  }
}
