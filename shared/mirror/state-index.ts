/**
 * Which states each domain has: what the tables of a first configuration are filled from, without a look at every state of
 * the deployment. A table in a database of its own; rows are added when states are made, behind the acknowledgement.
 *
 * Owns: what is to be added. Does not own: the database's life. Talks to: the domains' databases; cold storage, by a survey.
 *
 * I1. What could not be added stays noted until it is; what was added is flushed: nobody would add it again after a crash.
 * I2. Adding twice changes nothing.
 * I3. Nothing is listed before all states that there are have been looked through once: an index that was lost, and made
 *     anew empty, would empty the tables that are filled from it.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Log } from '#shared/log.ts'
import type { FoundState } from '#shared/mirror/survey.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'

/** No domain is called like this: domains are hosts. */
export const INDEX_DATABASE = '(states)'

const TABLE = 'CREATE TABLE IF NOT EXISTS public.states (domain text, id text, PRIMARY KEY (domain, id))'
/** Has a row once all states have been looked through. */
const SURVEYED = 'CREATE TABLE IF NOT EXISTS public.surveyed (id boolean PRIMARY KEY)'
const IS_SURVEYED = 'SELECT id FROM public.surveyed'
const SET_SURVEYED = 'INSERT INTO public.surveyed VALUES (true) ON CONFLICT DO NOTHING'
const ADD = 'INSERT INTO public.states (domain, id) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING'
const LIST = 'SELECT id FROM public.states WHERE domain = $1 AND id > $2 ORDER BY id LIMIT $3'

export type IdPage = { readonly kind: 'page'; readonly ids: readonly StateId[] } | { readonly kind: 'unavailable'; readonly reason: string }

export type StateIndexOptions = {
  readonly database: DomainDatabase
  /** All states that there are, but those that are being added meanwhile. */
  readonly survey: () => AsyncIterable<FoundState>
  readonly log: Pick<Log, 'info' | 'error'>
}

export class StateIndex {
  readonly #options: StateIndexOptions
  readonly #database: DomainDatabase
  readonly #waiting = new Map<StateId, string>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<boolean> | undefined
  #surveying: Promise<boolean> | undefined
  #isReady = false
  #isSurveyed = false
  #isClosed = false

  constructor(options: StateIndexOptions) {
    this.#options = options
    this.#database = options.database
  }

  add(domain: string, id: StateId): void {
    this.#waiting.set(id, domain)
    if (!this.#isClosed) this.#timer ??= setTimeout(() => void this.#flushLater(), limits.stateIndexMs).unref()
  }

  /** Resolves when what was added before the call is in; false: it is not, and is tried again. */
  async flush(): Promise<boolean> {
    if (this.#flushing !== undefined) await this.#flushing
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  /** At most `limit` ids of the domain that come after `after` (`''`: from the first), in order. */
  async list(domain: string, after: string, limit: number): Promise<IdPage> {
    if (!(await this.#ready())) return UNAVAILABLE
    if (!(await this.complete())) return UNAVAILABLE
    const answer = await this.#database.write(INDEX_DATABASE, { name: 'states_of', sql: LIST, values: [domain, after, limit] })
    if (answer.kind === 'done') return { kind: 'page', ids: answer.rows.map(({ id }) => id as StateId) }
    if (answer.kind === 'missing') this.#lost()
    return UNAVAILABLE
  }

  /** Resolves when all states have been looked through; false: that has to be begun again. */
  complete(): Promise<boolean> {
    if (this.#isSurveyed) return Promise.resolve(true)
    this.#surveying ??= this.#survey()
      .catch((error: unknown) => {
        this.#options.log.error({ err: error }, 'the index of states could not be made')
        return false
      })
      .finally(() => {
        this.#surveying = undefined
      })
    return this.#surveying
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #flushLater(): Promise<void> {
    const isDone = await this.flush()
    this.#timer = undefined
    if (isDone && !this.#isSurveyed) void this.complete()
    if (!isDone && !this.#isClosed) this.#timer = setTimeout(() => void this.#flushLater(), limits.mirrorHealMs).unref()
  }

  async #flush(): Promise<boolean> {
    while (this.#waiting.size > 0) {
      if (!(await this.#ready())) return false
      const part = [...this.#waiting].slice(0, limits.stateIndexRows)
      const answer = await this.#database.transact(INDEX_DATABASE, [{ name: 'add_states', sql: ADD, values: [part.map(([, domain]) => domain), part.map(([id]) => id)] }])
      if (answer.kind === 'missing') this.#lost()
      if (answer.kind !== 'done') return false
      for (const [id] of part) this.#waiting.delete(id)
    }
    return true
  }

  async #survey(): Promise<boolean> {
    if (!(await this.#ready())) return false
    if (this.#isSurveyed) return true
    let states = 0
    for await (const { id, domain } of this.#options.survey()) {
      if (this.#isClosed) return false
      this.#waiting.set(id, domain)
      states += 1
      if (this.#waiting.size >= limits.stateIndexRows && !(await this.flush())) return false
    }
    if (!(await this.flush())) return false
    this.#isSurveyed = (await this.#database.transact(INDEX_DATABASE, [{ sql: SET_SURVEYED }])).kind === 'done'
    if (this.#isSurveyed) this.#options.log.info({ states }, 'the index of states is made')
    return this.#isSurveyed
  }

  #lost(): void {
    this.#isReady = false
    this.#isSurveyed = false
  }

  async #ready(): Promise<boolean> {
    if (this.#isReady) return true
    const ensured = await this.#database.ensure(INDEX_DATABASE)
    if (ensured.kind !== 'ready') return false
    const made = await this.#database.transact(INDEX_DATABASE, [{ sql: TABLE }, { sql: SURVEYED }, { sql: IS_SURVEYED }])
    if (made.kind !== 'done') return false
    this.#isReady = true
    this.#isSurveyed = made.results[2]!.count > 0
    return true
  }
}

const UNAVAILABLE: IdPage = { kind: 'unavailable', reason: 'Postgres cannot be asked just now' }
