/**
 * Cold storage: an object store of names and bytes. The one thing that the promises rest on is `put`:
 * create-only, atomic, durable when it says "stored".
 *
 * Names are slash-separated, `[0-9a-z/-]`, see `shared/records/names.ts`. Read after write and after list is consistent.
 * No method rejects for an operating error: outcomes are values. A name that was put never changes.
 */
export type PutOutcome =
  /** Durable under this name, whole, written by this call. */
  | { readonly kind: 'stored' }
  /** The name was taken, and what is there is durable. It may be one's own, from an earlier call: read it to know. */
  | { readonly kind: 'exists' }
  /** Certainly not stored, now or later: nothing was sent, or the store refused. */
  | { readonly kind: 'not-stored'; readonly reason: string }
  /** Stored now, later, or not at all: nobody knows. */
  | { readonly kind: 'unknown'; readonly reason: string }

export type GetOutcome =
  | { readonly kind: 'found'; readonly bytes: Uint8Array }
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed'; readonly reason: string }

export type ListOutcome =
  /** Full names in ascending byte order. */
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'failed'; readonly reason: string }

export type DeleteOutcome =
  /** Gone, or was not there. */
  | { readonly kind: 'deleted' }
  | { readonly kind: 'failed'; readonly reason: string }

export interface ColdStorage {
  /** Create-only. `bytes` must not change until the promise resolves. */
  put(name: string, bytes: Uint8Array): Promise<PutOutcome>
  /** The whole object, or its bytes `from` (inclusive) to `to` (exclusive, cut at the object's end). */
  get(name: string, range?: { readonly from: number; readonly to: number }): Promise<GetOutcome>
  /** All names that begin with `prefix`, which ends in `/`. `after`: only those greater than this full name. */
  list(prefix: string, options?: { readonly after?: string }): Promise<ListOutcome>
  delete(name: string): Promise<DeleteOutcome>
  close(): Promise<void>
}
