/**
 * What comes out of the core, in order. A host carries each out and takes no decision: whatever had to be
 * complete before an effect is complete when the core emits it, so no effect waits for another.
 */
import type { Incarnation } from '#shared/ids.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { EffectToken, FollowToken, RequestToken } from '#shared/protocol/events.ts'
import type { FanOutMessage } from '#shared/ports/fan-out.ts'
import type { CreateAnswer, HistoryAnswer, InteractionView, PatchAnswer, ReadAnswer, StateAtAnswer, StateView } from '#shared/ports/state-cluster.ts'

/** Not served by this incarnation, and nothing was stored: ask another. */
export type NotLeader = {
  readonly kind: 'not-leader'
  /** Name of the process that leads, as far as this one knows. */
  readonly leader: string | undefined
  /** It cannot lead now, and knows nobody who does: try the next owner. */
  readonly ignoreMe: boolean
}
export type Answer = PatchAnswer | ReadAnswer | CreateAnswer | HistoryAnswer | StateAtAnswer | NotLeader

export type Effect =
  /** Create-only; answered by one "put-done" whatever happens, a time-out is an unknown outcome. */
  | { readonly kind: 'put'; readonly token: EffectToken; readonly name: string; readonly bytes: Uint8Array }
  | { readonly kind: 'get'; readonly token: EffectToken; readonly name: string; readonly range: { readonly from: number; readonly to: number } | undefined }
  | { readonly kind: 'list'; readonly token: EffectToken; readonly prefix: string; readonly after: string | undefined }
  | { readonly kind: 'delete'; readonly token: EffectToken; readonly name: string }
  | { readonly kind: 'timer'; readonly token: EffectToken; readonly ms: number }
  /** Send "turn" when the events at hand have been handed over: they share a bundle. */
  | { readonly kind: 'turn' }
  | { readonly kind: 'answer'; readonly token: RequestToken; readonly answer: Answer }
  | { readonly kind: 'follow-state'; readonly token: FollowToken; readonly state: StateView | undefined }
  | { readonly kind: 'follow-patch'; readonly tokens: readonly FollowToken[]; readonly interaction: InteractionView }
  /** The following ends here: this incarnation leads no longer. */
  | { readonly kind: 'follow-end'; readonly token: FollowToken }
  /** In order; "published" tells how many of them the fan-out surely has. */
  | { readonly kind: 'publish'; readonly message: FanOutMessage }
  /** To another state process, over its link; lost if there is none. */
  | { readonly kind: 'send'; readonly to: Incarnation; readonly message: PeerMessage }
  | { readonly kind: 'log'; readonly level: 'info' | 'warning' | 'error'; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }
  /** This incarnation is over, fenced or with a log that has grown long: everything open was answered; begin another. */
  | { readonly kind: 'fenced' }
  /** Answers "stop". */
  | { readonly kind: 'stopped' }
