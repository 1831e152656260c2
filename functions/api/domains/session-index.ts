/**
 * Which sessions are open, and when each was last used: what the schedule finds silent ones by, and those whose end was begun
 * and not finished. Kept in the database of the index of states, behind the requests.
 *
 * Owns: uses that are not written yet. Does not own: whether a session is open (its record says). Talks to: the database.
 *
 * I1. A session is in it from its opening, or its first use after that was lost, until its end is finished. Of a domain with
 *     a configuration, which may have close scripts, it is there before its opening is answered and before its end is begun.
 * I2. One that was lost, and made anew empty, does not say that it is whole before all sessions have been looked for.
 */
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { INDEX_DATABASE } from '#shared/mirror/state-index.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'

export type IndexedSession = { readonly session: string; readonly user: string; readonly domain: string }
export type FoundSession = IndexedSession & { readonly isEnding: boolean }

const TABLE = 'CREATE TABLE IF NOT EXISTS public.sessions (id text PRIMARY KEY, user_id text NOT NULL, domain text NOT NULL, used bigint NOT NULL, ending boolean NOT NULL DEFAULT false)'
const INDEX = 'CREATE INDEX IF NOT EXISTS sessions_used ON public.sessions (used)'
/** A use does not put off an end that was begun. Flushed: after a crash of Postgres nobody would note an end again. */
const USE = `INSERT INTO public.sessions AS s (id, user_id, domain, used, ending)
  SELECT u.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::boolean[]) AS u, (SELECT set_config('synchronous_commit', 'on', true)) AS flushed
  ON CONFLICT (id) DO UPDATE SET used = CASE WHEN s.ending AND NOT excluded.ending THEN s.used ELSE greatest(s.used, excluded.used) END, ending = s.ending OR excluded.ending`
/** Of many domains some each: one that has many, or whose sessions cannot be ended, does not keep those of others from it. */
const SILENT = `SELECT id, user_id, domain FROM
  (SELECT *, row_number() OVER (PARTITION BY domain ORDER BY used) AS place FROM public.sessions WHERE used < $1 OR (ending AND used < $2)) AS found
  ORDER BY place, random() LIMIT $3`
/** What is listed already was used when it says. */
const FOUND = `INSERT INTO public.sessions AS s (id, user_id, domain, used, ending) SELECT u.id, u.user_id, u.domain, $5::bigint, u.ending
  FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) AS u (id, user_id, domain, ending)
  ON CONFLICT (id) DO UPDATE SET ending = s.ending OR excluded.ending`
/** Has a row once all sessions that there are have been looked for. */
const WHOLE = 'CREATE TABLE IF NOT EXISTS public.sessions_whole (id boolean PRIMARY KEY)'
const IS_WHOLE = 'SELECT id FROM public.sessions_whole'
const SET_WHOLE = 'INSERT INTO public.sessions_whole VALUES (true) ON CONFLICT DO NOTHING'
const REMOVE = 'DELETE FROM public.sessions WHERE id = $1'

type Use = IndexedSession & { usedMs: number; ending: boolean }

export class SessionIndex {
  readonly #database: DomainDatabase
  readonly #clock: { wallMs(): number }
  readonly #isConfigured: (domain: string) => boolean
  readonly #uses = new Map<string, Use>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<boolean> | undefined
  #isReady = false
  #isWhole = false
  #isClosed = false

  constructor(options: { readonly database: DomainDatabase; readonly clock: { wallMs(): number }; readonly isConfigured: (domain: string) => boolean }) {
    this.#database = options.database
    this.#clock = options.clock
    this.#isConfigured = options.isConfigured
  }

  /** Cheap: most calls set a number. */
  used({ session, user, domain }: IndexedSession): void {
    const known = this.#uses.get(session)
    if (known === undefined) this.#note({ session, user, domain, usedMs: this.#clock.wallMs(), ending: false })
    else if (!known.ending) known.usedMs = this.#clock.wallMs()
  }

  /** I1. Resolves when it is in; false: it is not within a bounded time, and is tried again. */
  opened(of: IndexedSession): Promise<boolean> {
    this.used(of)
    return this.#isNoted(of)
  }

  /** The same of an end, before its record is marked. */
  ending(of: IndexedSession): Promise<boolean> {
    this.goesOn(of)
    return this.#isNoted(of)
  }

  /** An end is under way: nobody needs to take it over. */
  goesOn({ session, user, domain }: IndexedSession): void {
    this.#note({ session, user, domain, usedMs: this.#clock.wallMs(), ending: true })
  }

  /** Nobody needs to wait for it: an end that is found again is seen to be finished. */
  async ended(session: string): Promise<void> {
    this.#uses.delete(session)
    if (await this.#ready()) await this.#database.write(INDEX_DATABASE, { name: 'session_ended', sql: REMOVE, values: [session] })
  }

  /** Sessions not used since `silentBeforeMs`, and those whose end was begun before `endingBeforeMs`; undefined: they cannot be looked up now. */
  async silent(of: { readonly silentBeforeMs: number; readonly endingBeforeMs: number; readonly most: number }): Promise<readonly IndexedSession[] | undefined> {
    if (!(await this.flush())) return undefined
    const answer = await this.#database.write(INDEX_DATABASE, { name: 'silent_sessions', sql: SILENT, values: [of.silentBeforeMs, of.endingBeforeMs, of.most] })
    if (answer.kind === 'missing') this.#isReady = false
    if (answer.kind !== 'done') return undefined
    return answer.rows.map(({ id, user_id: user, domain }: { readonly [column: string]: Json }) => ({ session: id as string, user: user as string, domain: domain as string }))
  }

  /** Whether all sessions that there are have been looked for; undefined: that is not known now. */
  async isWhole(): Promise<boolean | undefined> {
    return (await this.#ready()) ? this.#isWhole : undefined
  }

  async becameWhole(): Promise<boolean> {
    this.#isWhole = (await this.#database.transact(INDEX_DATABASE, [{ sql: SET_WHOLE }])).kind === 'done'
    return this.#isWhole
  }

  /** False: they are not in. Doing it twice changes nothing. */
  async found(sessions: readonly FoundSession[]): Promise<boolean> {
    if (sessions.length === 0) return true
    const values = [sessions.map(({ session }) => session), sessions.map(({ user }) => user), sessions.map(({ domain }) => domain), sessions.map(({ isEnding }) => isEnding), this.#clock.wallMs()]
    return (await this.#database.transact(INDEX_DATABASE, [{ sql: FOUND, values }])).kind === 'done'
  }

  /** Resolves when what was noted before the call is in; false: it is not, and is tried again. */
  async flush(): Promise<boolean> {
    if (this.#flushing !== undefined) await this.#flushing
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #isNoted({ domain }: IndexedSession): Promise<boolean> {
    if (!this.#isConfigured(domain)) return true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, limits.sessionNotedMs, false)
    })
    return Promise.race([this.flush(), late]).finally(() => clearTimeout(timer))
  }

  async #flush(): Promise<boolean> {
    if (!(await this.#ready())) return false
    // In one order: other processes write the same rows.
    const noted = [...this.#uses.values()].toSorted((a, b) => (a.session < b.session ? -1 : 1))
    for (let at = 0; at < noted.length; at += limits.stateIndexRows) {
      const uses = noted.slice(at, at + limits.stateIndexRows).map((use) => ({ ...use }))
      const values = [uses.map(({ session }) => session), uses.map(({ user }) => user), uses.map(({ domain }) => domain), uses.map(({ usedMs }) => usedMs), uses.map(({ ending }) => ending)]
      const answer = await this.#database.write(INDEX_DATABASE, { name: 'sessions_used', sql: USE, values })
      if (answer.kind === 'missing') this.#isReady = false
      if (answer.kind !== 'done') return false
      for (const { session, usedMs, ending } of uses) {
        const present = this.#uses.get(session)
        if (present !== undefined && present.usedMs === usedMs && present.ending === ending) this.#uses.delete(session)
      }
    }
    return true
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
    const made = await this.#database.transact(INDEX_DATABASE, [{ sql: TABLE }, { sql: INDEX }, { sql: WHOLE }, { sql: IS_WHOLE }])
    this.#isReady = made.kind === 'done'
    this.#isWhole = made.kind === 'done' && made.results[3]!.count > 0
    return this.#isReady
  }
}
