/** Bounds of the databases of domains, as `limits.ts` has them for the rest; tests take smaller ones. */
import { assert } from '#shared/assert.ts'

export type DatabaseLimits = {
  /** Connections of one process, all pools together. Processes x this stays below the server's `max_connections`. */
  readonly connections: number
  /** Of them for tenants' SQL at most: writes must not wait for tenants. */
  readonly tenantConnections: number
  /** Of them kept for making databases, and for ending what does not end. */
  readonly maintenanceConnections: number
  /** Of one domain, for the owner and for the tenant each. */
  readonly ownerConnectionsPerDomain: number
  readonly tenantConnectionsPerDomain: number
  /** What the server allows one domain's role, over all processes. */
  readonly tenantConnectionsOnServer: number
  /** A connection that nobody used for this long is closed. */
  readonly idleMs: number
  readonly connectMs: number
  /** How long a call may wait for a connection, and how many calls. */
  readonly leaseMs: number
  readonly leasesWaiting: number

  /** A tenant's query or function. */
  readonly tenantMs: number
  /** How long after `tenantMs` a statement that caught its cancellation is terminated. */
  readonly tenantGraceMs: number
  readonly tenantLockMs: number
  readonly tenantRows: number
  /** What comes over the wire, and names and values of all rows. */
  readonly tenantBytes: number
  readonly errorCharacters: number

  readonly writeMs: number
  readonly writeTries: number
  /** A whole `transact`, and its wait for one lock: who waits for a table's lock holds up all readers behind it. */
  readonly transactMs: number
  readonly transactLockMs: number
  /** Making or dropping one database. */
  readonly ensureMs: number
  /** How often a process looks for statements that outlived their process. */
  readonly sweepMs: number
}

export const databaseLimits: DatabaseLimits = {
  connections: 40,
  tenantConnections: 24,
  maintenanceConnections: 2,
  ownerConnectionsPerDomain: 4,
  tenantConnectionsPerDomain: 4,
  tenantConnectionsOnServer: 40,
  idleMs: 30_000,
  connectMs: 3_000,
  leaseMs: 2_000,
  leasesWaiting: 1_000,

  tenantMs: 3_000,
  tenantGraceMs: 500,
  tenantLockMs: 1_000,
  tenantRows: 10_000,
  tenantBytes: 4 * 1024 * 1024,
  errorCharacters: 500,

  writeMs: 4_000,
  writeTries: 3,
  transactMs: 60_000,
  transactLockMs: 2_000,
  ensureMs: 20_000,
  sweepMs: 30_000,
}

/** The same share for tenants with another number of connections, 8 at least. */
export function connectionLimits(connections: number): Partial<DatabaseLimits> {
  const tenantConnections = Math.floor(connections * (databaseLimits.tenantConnections / databaseLimits.connections))
  return { connections, tenantConnections, tenantConnectionsPerDomain: Math.min(databaseLimits.tenantConnectionsPerDomain, tenantConnections - 1) }
}

export function checkDatabaseLimits(limits: DatabaseLimits): void {
  assert(limits.tenantConnections + limits.maintenanceConnections < limits.connections, 'tenants must leave connections for writes')
  assert(limits.tenantConnectionsPerDomain < limits.tenantConnections, 'one domain must leave connections for others')
  assert(limits.tenantLockMs < limits.tenantMs, 'a lock must be given up before the query is')
  assert(limits.maintenanceConnections >= 2, 'making a database must not hold up the end of a runaway')
}
