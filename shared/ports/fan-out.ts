/**
 * Fan-out of stored interactions to subscribers outside the cluster. At least once; of one state in order,
 * doubles dropped by `(id, ii)`.
 *
 * The leader's log is the outbox: what `publish` does not call published is handed over again, by this leader or by the
 * next one. So an adapter needs no memory of its own, and no retries beyond those that its transport makes by itself.
 *
 * On a transport with ordering keys and attributes: key = `id`, attributes `domain`, `id`, `ii`, `active_type`.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'

export type FanOutMessage = {
  readonly id: StateId
  readonly ii: InteractionIndex
  readonly domain: string
  readonly owner: string
  readonly user: string
  /** After this interaction. */
  readonly activeType: string
  /** ms since 1970, UTC. */
  readonly ts: number
  /** The patch as JSON text with array paths. */
  readonly patch: string
}

export type PublishOutcome =
  /** Every message is surely with the transport: a crash of this process loses none of them any more. */
  | { readonly kind: 'published' }
  /**
   * Some are, or none; nobody need know which. Of a state, nothing behind the first message that failed may reach a
   * subscriber before that one has: the caller hands over the same messages again, after a pause.
   */
  | { readonly kind: 'failed'; readonly reason: string }

export interface FanOut {
  /**
   * Hands over messages in order. The outbox makes one call at a time: the next one begins when this one has its
   * outcome, and brings the same messages if that was "failed". Never rejects.
   */
  publish(messages: readonly FanOutMessage[]): Promise<PublishOutcome>
  /** A subscriber that throws gets the message again. The returned function ends the subscription. */
  subscribe(name: string, onMessage: (message: FanOutMessage) => Promise<void>): () => void
  close(): Promise<void>
}
