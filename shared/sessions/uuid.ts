/** Making UUIDs: version 5 of RFC 9562, and the text form of 16 bytes. */
import { hash } from 'node:crypto'
import { assert } from '#shared/assert.ts'

const NAMESPACE_URL = '6ba7b811-9dad-11d1-80b4-00c04fd430c8'

export function uuidText(bytes: Uint8Array): string {
  assert(bytes.length >= 16, 'a UUID has 16 bytes')
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** `bytes` with version and variant set, as text. Changes `bytes`. */
export function versionedUuid(bytes: Uint8Array, version: 4 | 5): string {
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4)
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return uuidText(bytes)
}

export function uuidV5(namespace: string, name: string): string {
  const space = Buffer.from(namespace.replaceAll('-', ''), 'hex')
  return versionedUuid(hash('sha1', Buffer.concat([space, Buffer.from(name, 'utf8')]), 'buffer'), 5)
}

/**
 * The user id of a provider's subject: `v5(v5(URL namespace, issuer), subject)`. Two steps, so that no two
 * pairs of issuer and subject give one text to be hashed. Frozen: a change would give everybody a new id.
 */
export function userIdOf(issuer: string, subject: string): string {
  return uuidV5(uuidV5(NAMESPACE_URL, issuer), subject)
}
