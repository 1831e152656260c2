/** What Terraform makes on Google Cloud, made on the emulators: buckets, topics, and the subscriptions that call functions. */
import type { PubSub } from '@google-cloud/pubsub'
import type { Storage } from '@google-cloud/storage'

export const BUCKETS = { coldStorage: 'cold-storage', uploads: 'uploads' } as const
export const PATCHES = 'patches'
const DEAD_LETTERS = 'dead-letters'

export type Delivery = {
  readonly topic: string
  /** Also the name of its subscription. */
  readonly target: string
  /** Where the function listens. */
  readonly url: string
}

/** Any origin may use an address that was signed for it. */
const CORS = [
  {
    origin: ['*'],
    method: ['GET', 'HEAD', 'PUT'],
    responseHeader: ['Content-Type', 'Content-Disposition', 'Content-Range', 'ETag', 'Range', 'If-Range', 'x-goog-if-generation-match', 'x-goog-content-length-range'],
    maxAgeSeconds: 3_600,
  },
]
const ACK_S = 60
const ATTEMPTS = 50
const ALREADY_EXISTS = 6

/** Again at every start: what is there already stays, functions that moved are found where they are now. */
export async function provision({ storage, pubsub, deliveries }: { readonly storage: Storage; readonly pubsub: PubSub; readonly deliveries: readonly Delivery[] }): Promise<void> {
  for (const name of [BUCKETS.coldStorage, BUCKETS.uploads]) {
    const [exists] = await storage.bucket(name).exists()
    if (!exists) await storage.createBucket(name, name === BUCKETS.uploads ? { cors: CORS } : {})
  }
  for (const name of new Set([PATCHES, DEAD_LETTERS, ...deliveries.map(({ topic }) => topic)])) await existing(pubsub.createTopic(name))
  for (const delivery of deliveries) await deliver(pubsub, delivery)
}

async function deliver(pubsub: PubSub, { topic, target, url }: Delivery): Promise<void> {
  const made = pubsub.topic(topic).createSubscription(target, {
    pushConfig: { pushEndpoint: url },
    enableMessageOrdering: topic === PATCHES,
    ackDeadlineSeconds: ACK_S,
    retryPolicy: { minimumBackoff: { seconds: 1 }, maximumBackoff: { seconds: 60 } },
    deadLetterPolicy: { deadLetterTopic: pubsub.topic(DEAD_LETTERS).name, maxDeliveryAttempts: ATTEMPTS },
  })
  if (!(await existing(made))) await pubsub.subscription(target).modifyPushConfig({ pushEndpoint: url })
}

/** Whether it was made now. */
async function existing(creation: Promise<unknown>): Promise<boolean> {
  try {
    await creation
    return true
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== ALREADY_EXISTS) throw error
    return false
  }
}
