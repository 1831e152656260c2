/**
 * The Pub/Sub emulator: what an unmodified `@google-cloud/pubsub` uses of Pub/Sub, over gRPC, kept on disk.
 * Not part of it: snapshots and Seek, schemas, exactly-once delivery, expiration of subscriptions, retained acknowledged messages, IAM.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Faults } from '../faults.ts'
import { startGrpcServer, type Fields, type UnaryMethod } from '../grpc-server.ts'
import { invalid } from '../grpc-status.ts'
import { Broker } from './broker.ts'
import { checkDeadline, listOf, numberOf, pageOf, publicationOf, receivedMessage, textOf } from './messages.ts'
import { openStore } from './store.ts'
import { openStreamingPull } from './streaming-pull.ts'
import type { Consumer, Delivered } from './subscription-host.ts'

export type PubsubEmulator = {
  /** `host:port`, as `PUBSUB_EMULATOR_HOST` has it. */
  readonly address: string
  stop(): Promise<void>
}

export type PubsubOptions = {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Undefined: in memory. */
  readonly folder: string | undefined
  readonly faults: Faults
  readonly now?: () => number
}

/** How long a Pull without anything to answer waits. */
const PULL_WAIT_MS = 30_000
const PULL_MESSAGES = 1_000

/** Rejects where the port or the folder cannot be had. */
export async function startPubsub({ host, port, folder, faults, now = Date.now }: PubsubOptions): Promise<PubsubEmulator> {
  if (folder !== undefined) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const store = openStore(folder === undefined ? ':memory:' : join(folder, 'pubsub.sqlite'))
  const broker = new Broker(store, now)
  const server = await startGrpcServer({
    host,
    port,
    faults,
    service: 'pubsub',
    package: '@google-cloud/pubsub',
    proto: 'google/pubsub/v1/pubsub.proto',
    services: [
      { name: 'google.pubsub.v1.Publisher', unary: publisher(broker) },
      { name: 'google.pubsub.v1.Subscriber', unary: subscriber(broker), streams: { StreamingPull: (call) => openStreamingPull(broker, call) } },
    ],
    resourceOf,
  }).catch((error: unknown) => {
    broker.stop()
    store.close()
    throw error
  })
  let stopped = false
  return {
    address: `${host}:${server.port}`,
    stop: () => {
      if (stopped) return Promise.resolve()
      stopped = true
      server.stop()
      broker.stop()
      store.close()
      return Promise.resolve()
    },
  }
}

/** The one that a request names, in whichever field. */
function resourceOf(request: Fields): string {
  for (const field of ['name', 'topic', 'subscription', 'project']) {
    const value = request[field]
    if (typeof value === 'string' && value !== '') return value
    if (typeof value === 'object' && value !== null) return textOf(value as Fields, 'name')
  }
  return ''
}

const pathsOf = (request: Fields): readonly string[] => listOf((request['updateMask'] as Fields | null) ?? {}, 'paths')

function publisher(broker: Broker): Record<string, UnaryMethod> {
  return {
    CreateTopic: (request) => broker.createTopic(request),
    GetTopic: (request) => broker.topic(textOf(request, 'topic')),
    UpdateTopic: (request) => broker.updateTopic(request['topic'] as Fields, pathsOf(request)),
    DeleteTopic: (request) => {
      broker.deleteTopic(textOf(request, 'topic'))
      return {}
    },
    ListTopics: (request) => {
      const { page, nextPageToken } = pageOf(broker.topics(textOf(request, 'project')), ({ name }) => name, request)
      return { topics: page, nextPageToken }
    },
    ListTopicSubscriptions: (request) => {
      const { page, nextPageToken } = pageOf(broker.topicSubscriptions(textOf(request, 'topic')), (name) => name, request)
      return { subscriptions: page, nextPageToken }
    },
    Publish: (request) => ({ messageIds: broker.publish(textOf(request, 'topic'), listOf<Fields>(request, 'messages').map(publicationOf)) }),
  }
}

function subscriber(broker: Broker): Record<string, UnaryMethod> {
  const hostOf = (request: Fields): ReturnType<Broker['host']> => broker.host(textOf(request, 'subscription'))
  return {
    CreateSubscription: (request) => broker.createSubscription(request),
    GetSubscription: (request) => hostOf(request).subscription,
    UpdateSubscription: (request) => broker.updateSubscription(request['subscription'] as Fields, pathsOf(request)),
    ModifyPushConfig: (request) => {
      broker.updateSubscription({ name: request['subscription'], pushConfig: request['pushConfig'] }, ['push_config'])
      return {}
    },
    ListSubscriptions: (request) => {
      const { page, nextPageToken } = pageOf(broker.subscriptions(textOf(request, 'project')), ({ name }) => name, request)
      return { subscriptions: page, nextPageToken }
    },
    DeleteSubscription: (request) => {
      broker.deleteSubscription(textOf(request, 'subscription'))
      return {}
    },
    Acknowledge: (request) => {
      hostOf(request).acknowledge(listOf(request, 'ackIds'))
      return {}
    },
    ModifyAckDeadline: (request) => {
      hostOf(request).modify(listOf(request, 'ackIds'), checkDeadline(numberOf(request, 'ackDeadlineSeconds')))
      return {}
    },
    Pull: async (request, signal) => ({ receivedMessages: (await pull(broker, request, signal)).map(receivedMessage) }),
  }
}

/** Takes once what is there; where nothing is, waits for the first. */
function pull(broker: Broker, request: Fields, signal: AbortSignal): Promise<readonly Delivered[]> {
  const host = broker.host(textOf(request, 'subscription'))
  const messages = numberOf(request, 'maxMessages')
  if (!(messages > 0)) throw invalid('The value for max_messages must be greater than 0.')
  return new Promise((done) => {
    const end = (delivered: readonly Delivered[]): void => {
      clearTimeout(timer)
      room = 0
      host.removeConsumer(consumer)
      done(delivered)
    }
    let room = Math.min(messages, PULL_MESSAGES)
    const consumer: Consumer = { leaseMs: undefined, room: () => ({ messages: room, bytes: Infinity }), deliver: end, freed: () => undefined }
    const timer = setTimeout(() => end([]), request['returnImmediately'] === true ? 0 : PULL_WAIT_MS)
    timer.unref()
    signal.addEventListener('abort', () => end([]))
    host.addConsumer(consumer)
  })
}
