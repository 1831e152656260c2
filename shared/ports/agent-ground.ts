/**
 * The platform as the gateway of published agents sees it: the api's request loop and what is around it, for users that a
 * session vouches for. No method rejects for an expected outcome.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateCluster, StateView } from '#shared/ports/state-cluster.ts'

export type AgentUser = {
  readonly user: string
  /** `anonymous`, or the issuer that vouched for the user. */
  readonly provider: string
}

export type AgentSession = AgentUser & { readonly session: StateId; readonly domain: string }

/** First message of a connection. `sid`: the secret of the browser. */
export type AgentGreeting = { readonly domain: string; readonly sid: string; readonly token: string | undefined; readonly session: string | undefined }

export type BeginAnswer =
  /** `isSaved`: another process can resume it as well. */
  | { readonly kind: 'new'; readonly session: AgentSession; readonly isSaved: boolean }
  /** One that this browser began before. */
  | { readonly kind: 'resumed'; readonly session: AgentSession }
  /** It has ended, or is not of this browser. */
  | { readonly kind: 'over' }
  /** The token is not valid here. */
  | { readonly kind: 'refused' }
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
  /** In lenient form; they belong to the platform from the call on. */
  readonly ops: Op[]
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
  /** Nothing was stored, or nobody knows: the reason is for our log. */
  | { readonly kind: 'failed'; readonly reason: string }

/** `view` undefined: nobody has written it, and this user may not be the first. */
export type OpenAnswer = { readonly kind: 'open'; readonly id: StateId; readonly view: StateView | undefined } | { readonly kind: 'failed'; readonly reason: string }

export type AgentQueryAnswer =
  | { readonly kind: 'rows'; readonly rows: string }
  | { readonly kind: 'error'; readonly code: string }
  | { readonly kind: 'failed'; readonly reason: string }

export interface AgentGround {
  readonly cluster: Pick<StateCluster, 'follow' | 'history' | 'stateAt'>
  /** Of an upgrade's Origin; undefined: none that may be used here. */
  domainOf(origin: string | undefined): string | undefined
  begin(greeting: AgentGreeting): Promise<BeginAnswer>
  /** The session has an open connection. */
  used(session: AgentSession): void
  /** Ends it for good: close scripts, record, entry. */
  end(session: AgentSession, info: Json): Promise<void>
  /** Undefined: no scope. */
  scopeOf(text: string, whose: { readonly user?: string | undefined; readonly domain?: string | undefined }, session: AgentSession): AgentScope | undefined
  patch(patch: AgentPatch): Promise<AgentPatchAnswer>
  /** Reads, and creates what nobody has written. */
  open(scope: AgentScope, session: AgentSession): Promise<OpenAnswer>
  query(of: { readonly session: AgentSession; readonly name: string; readonly params: readonly Json[]; readonly domain: string | undefined }): Promise<AgentQueryAnswer>
  /** Whether the session may (still) follow a state. */
  mayRead(session: AgentSession, of: { readonly id: StateId; readonly owner: string; readonly domain: string }): Promise<boolean>
  /** Calls back when the rules of a domain may have changed. */
  onRules(listener: (domain: string) => void): void
}
