/**
 * Keeps the databases of configured domains as their states are.
 *
 * Owns: what is to be written, by domain; states whose rows are behind. Does not own: rows and statements (shared/mirror),
 * which configuration is in force. Talks to: the domains' databases; the cluster, for states that are behind.
 *
 * I1. `write` answers "done" when the database has the state as it was, or a newer one.
 * I2. Of a domain few batches are under way at a time, a state in one of them only; what comes meanwhile goes in the next one,
 *     of a state only the newest.
 * I3. What could not be written stays noted until it is: memory goes with the number of states that are behind, not of patches.
 * I4. What Postgres may have taken back in a crash (rows are visible before they are flushed) is written again: `interrupted`.
 * I5. Rows are made for the configuration in force when they are written, so that a table that is gone is not missed.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import { mirrorStatements } from '#shared/mirror/batch.ts'
import type { MirrorStatement } from '#shared/mirror/batch.ts'
import { mirroredState, rowsOf } from '#shared/mirror/rows.ts'
import type { RowFault, StateRows } from '#shared/mirror/rows.ts'
import type { DomainDatabase, WriteOutcome } from '#shared/ports/domain-database.ts'
import type { StateCluster, StateView } from '#shared/ports/state-cluster.ts'
import { SESSION_TYPE } from '#shared/sessions/session-record.ts'
import type { Log } from '../parts.ts'
import type { InForce, InForceDomains } from './in-force.ts'

export type MirrorOutcome = { readonly kind: 'done' } | { readonly kind: 'unavailable'; readonly reason: string }

/** A state whose row has a value that does not fit. */
export type Misfits = { readonly inForce: InForce; readonly id: StateId; readonly faults: readonly RowFault[] }

export type MirrorOptions = {
  readonly inForce: InForceDomains
  readonly database: DomainDatabase
  readonly cluster: StateCluster
  readonly log: Log
  readonly onMisfits: (misfits: Misfits) => void
  /** The domain's database is gone, or was never there. */
  readonly onMissing: (domain: string) => void
}

type Waiting = { view: StateView; readonly waiters: ((outcome: MirrorOutcome) => void)[] }

/** What one domain has to be written. */
type Lane = {
  readonly waiting: Map<StateId, Waiting>
  isAsked: boolean
  /** Batches under way, and the states in them. */
  batches: number
  readonly busy: Set<StateId>
  /** All writes under way, those that heal too. */
  readonly running: Set<Promise<MirrorOutcome>>
  /** Written within the last one or two `limits.mirrorRecentMs`: what a crash of Postgres may have taken back. */
  recent: Set<StateId>
  older: Set<StateId>
  /** States whose rows are behind, to be read anew. */
  readonly behind: Set<StateId>
  isHealing: boolean
}

/** Of one domain at once: while Postgres works on one, the next is made. */
const BATCHES = 2

const DONE: MirrorOutcome = { kind: 'done' }

export class Mirror {
  readonly #options: MirrorOptions
  readonly #lanes = new Map<string, Lane>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ageing: NodeJS.Timeout
  #isClosed = false

  constructor(options: MirrorOptions) {
    this.#options = options
    this.#ageing = setInterval(() => this.#age(), limits.mirrorRecentMs).unref()
  }

  /** Resolves within the request's deadline. The write goes on behind it if it has to. */
  write(view: StateView): Promise<MirrorOutcome> {
    if (!isMirrored(view)) return Promise.resolve(DONE)
    const lane = this.#lane(view.domain)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve({ kind: 'unavailable', reason: 'the mirror takes too long' }), limits.requestDeadlineMs)
      const answer = (outcome: MirrorOutcome): void => {
        clearTimeout(timer)
        resolve(outcome)
      }
      const other = lane.waiting.get(view.id)
      if (other === undefined) lane.waiting.set(view.id, { view, waiters: [answer] })
      else {
        if (view.ii >= other.view.ii) other.view = view
        other.waiters.push(answer)
      }
      this.#ask(view.domain, lane)
    })
  }

  /** Notes that the rows of a state may be behind: they are written soon, off any request's way. */
  behind(domain: string, id: StateId): void {
    const lane = this.#lane(domain)
    lane.behind.add(id)
    this.#heal(domain, lane, 0)
  }

  /** Rows of `views` as `inForce` has them, also where they have the same index already. */
  async fill(inForce: InForce, views: readonly StateView[]): Promise<WriteOutcome | { readonly kind: 'done' }> {
    return this.#store(inForce, views.filter(isMirrored), true)
  }

  /** Whether every row is as its state was when this process wrote it last. */
  isCurrent(): boolean {
    return this.#lanes.values().every(({ waiting, busy, behind }) => waiting.size + busy.size + behind.size === 0)
  }

  /** Resolves when the writes that are under way now have ended: their rows may be of the configuration before. */
  async settled(domain: string): Promise<void> {
    await Promise.allSettled(this.#lanes.get(domain)?.running ?? [])
  }

  /** A connection to Postgres broke by itself: it may have crashed, and lost what it had not flushed. */
  interrupted(): void {
    for (const [domain, lane] of this.#lanes) this.#suspect(domain, lane)
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#ageing)
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #suspect(domain: string, lane: Lane): void {
    for (const ids of [lane.recent, lane.older]) for (const id of ids) lane.behind.add(id)
    if (lane.behind.size > 0) this.#heal(domain, lane, limits.mirrorHealMs)
  }

  #age(): void {
    for (const [domain, lane] of this.#lanes) {
      lane.older = lane.recent
      lane.recent = new Set()
      const isIdle = lane.older.size + lane.waiting.size + lane.busy.size + lane.behind.size === 0
      if (isIdle && !lane.isHealing && !lane.isAsked) this.#lanes.delete(domain)
    }
  }

  #lane(domain: string): Lane {
    let lane = this.#lanes.get(domain)
    if (lane === undefined) {
      lane = { waiting: new Map(), isAsked: false, batches: 0, busy: new Set(), running: new Set(), recent: new Set(), older: new Set(), behind: new Set(), isHealing: false }
      this.#lanes.set(domain, lane)
    }
    return lane
  }

  /** Whatever else follows from what just happened belongs to the same batch: a stored bundle answers all in it at once. */
  #ask(domain: string, lane: Lane): void {
    if (lane.isAsked) return
    lane.isAsked = true
    // Behind all promises that are resolved, and before the loop reads requests: Postgres works meanwhile.
    process.nextTick(() => {
      lane.isAsked = false
      this.#pump(domain, lane)
    })
  }

  #pump(domain: string, lane: Lane): void {
    if (lane.batches === BATCHES) return
    const batch = new Map<StateId, Waiting>()
    for (const [id, waiting] of lane.waiting) if (!lane.busy.has(id)) batch.set(id, waiting)
    if (batch.size === 0) return
    lane.batches += 1
    for (const id of batch.keys()) {
      lane.waiting.delete(id)
      lane.busy.add(id)
    }
    void this.#writeAndAnswer(domain, lane, batch)
  }

  async #writeAndAnswer(domain: string, lane: Lane, batch: ReadonlyMap<StateId, Waiting>): Promise<void> {
    const outcome = await this.#writeBatch(domain, lane, [...batch.values()].map(({ view }) => view)).catch((error: unknown): MirrorOutcome => {
      this.#options.log.error({ err: error, domain }, 'writing the mirror failed unexpectedly')
      return { kind: 'unavailable', reason: 'the mirror failed' }
    })
    lane.batches -= 1
    for (const id of batch.keys()) {
      lane.busy.delete(id)
      if (outcome.kind === 'unavailable') lane.behind.add(id)
      else lane.recent.add(id)
    }
    if (outcome.kind === 'unavailable') this.#suspect(domain, lane)
    // What has gathered goes first: it is worked on while these are answered.
    this.#pump(domain, lane)
    for (const { waiters } of batch.values()) for (const answer of waiters) answer(outcome)
  }

  async #writeBatch(domain: string, lane: Lane, views: readonly StateView[]): Promise<MirrorOutcome> {
    const write = this.#writeInForce(domain, views)
    lane.running.add(write)
    try {
      return await write
    } finally {
      lane.running.delete(write)
    }
  }

  /** Under the configuration in force, and once more under the next one if that took its tables away meanwhile. */
  async #writeInForce(domain: string, views: readonly StateView[]): Promise<MirrorOutcome> {
    for (let attempt = 0; ; attempt++) {
      const inForce = await this.#options.inForce.of(domain)
      if (inForce === 'none') return DONE
      if (inForce === 'unavailable') return { kind: 'unavailable', reason: "the domain's configuration cannot be read just now" }
      const outcome = await this.#store(inForce, views, false)
      switch (outcome.kind) {
        case 'done':
          return DONE
        case 'unavailable':
          return outcome
        case 'missing':
          this.#options.onMissing(domain)
          return { kind: 'unavailable', reason: "the domain's database is being made anew" }
        case 'refused': {
          const { sqlstate, message } = outcome.error
          if (attempt < limits.mirrorTries) {
            await this.#pause(limits.mirrorRetryMs)
            continue
          }
          this.#options.log.error({ domain, sqlstate, reason: message }, 'Postgres refuses rows of the mirror')
          return { kind: 'unavailable', reason: 'the mirror refuses the row' }
        }
      }
    }
  }

  async #store(inForce: InForce, views: readonly StateView[], repeat: boolean): Promise<WriteOutcome | { readonly kind: 'done' }> {
    const writes: StateRows[] = []
    for (const view of views) {
      const rows = rowsOf(mirroredState(view), inForce.texts.tables)
      if (rows.faults.length > 0) this.#options.onMisfits({ inForce, id: view.id, faults: rows.faults })
      writes.push(rows)
    }
    for (const statement of mirrorStatements({ texts: inForce.texts, writes, repeat })) {
      let next: MirrorStatement | undefined = statement
      while (next !== undefined) {
        const { name, sql, values, states, otherwise }: MirrorStatement = next
        const outcome = await this.#options.database.write(inForce.domain, { name, sql, values })
        if (outcome.kind !== 'done') return outcome
        next = outcome.rows[0]!['kept'] === states ? undefined : otherwise?.()
      }
    }
    return DONE
  }

  /** Reads states that are behind and writes them, until none is. */
  #heal(domain: string, lane: Lane, afterMs: number): void {
    if (lane.isHealing || this.#isClosed) return
    lane.isHealing = true
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#healSome(domain, lane)
        .catch((error: unknown) => this.#options.log.error({ err: error, domain }, 'healing the mirror failed unexpectedly'))
        .finally(() => {
          lane.isHealing = false
          if (lane.behind.size > 0) this.#heal(domain, lane, limits.mirrorHealMs)
        })
    }, afterMs)
    timer.unref()
    this.#timers.add(timer)
  }

  async #healSome(domain: string, lane: Lane): Promise<void> {
    while (lane.behind.size > 0 && !this.#isClosed) {
      const ids = [...lane.behind].slice(0, limits.mirrorHealStates)
      const reads = await Promise.all(ids.map((id) => this.#options.cluster.read({ id, mode: 'strong', minIi: undefined })))
      const views = reads.flatMap((read) => (read.kind === 'state' && isMirrored(read.state) ? [read.state] : []))
      const outcome = views.length === 0 ? DONE : await this.#writeBatch(domain, lane, views)
      if (outcome.kind === 'unavailable') return
      let left = 0
      for (const [at, id] of ids.entries()) {
        const { kind } = reads[at]!
        if (kind === 'state' || kind === 'unwritten') lane.behind.delete(id)
        else left += 1
      }
      if (left > 0) return
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        resolve()
      }, ms)
      this.#timers.add(timer)
    })
  }
}

/** Of the platform's own states, tenants see the records of sessions only. */
export function isMirrored(view: StateView): boolean {
  return !view.reserved || view.activeType === SESSION_TYPE
}
