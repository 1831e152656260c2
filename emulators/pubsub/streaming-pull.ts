/**
 * One StreamingPull: a consumer of a subscription as long as the client keeps the stream open.
 *
 * Owns: what the client has not given back, against the bounds that it named.
 * Does not own: leases: when the stream ends they go on until they are over, as the real service has it.
 * Talks to: the client, the subscription's host.
 */
import type { Fields, StreamCall } from '../grpc-server.ts'
import { invalid, RpcError } from '../grpc-status.ts'
import type { Broker } from './broker.ts'
import { checkDeadline, listOf, numberOf, receivedMessage, textOf } from './messages.ts'
import type { Consumer, Delivered, SubscriptionHost } from './subscription-host.ts'

class Stream implements Consumer {
  readonly #call: StreamCall
  readonly #host: SubscriptionHost
  readonly #bounds: { readonly messages: number; readonly bytes: number }
  readonly #outstanding = new Map<string, number>()
  #bytes = 0
  #leaseMs: number | undefined

  constructor(call: StreamCall, host: SubscriptionHost, first: Fields) {
    this.#call = call
    this.#host = host
    this.#bounds = { messages: numberOf(first, 'maxOutstandingMessages') || Infinity, bytes: numberOf(first, 'maxOutstandingBytes') || Infinity }
  }

  get leaseMs(): number | undefined {
    return this.#leaseMs
  }

  room(): { messages: number; bytes: number } {
    return { messages: this.#bounds.messages - this.#outstanding.size, bytes: this.#bounds.bytes - this.#bytes }
  }

  deliver(messages: readonly Delivered[]): void {
    for (const { ackId, message } of messages) {
      this.#outstanding.set(ackId, message.data.byteLength)
      this.#bytes += message.data.byteLength
    }
    this.#call.write({ receivedMessages: messages.map(receivedMessage) })
  }

  freed(ackIds: readonly string[]): void {
    for (const ackId of ackIds) {
      this.#bytes -= this.#outstanding.get(ackId) ?? 0
      this.#outstanding.delete(ackId)
    }
  }

  /** What a request on the stream says, the first one included. */
  take(request: Fields): void {
    const leaseS = numberOf(request, 'streamAckDeadlineSeconds')
    if (leaseS !== 0) this.#leaseMs = checkDeadline(leaseS) * 1000
    const acks = listOf<string>(request, 'ackIds')
    if (acks.length > 0) this.#host.acknowledge(acks)
    const seconds = listOf<number>(request, 'modifyDeadlineSeconds')
    for (const [at, ackId] of listOf<string>(request, 'modifyDeadlineAckIds').entries()) this.#host.modify([ackId], checkDeadline(seconds[at] ?? 0))
  }

  /** The client counts on an answer to its signs of life. */
  sayHello(): void {
    const { enableMessageOrdering } = this.#host.subscription
    this.#call.write({ subscriptionProperties: { exactlyOnceDeliveryEnabled: false, messageOrderingEnabled: enableMessageOrdering } })
  }
}

export function openStreamingPull(broker: Broker, call: StreamCall): void {
  let stream: Stream | undefined
  let end: (() => void) | undefined
  call.on('data', (request: Fields) => {
    try {
      if (stream === undefined) {
        const host = broker.host(textOf(request, 'subscription'))
        const opened = new Stream(call, host, request)
        stream = opened
        opened.take(request)
        end = () => host.removeConsumer(opened)
        opened.sayHello()
        host.addConsumer(opened)
      } else {
        if (textOf(request, 'subscription') !== '') throw invalid('The subscription must be set in the first request only.')
        stream.take(request)
        stream.sayHello()
      }
    } catch (error) {
      end?.()
      if (!(error instanceof RpcError)) throw error
      call.emit('error', { code: error.code, details: error.details })
    }
  })
  call.on('end', () => {
    end?.()
    call.end()
  })
  call.on('cancelled', () => end?.())
  call.on('error', () => end?.())
}
