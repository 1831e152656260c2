/** The state process alone, over its link: what HTTP, authentication and routes are left out of. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import { DirectoryRoutes } from '#shared/link/directory-routes.ts'
import { RoutedCluster } from '#shared/link/routed-cluster.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { LinkTarget } from '../load/link-channel.ts'
import { freePort } from '../workshop.ts'
import { START_DEADLINE_MS, type Subject } from './subject.ts'

export const stateProcessLink: Subject = {
  name: 'state process (link)',
  async start(workshop) {
    const dataDirectory = workshop.path('data-link')
    mkdirSync(dataDirectory, { recursive: true })
    const port = await freePort()
    const server = await workshop.spawn({
      name: 'state-process',
      command: process.execPath,
      args: ['functions/state-process/index.ts'],
      env: { DATA_DIR: dataDirectory, PORT: String(port), PROCESS_NAME: 'state-process-0' },
      port,
      deadlineMs: START_DEADLINE_MS,
    })
    return { target: { kind: 'link', address: `127.0.0.1:${port}`, dataDirectory }, server, dataDirectory }
  },
}

/** Runs in the generator process. */
export async function connectLink(target: LinkTarget): Promise<{ readonly cluster: StateCluster; close(): void }> {
  const directory = await openDirectory({ folder: join(target.dataDirectory, 'directory') })
  const credentials = sharedSecret(secret(target.dataDirectory, 'link.key', 32))
  const routes = new DirectoryRoutes({ directory, credentials, name: 'bench', expected: 1 })
  const cluster = new RoutedCluster(routes, systemClock)
  const deadline = performance.now() + START_DEADLINE_MS
  while (cluster.missing().length > 0) {
    if (performance.now() > deadline) throw new Error(cluster.missing().join('; '))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    cluster,
    close: () => {
      cluster.close()
      void directory.close()
    },
  }
}
