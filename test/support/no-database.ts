/** What tests without Postgres have in its place: one that is down. */
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { DomainProof } from '#shared/ports/domain-proof.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { DomainWorker } from '#shared/ports/domain-worker.ts'
import type { StateId } from '#shared/ids.ts'
import type { DomainRecord } from '#shared/records/domain-record.ts'

const down = (): Promise<{ readonly kind: 'unavailable'; readonly reason: string }> => Promise.resolve({ kind: 'unavailable', reason: 'Postgres is down' })

export const noDatabase: DomainDatabase = { ensure: down, drop: down, transact: down, write: down, tenantQuery: down, tenantFunction: down, onInterrupted: () => undefined, close: () => Promise.resolve() }

/** Of a cluster that has none when it starts. */
export async function* noStates(): AsyncGenerator<never> {}

export const noProof: DomainProof = { look: () => Promise.resolve({ kind: 'not-shown', reason: 'nothing is looked at' }) }

export const noWorker: DomainWorker = {
  load: down,
  call: down,
  agent: (_, ears) => {
    queueMicrotask(() => ears.ended({ kind: 'unavailable', reason: 'there is none' }))
    return { tell: () => undefined, pass: () => undefined, end: () => undefined }
  },
  close: () => Promise.resolve(),
}

/** `claimed`: domains that have an admin from the beginning. */
export function memoryRegistry(claimed: readonly string[] = []): DomainRegistry {
  const records = new Map<string, DomainRecord>(claimed.map((domain) => [domain, { domain, version: 1, admin: { user: 'admin', domain }, claim: '00000000-0000-4000-8000-000000000000' as StateId, config: undefined, applying: undefined }]))
  const watchers = new Set<(record: DomainRecord) => void>()
  return {
    takesMs: 0,
    ready: () => Promise.resolve(),
    get: (domain) => records.get(domain),
    all: () => records.values(),
    read: (domain) => {
      const record = records.get(domain)
      return Promise.resolve(record === undefined ? { kind: 'none' } : { kind: 'record', record })
    },
    write: (record) => {
      if ((records.get(record.domain)?.version ?? 0) !== record.version - 1) return Promise.resolve({ kind: 'conflict' })
      records.set(record.domain, record)
      for (const watcher of watchers) queueMicrotask(() => watcher(record))
      return Promise.resolve({ kind: 'stored' })
    },
    watch: (onChange) => {
      watchers.add(onChange)
      return () => void watchers.delete(onChange)
    },
    close: () => Promise.resolve(),
  }
}
