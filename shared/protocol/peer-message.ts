/**
 * What state processes say to each other. Lost, late or doubled it costs time only. The answer to a hand-over carries
 * safety all the same: a part ends where it says. So it names who speaks, and the question whom it is for (rule H3).
 */
import type { Cycle, Incarnation, Seq, Slot, StateId } from '#shared/ids.ts'
import type { InteractionView, StateView } from '#shared/ports/state-cluster.ts'

export type PeerMessage =
  | { readonly kind: 'heartbeat' }
  /** All that the sender leads, after a link came up. */
  | { readonly kind: 'leading'; readonly slots: readonly (readonly [Slot, Cycle])[] }
  | { readonly kind: 'leads'; readonly slot: Slot; readonly cycle: Cycle }
  | { readonly kind: 'leads-not'; readonly slot: Slot }
  | { readonly kind: 'vote-call'; readonly slot: Slot; readonly number: number }
  | {
      readonly kind: 'vote'
      readonly slot: Slot
      readonly number: number
      readonly agree: boolean
      /** The leader that the voter hears. */
      readonly leader: { readonly incarnation: Incarnation; readonly cycle: Cycle } | null
    }
  /** Give up `cycle` of `slot`, of which the epoch record names `leader`. */
  | { readonly kind: 'hand-over-ask'; readonly slot: Slot; readonly cycle: Cycle; readonly leader: Incarnation }
  | {
      readonly kind: 'hand-over'
      readonly slot: Slot
      readonly cycle: Cycle
      /** Who answers: another than was asked can say nothing of its part. */
      readonly by: Incarnation
      /** Last number of the sender's part; null: it does not lead `cycle` and never will. */
      readonly last: Seq | null
      /** What is left of the wait behind somebody's seal. */
      readonly waitMs: number
    }
  /** Send me the state, and its interactions as they are stored. */
  | { readonly kind: 'track'; readonly id: StateId }
  | { readonly kind: 'untrack'; readonly id: StateId }
  | { readonly kind: 'tracked-state'; readonly id: StateId; readonly state: StateView | null }
  | { readonly kind: 'tracked-patch'; readonly id: StateId; readonly interaction: InteractionView }
  | { readonly kind: 'track-end'; readonly id: StateId }
  /** The sender leads `slot` and wants the receiver to. */
  | { readonly kind: 'take-over'; readonly slot: Slot }
