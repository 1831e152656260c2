/**
 * Which sessions are open, and when each was last used: what the schedule finds silent ones by, and those whose end was begun
 * and not finished. Kept in the database of the index of states, behind the requests.
 *
 * Owns: uses that are not written yet. Does not own: whether a session is open (its record says). Talks to: the database.
 *
 * I1. A session is in it from its opening, or its first use after that was lost, until its end is finished.
 */
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { INDEX_DATABASE } from '#shared/mirror/state-index.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'

export type IndexedSession = { readonly session: string; readonly user: string; readonly domain: string }

const TABLE = 'CREATE TABLE IF NOT EXISTS public.sessions (id text PRIMARY KEY, user_id text NOT NULL, domain text NOT NULL, used bigint NOT NULL, ending boolean NOT NULL DEFAULT false)'
const INDEX = 'CREATE INDEX IF NOT EXISTS sessions_used ON public.sessions (used)'
const USE = `INSERT INTO public.sessions AS s (id, user_id, domain, used, ending) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::boolean[])
  ON CONFLICT (id) DO UPDATE SET used = greatest(s.used, excluded.used), ending = s.ending OR excluded.ending`
const SILENT = 'SELECT id, user_id, domain FROM public.sessions WHERE used < $1 OR (ending AND used < $2) ORDER BY used LIMIT $3'
const REMOVE = 'DELETE FROM public.sessions WHERE id = $1'

type Use = IndexedSession & { usedMs: number; ending: boolean }

export class SessionIndex {
  readonly #database: DomainDatabase
  readonly #clock: { wallMs(): number }
  readonly #uses = new Map<string, Use>()
  #timer: NodeJS.Timeout | undefined
  #isReady = false
  #isClosed = false

  constructor(options: { readonly database: DomainDatabase; readonly clock: { wallMs(): number } }) {
    this.#database = options.database
    this.#clock = options.clock
  }

  /** Cheap: most calls set a number. */
  used({ session, user, domain }: IndexedSession): void {
    const known = this.#uses.get(session)
    if (known === undefined) this.#note({ session, user, domain, usedMs: this.#clock.wallMs(), ending: false })
    else known.usedMs = this.#clock.wallMs()
  }

  ending({ session, user, domain }: IndexedSession): void {
    this.#note({ session, user, domain, usedMs: this.#clock.wallMs(), ending: true })
  }

  async ended(session: string): Promise<void> {
    this.#uses.delete(session)
    if (await this.#ready()) await this.#database.write(INDEX_DATABASE, { name: 'session_ended', sql: REMOVE, values: [session] })
  }

  /** Sessions not used since `silentBeforeMs`, and those whose end was begun before `endingBeforeMs`; undefined: they cannot be looked up now. */
  async silent(of: { readonly silentBeforeMs: number; readonly endingBeforeMs: number; readonly most: number }): Promise<readonly IndexedSession[] | undefined> {
    if (!(await this.flush())) return undefined
    const answer = await this.#database.write(INDEX_DATABASE, { name: 'silent_sessions', sql: SILENT, values: [of.silentBeforeMs, of.endingBeforeMs, of.most] })
    if (answer.kind !== 'done') return undefined
    return answer.rows.map(({ id, user_id: user, domain }: { readonly [column: string]: Json }) => ({ session: id as string, user: user as string, domain: domain as string }))
  }

  /** False: what was noted is not in yet, and is tried again. */
  async flush(): Promise<boolean> {
    if (!(await this.#ready())) return false
    const uses = [...this.#uses.values()].map((use) => ({ ...use }))
    if (uses.length === 0) return true
    const columns = [uses.map(({ session }) => session), uses.map(({ user }) => user), uses.map(({ domain }) => domain), uses.map(({ usedMs }) => usedMs), uses.map(({ ending }) => ending)]
    const answer = await this.#database.write(INDEX_DATABASE, { name: 'sessions_used', sql: USE, values: columns })
    if (answer.kind === 'missing') this.#isReady = false
    if (answer.kind !== 'done') return false
    for (const { session, usedMs, ending } of uses) {
      const present = this.#uses.get(session)
      if (present !== undefined && present.usedMs === usedMs && present.ending === ending) this.#uses.delete(session)
    }
    return true
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #note(use: Use): void {
    this.#uses.set(use.session, use)
    this.#later()
  }

  #later(): void {
    if (this.#isClosed) return
    this.#timer ??= setTimeout(() => {
      void this.flush().then(() => {
        this.#timer = undefined
        if (this.#uses.size > 0) this.#later()
      })
    }, limits.sessionUseMs).unref()
  }

  async #ready(): Promise<boolean> {
    if (this.#isReady) return true
    const ensured = await this.#database.ensure(INDEX_DATABASE)
    if (ensured.kind !== 'ready') return false
    this.#isReady = (await this.#database.transact(INDEX_DATABASE, [{ sql: TABLE }, { sql: INDEX }])).kind === 'done'
    return this.#isReady
  }
}
