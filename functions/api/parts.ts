/** What the api is composed of. Nothing in `functions/api` reads the environment or knows where it runs. */
import type { FoundState } from '#shared/mirror/survey.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { DomainProof } from '#shared/ports/domain-proof.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { DomainWorker } from '#shared/ports/domain-worker.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { EncryptedTokens } from './agent-tokens.ts'
import type { Settings } from '#shared/settings.ts'
import type { Issuer } from '#shared/sessions/id-tokens.ts'

export type ApiSettings = {
  /** `localhost` and `*.localhost`, any port, may be used without a claim and get CORS headers. */
  readonly openDomains: boolean
  /** Origins (`https://app.example.com`) that get CORS headers besides those of claimed domains. */
  readonly corsOrigins: readonly string[]
  /** Where domains are claimed from: may be used without a claim. Undefined: there is none. */
  readonly adminDomain: string | undefined
  /** OIDC issuers whose ID tokens open sessions. */
  readonly issuers: readonly Issuer[]
  /** What others than a state's owner may read where a domain has configured nothing. */
  readonly authorizeDefault: 'deny' | 'allow'
  /** `GET /v1/cluster` is for everybody, not only for operators. */
  readonly clusterInfo: boolean
  /** What addresses that we hand out begin with (`https://api.example.com`); undefined: the request's Host. */
  readonly publicUrl: string | undefined
}

export function apiSettingsOf(settings: Settings): ApiSettings {
  return {
    openDomains: settings.OPEN_DOMAINS,
    corsOrigins: settings.CORS_ORIGINS,
    issuers: settings.ISSUERS,
    authorizeDefault: settings.AUTHORIZE_DEFAULT,
    clusterInfo: settings.CLUSTER_INFO,
    publicUrl: settings.PUBLIC_URL,
    adminDomain: settings.ADMIN_DOMAIN,
  }
}

export type ApiSecrets = {
  /** At least 32 bytes. Signs bearers and, by keys derived from it, stream addresses; changing it ends every session. */
  readonly bearerKey: Uint8Array
  /** At least 32 bytes. Makes the ids of names, and of what side effects make; must never change. */
  readonly nameKey: Uint8Array
  /** At least 32 bytes. Verifies ID tokens of the issuer `local`; undefined: there is no such issuer. */
  readonly localIssuerKey: Uint8Array | undefined
  /** Bearer of operators; undefined: there is none. */
  readonly operatorToken: string | undefined
}

/** Which domains there are: asked by every request. */
export interface Domains {
  isClaimed(domain: string): boolean
}

export interface WallClock {
  wallMs(): number
}

/** The part of pino that is used. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export type ApiParts = {
  readonly cluster: StateCluster
  readonly uploads: Uploads
  readonly settings: ApiSettings
  readonly secrets: ApiSecrets
  readonly registry: DomainRegistry
  readonly database: DomainDatabase
  readonly proof: DomainProof
  readonly worker: DomainWorker
  /** For tokens that published agents' log-ins encrypt; undefined: there are none. */
  readonly encryptedTokens?: EncryptedTokens | undefined
  /** All states that there are, for the index of states where that is new, or was lost. */
  readonly survey: () => AsyncIterable<FoundState>
  readonly clock: WallClock
  readonly log: Log
}
