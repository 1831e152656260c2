/** Links between processes of one machine: a secret that only their user can read. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { LinkCredentials } from '#shared/link/connect.ts'

export function sharedSecret(secret: Uint8Array): LinkCredentials {
  const header = `Bearer ${createHmac('sha256', secret).update('link').digest('base64url')}`
  const expected = Buffer.from(header)
  return {
    header: () => Promise.resolve(header),
    check: (given) => {
      const bytes = Buffer.from(given ?? '')
      return Promise.resolve(bytes.byteLength === expected.byteLength && timingSafeEqual(bytes, expected))
    },
  }
}
