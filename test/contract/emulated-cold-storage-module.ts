import { openColdStorage } from '#shared/adapters/gcp/cold-storage.ts'
import { openStorageClient } from '#shared/adapters/gcp/storage-client.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'

/** `place`: the emulator's address, a space, and a bucket. */
export function open(place: string, requestMs?: number): Promise<ColdStorage> {
  const [apiEndpoint, bucket] = place.split(' ') as [string, string]
  const client = openStorageClient({ projectId: 'test', apiEndpoint })
  return Promise.resolve(openColdStorage({ client, bucket, ...(requestMs === undefined ? {} : { requestMs }) }))
}
