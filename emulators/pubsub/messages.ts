/** Messages between the wire, as `proto-loader` has it, and the broker. */
import type { Fields } from '../grpc-server.ts'
import { invalid } from '../grpc-status.ts'
import type { Publication } from './broker.ts'
import type { Delivered } from './subscription-host.ts'

export const textOf = (request: Fields, field: string): string => String(request[field] ?? '')
export const listOf = <T>(request: Fields, field: string): readonly T[] => (request[field] as readonly T[] | null) ?? []
export const numberOf = (request: Fields, field: string): number => Number(request[field] ?? 0)

/** Bounds of what one call may carry. */
const ACK_DEADLINE_MAX_S = 600

export function publicationOf(message: Fields): Publication {
  return {
    data: (message['data'] as Uint8Array | null) ?? new Uint8Array(),
    attributes: (message['attributes'] as Record<string, string> | null) ?? {},
    orderingKey: textOf(message, 'orderingKey'),
  }
}

export function receivedMessage({ ackId, attempt, message }: Delivered): object {
  return {
    ackId,
    deliveryAttempt: attempt,
    message: {
      data: message.data,
      attributes: message.attributes,
      messageId: String(message.seq),
      publishTime: { seconds: Math.floor(message.publishedMs / 1000), nanos: (message.publishedMs % 1000) * 1e6 },
      orderingKey: message.orderingKey,
    },
  }
}

/** Throws INVALID_ARGUMENT. */
export function checkDeadline(seconds: number): number {
  if (!(seconds >= 0 && seconds <= ACK_DEADLINE_MAX_S)) throw invalid(`Invalid ack deadline given: ${seconds} is not from 0 to ${ACK_DEADLINE_MAX_S}.`)
  return seconds
}

/** Lists are answered in pages of names in order; the token is the last name of the page before. */
export function pageOf<T>(all: readonly T[], nameOf: (item: T) => string, request: Fields): { readonly page: T[]; readonly nextPageToken: string } {
  const after = textOf(request, 'pageToken')
  const rest = all.filter((item) => nameOf(item) > after).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  const page = rest.slice(0, numberOf(request, 'pageSize') || 100)
  return { page, nextPageToken: page.length < rest.length ? nameOf(page.at(-1)!) : '' }
}
