/**
 * What goes into the core. A host turns sockets, cold storage, clocks and the directory into these, one at a
 * time, and takes no decision of its own.
 */
import type { Incarnation, InteractionIndex, StateId } from '#shared/ids.ts'
import type { GetOutcome, ListOutcome, PutOutcome, DeleteOutcome } from '#shared/ports/cold-storage.ts'
import type { Member } from '#shared/ports/directory.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { CreateRequest, HistoryRequest, PatchRequest, ReadRequest, StateAtRequest } from '#shared/ports/state-cluster.ts'

/** Two readings of time: what has passed is the larger difference of the two (SPEC.md, rule L2). */
export type ClockReading = {
  /** ms since 1970, UTC; may jump. */
  readonly wallMs: number
  /** ms of a clock that never goes back; may stand still while the machine sleeps. */
  readonly monotonicMs: number
}

/** A request's own number, made by the host: the answer carries it. */
export type RequestToken = number
/** A following's own number, made by the host: its events carry it. */
export type FollowToken = number
/** Number of a storage operation or timer, made by the core. */
export type EffectToken = number

export type Event =
  | { readonly kind: 'patch'; readonly token: RequestToken; readonly request: PatchRequest }
  | { readonly kind: 'read'; readonly token: RequestToken; readonly request: ReadRequest }
  | { readonly kind: 'create'; readonly token: RequestToken; readonly request: CreateRequest }
  | { readonly kind: 'history'; readonly token: RequestToken; readonly request: HistoryRequest }
  | { readonly kind: 'state-at'; readonly token: RequestToken; readonly request: StateAtRequest }
  | { readonly kind: 'follow'; readonly token: FollowToken; readonly id: StateId; readonly from: InteractionIndex | undefined }
  | { readonly kind: 'unfollow'; readonly token: FollowToken }
  | { readonly kind: 'put-done'; readonly token: EffectToken; readonly outcome: PutOutcome }
  | { readonly kind: 'get-done'; readonly token: EffectToken; readonly outcome: GetOutcome }
  | { readonly kind: 'list-done'; readonly token: EffectToken; readonly outcome: ListOutcome }
  | { readonly kind: 'delete-done'; readonly token: EffectToken; readonly outcome: DeleteOutcome }
  | { readonly kind: 'timer'; readonly token: EffectToken }
  /** The next `messages` of those that were emitted by "publish" are surely published; `characters` of patches. */
  | { readonly kind: 'published'; readonly messages: number; readonly characters: number }
  /** Answers a "turn" effect: what arrived together has been handed over. */
  | { readonly kind: 'turn' }
  /** The directory's members, at the start and whenever it changes. */
  | { readonly kind: 'members'; readonly members: readonly Member[] }
  | { readonly kind: 'link-up'; readonly peer: Incarnation; readonly name: string }
  | { readonly kind: 'link-down'; readonly peer: Incarnation }
  | { readonly kind: 'message'; readonly from: Incarnation; readonly message: PeerMessage }
  /** Hand over, flush, checkpoint, seal the own log; "stopped" follows. */
  | { readonly kind: 'stop' }
