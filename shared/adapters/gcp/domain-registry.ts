/**
 * The registry of domains in a collection of Firestore: the adapter of `shared/ports/domain-registry.ts` for Google Cloud.
 * One document a domain: the record's text, and its version.
 *
 * Owns: all records in memory, by one watch. Does not own: the client, what the records say. Talks to: Firestore.
 *
 * Invariants:
 *  I1  Version 1 is created, and any other replaces the very document that was read: of many who write one version one has stored it.
 *  I2  A record in memory is replaced by a newer version only.
 *  I3  A document that does not parse is reported, and leaves what is in memory: a domain without its admin could be claimed by anybody.
 */
import type { Firestore, QuerySnapshot } from '@google-cloud/firestore'
import { assert } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { DomainRegistry, RecordOutcome, RecordWriteOutcome } from '#shared/ports/domain-registry.ts'
import { domainRecordText, parseDomainRecord } from '#shared/records/domain-record.ts'
import type { DomainRecord } from '#shared/records/domain-record.ts'
import { CallsUnderWay } from './calls-under-way.ts'
import { answered, codeOf, reasonOf } from './storage-object.ts'
import { watchCollection } from './watch.ts'

export type FirestoreDomainRegistryOptions = {
  /** See firestore-client.ts. Composition ends it. */
  readonly client: Firestore
  readonly collection?: string
  /** What openings are told apart by at most; snapshots usually take less than a second. */
  readonly takesMs?: number
  readonly onFault?: (fault: { readonly what: string; readonly reason: string }) => void
}

/** NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION. */
const MOVED_ON = new Set<unknown>([5, 6, 9])
const CLOSED = { kind: 'failed', reason: 'the registry is closed' } as const

export function openDomainRegistry({ client, collection: path = 'domains', takesMs = 2_000, onFault = () => {} }: FirestoreDomainRegistryOptions): DomainRegistry {
  const collection = client.collection(path)
  const calls = new CallsUnderWay()
  const records = new Map<string, DomainRecord>()
  const watchers = new Set<(record: DomainRecord) => void>()
  let isReady = (): void => {}
  const ready = new Promise<void>((done) => (isReady = done))
  const documentOf = (domain: string) => collection.doc(encodeURIComponent(domain))

  const keep = (record: DomainRecord): void => {
    if ((records.get(record.domain)?.version ?? 0) >= record.version) return
    records.set(record.domain, record)
    for (const watcher of watchers) queueMicrotask(() => watchers.has(watcher) && watcher(record))
  }
  const take = (snapshot: QuerySnapshot): void => {
    for (const document of snapshot.docs) {
      try {
        keep(parseDomainRecord(String(document.get('record'))))
      } catch (error) {
        onFault({ what: `read ${path}/${document.id}`, reason: reasonOf(error) })
      }
    }
    isReady()
  }
  const stop = watchCollection(collection, { onSnapshot: take, onFault })

  const read = async (domain: string): Promise<RecordOutcome> => {
    try {
      const found = await answered(documentOf(domain).get(), limits.storageRequestMs)
      if (!found.exists) return { kind: 'none' }
      const record = parseDomainRecord(String(found.get('record')))
      keep(record)
      return { kind: 'record', record }
    } catch (error) {
      return { kind: 'failed', reason: reasonOf(error) }
    }
  }

  const write = async (record: DomainRecord): Promise<RecordWriteOutcome> => {
    const document = documentOf(record.domain)
    const fields = { version: record.version, record: domainRecordText(record) }
    try {
      if (record.version === 1) await answered(document.create(fields), limits.storageRequestMs)
      else {
        const found = await answered(document.get(), limits.storageRequestMs)
        if (!found.exists || found.get('version') !== record.version - 1) return { kind: 'conflict' }
        await answered(document.update(fields, { lastUpdateTime: found.updateTime! }), limits.storageRequestMs)
      }
    } catch (error) {
      return MOVED_ON.has(codeOf(error)) ? { kind: 'conflict' } : { kind: 'failed', reason: reasonOf(error) }
    }
    keep(record)
    return { kind: 'stored' }
  }

  return {
    takesMs,
    ready: () => ready,
    get: (domain) => records.get(domain),
    all: () => records.values(),
    read: (domain) => (calls.isClosed ? Promise.resolve(CLOSED) : calls.of(read(domain))),
    write: (record) => {
      assert(record.version >= 1, 'records are numbered from 1')
      return calls.isClosed ? Promise.resolve(CLOSED) : calls.of(write(record))
    },
    watch: (onChange) => {
      watchers.add(onChange)
      return () => void watchers.delete(onChange)
    },
    close: async () => {
      stop()
      watchers.clear()
      await calls.close()
    },
  }
}
