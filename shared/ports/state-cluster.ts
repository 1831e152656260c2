/**
 * What the api sees of the state processes, whether they are in this process or behind links.
 *
 * Ownership: `ops` and everything in them belong to the cluster from the call on; the caller must not
 * read or change them afterwards (`text` is what stays). Order: of one state, follow events come in order
 * of `ii` without gap or double; the answer to a patch comes after its event was handed to the followers.
 * No method rejects for an expected outcome: every outcome is a value.
 */
import type { InteractionIndex, Slot, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'

/** Who may write: see the leader's ownership check. */
export type Authority =
  /** The state's owner, within the state's domain, only. */
  | 'owner'
  /** The api has authorized this user by the domain's rules; `active` only, name and active_type stay the owner's. */
  | 'granted'
  /** The platform itself: the only one that writes reserved states. */
  | 'system'

/** What a state is made with by its first interaction or by a creation record. */
export type Creation = {
  readonly name: string | null
  /** Reserved states are read like others and written by the platform only (session records, name tables). */
  readonly reserved: boolean
}

export type PatchRequest = {
  readonly id: StateId
  readonly ops: Op[]
  /** `ops` as JSON, array paths: what is logged, followed and kept as history. */
  readonly text: string
  readonly user: string
  readonly domain: string
  readonly authority: Authority
  /** How to make the state if nobody has written it; `undefined`: then answer "unwritten". */
  readonly creation: Creation | undefined
  /** 16 bytes as a latin1 string: digest of the client's Idempotency-Key, or the api's own unique key. */
  readonly key: string
  /** 16 bytes as a latin1 string: digest of what the key stands for (patch, ii, return); empty for the api's own keys. */
  readonly bodyDigest: string
  /** The interaction index that this patch must take, if the client said so. */
  readonly expected: InteractionIndex | undefined
  /** Answer with the state as it is right after this interaction (a repeat: as it is now). */
  readonly returnState: boolean
  /** The api wants the state as well, for itself: always, or if its active_type is one of these. */
  readonly imageFor?: 'all' | readonly string[]
  /** Made strict by the leader before it takes its `ii`. */
  readonly lenient: boolean
}

/** A state as it was at `ii`. */
export type StateView = {
  readonly id: StateId
  readonly ii: InteractionIndex
  readonly domain: string
  readonly owner: string
  readonly name: string | null
  readonly activeType: string
  /** `active` as JSON text. */
  readonly active: string
  /** ms since 1970, UTC. */
  readonly created: number
  readonly updated: number
  readonly reserved: boolean
}

/** Not served now. `stored: false` only where it is certain that nothing was or will be stored. */
export type Unavailable = {
  readonly kind: 'unavailable'
  readonly stored: false | undefined
  /** For the operator's log and the problem's detail; names no tenant's data. */
  readonly reason: string
}

export type PatchAnswer =
  | {
      readonly kind: 'stored'
      readonly ii: InteractionIndex
      readonly updated: number
      /** The key was known: nothing was applied now. */
      readonly replayed: boolean
      /** After this interaction (a repeat: now). */
      readonly activeType: string
      readonly state: StateView | undefined
    }
  /** `expected` was ahead; `next` is the index that comes next. */
  | { readonly kind: 'replay'; readonly next: InteractionIndex }
  /** `expected` was behind; `ii` is the current index. */
  | { readonly kind: 'out-of-sync'; readonly ii: InteractionIndex }
  | { readonly kind: 'unprocessable'; readonly op: number; readonly reason: string }
  | { readonly kind: 'too-large'; readonly limitBytes: number }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'key-reused' }
  | { readonly kind: 'unwritten' }
  | Unavailable

export type ReadRequest = {
  readonly id: StateId
  readonly mode: 'strong' | 'tracked'
  /** Wait up to `limits.minIiWaitMs` until the copy has this index. */
  readonly minIi: InteractionIndex | undefined
}
export type ReadAnswer =
  | { readonly kind: 'state'; readonly state: StateView }
  /** Nobody has written it: no interaction, no creation record. */
  | { readonly kind: 'unwritten' }
  /** `minIi` was not reached in time. */
  | { readonly kind: 'behind' }
  | Unavailable

/** Makes the state (`ii` 0) unless it is there. A creation record is durable before the answer. */
export type CreateRequest = {
  readonly id: StateId
  readonly user: string
  readonly domain: string
  readonly creation: Creation
}
export type CreateAnswer = { readonly kind: 'created'; readonly made: boolean; readonly state: StateView } | Unavailable

/** One interaction as history and followers see it. */
export type InteractionView = {
  readonly ii: InteractionIndex
  readonly user: string
  /** ms since 1970, UTC. */
  readonly ts: number
  /** The patch as JSON text, as sent, with array paths. */
  readonly patch: string
}

export type HistoryRequest = { readonly id: StateId; readonly from: InteractionIndex; readonly to: InteractionIndex | undefined }
export type HistoryAnswer =
  /**
   * Interactions `from`.. in order, at most a page. `more`: ask again from the one after the last. An index
   * below 1 counts as 1; one beyond the present gives an empty page without `more`.
   */
  | { readonly kind: 'page'; readonly interactions: readonly InteractionView[]; readonly more: boolean }
  | Unavailable

/** The state as it was right after interaction `ii`; 0 is the empty state of its creation. */
export type StateAtRequest = { readonly id: StateId; readonly ii: InteractionIndex }
export type StateAtAnswer =
  | { readonly kind: 'state'; readonly state: StateView }
  /** `ii` lies beyond the present (an unwritten state has only 0, which is "unwritten"). */
  | { readonly kind: 'beyond'; readonly ii: InteractionIndex }
  | { readonly kind: 'unwritten' }
  | Unavailable

export type FollowRequest = {
  readonly id: StateId
  /** Continue with this interaction, without a `state` event, where it is still at hand. */
  readonly from: InteractionIndex | undefined
}
export interface Follower {
  /** First event, unless `from` could be continued; again whenever continuity could not be kept. Undefined: unwritten. */
  state(state: StateView | undefined): void
  /** The next interaction: always the `ii` after the last event's. */
  patch(interaction: InteractionView): void
}
export interface Following {
  /** No event comes after this returns. */
  stop(): void
}

export type MemberInfo = {
  readonly name: string
  readonly incarnation: string
  readonly pid: number | undefined
  readonly address: string
  readonly state: 'joining' | 'active' | 'draining'
  /** How many slots it leads, and which. */
  readonly slots: number
  readonly leads: readonly Slot[]
  readonly log: { readonly seq: number; readonly waiting: number }
}

export interface StateCluster {
  patch(request: PatchRequest): Promise<PatchAnswer>
  read(request: ReadRequest): Promise<ReadAnswer>
  create(request: CreateRequest): Promise<CreateAnswer>
  history(request: HistoryRequest): Promise<HistoryAnswer>
  stateAt(request: StateAtRequest): Promise<StateAtAnswer>
  /** Events start in a later turn than the call. Survives fail-over: a pause, no gap, no double. */
  follow(request: FollowRequest, follower: Follower): Following
  members(): Promise<readonly MemberInfo[]>
  /** What is missing before it can serve, in words; empty when ready. */
  missing(): readonly string[]
}
