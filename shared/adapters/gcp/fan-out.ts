/**
 * Fan-out on Pub/Sub: the adapter of `shared/ports/fan-out.ts` for Google Cloud.
 *
 * Purpose: one topic for all domains; the ordering key is the state's id; subscribers filter by attributes.
 * Owns: the client's publisher and streams. Does not own: topics and subscriptions (Terraform makes them, or `provision`),
 * the client, sending again. Talks to: Pub/Sub.
 *
 * A publication is tried once, within `publishMs`: the client's own retries are off, since the outbox hands over again what
 * failed. A try that was thought lost may still arrive, late: as a double, never ahead of an earlier one.
 *
 * A message whose body is over `bodyBytes` goes without its patch (`patch_omitted`, see the codec); a subscriber of the port
 * cannot be handed it, and such a message is reported and acknowledged. `limits.bodyBytes` keeps patches far below that.
 *
 * Invariants:
 *  I1  Of one state, a message goes out only after the one before was stored by Pub/Sub, or its publication has failed.
 *  I2  After a failure, a subscriber is handed nothing of a state before the message that failed comes again, or the time
 *      is over within which it must: what the client still held of the state is given back.
 */
import { Duration, type Message, type PubSub, type Subscription, type Topic } from '@google-cloud/pubsub'
import { assert } from '#shared/assert.ts'
import type { FanOut, FanOutMessage, PublishOutcome } from '#shared/ports/fan-out.ts'
import { decodeFanOutMessage, encodeFanOutMessage } from '#shared/records/fan-out-message.ts'

export type PubsubFanOutOptions = {
  /** Made by composition with a project, and closed here. */
  readonly client: PubSub
  readonly topic?: string
  /** Make the topic and the subscriptions of subscribers where they are missing: on one machine, where no Terraform runs. */
  readonly provision?: boolean
  /** One try of one publication. */
  readonly publishMs?: number
  /** Pub/Sub takes 10 MB a request, attributes included. */
  readonly bodyBytes?: number
  readonly onFault?: (fault: { readonly what: string; readonly reason: string }) => void
}

const CLOSED: PublishOutcome = { kind: 'failed', reason: 'the fan-out is closed' }

/** What a subscription of the name is made with. */
const SUBSCRIPTION = { enableMessageOrdering: true, ackDeadlineSeconds: 10, retryPolicy: { minimumBackoff: { seconds: 0, nanos: 50_000_000 }, maximumBackoff: { seconds: 30 } } }
/** A message that was given back is waited for this long before the next of its state is handed out. */
const COMES_AGAIN_MS = 60_000
const CLOSE_MS = 5_000
/** Turns of the event loop in which the client, asked for a stream, has asked for its connection. */
const STREAM_TURNS = 10

const ALREADY_EXISTS = 6

/** `shared/ports/fan-out.ts` on Pub/Sub. */
export function openFanOut(options: PubsubFanOutOptions): FanOut {
  const { client, topic: topicName = 'patches', provision = false, publishMs = 10_000, bodyBytes = 9 * 1024 * 1024, onFault } = options
  const topic = client.topic(topicName, { messageOrdering: true, batching: { maxMilliseconds: 5 }, gaxOpts: { timeout: publishMs, ...ONCE } })
  const subscribers = new Map<string, { end(): Promise<void> }>()
  const ended = new Set<Promise<void>>()
  /** What must be there before anything is published. */
  let ready: Promise<unknown> = provision ? existing(client.createTopic(topicName)) : Promise.resolve()
  ready.catch(() => undefined)
  let closing: Promise<void> | undefined

  return {
    async publish(messages) {
      if (closing !== undefined) return CLOSED
      try {
        await ready
      } catch (error) {
        return { kind: 'failed', reason: reasonOf(error) }
      }
      return publishAll(topic, messages, bodyBytes)
    },
    subscribe(name, onMessage) {
      assert(closing === undefined, 'subscribe after close')
      assert(!subscribers.has(name), `two subscribers named ${name}`)
      const made = provision ? ready.then(() => existing(topic.createSubscription(`${topicName}-${name}`, SUBSCRIPTION))) : ready
      ready = made
      made.catch((error: unknown) => onFault?.({ what: `subscription ${name}`, reason: reasonOf(error) }))
      const subscriber = openSubscriber({ subscription: client.subscription(`${topicName}-${name}`, SUBSCRIBER), made, onMessage, name, onFault })
      subscribers.set(name, subscriber)
      return () => {
        if (subscribers.get(name) !== subscriber) return
        subscribers.delete(name)
        const end = subscriber.end()
        ended.add(end)
        void end.finally(() => ended.delete(end))
      }
    },
    close() {
      closing ??= (async () => {
        await ready.catch(() => undefined)
        await flushed(topic)
        await Promise.all([...[...subscribers.values()].map((subscriber) => subscriber.end()), ...ended])
        // A stream that was just being opened still asks for the state of its connection, and would wake up a closed one.
        for (let turn = 0; turn < STREAM_TURNS; turn += 1) await new Promise((done) => setImmediate(done))
        await client.close()
      })()
      return closing
    },
  }
}

/** No retries by the client. */
const ONCE = {
  retry: {
    retryCodes: [],
    backoffSettings: { initialRetryDelayMillis: 0, retryDelayMultiplier: 1, maxRetryDelayMillis: 0, initialRpcTimeoutMillis: null, rpcTimeoutMultiplier: null, maxRpcTimeoutMillis: null, totalTimeoutMillis: null },
  },
}

async function publishAll(topic: Topic, messages: readonly FanOutMessage[], bodyBytes: number): Promise<PublishOutcome> {
  const failures = new Map<string, unknown>()
  await Promise.all(
    messages.map(async (message) => {
      const { attributes, body } = encodeFanOutMessage(message, bodyBytes)
      try {
        await topic.publishMessage({ data: body as Buffer, attributes, orderingKey: message.id })
      } catch (error) {
        if (!failures.has(message.id)) failures.set(message.id, error)
      }
    }),
  )
  if (failures.size === 0) return { kind: 'published' }
  // The client has refused whatever came later of these states, and must take them again when they are sent again.
  for (const id of failures.keys()) topic.resumePublishing(id)
  return { kind: 'failed', reason: reasonOf(failures.values().next().value) }
}

/** What waits to be sent is sent, or has failed. */
async function flushed(topic: Topic): Promise<void> {
  await within(topic.flush(), CLOSE_MS)
}

/** Small bounds: the order of a state is kept by handing out one at a time, so what is taken ahead only waits. */
const SUBSCRIBER = {
  flowControl: { maxMessages: 1_000, allowExcessMessages: true },
  streamingOptions: { maxStreams: 1, timeout: 30_000 },
  batching: { maxMilliseconds: 5 },
  closeOptions: { behavior: 'NACK' as const, timeout: Duration.from({ seconds: 2 }) },
}

type SubscriberParts = {
  readonly subscription: Subscription
  readonly made: Promise<unknown>
  readonly onMessage: (message: FanOutMessage) => Promise<void>
  readonly name: string
  readonly onFault: PubsubFanOutOptions['onFault']
}

/** Messages of one state that the client has handed over; the first one is under way. `awaited`: comes again before any other. */
type StateQueue = { readonly messages: Message[]; awaited: { readonly messageId: string; readonly untilMs: number } | undefined }

function openSubscriber({ subscription, made, onMessage, name, onFault }: SubscriberParts): { end(): Promise<void> } {
  const queues = new Map<string, StateQueue>()
  const underWay = new Set<Promise<void>>()
  let ended = false

  const take = (message: Message): void => {
    if (ended) return message.nack()
    const key = message.orderingKey ?? ''
    const queue = queues.get(key) ?? { messages: [], awaited: undefined }
    if (queue.awaited !== undefined && queue.awaited.messageId !== message.id && Date.now() < queue.awaited.untilMs) return message.nack()
    queue.awaited = undefined
    queues.set(key, queue)
    queue.messages.push(message)
    if (queue.messages.length > 1) return
    const work = handOut(key, queue)
    underWay.add(work)
    void work.finally(() => underWay.delete(work))
  }

  const handOut = async (key: string, queue: StateQueue): Promise<void> => {
    for (;;) {
      const message = queue.messages[0]
      if (message === undefined) return void queues.delete(key)
      if (ended) return giveBack(queue)
      try {
        await handOver(message)
      } catch (error) {
        onFault?.({ what: `subscriber ${name}`, reason: reasonOf(error) })
        queue.awaited = { messageId: message.id, untilMs: Date.now() + COMES_AGAIN_MS }
        return giveBack(queue)
      }
      message.ack()
      queue.messages.shift()
    }
  }

  const handOver = async (message: Message): Promise<void> => {
    const received = decodeFanOutMessage(message.data)
    // It would come for ever, and hold up its state.
    if (received?.patch === undefined) return onFault?.({ what: `subscriber ${name}`, reason: received === undefined ? 'not a message of the fan-out' : 'a message without its patch' })
    const { patch, ...rest } = received
    await onMessage({ ...rest, patch })
  }

  const giveBack = (queue: StateQueue): void => {
    for (const message of queue.messages.splice(0)) message.nack()
  }

  subscription.on('error', (error: Error) => onFault?.({ what: `subscriber ${name}`, reason: reasonOf(error) }))
  made.then(
    () => {
      if (!ended) subscription.on('message', take)
    },
    () => undefined,
  )
  let end: Promise<void> | undefined
  return {
    end() {
      ended = true
      end ??= (async () => {
        await made.catch(() => undefined)
        await Promise.all(underWay)
        await within(subscription.close(), CLOSE_MS)
      })()
      return end
    },
  }
}

async function existing(creation: Promise<unknown>): Promise<void> {
  try {
    await creation
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== ALREADY_EXISTS) throw error
  }
}

/** Whatever comes of it, and not longer than this. */
async function within(work: Promise<unknown>, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((done) => (timer = setTimeout(done, deadlineMs)))
  await Promise.race([work.then(() => undefined, () => undefined), late])
  clearTimeout(timer)
}

/** By its field: a test runner's realm has an Error of its own. The text of Pub/Sub's status, for logs. */
const reasonOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'message' in error ? String(error.message).slice(0, 300) : String(error))
