/**
 * Uploads: files that clients put and get by themselves, at addresses that are signed for one object and a short time. What
 * an address may is what a V4 signed URL of Cloud Storage may.
 *
 * An object is named `<state id>/<object id>`: whoever may read the state may have its objects, and nobody can point a
 * state at an object of another one. An object never changes, is there whole or not at all, and is durable once the
 * client has its 200. No method rejects for an operating error: outcomes are values.
 */
import type { StateId } from '#shared/ids.ts'

export type UploadName = `${StateId}/${StateId}`

export function uploadName(of: { readonly state: StateId; readonly object: StateId }): UploadName {
  return `${of.state}/${of.object}`
}

/**
 * PUT: creates the object, for `limits.uploadAddressMs`. `headers` must come with it as they are, or it is refused (400 or
 * 403). 412: the object is there. 400 or 413: the body is longer than the deployment allows. 403 or 400: forged, or too late.
 */
export type UploadAddress = { readonly kind: 'signed'; readonly url: string; readonly headers: { readonly [name: string]: string } }

/** GET and HEAD, for as long: the object with its content type and the disposition that was signed, single ranges too. 404: it is not there. */
export type DownloadAddress = { readonly kind: 'signed'; readonly url: string }

export type UploadMetadata = {
  /** The media type that it was put with. */
  readonly type: string
  readonly bytes: number
  /** ms since 1970, UTC. */
  readonly created: number
}

export type Failed = { readonly kind: 'failed'; readonly reason: string }

export type MetadataOutcome = ({ readonly kind: 'found' } & UploadMetadata) | { readonly kind: 'missing' } | Failed

export type ContentOutcome =
  | { readonly kind: 'found'; readonly type: string; readonly content: Uint8Array }
  | { readonly kind: 'missing' }
  /** More than the caller wants to hold. */
  | { readonly kind: 'too-large'; readonly bytes: number }
  | Failed

export type StoreOutcome =
  | { readonly kind: 'stored' }
  /** The name was taken; what is there stays. */
  | { readonly kind: 'exists' }
  | { readonly kind: 'not-stored'; readonly reason: string }
  /** Stored or not: nobody knows. */
  | { readonly kind: 'unknown'; readonly reason: string }

export interface Uploads {
  /**
   * `type`: a media type, `isMediaType`. `baseUrl`: what addresses of our own begin with, for storage that we serve ourselves.
   * `isBare`: for clients that send nothing but the type along; storage may then bound neither length nor a second PUT by the address.
   */
  uploadAddress(of: { readonly name: UploadName; readonly type: string; readonly baseUrl: string; readonly isBare?: boolean }): Promise<UploadAddress | Failed>
  /** `disposition`: the Content-Disposition that it is served with. */
  downloadAddress(of: { readonly name: UploadName; readonly disposition: string; readonly baseUrl: string }): Promise<DownloadAddress | Failed>
  /** Whether it exists, and what it is. */
  metadata(name: UploadName): Promise<MetadataOutcome>
  /** For the platform's own use of an upload: the whole content, if it is no longer than `limitBytes`. */
  content(name: UploadName, limitBytes: number): Promise<ContentOutcome>
  /** For content that came by another way than a signed address. */
  store(name: UploadName, type: string, content: Uint8Array): Promise<StoreOutcome>
  close(): Promise<void>
}

const TOKEN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:; ?${TOKEN}=(?:${TOKEN}|"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"))*$`)
const MEDIA_TYPE_CHARACTERS = 255

/** Whether `text` is a media type as RFC 9110 writes it, with or without parameters: fit for a header as it is. */
export function isMediaType(text: string): boolean {
  return text.length <= MEDIA_TYPE_CHARACTERS && MEDIA_TYPE.test(text)
}
