/**
 * The directory: which state processes there are. A hint for speed: no promise depends on its being up to date.
 */
import type { Incarnation } from '#shared/ids.ts'

export type Member = {
  /** Stable over lives: what the ring hashes. */
  readonly name: string
  readonly incarnation: Incarnation
  /** Where its link listens, `host:port`; empty for one that is in this process. */
  readonly address: string
  /** Operating system process, shown to operators in local mode. */
  readonly pid: number | undefined
  readonly state: 'joining' | 'active' | 'draining'
  /** ms since 1970 by the member's own clock. */
  readonly heartbeat: number
}

export type DirectoryOutcome = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly reason: string }

export interface Directory {
  /** Replaces the record of `member.name`. */
  announce(member: Member): Promise<DirectoryOutcome>
  /** Removes the record of `name` if it is still this incarnation's. */
  leave(name: string, incarnation: Incarnation): Promise<DirectoryOutcome>
  members(): Promise<{ readonly kind: 'members'; readonly members: readonly Member[] } | { readonly kind: 'failed'; readonly reason: string }>
  /** Calls back with all members, soon after the call and after each change. The returned function ends it. */
  watch(onChange: (members: readonly Member[]) => void): () => void
  close(): Promise<void>
}
