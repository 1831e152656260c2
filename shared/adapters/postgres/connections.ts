/**
 * Purpose: connections to many databases under one cap: a small pool a target, the least recently used one shrunk when
 * another needs room, idle connections closed, waiting with a deadline. `pg-pool` knows one database and its own cap only.
 * Owns: the connections and the calls that wait for one. Does not own: what is said on them.
 * Talks to: Postgres.
 *
 * Invariants:
 *  I1  No more than `connections` are open, of them no more than `tenantConnections` for tenants and none of
 *      `maintenanceConnections` for anything else. One that is closing counts until it is closed.
 *  I2  A connection is leased to one call at a time, and is idle only when its last holder said that it is clean.
 *  I3  Every call is answered within `leaseMs` and the time that one connection may take to open.
 */
import { Client, type ClientConfig } from 'pg'
import { assert } from '#shared/assert.ts'
import type { AdminConnection } from './admin-connection.ts'
import type { DatabaseLimits } from './database-limits.ts'
import { resultTypes } from './result-values.ts'

export type TargetKind = 'maintenance' | 'owner' | 'tenant'

export type Target = {
  readonly kind: TargetKind
  readonly database: string
  readonly user: string
  readonly password: AdminConnection['password']
  /** Settings of its sessions, by name: what `DISCARD ALL` goes back to. */
  readonly settings: Readonly<Record<string, string>>
}

export type Lease = {
  readonly kind: 'leased'
  readonly client: Client
  /** Opened for this call: an error on it is no leftover of a server that went away since the last one. */
  readonly fresh: boolean
  /** Given back clean. */
  release(): void
  /** Cut off at once. */
  destroy(): void
}

export type LeaseOutcome = Lease | { readonly kind: 'failed'; readonly error: unknown }

type Pool = { readonly target: Target; readonly idle: Idle[]; size: number; usedAt: number }
type Idle = { readonly client: Client; readonly since: number }
type Waiter = { readonly pool: Pool; readonly deadline: NodeJS.Timeout; readonly answer: (outcome: LeaseOutcome) => void }

export class Connections {
  readonly #server: AdminConnection['server']
  readonly #limits: DatabaseLimits
  readonly #pools = new Map<string, Pool>()
  readonly #open: Record<TargetKind, number> = { maintenance: 0, owner: 0, tenant: 0 }
  readonly #clients = new Set<Client>()
  readonly #waiting = new Set<Waiter>()
  readonly #reaper: NodeJS.Timeout
  readonly #onBroken: () => void
  #closed = false
  /** Connections that are ending so that others find room. */
  #shrinking = 0
  /** Counts leases: an order of use that no clock disturbs. */
  #uses = 0

  /** `onBroken`: an idle connection of ours, not of a tenant's role, ended by itself. */
  constructor(server: AdminConnection['server'], limits: DatabaseLimits, onBroken: () => void) {
    this.#onBroken = onBroken
    this.#server = server
    this.#limits = limits
    this.#reaper = setInterval(() => this.#closeIdle(), Math.max(10, limits.idleMs / 4)).unref()
  }

  lease(target: Target): Promise<LeaseOutcome> {
    if (this.#closed) return Promise.resolve(failed('closed'))
    const key = `${target.kind} ${target.database}`
    let pool = this.#pools.get(key)
    if (pool === undefined) this.#pools.set(key, (pool = { target, idle: [], size: 0, usedAt: 0 }))
    pool.usedAt = ++this.#uses
    const got = this.#take(pool)
    if (got !== undefined) return got
    if (this.#waiting.size >= this.#limits.leasesWaiting) return Promise.resolve(failed('too many calls wait for a connection'))
    return new Promise((answer) => {
      const waiter: Waiter = {
        pool,
        answer,
        deadline: setTimeout(() => {
          this.#waiting.delete(waiter)
          answer(failed('no connection became free in time'))
        }, this.#limits.leaseMs),
      }
      this.#waiting.add(waiter)
    })
  }

  /** Closes the connections to one database, those in use as well. */
  async evict(database: string): Promise<void> {
    for (const [key, pool] of this.#pools) {
      if (pool.target.database !== database) continue
      this.#pools.delete(key)
      pool.idle.length = 0
    }
    await Promise.all([...this.#clients].filter((client) => client.database === database).map(cut))
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#reaper)
    for (const waiter of this.#waiting) {
      clearTimeout(waiter.deadline)
      waiter.answer(failed('closed'))
    }
    this.#waiting.clear()
    const idle = [...this.#pools.values()].flatMap((pool) => pool.idle.splice(0).map(({ client }) => client))
    await Promise.all(idle.map((client) => within(client.end(), this.#limits.connectMs)))
    await Promise.all([...this.#clients].map(cut))
  }

  /** A connection for `pool` now, or undefined where there is no room; then room is being made if it can be. */
  #take(pool: Pool): Promise<LeaseOutcome> | undefined {
    const idle = pool.idle.pop()
    if (idle !== undefined) return Promise.resolve(this.#leaseOf(pool, idle.client, false))
    const { kind } = pool.target
    if (pool.size >= this.#perPool(kind)) return undefined
    if (!this.#hasRoom(kind)) {
      this.#shrink(kind)
      return undefined
    }
    return this.#connect(pool)
  }

  #perPool(kind: TargetKind): number {
    switch (kind) {
      case 'maintenance':
        return this.#limits.maintenanceConnections
      case 'owner':
        return this.#limits.ownerConnectionsPerDomain
      case 'tenant':
        return this.#limits.tenantConnectionsPerDomain
    }
  }

  #hasRoom(kind: TargetKind): boolean {
    const { owner, tenant } = this.#open
    if (kind === 'maintenance') return true
    return owner + tenant < this.#limits.connections - this.#limits.maintenanceConnections && (kind === 'owner' || tenant < this.#limits.tenantConnections)
  }

  /** Closes one idle connection, of the pool that was used longest ago, so that one of `kind` finds room. */
  #shrink(kind: TargetKind): void {
    if (this.#shrinking > this.#waiting.size) return
    const onlyTenants = kind === 'tenant' && this.#open.tenant >= this.#limits.tenantConnections
    let least: Pool | undefined
    for (const pool of this.#pools.values()) {
      if (pool.idle.length === 0 || pool.target.kind === 'maintenance' || (onlyTenants && pool.target.kind !== 'tenant')) continue
      if (least === undefined || pool.usedAt < least.usedAt) least = pool
    }
    const client = least?.idle.shift()?.client
    if (client === undefined) return
    this.#shrinking++
    client.once('end', () => this.#shrinking--)
    void client.end().catch(() => undefined)
  }

  async #connect(pool: Pool): Promise<LeaseOutcome> {
    const { target } = pool
    pool.size++
    this.#open[target.kind]++
    const client = new Client(this.#configOf(target))
    this.#clients.add(client)
    // Without a listener an idle connection that breaks would end the process.
    client.on('error', () => {
      if (target.kind !== 'tenant' && !this.#closed) this.#onBroken()
    })
    let gone = false
    const whenGone = (): void => {
      if (gone) return
      gone = true
      this.#clients.delete(client)
      pool.size--
      this.#open[target.kind]--
      const at = pool.idle.findIndex((idle) => idle.client === client)
      if (at >= 0) pool.idle.splice(at, 1)
      this.#forgetIfEmpty(pool)
      this.#serve()
    }
    client.once('end', whenGone)
    try {
      await client.connect()
    } catch (error) {
      client.connection.stream.destroy()
      whenGone()
      return { kind: 'failed', error }
    }
    if (this.#closed) {
      await cut(client)
      return failed('closed')
    }
    return this.#leaseOf(pool, client, true)
  }

  #configOf(target: Target): ClientConfig {
    // Everything is said: what is not, `pg` would take from the environment.
    const options = Object.entries(target.settings).map(([name, value]) => `-c ${name}=${value.replace(/[\\ ]/g, '\\$&')}`)
    return {
      ...this.#server,
      ssl: this.#server.ssl ?? false,
      database: target.database,
      user: target.user,
      password: target.password,
      options: options.join(' '),
      application_name: 'state-platform',
      connectionTimeoutMillis: this.#limits.connectMs,
      keepAlive: true,
      types: resultTypes,
      // A transaction's statements go out together: one round trip, not three.
      pipeline: true,
    }
  }

  #leaseOf(pool: Pool, client: Client, fresh: boolean): Lease {
    let held = true
    const once = (): void => {
      assert(held, 'a lease ends once')
      held = false
    }
    return {
      kind: 'leased',
      client,
      fresh,
      release: () => {
        once()
        if (!this.#clients.has(client)) return
        if (this.#closed || this.#pools.get(`${pool.target.kind} ${pool.target.database}`) !== pool) return void client.end().catch(() => undefined)
        pool.idle.push({ client, since: Date.now() })
        this.#serve()
      },
      destroy: () => {
        once()
        void cut(client)
      },
    }
  }

  /** Gives what is free to those who wait, in the order in which they came. */
  #serve(): void {
    for (const waiter of this.#waiting) {
      const got = this.#take(waiter.pool)
      if (got === undefined) continue
      clearTimeout(waiter.deadline)
      this.#waiting.delete(waiter)
      void got.then(waiter.answer)
    }
  }

  #closeIdle(): void {
    const before = Date.now() - this.#limits.idleMs
    for (const pool of this.#pools.values()) {
      // The least recently used are at the front: leases take from the end.
      while (pool.idle[0] !== undefined && pool.idle[0].since < before) void pool.idle.shift()!.client.end().catch(() => undefined)
      this.#forgetIfEmpty(pool)
    }
  }

  #forgetIfEmpty(pool: Pool): void {
    const key = `${pool.target.kind} ${pool.target.database}`
    if (pool.size === 0 && this.#pools.get(key) === pool && ![...this.#waiting].some((waiter) => waiter.pool === pool)) this.#pools.delete(key)
  }
}

function failed(reason: string): LeaseOutcome {
  return { kind: 'failed', error: new Error(reason) }
}

/** Ends a connection without a word; resolves when it counts no more. */
function cut(client: Client): Promise<void> {
  return new Promise((resolve) => {
    client.once('end', () => resolve())
    client.connection.stream.destroy()
  })
}

/** Resolves when `work` is done or `ms` have passed. */
async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([work.catch(() => undefined), late])
  clearTimeout(timer)
}
