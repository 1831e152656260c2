/**
 * Ends sessions that have fallen silent, and goes on with ends that were begun by a process that is gone.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'

type Owner = { readonly user: string; readonly domain: string }

export type CloseSessionsParts = {
  readonly index: {
    silent(of: { readonly silentBeforeMs: number; readonly endingBeforeMs: number; readonly most: number }): Promise<readonly (Owner & { readonly session: string })[] | undefined>
  }
  readonly closing: {
    mark(owner: Owner, session: StateId): Promise<{ readonly kind: 'closed' | 'none' | 'unavailable' }>
    /** Undefined: not finished yet. */
    finish(owner: Owner, session: StateId): Promise<object | undefined>
  }
  readonly nowMs: number
  readonly silenceMs: number
  readonly log: { warn(fields: object, message: string): void }
}

/** Sessions ended. Throws where they cannot be looked up. */
export async function runCloseSessions({ index, closing, nowMs, silenceMs, log }: CloseSessionsParts): Promise<number> {
  const found = await index.silent({ silentBeforeMs: nowMs - silenceMs, endingBeforeMs: nowMs - limits.sessionEndingMs, most: limits.sessionsClosed })
  if (found === undefined) throw new Error('Postgres cannot be asked which sessions are silent')
  let ended = 0
  for (const { session, user, domain } of found) {
    const marked = await closing.mark({ user, domain }, session as StateId)
    if (marked.kind === 'unavailable') continue
    // None: somebody has marked it; what is left is done all the same.
    if ((await closing.finish({ user, domain }, session as StateId)) !== undefined) ended += 1
    else log.warn({ session }, 'the end of a session could not be finished yet')
  }
  return ended
}
