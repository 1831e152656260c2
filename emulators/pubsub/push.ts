/**
 * The push door of a subscription: POSTs messages to its endpoint, as Eventarc does to a CloudEvent function: binary
 * CloudEvent headers, the message and the subscription as JSON.
 *
 * Owns: requests under way. Does not own: the backlog, when a message comes again. Talks to: the endpoint, its host.
 *
 * Invariants:
 *  I1  A status of success acknowledges, anything else gives back: refused, too late, broken off.
 */
import type { Consumer, Delivered, SubscriptionHost } from './subscription-host.ts'

const WINDOW = { messages: 16, bytes: 64 * 1024 * 1024 }
const SUCCESS = new Set([102, 200, 201, 202, 204])

export class PushDoor implements Consumer {
  readonly #host: SubscriptionHost
  readonly #endpoint: string
  readonly #underWay = new Set<AbortController>()

  constructor(host: SubscriptionHost, endpoint: string) {
    this.#host = host
    this.#endpoint = endpoint
  }

  /** The request's time-out comes first: it says the same, and sooner. */
  get leaseMs(): number {
    return this.#deadlineMs + 1_000
  }

  get #deadlineMs(): number {
    return this.#host.subscription.ackDeadlineSeconds * 1000
  }

  room(): { messages: number; bytes: number } {
    return { messages: WINDOW.messages - this.#underWay.size, bytes: WINDOW.bytes }
  }

  freed(): void {}

  deliver(messages: readonly Delivered[]): void {
    for (const delivered of messages) {
      const abort = new AbortController()
      this.#underWay.add(abort)
      void this.#post(delivered, abort.signal).then((taken) => {
        this.#underWay.delete(abort)
        if (abort.signal.aborted) return
        if (taken) this.#host.acknowledge([delivered.ackId])
        else this.#host.modify([delivered.ackId], 0)
      })
    }
  }

  async #post(delivered: Delivered, stopped: AbortSignal): Promise<boolean> {
    try {
      const response = await fetch(this.#endpoint, {
        method: 'POST',
        headers: cloudEventHeaders(this.#host.subscription.topic, delivered),
        body: cloudEventBody(this.#host.subscription.name, delivered),
        redirect: 'manual',
        signal: AbortSignal.any([stopped, AbortSignal.timeout(this.#deadlineMs)]),
      })
      await response.arrayBuffer()
      return SUCCESS.has(response.status)
    } catch {
      return false
    }
  }

  stop(): void {
    this.#host.removeConsumer(this)
    for (const abort of this.#underWay) abort.abort()
  }
}

function cloudEventHeaders(topic: string, { message }: Delivered): Record<string, string> {
  return {
    'content-type': 'application/json',
    'ce-id': String(message.seq),
    'ce-specversion': '1.0',
    'ce-type': 'google.cloud.pubsub.topic.v1.messagePublished',
    'ce-source': `//pubsub.googleapis.com/${topic}`,
    'ce-time': new Date(message.publishedMs).toISOString(),
  }
}

function cloudEventBody(subscription: string, { message, attempt }: Delivered): string {
  const { data, attributes, orderingKey, seq, publishedMs } = message
  return JSON.stringify({
    message: {
      data: Buffer.from(data).toString('base64'),
      attributes,
      messageId: String(seq),
      publishTime: new Date(publishedMs).toISOString(),
      ...(orderingKey === '' ? {} : { orderingKey }),
    },
    subscription,
    ...(attempt === 0 ? {} : { deliveryAttempt: attempt }),
  })
}
