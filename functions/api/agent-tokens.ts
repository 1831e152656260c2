/**
 * Tokens in the first message of a published agent: what its page made up, an ID token of an issuer, or what the page's
 * log-in encrypted for us: an OAuth provider's code.
 *
 * Owns: nothing. Talks to: issuers, providers.
 *
 * I1. A code is for the domain that its page named when it encrypted it: another domain's page cannot use it.
 * I2. One user has one id, whether an ID token came from the page or from the provider.
 */
import { createDecipheriv, createPrivateKey, privateDecrypt, randomUUID } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { decodeJwt } from 'jose'
import type { AgentUser, UserInfo } from '#shared/ports/agent-ground.ts'
import type { CodeExchange } from '#shared/ports/code-exchange.ts'
import type { IdTokens } from '#shared/sessions/id-tokens.ts'
import { userIdOf } from '#shared/sessions/uuid.ts'

/** Shorter tokens are what clients make up after a log-out. */
const TOKEN_CHARACTERS = 32
const LONGEST_TOKEN_CHARACTERS = 16_384
const INFO_CHARACTERS = 2_048
const GCM_TAG_BYTES = 16

export const ANONYMOUS_INFO: UserInfo = { name: 'anonymous', picture: null }

/** `key`: PEM of the RSA key that log-ins encrypt for. */
export type EncryptedTokens = { readonly key: string; readonly exchange: CodeExchange }
/** `subject`: what the provider calls the user. */
export type TokenAnswer = ({ readonly kind: 'user'; readonly subject: string } & AgentUser) | { readonly kind: 'refused' } | { readonly kind: 'unavailable' }

type Code = { readonly domain: string; readonly provider: string; readonly code: string }

export class AgentTokens {
  readonly #idTokens: IdTokens
  readonly #key: KeyObject | undefined
  readonly #exchange: CodeExchange | undefined

  /** Throws where the key is none. */
  constructor({ idTokens, encrypted }: { readonly idTokens: IdTokens; readonly encrypted: EncryptedTokens | undefined }) {
    this.#idTokens = idTokens
    this.#exchange = encrypted?.exchange
    this.#key = encrypted === undefined ? undefined : createPrivateKey(encrypted.key)
  }

  async userOf(token: string | undefined, domain: string): Promise<TokenAnswer> {
    if (token === undefined || token.length < TOKEN_CHARACTERS) {
      const user = randomUUID()
      return { kind: 'user', user, subject: user, provider: 'anonymous', info: ANONYMOUS_INFO }
    }
    if (token.length > LONGEST_TOKEN_CHARACTERS) return { kind: 'refused' }
    if (!token.includes(',')) return this.#verified(token, undefined)
    const code = this.#key === undefined ? undefined : decrypted(token, this.#key)
    if (code === undefined || code.domain !== domain) return { kind: 'refused' }
    const answer = await this.#exchange!.exchange(code)
    return answer.kind === 'id-token' ? this.#verified(answer.idToken, code.provider) : { kind: answer.kind }
  }

  async #verified(idToken: string, provider: string | undefined): Promise<TokenAnswer> {
    const answer = await this.#idTokens.verify(idToken)
    if (answer.kind !== 'verified') return { kind: answer.kind }
    const { issuer, subject } = answer
    return { kind: 'user', user: userIdOf(issuer, subject), subject, provider: provider ?? issuer, info: infoOf(idToken) }
  }
}

/** Of an ID token that was verified. */
function infoOf(idToken: string): UserInfo {
  const { name, picture } = decodeJwt(idToken)
  return { name: textOr(name), picture: textOr(picture) }
}

function textOr(value: unknown): string | null {
  return typeof value === 'string' && value.length <= INFO_CHARACTERS && value.isWellFormed() ? value : null
}

/** Three parts, joined by commas, each base64 and URI-encoded: IV, data, and the data's key under ours. Undefined: not for us. */
function decrypted(token: string, key: KeyObject): Code | undefined {
  try {
    const [iv, data, dataKey, ...rest] = token.split(',').map((part) => Buffer.from(decodeURIComponent(part), 'base64'))
    if (iv === undefined || data === undefined || dataKey === undefined || rest.length > 0 || data.length < GCM_TAG_BYTES) return undefined
    const opened = privateDecrypt({ key, oaepHash: 'sha256' }, dataKey)
    const decipher = createDecipheriv('aes-256-gcm', opened, iv, { authTagLength: GCM_TAG_BYTES })
    decipher.setAuthTag(data.subarray(-GCM_TAG_BYTES))
    const text = Buffer.concat([decipher.update(data.subarray(0, -GCM_TAG_BYTES)), decipher.final()]).toString('utf8')
    const { domain, provider, code } = JSON.parse(text) as Partial<Record<keyof Code, unknown>>
    return typeof domain === 'string' && typeof provider === 'string' && typeof code === 'string' ? { domain, provider, code } : undefined
  } catch {
    return undefined
  }
}
