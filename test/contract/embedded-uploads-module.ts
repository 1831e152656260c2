import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openUploads } from '#shared/adapters/embedded/uploads.ts'
import type { FileCalls } from '#shared/adapters/embedded/upload-files.ts'
import type { OpenedUploads } from './uploads-contract.ts'

export const LIMIT_BYTES = 1024 * 1024
export const ORIGINS = { allowed: 'https://app.example.com', refused: 'https://other.example.com' }

export async function open(place: string, calls?: FileCalls, faults: object[] = []): Promise<OpenedUploads & { readonly port: number; readonly clock: { aheadMs: number } }> {
  const clock = { aheadMs: 0, wallMs: () => Date.now() + clock.aheadMs }
  const uploads = openUploads({
    folder: place,
    key: Buffer.alloc(32, 9),
    limitBytes: LIMIT_BYTES,
    allowsOrigin: (origin) => origin === ORIGINS.allowed,
    clock,
    onFault: (fault) => faults.push(fault),
    ...(calls && { calls }),
  })
  const server = createServer(uploads.before((_, res) => res.writeHead(204, { 'X-Next': 'yes' }).end()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    uploads,
    baseUrl: `http://127.0.0.1:${port}`,
    port,
    clock,
    close: async () => {
      await uploads.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
