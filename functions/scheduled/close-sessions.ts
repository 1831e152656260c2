/**
 * Ends sessions that have fallen silent, and goes on with ends that were begun by a process that is gone.
 *
 * Several domains at once, the sessions of one domain one after the other and for a bounded time: close scripts are the
 * domains' own code, and one that has many sessions, or slow scripts, must not keep the sessions of others open.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'

type Owner = { readonly user: string; readonly domain: string }
type Found = Owner & { readonly session: string }

export type CloseSessionsParts = {
  readonly index: {
    silent(of: { readonly silentBeforeMs: number; readonly endingBeforeMs: number; readonly most: number }): Promise<readonly Found[] | undefined>
  }
  readonly closing: {
    mark(owner: Owner, session: StateId): Promise<{ readonly kind: 'closed' | 'none' | 'unavailable' }>
    finish(owner: Owner, session: StateId): Promise<{ readonly kind: 'finished' | 'later' }>
  }
  readonly clock: { wallMs(): number }
  readonly silenceMs: number
  /** Since when this is the only process: ends that were begun before have nobody else. Undefined: there are others. */
  readonly aloneSinceMs: number | undefined
  readonly log: { warn(fields: object, message: string): void }
}

/** Sessions that were ended, and those that were found and are left to the next run. */
type ClosedSessions = { readonly ended: number; readonly left: number }

/** Throws where they cannot be looked up. */
export async function runCloseSessions({ index, closing, clock, silenceMs, aloneSinceMs = 0, log }: CloseSessionsParts): Promise<ClosedSessions> {
  const nowMs = clock.wallMs()
  const found = await index.silent({
    // Uses that others have seen may be on their way to the index.
    silentBeforeMs: nowMs - silenceMs - limits.sessionUseMs,
    endingBeforeMs: Math.max(nowMs - limits.sessionEndingMs, aloneSinceMs),
    most: limits.sessionsClosed,
  })
  if (found === undefined) throw new Error('Postgres cannot be asked which sessions are silent')
  const byDomain = [...Map.groupBy(found, ({ domain }) => domain).values()]
  let ended = 0
  const end = async (sessions: readonly Found[]): Promise<void> => {
    const untilMs = clock.wallMs() + limits.sessionClosingMs
    for (const { session, user, domain } of sessions) {
      if (clock.wallMs() >= untilMs) return
      const marked = await closing.mark({ user, domain }, session as StateId)
      // None: somebody has marked it; what is left is done all the same.
      const isEnded = marked.kind !== 'unavailable' && (await closing.finish({ user, domain }, session as StateId)).kind === 'finished'
      // What kept this one from its end is not the session's own.
      if (!isEnded) return log.warn({ session, domain }, 'the end of a session could not be finished yet')
      ended += 1
    }
  }
  const next = async (): Promise<void> => {
    for (let sessions = byDomain.shift(); sessions !== undefined; sessions = byDomain.shift()) await end(sessions)
  }
  await Promise.all(Array.from({ length: limits.sessionClosings }, next))
  return { ended, left: found.length - ended }
}
