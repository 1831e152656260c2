/** Names and passwords of Postgres roles, derived from a secret key, so that nothing has to be kept or shared but it. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

export type Login = { readonly user: string; readonly password: string }

/**
 * The one name of a domain's database and of its role. By a keyed hash: every role of a server can list databases and
 * roles, and a plain hash would let it look domains up. 128 bits of it.
 */
export function domainLogin(key: Uint8Array, domain: string): Login {
  return { user: `domain_${derive(key, 'name', domain).toString('hex').slice(0, 32)}`, password: derive(key, 'password', domain).toString('base64url') }
}

/** A password of 256 bits for what is not a domain. */
export function derivedPassword(key: Uint8Array, purpose: string): string {
  return derive(key, 'password of', purpose).toString('base64url')
}

/** 256 bits of `purpose` and `text` that tell nothing of the key. */
function derive(key: Uint8Array, purpose: string, text: string): Buffer {
  return createHmac('sha256', key).update(`state-platform postgres ${purpose}\0${text}`).digest()
}

const ITERATIONS = 4096

/**
 * What Postgres keeps of a password (RFC 5803). CREATE ROLE takes it instead of the password, which so never stands in a
 * statement, in `pg_stat_activity` or in a log. Letters, digits and `$:+/=-` only: safe between quotes.
 */
export function scramVerifier(password: string): string {
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256')
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const stored = createHash('sha256').update(hmac('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${hmac('Server Key').toString('base64')}`
}
