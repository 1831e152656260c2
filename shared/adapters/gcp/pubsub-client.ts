/** The client of Pub/Sub as composition makes it, for Google Cloud and for an emulator. */
import { PubSub } from '@google-cloud/pubsub'

export type PubsubClientOptions = {
  readonly projectId: string
  /** `host:port`; undefined: Google Cloud. */
  readonly emulatorHost: string | undefined
}

export function openPubsubClient({ projectId, emulatorHost }: PubsubClientOptions): PubSub {
  // The universe is named so that the client of an emulator looks for no metadata server.
  return new PubSub({ projectId, ...(emulatorHost === undefined ? {} : { apiEndpoint: emulatorHost, clientOptions: { universeDomain: 'googleapis.com' } }) })
}
