/**
 * One subscription at work: its backlog, on disk and in turn, and who takes from it.
 *
 * Owns: the backlog's timer, consumers (streams, the push door), pulls that wait.
 * Does not own: messages (the store), other subscriptions, what a dead letter becomes.
 * Talks to: the store, its consumers, `onDead`.
 *
 * Invariants:
 *  I1  A message leaves the disk only when the backlog says that it is settled.
 *  I2  A consumer is handed no more than it has room for, one message of any size excepted.
 */
import { Backlog, type Dead, type Delivery, type Settled } from './backlog.ts'
import { durationMs, rulesOf, type Subscription } from './resources.ts'
import type { PubsubStore, StoredMessage } from './store.ts'

export type Delivered = { readonly ackId: string; readonly attempt: number; readonly message: StoredMessage }

export interface Consumer {
  /** What it can take now. */
  room(): { readonly messages: number; readonly bytes: number }
  /** ms that it has for what it is handed; undefined: as the subscription says. */
  readonly leaseMs: number | undefined
  deliver(messages: readonly Delivered[]): void
  /** These leases have ended, whoever ended them. */
  freed(ackIds: readonly string[]): void
}

export type HostOptions = {
  readonly subscription: Subscription
  readonly store: PubsubStore
  readonly now: () => number
  readonly onDead: (subscription: Subscription, dead: Dead) => void
}

/** A response stays well below what gRPC lets through. */
const RESPONSE_BYTES = 4 * 1024 * 1024
const RESPONSE_MESSAGES = 1_000

export class SubscriptionHost {
  #subscription: Subscription
  readonly #options: HostOptions
  readonly #backlog: Backlog
  readonly #consumers = new Set<Consumer>()
  #timer: NodeJS.Timeout | undefined
  #look: NodeJS.Immediate | undefined
  #stopped = false

  constructor(options: HostOptions) {
    this.#options = options
    this.#subscription = options.subscription
    this.#backlog = new Backlog(rulesOf(options.subscription))
    for (const row of options.store.backlog(options.subscription.name)) this.#enqueue(row)
  }

  get subscription(): Subscription {
    return this.#subscription
  }

  change(subscription: Subscription): void {
    this.#subscription = subscription
    this.#backlog.setRules(rulesOf(subscription))
    this.pump()
  }

  /** A message that is on disk. `pump` comes after the last one. */
  add(message: StoredMessage): void {
    this.#enqueue({ ...message, bytes: message.data.byteLength })
  }

  #enqueue({ seq, orderingKey, bytes, publishedMs }: { seq: number; orderingKey: string; bytes: number; publishedMs: number }): void {
    const keptMs = durationMs(this.#subscription.messageRetentionDuration)!
    this.#backlog.add({ seq, orderingKey, bytes, expiresMs: publishedMs + keptMs })
  }

  addConsumer(consumer: Consumer): void {
    this.#consumers.add(consumer)
    this.pump()
  }

  /** Its leases stay, until they end. */
  removeConsumer(consumer: Consumer): void {
    this.#consumers.delete(consumer)
  }

  acknowledge(ackIds: readonly string[]): void {
    this.#settle(this.#backlog.acknowledge(ackIds))
    this.pump()
  }

  /** `seconds` 0: given back at once. */
  modify(ackIds: readonly string[], seconds: number): void {
    const now = this.#options.now()
    this.#settle(this.#backlog.modify(now, ackIds, seconds === 0 ? undefined : now + seconds * 1000))
    this.pump()
  }

  /** Hands out what is due to whoever has room, one after the other. */
  pump(): void {
    if (this.#stopped) return
    for (let handed = true; handed; ) {
      handed = false
      for (const consumer of [...this.#consumers]) if (this.#serve(consumer)) handed = true
    }
    this.#look ??= setImmediate(() => this.#arm())
  }

  #serve(consumer: Consumer): boolean {
    const { messages, bytes } = consumer.room()
    if (messages <= 0 || bytes <= 0) return false
    const now = this.#options.now()
    const deliveries = this.#backlog.take(now, {
      messages: Math.min(messages, RESPONSE_MESSAGES),
      bytes: Math.min(bytes, RESPONSE_BYTES),
      deadlineMs: now + (consumer.leaseMs ?? this.#subscription.ackDeadlineSeconds * 1000),
    })
    if (deliveries.length === 0) return false
    // It goes behind the others.
    this.#consumers.delete(consumer)
    this.#consumers.add(consumer)
    consumer.deliver(deliveries.map((delivery) => this.#delivered(delivery)))
    return true
  }

  #delivered({ seq, ackId, attempt }: Delivery): Delivered {
    const message = this.#options.store.message(seq)
    if (message === undefined) throw new Error(`message ${seq} is in a backlog and not on disk`)
    return { ackId, attempt: this.#subscription.deadLetterPolicy === null ? 0 : attempt, message }
  }

  #settle({ done, dead, freed }: Settled): void {
    this.#options.store.remove(this.#subscription.name, done)
    for (const each of dead) this.#options.onDead(this.#subscription, each)
    if (freed.length > 0) for (const consumer of this.#consumers) consumer.freed(freed)
  }

  /** The next moment at which something is due without a call. Looked for once a turn, since it goes through all leases. */
  #arm(): void {
    this.#look = undefined
    clearTimeout(this.#timer)
    if (this.#stopped) return
    const now = this.#options.now()
    const next = this.#backlog.nextMs(now)
    if (next === undefined) return
    this.#timer = setTimeout(() => this.wake(), Math.max(1, next - now)).unref()
  }

  /** Ends leases whose time has come. */
  wake(): void {
    if (this.#stopped) return
    this.#settle(this.#backlog.expire(this.#options.now()))
    this.pump()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearImmediate(this.#look)
    this.#consumers.clear()
  }
}
