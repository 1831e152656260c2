/**
 * Cold storage in a bucket of Cloud Storage: the adapter of `shared/ports/cold-storage.ts` for Google Cloud.
 *
 * A put is one request with `ifGenerationMatch: 0`. It is not tried again here: a second try could meet the first one's object
 * and say "exists" of what this very call has stored. Whoever puts repeats what is unknown, and reads what exists.
 *
 * Owns: calls under way. Does not own: the client, the bucket (Terraform makes it), the meaning of names. Talks to: Cloud Storage.
 *
 * I1. Only an answer makes an outcome certain: without one, a put is unknown unless no connection was made.
 * I2. `close` resolves when nothing is under way any more.
 */
import type { Bucket, Storage } from '@google-cloud/storage'
import { assert } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { ColdStorage, DeleteOutcome, GetOutcome, ListOutcome } from '#shared/ports/cold-storage.ts'
import { CallsUnderWay } from './calls-under-way.ts'
import { answered, codeOf, createObject, readObject, reasonOf } from './storage-object.ts'

export type GcsColdStorageOptions = {
  /** See storage-client.ts. */
  readonly client: Storage
  readonly bucket: string
  /** One request, up to its answer. */
  readonly requestMs?: number
}

const NAME = /^[0-9a-z-]+(?:\/[0-9a-z-]+)*$/
const PREFIX = /^(?:[0-9a-z-]+\/)+$/
const CONTENT_TYPE = 'application/octet-stream'
/** Names of one answer: as many as the service gives. */
const PAGE_NAMES = 1_000

const CLOSED = { kind: 'failed', reason: 'the storage is closed' } as const

export function openColdStorage({ client, bucket: bucketName, requestMs = limits.storageRequestMs }: GcsColdStorageOptions): ColdStorage {
  const bucket = client.bucket(bucketName)
  const calls = new CallsUnderWay()
  return {
    put(name, bytes) {
      assert(NAME.test(name), `not an object name: ${name}`)
      if (calls.isClosed) return Promise.resolve({ kind: 'not-stored', reason: CLOSED.reason })
      return calls.of(createObject(bucket, { name, bytes, contentType: CONTENT_TYPE, requestMs }))
    },
    get(name, range) {
      assert(NAME.test(name), `not an object name: ${name}`)
      assert(range === undefined || (range.from >= 0 && range.from <= range.to), 'a range goes forward')
      return calls.isClosed ? Promise.resolve(CLOSED) : calls.of(getObject(bucket, name, range))
    },
    list(prefix, options) {
      assert(PREFIX.test(prefix), `not a prefix: ${prefix}`)
      return calls.isClosed ? Promise.resolve(CLOSED) : calls.of(listObjects(bucket, { prefix, after: options?.after, requestMs }))
    },
    delete(name) {
      assert(NAME.test(name), `not an object name: ${name}`)
      return calls.isClosed ? Promise.resolve(CLOSED) : calls.of(deleteObject(bucket, name, requestMs))
    },
    close: () => calls.close(),
  }
}

async function getObject(bucket: Bucket, name: string, range: { readonly from: number; readonly to: number } | undefined): Promise<GetOutcome> {
  // HTTP has no empty range: one byte tells whether the object is there.
  const isEmpty = range !== undefined && range.from === range.to
  const outcome = await readObject(bucket, name, range && { start: range.from, end: isEmpty ? range.from : range.to - 1 })
  switch (outcome.kind) {
    case 'read':
      return { kind: 'found', bytes: isEmpty ? new Uint8Array(0) : new Uint8Array(outcome.bytes.buffer, outcome.bytes.byteOffset, outcome.bytes.byteLength) }
    case 'beyond':
      return { kind: 'found', bytes: new Uint8Array(0) }
    case 'missing':
    case 'failed':
      return outcome
  }
}

async function listObjects(bucket: Bucket, { prefix, after, requestMs }: { readonly prefix: string; readonly after: string | undefined; readonly requestMs: number }): Promise<ListOutcome> {
  const names: string[] = []
  let pageToken: string | undefined
  try {
    do {
      const asking = bucket.getFiles({
        prefix,
        autoPaginate: false,
        maxResults: PAGE_NAMES,
        fields: 'items(name),nextPageToken',
        ...(after === undefined ? {} : { startOffset: after }),
        ...(pageToken === undefined ? {} : { pageToken }),
      })
      const [page, next] = await answered(asking, requestMs)
      // `startOffset` itself is in the answer.
      for (const { name } of page) if (name !== after) names.push(name)
      pageToken = (next as { readonly pageToken?: string } | null)?.pageToken
    } while (pageToken !== undefined)
    return { kind: 'names', names }
  } catch (error) {
    return { kind: 'failed', reason: reasonOf(error) }
  }
}

async function deleteObject(bucket: Bucket, name: string, requestMs: number): Promise<DeleteOutcome> {
  try {
    await answered(bucket.file(name).delete(), requestMs)
    return { kind: 'deleted' }
  } catch (error) {
    return codeOf(error) === 404 ? { kind: 'deleted' } : { kind: 'failed', reason: reasonOf(error) }
  }
}
