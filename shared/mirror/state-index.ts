/**
 * Which states each domain has: what the tables of a first configuration are filled from, without a look at every state of
 * the deployment. A table in a database of its own; rows are added when states are made, behind the acknowledgement.
 *
 * Owns: what is to be added. Does not own: the database's life. Talks to: the domains' databases.
 *
 * I1. What could not be added stays noted until it is.
 * I2. Adding twice changes nothing.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'

/** No domain is called like this: domains are hosts. */
export const INDEX_DATABASE = '(states)'

const TABLE = 'CREATE TABLE IF NOT EXISTS public.states (domain text, id text, PRIMARY KEY (domain, id))'
const ADD = 'INSERT INTO public.states (domain, id) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING'
const LIST = 'SELECT id FROM public.states WHERE domain = $1 AND id > $2 ORDER BY id LIMIT $3'

export type IdPage = { readonly kind: 'page'; readonly ids: readonly StateId[] } | { readonly kind: 'unavailable'; readonly reason: string }

export class StateIndex {
  readonly #database: DomainDatabase
  readonly #waiting = new Map<StateId, string>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<boolean> | undefined
  #isReady = false
  #isClosed = false

  constructor(options: { readonly database: DomainDatabase }) {
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
    const answer = await this.#database.write(INDEX_DATABASE, { name: 'states_of', sql: LIST, values: [domain, after, limit] })
    if (answer.kind === 'done') return { kind: 'page', ids: answer.rows.map(({ id }) => id as StateId) }
    if (answer.kind === 'missing') this.#isReady = false
    return UNAVAILABLE
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #flushLater(): Promise<void> {
    const isDone = await this.flush()
    this.#timer = undefined
    if (!isDone && !this.#isClosed) this.#timer = setTimeout(() => void this.#flushLater(), limits.mirrorHealMs).unref()
  }

  async #flush(): Promise<boolean> {
    while (this.#waiting.size > 0) {
      if (!(await this.#ready())) return false
      const part = [...this.#waiting].slice(0, limits.stateIndexRows)
      const answer = await this.#database.write(INDEX_DATABASE, { name: 'add_states', sql: ADD, values: [part.map(([, domain]) => domain), part.map(([id]) => id)] })
      if (answer.kind === 'missing') this.#isReady = false
      if (answer.kind !== 'done') return false
      for (const [id] of part) this.#waiting.delete(id)
    }
    return true
  }

  async #ready(): Promise<boolean> {
    if (this.#isReady) return true
    const ensured = await this.#database.ensure(INDEX_DATABASE)
    if (ensured.kind !== 'ready') return false
    const made = await this.#database.transact(INDEX_DATABASE, [{ sql: TABLE }])
    this.#isReady = made.kind === 'done'
    return this.#isReady
  }
}

const UNAVAILABLE: IdPage = { kind: 'unavailable', reason: 'Postgres cannot be asked just now' }
