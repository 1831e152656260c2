/**
 * Fan-out of stored interactions to subscribers outside the cluster. At least once; of one state in order,
 * doubles dropped by `(id, ii)`.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'

export type FanOutMessage = {
  readonly id: StateId
  readonly ii: InteractionIndex
  readonly domain: string
  readonly owner: string
  readonly user: string
  readonly activeType: string
  /** ms since 1970, UTC. */
  readonly ts: number
  /** The patch as JSON text with array paths. */
  readonly patch: string
}

export interface FanOut {
  /** Hands over messages in order; resolves when the transport has them. */
  publish(messages: readonly FanOutMessage[]): Promise<{ readonly kind: 'published' } | { readonly kind: 'failed'; readonly reason: string }>
  /** A subscriber that throws gets the message again. The returned function ends the subscription. */
  subscribe(name: string, onMessage: (message: FanOutMessage) => Promise<void>): () => void
  close(): Promise<void>
}
