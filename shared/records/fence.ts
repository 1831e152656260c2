/** Seals, ends, epoch records and checkpoints: the small records that decide who leads and how far a log counts. */
import type { Cycle, Incarnation, Seq, Slot } from '#shared/ids.ts'
import { parseJson, unwrap, unwrapOnly, wrap } from '#shared/records/envelope.ts'

export type Seal = {
  readonly kind: 'seal'
  /** The log that it ends. */
  readonly incarnation: Incarnation
  readonly seq: Seq
  /** Who wrote it. The log's own incarnation does so as its last act: it answered nothing afterwards. */
  readonly by: Incarnation
  /** `by` is the log's own incarnation, and it had waited out the leases of all whom it succeeded. */
  readonly waited: boolean
  /** Known to the log's own incarnation only: what `low` of a bundle is. */
  readonly low: Seq | undefined
}
export type End = { readonly kind: 'end'; readonly incarnation: Incarnation; readonly seal: Seq }
export type EpochRecord = {
  readonly kind: 'epoch'
  readonly slot: Slot
  readonly cycle: Cycle
  readonly leader: Incarnation
  /** Stable name of the leader's process. */
  readonly name: string
  /** First number of the leader's log that can hold interactions of this cycle. */
  readonly first: Seq
  /** The leader of the cycle before, and the last number of its log that counts for this slot. */
  readonly predecessor: { readonly incarnation: Incarnation; readonly last: Seq } | null
}
export type CheckpointRecord = {
  readonly kind: 'checkpoint'
  readonly slot: Slot
  readonly cycle: Cycle
  readonly seq: Seq
  /** Up to where the slot is surely published, where that is not as far as this; a record of version 2. */
  readonly published?: { readonly cycle: Cycle; readonly seq: Seq } | null
}

type Small = Seal | End | EpochRecord | CheckpointRecord

export const encodeSmall = (record: Small): Buffer =>
  wrap(record.kind, Buffer.from(JSON.stringify(record)), record.kind === 'checkpoint' && record.published !== undefined ? 2 : 1)

/**
 * The record, if it is of `kind` and what its name says that it is: under the name of another one it is not believed.
 * Throws `CorruptRecord`.
 */
export function decodeSmall<K extends Small['kind']>(kind: K, bytes: Uint8Array, named: Partial<Extract<Small, { kind: K }>> = {}): Extract<Small, { kind: K }> {
  const payload = unwrapOnly(kind, bytes).toString()
  const { version } = unwrap(bytes)
  return parseJson(
    payload,
    (value) => value.kind === kind && (version === 2) === (value.published !== undefined) && Object.entries(named).every(([member, expected]) => value[member] === expected),
  )
}

/** What a numbered object of a log is. Throws `CorruptRecord`. */
export function logObjectType(bytes: Uint8Array): 'bundle' | 'seal' | 'other' {
  const { type } = unwrap(bytes)
  return type === 'bundle' || type === 'seal' ? type : 'other'
}
