/** A Pub/Sub emulator and clients of it, without a word in the environment. */
import { PubSub } from '@google-cloud/pubsub'
import { Faults } from '../../emulators/faults.ts'
import { startPubsub, type PubsubEmulator } from '../../emulators/pubsub/server.ts'

export type PubsubUnderTest = { readonly emulator: PubsubEmulator; readonly faults: Faults }

/** In memory, unless there is a folder. */
export async function startTestPubsub(folder?: string): Promise<PubsubUnderTest> {
  const faults = new Faults()
  return { emulator: await startPubsub({ host: '127.0.0.1', port: 0, folder, faults }), faults }
}

/** The universe is named so that no client looks for a metadata server. */
export function pubsubClient(address: string): PubSub {
  return new PubSub({ apiEndpoint: address, projectId: 'test', clientOptions: { universeDomain: 'googleapis.com' } })
}
