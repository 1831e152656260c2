/**
 * The platform as the gateway of published agents sees it: the api's request loop and what is around it, for users that a
 * session vouches for. No method rejects for an expected outcome.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateCluster, StateView } from '#shared/ports/state-cluster.ts'

/** What the provider says of the user. */
export type UserInfo = { readonly name: string | null; readonly picture: string | null }

export type AgentUser = {
  readonly user: string
  /** `anonymous`, or the issuer or provider that vouched for the user. */
  readonly provider: string
  readonly info: UserInfo
}

export type AgentSession = AgentUser & { readonly session: StateId; readonly domain: string }

/** First message of a connection. `sid`: the secret of the browser. */
export type AgentGreeting = { readonly domain: string; readonly sid: string }

/**
 * What a session follows, under the scope that its client named. `ii`: everything up to there has been taken, or was in the
 * state that the client began with. `si`: the message that asked for it.
 */
export type KeptSubscription = { readonly id: StateId; readonly label: string; readonly owner: string; readonly domain: string; readonly ii: number; readonly si: number }

/** What is kept of a session where every process can reach it. */
export type Kept = {
  /** How often it has been changed; the next change must say so. */
  readonly version: number
  /** The process that has the session; undefined: nothing was kept yet by the one that began it. */
  readonly by: string | undefined
  /** The client has taken the answers to all messages up to this. */
  readonly ack: number
  readonly subscriptions: readonly KeptSubscription[]
  /** `lost`: something of it cannot be had any more, so that the client must begin anew. */
  readonly end: 'over' | 'lost' | undefined
}

/** Members that are missing stay as they are. */
export type KeepChange = {
  readonly by: string
  readonly ack?: number
  /** New ones, and those that have moved on. */
  readonly subscriptions?: readonly KeptSubscription[]
  readonly dropped?: readonly Pick<KeptSubscription, 'id' | 'label'>[]
  readonly end?: 'over' | 'lost'
}

export type KeepAnswer =
  | { readonly kind: 'kept'; readonly version: number }
  /** Another process has changed it: the session is that one's. */
  | { readonly kind: 'taken' }
  /** The session follows too much. */
  | { readonly kind: 'full' }
  /** Nobody knows: the same change again finds out. */
  | { readonly kind: 'unavailable' }

export type BeginAnswer =
  /** `isSaved`: it can be resumed, by any process. */
  | { readonly kind: 'new'; readonly session: AgentSession; readonly isSaved: boolean }
  /** The token is not valid here. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'unavailable' }

export type ResumeAnswer =
  /** One that this browser began before. */
  | { readonly kind: 'resumed'; readonly session: AgentSession; readonly kept: Kept }
  /** It has ended, or is not of this browser. */
  | { readonly kind: 'over' }
  | { readonly kind: 'unavailable' }

/** What a text addresses. `key`: the same for all that lead to one state, but for names that were given away by a rename. */
export type AgentScope = { readonly key: string } & (
  | { readonly kind: 'id'; readonly id: StateId }
  | { readonly kind: 'name'; readonly name: string; readonly user: string; readonly domain: string; readonly isOwn: boolean }
)

export type AgentPatch = {
  readonly session: AgentSession
  /** A name is the session's own. */
  readonly scope: AgentScope
  /** In lenient form. Nobody changes them: the same is sent again where nobody knows what was done. */
  readonly ops: readonly Op[]
  /** Index of the message in its session: the same message is applied once. */
  readonly si: number
  /** Where the client reached us. */
  readonly host: string | undefined
}

export type AgentPatchAnswer =
  | {
      readonly kind: 'stored'
      readonly id: StateId
      readonly ii: InteractionIndex
      /** What it did besides; `type`: the last part of its active_type. */
      readonly effect: { readonly type: string; readonly result: { readonly [member: string]: string } } | undefined
      /** A side effect was refused. `code`: SQLSTATE of a query, else a status. */
      readonly refusal: { readonly type: string; readonly code: number | string } | undefined
      /** Of a `subscription`, a `postgres-query`: what was asked. */
      readonly active: Json | undefined
    }
  /** Nothing was stored. Reasons are for our log. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** Nobody knows what was done: the same again finds out. */
  | { readonly kind: 'unavailable'; readonly reason: string }

/** `view` undefined: nobody has written it, and this user may not be the first. */
export type OpenAnswer = { readonly kind: 'open'; readonly id: StateId; readonly view: StateView | undefined } | { readonly kind: 'failed' | 'unavailable'; readonly reason: string }

export type AgentQueryAnswer =
  | { readonly kind: 'rows'; readonly rows: string }
  | { readonly kind: 'error'; readonly code: string }
  | { readonly kind: 'unavailable'; readonly reason: string }

export interface AgentGround {
  readonly cluster: Pick<StateCluster, 'follow' | 'history' | 'stateAt'>
  /** The same in all processes of a deployment, after restarts too. */
  readonly deployment: string
  /** Of an upgrade's Origin; undefined: none that may be used here. */
  domainOf(origin: string | undefined): string | undefined
  begin(greeting: AgentGreeting, token: string | undefined): Promise<BeginAnswer>
  resume(greeting: AgentGreeting, session: string): Promise<ResumeAnswer>
  /** The session has an open connection. */
  used(session: AgentSession): void
  /** `version`: of what is kept as the caller knows it. The same change sent again is made once. */
  keep(session: AgentSession, version: number, change: KeepChange): Promise<KeepAnswer>
  /** Ends it for good: close scripts, record, entry. */
  end(session: AgentSession, info: Json): Promise<void>
  /** Undefined: no scope. */
  scopeOf(text: string, whose: { readonly user?: string | undefined; readonly domain?: string | undefined }, session: AgentSession): AgentScope | undefined
  patch(patch: AgentPatch): Promise<AgentPatchAnswer>
  /** Reads, and creates what nobody has written. */
  open(scope: AgentScope, session: AgentSession): Promise<OpenAnswer>
  query(of: { readonly session: AgentSession; readonly name: string; readonly params: readonly Json[]; readonly domain: string | undefined }): Promise<AgentQueryAnswer>
  /** Whether the session may (still) follow a state. */
  mayRead(session: AgentSession, of: { readonly id: StateId; readonly owner: string; readonly domain: string }): Promise<'allow' | 'deny' | 'unavailable'>
  /** Calls back when the rules of a domain may have changed. */
  onRules(listener: (domain: string) => void): void
}
