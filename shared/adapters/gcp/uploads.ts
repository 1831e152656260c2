/**
 * Uploads in a bucket of Cloud Storage: the adapter of `shared/ports/uploads.ts` for Google Cloud. Clients speak to Cloud
 * Storage itself, by V4 signed addresses: what they put or get never passes through this process.
 *
 * Owns: calls under way. Does not own: the client, the bucket and its CORS rules (Terraform makes both). Talks to: Cloud Storage,
 * and IAM where no key is at hand to sign with.
 *
 * I1. An address to put to creates, once, what is as long as allowed and has the type that was signed: all three are signed headers. A bare
 *     one creates once as well where the account that signs may create and not delete: Cloud Storage refuses to overwrite then.
 * I2. `close` resolves when no call is under way any more.
 */
import type { Bucket, Storage } from '@google-cloud/storage'
import { assert } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { ContentOutcome, Failed, MetadataOutcome, UploadName, Uploads } from '#shared/ports/uploads.ts'
import { CallsUnderWay } from './calls-under-way.ts'
import { answered, codeOf, createObject, readObject, reasonOf } from './storage-object.ts'

export type GcsUploadsOptions = {
  /** See storage-client.ts. */
  readonly client: Storage
  /** What signs addresses; undefined: `client`. */
  readonly signer?: Storage
  readonly bucket: string
  readonly limitBytes: number
  readonly clock: { wallMs(): number }
}

const NAME = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function openUploads({ client, signer = client, bucket: bucketName, limitBytes, clock }: GcsUploadsOptions): Uploads {
  const bucket = client.bucket(bucketName)
  const signing = signer.bucket(bucketName)
  const calls = new CallsUnderWay()
  const checked = (name: UploadName): UploadName => {
    assert(NAME.test(name), `not the name of an upload: ${name}`)
    return name
  }
  const sign = async (name: UploadName, of: Signed): Promise<string | Failed> => {
    const now = clock.wallMs()
    try {
      const [url] = await answered(signing.file(name).getSignedUrl({ version: 'v4', accessibleAt: now, expires: now + limits.uploadAddressMs, ...of }), limits.storageRequestMs)
      return url
    } catch (error) {
      return { kind: 'failed', reason: reasonOf(error) }
    }
  }
  return {
    async uploadAddress({ name, type, isBare = false }) {
      checked(name)
      const conditions: Record<string, string> = isBare ? {} : { 'x-goog-if-generation-match': '0', 'x-goog-content-length-range': `0,${limitBytes}` }
      const url = await calls.of(sign(name, { action: 'write', contentType: type, extensionHeaders: conditions }))
      return typeof url === 'string' ? { kind: 'signed', url, headers: { 'Content-Type': type, ...conditions } } : url
    },
    async downloadAddress({ name, disposition }) {
      checked(name)
      const url = await calls.of(sign(name, { action: 'read', responseDisposition: disposition }))
      return typeof url === 'string' ? { kind: 'signed', url } : url
    },
    metadata: async (name) => calls.of(metadataOf(bucket, checked(name))),
    content: async (name, most) => calls.of(contentOf(bucket, checked(name), most)),
    store: async (name, type, content) => {
      checked(name)
      if (calls.isClosed) return { kind: 'not-stored', reason: 'the uploads are closed' }
      return calls.of(createObject(bucket, { name, bytes: content, contentType: type, requestMs: limits.storageRequestMs }))
    },
    close: () => calls.close(),
  }
}

type Signed =
  | { readonly action: 'write'; readonly contentType: string; readonly extensionHeaders: Record<string, string> }
  | { readonly action: 'read'; readonly responseDisposition: string }

async function metadataOf(bucket: Bucket, name: UploadName): Promise<MetadataOutcome> {
  try {
    const [{ size, contentType, timeCreated }] = await answered(bucket.file(name).getMetadata(), limits.storageRequestMs)
    return { kind: 'found', type: contentType ?? 'application/octet-stream', bytes: Number(size), created: Date.parse(timeCreated ?? '') }
  } catch (error) {
    return codeOf(error) === 404 ? { kind: 'missing' } : { kind: 'failed', reason: reasonOf(error) }
  }
}

/** An object never changes: what its metadata says holds for the content that is read after it. */
async function contentOf(bucket: Bucket, name: UploadName, mostBytes: number): Promise<ContentOutcome> {
  const found = await metadataOf(bucket, name)
  if (found.kind !== 'found') return found
  if (found.bytes > mostBytes) return { kind: 'too-large', bytes: found.bytes }
  const read = await readObject(bucket, name, undefined)
  switch (read.kind) {
    case 'read':
      return { kind: 'found', type: found.type, content: read.bytes }
    case 'missing':
    case 'failed':
      return read
    case 'beyond':
      return { kind: 'failed', reason: `${name} has another length than its metadata say` }
  }
}
