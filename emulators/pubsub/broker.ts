/**
 * Topics, subscriptions, and the way of a message from the one to the others.
 *
 * Owns: what exists, as on disk so in memory. Does not own: delivery (a host a subscription), the wire.
 * Talks to: the store, hosts, push doors. Its methods throw `RpcError`, with the codes of the real service.
 *
 * Invariants:
 *  I1  What a method has returned is on disk.
 *  I2  Messages of one publication get ascending ids, in its order, and are added to every backlog in that order.
 */
import { alreadyExists, invalid, notFound } from '../grpc-status.ts'
import type { Dead } from './backlog.ts'
import type { Filter } from './filter.ts'
import { PushDoor } from './push.ts'
import { changedSubscription, changedTopic, DELETED_TOPIC, filterOf, newSubscription, newTopic, type Subscription, type Topic } from './resources.ts'
import type { NewMessage, PubsubStore } from './store.ts'
import { SubscriptionHost } from './subscription-host.ts'

export type Publication = { readonly data: Uint8Array; readonly attributes: Readonly<Record<string, string>>; readonly orderingKey: string }
type Fields = Readonly<Record<string, unknown>>
type Attached = { readonly host: SubscriptionHost; readonly filter: Filter; push: PushDoor | undefined }

const PUBLICATION = { messages: 1_000, bytes: 10_000_000 }
const ATTRIBUTES = { count: 100, keyBytes: 256, valueBytes: 1_024 }
const ORDERING_KEY_BYTES = 1_024

export class Broker {
  readonly #store: PubsubStore
  readonly #now: () => number
  readonly #topics = new Map<string, Topic>()
  readonly #subscriptions = new Map<string, Attached>()

  constructor(store: PubsubStore, now: () => number) {
    this.#store = store
    this.#now = now
    for (const { name, json } of store.resources('topic')) this.#topics.set(name, JSON.parse(json) as Topic)
    for (const { json } of store.resources('subscription')) this.#attach(JSON.parse(json) as Subscription)
    for (const { host } of this.#subscriptions.values()) host.pump()
  }

  createTopic(given: Fields): Topic {
    const topic = newTopic(given)
    if (this.#topics.has(topic.name)) throw alreadyExists(topic.name)
    return this.#keepTopic(topic)
  }

  topic(name: string): Topic {
    const topic = this.#topics.get(name)
    if (topic === undefined) throw notFound(name)
    return topic
  }

  updateTopic(given: Fields, paths: readonly string[]): Topic {
    return this.#keepTopic(changedTopic(this.topic(String(given['name'])), given, paths))
  }

  #keepTopic(topic: Topic): Topic {
    this.#store.putResource('topic', topic.name, JSON.stringify(topic))
    this.#topics.set(topic.name, topic)
    return topic
  }

  topics(project: string): Topic[] {
    return [...this.#topics.values()].filter(({ name }) => name.startsWith(`${project}/`))
  }

  /** Its subscriptions stay, with what they have. */
  deleteTopic(name: string): void {
    this.topic(name)
    for (const attached of this.#subscriptionsOf(name)) this.#keepSubscription(attached, { ...attached.host.subscription, topic: DELETED_TOPIC })
    this.#store.deleteResource('topic', name)
    this.#topics.delete(name)
  }

  topicSubscriptions(topic: string): string[] {
    this.topic(topic)
    return this.#subscriptionsOf(topic).map(({ host }) => host.subscription.name)
  }

  #subscriptionsOf(topic: string): Attached[] {
    return [...this.#subscriptions.values()].filter(({ host }) => host.subscription.topic === topic)
  }

  createSubscription(given: Fields): Subscription {
    const subscription = newSubscription(given)
    if (this.#subscriptions.has(subscription.name)) throw alreadyExists(subscription.name)
    this.topic(subscription.topic)
    this.#store.putResource('subscription', subscription.name, JSON.stringify(subscription))
    this.#attach(subscription)
    return subscription
  }

  #attach(subscription: Subscription): void {
    const host = new SubscriptionHost({ subscription, store: this.#store, now: this.#now, onDead: (of, dead) => this.#bury(of, dead) })
    const attached = { host, filter: filterOf(subscription), push: undefined }
    this.#subscriptions.set(subscription.name, attached)
    this.#openPush(attached)
  }

  #openPush(attached: Attached): void {
    const endpoint = attached.host.subscription.pushConfig?.pushEndpoint
    attached.push?.stop()
    attached.push = endpoint === undefined ? undefined : new PushDoor(attached.host, endpoint)
    if (attached.push) attached.host.addConsumer(attached.push)
  }

  #attached(name: string): Attached {
    const attached = this.#subscriptions.get(name)
    if (attached === undefined) throw notFound(name)
    return attached
  }

  host(name: string): SubscriptionHost {
    return this.#attached(name).host
  }

  updateSubscription(given: Fields, paths: readonly string[]): Subscription {
    const attached = this.#attached(String(given['name']))
    const changed = changedSubscription(attached.host.subscription, given, paths)
    this.#keepSubscription(attached, changed)
    if (paths.some((path) => path.startsWith('push_config'))) this.#openPush(attached)
    return changed
  }

  #keepSubscription(attached: Attached, subscription: Subscription): void {
    this.#store.putResource('subscription', subscription.name, JSON.stringify(subscription))
    attached.host.change(subscription)
  }

  subscriptions(project: string): Subscription[] {
    return [...this.#subscriptions.values()].map(({ host }) => host.subscription).filter(({ name }) => name.startsWith(`${project}/`))
  }

  deleteSubscription(name: string): void {
    const { host, push } = this.#attached(name)
    push?.stop()
    host.stop()
    this.#store.deleteResource('subscription', name)
    this.#subscriptions.delete(name)
  }

  /** The messages' ids, in order. */
  publish(topic: string, messages: readonly Publication[]): string[] {
    this.topic(topic)
    checkPublication(messages)
    const attached = this.#subscriptionsOf(topic)
    const publishedMs = this.#now()
    const fresh = messages.map((message): NewMessage => {
      const takers = attached.filter(({ filter }) => filter(message.attributes)).map(({ host }) => host.subscription.name)
      return { ...message, publishedMs, for: takers }
    })
    const seqs = this.#store.add(fresh)
    for (const [at, message] of fresh.entries()) for (const name of message.for) this.host(name).add({ ...message, seq: seqs[at]! })
    for (const { host } of attached) host.pump()
    return seqs.map(String)
  }

  /** To the dead letter topic; where there is none, back to the backlog's end. */
  #bury(subscription: Subscription, { seq, attempts }: Dead): void {
    const message = this.#store.message(seq)
    const topic = subscription.deadLetterPolicy?.deadLetterTopic
    if (message === undefined) return
    if (topic === undefined || !this.#topics.has(topic)) return this.host(subscription.name).add(message)
    const parts = subscription.name.split('/')
    const attributes = {
      ...message.attributes,
      CloudPubSubDeadLetterSourceDeliveryCount: String(attempts),
      CloudPubSubDeadLetterSourceSubscription: parts[3]!,
      CloudPubSubDeadLetterSourceSubscriptionProject: parts[1]!,
      CloudPubSubDeadLetterSourceTopicPublishTime: new Date(message.publishedMs).toISOString(),
    }
    this.publish(topic, [{ data: message.data, attributes, orderingKey: message.orderingKey }])
    this.#store.remove(subscription.name, [seq])
  }

  stop(): void {
    for (const { host, push } of this.#subscriptions.values()) {
      push?.stop()
      host.stop()
    }
  }
}

function checkPublication(messages: readonly Publication[]): void {
  if (messages.length === 0) throw invalid('The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.')
  if (messages.length > PUBLICATION.messages) throw invalid(`The value for message_count is too large. You passed ${messages.length} in the request, but the maximum value is ${PUBLICATION.messages}.`)
  let bytes = 0
  for (const message of messages) {
    bytes += checkMessage(message)
    if (message.orderingKey !== messages[0]!.orderingKey) throw invalid('All messages in a publish request must have the same ordering key.')
  }
  if (bytes > PUBLICATION.bytes) throw invalid(`The value for request_size is too large. You passed ${bytes} in the request, but the maximum value is ${PUBLICATION.bytes}.`)
}

/** Its bytes. */
function checkMessage({ data, attributes, orderingKey }: Publication): number {
  const entries = Object.entries(attributes)
  if (data.byteLength === 0 && entries.length === 0) throw invalid('Some messages in the batch have neither data nor attributes.')
  if (entries.length > ATTRIBUTES.count) throw invalid('A message has too many attributes.')
  if (Buffer.byteLength(orderingKey) > ORDERING_KEY_BYTES) throw invalid('An ordering key is too long.')
  let bytes = data.byteLength + Buffer.byteLength(orderingKey)
  for (const [key, value] of entries) {
    if (key === '' || Buffer.byteLength(key) > ATTRIBUTES.keyBytes || key.startsWith('goog')) throw invalid(`Invalid attribute key: ${key.slice(0, 40)}.`)
    if (Buffer.byteLength(value) > ATTRIBUTES.valueBytes) throw invalid(`The value of attribute ${key} is too long.`)
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  }
  return bytes
}
