/** One following: somebody who gets every interaction of a state, in order, from the moment it is stored. */
import type { Incarnation, InteractionIndex } from '#shared/ids.ts'
import type { FollowToken } from '#shared/protocol/events.ts'
import type { TrackedState } from '#shared/protocol/state.ts'

/** A following of this process's host, or a tracked copy in another state process. */
export type Sink = { readonly token: FollowToken } | { readonly peer: Incarnation }

export type Following = {
  readonly sink: Sink
  readonly state: TrackedState
  /** The interaction it gets next; what is stored below it, it has. */
  nextIi: InteractionIndex
}
