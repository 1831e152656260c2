import { openStorageClient } from '#shared/adapters/gcp/storage-client.ts'
import { openUploads } from '#shared/adapters/gcp/uploads.ts'
import { Faults } from '../../emulators/faults.ts'
import { startGcs } from '../../emulators/gcs/server.ts'
import type { OpenedUploads } from './uploads-contract.ts'

export const LIMIT_BYTES = 1024 * 1024
export const ORIGINS = { allowed: 'https://app.example.com', refused: 'https://other.example.com' }

const BUCKET = 'uploads'
const CORS = [{ origin: [ORIGINS.allowed], method: ['GET', 'HEAD', 'PUT'], responseHeader: ['Content-Type', 'x-goog-if-generation-match', 'x-goog-content-length-range', 'Range', 'If-Range', 'ETag', 'Content-Range'], maxAgeSeconds: 600 }]

/** An emulator of its own on the folder `place`, so that a restart is one of it as well. */
export async function open(place: string): Promise<OpenedUploads> {
  const clock = { aheadMs: 0, wallMs: () => Date.now() + clock.aheadMs }
  const emulator = await startGcs({ host: '127.0.0.1', port: 0, folder: place, faults: new Faults(), now: () => clock.wallMs() })
  const client = openStorageClient({ projectId: 'test', apiEndpoint: emulator.url, credentials: emulator.credentials })
  const [exists] = await client.bucket(BUCKET).exists()
  if (!exists) await client.createBucket(BUCKET, { cors: CORS })
  const uploads = openUploads({ client, bucket: BUCKET, limitBytes: LIMIT_BYTES, clock: { wallMs: () => Date.now() } })
  return {
    uploads,
    baseUrl: '',
    clock,
    close: async () => {
      await uploads.close()
      await emulator.stop()
    },
  }
}
