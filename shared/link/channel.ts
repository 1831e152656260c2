/** What the api needs of one state process, in its own process or behind a link. */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { InteractionView, StateView } from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import type { Event } from '#shared/protocol/events.ts'

type Requests = 'patch' | 'read' | 'create' | 'history' | 'state-at'

/** A request as the core takes it, without its token. */
export type Submission = { [K in Requests]: Pick<Extract<Event, { kind: K }>, 'kind' | 'request'> }[Requests]

/** The link broke before the answer came: nobody knows whether it was carried out. */
export type LinkLost = { readonly kind: 'link-lost' }

export type FollowEvents = {
  readonly state: (state: StateView | undefined) => void
  readonly patch: (interaction: InteractionView) => void
  /** It is not served there, or not any longer. */
  readonly end: () => void
}

export interface Channel {
  /** `then` runs once, in a later turn or before this returns. The token takes the request back. */
  submit(submission: Submission, then: (answer: Answer | LinkLost) => void): number
  /** `then` will not run any more; what was asked for may happen all the same. */
  forget(token: number): void
  follow(id: StateId, from: InteractionIndex | undefined, events: FollowEvents): number
  /** No event comes after this returns. */
  unfollow(token: number): void
}
