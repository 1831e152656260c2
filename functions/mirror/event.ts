/** The event that Pub/Sub's push makes of a fan-out message, from hostile bytes to a validated type. */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { decodeFanOutMessage } from '#shared/records/fan-out-message.ts'

/** What the mirror needs of it: which state has moved on, and how far at least. */
export type MirrorEvent = { readonly domain: string; readonly id: StateId; readonly ii: InteractionIndex }

/** `data` of the CloudEvent, `{"message": {"data": base64, ...}, "subscription"}`. Undefined: it is no message of the fan-out. */
export function decodeMirrorEvent(data: unknown): MirrorEvent | undefined {
  const encoded = member(member(data, 'message'), 'data')
  if (typeof encoded !== 'string') return undefined
  const received = decodeFanOutMessage(Buffer.from(encoded, 'base64'))
  return received === undefined ? undefined : { domain: received.domain, id: received.id, ii: received.ii }
}

const member = (value: unknown, name: string): unknown => (typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined)
