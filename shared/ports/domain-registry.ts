/**
 * The registry of domains: who administers each, and which configuration is in force. Few records, seldom changed: every
 * opening keeps all of them in memory, so that every request may ask.
 *
 * Ownership: a record is replaced as a whole, by whoever read its present version. No method rejects for an operating error.
 */
import type { DomainRecord } from '#shared/records/domain-record.ts'

export type RecordOutcome = { readonly kind: 'record'; readonly record: DomainRecord } | { readonly kind: 'none' } | RegistryFailed
/** `stored`: for good. `conflict`: the record is at another version. `failed`: it may have been stored. */
export type RecordWriteOutcome = { readonly kind: 'stored' } | { readonly kind: 'conflict' } | RegistryFailed
export type RegistryFailed = { readonly kind: 'failed'; readonly reason: string }

export interface DomainRegistry {
  /** Resolves when all records that there are have been read once. */
  ready(): Promise<void>
  /** From memory: the record as it was at most `takesMs` ago. */
  get(domain: string): DomainRecord | undefined
  all(): Iterable<DomainRecord>
  /** The record as it is. */
  read(domain: string): Promise<RecordOutcome>
  /** Creates the record (version 1), or replaces version - 1 of it. Afterwards `get` of this opening has it. */
  write(record: DomainRecord): Promise<RecordWriteOutcome>
  /** Calls back for every record that `get` has anew, in a later turn. The returned function ends it. */
  watch(onChange: (record: DomainRecord) => void): () => void
  /** Within this time every opening's `get` has what was written; 0: there is no other opening. */
  readonly takesMs: number
  close(): Promise<void>
}
