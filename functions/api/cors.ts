/** Which Origins may read answers, and which domains there are. */
import { LRUCache } from 'lru-cache'
import { domainOfOrigin, isLocalhost } from '#shared/sessions/domain.ts'
import type { ApiSettings, Domains } from './parts.ts'

const ALLOWED_HEADERS = 'Authorization, Content-Type, Accept, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID'
const PREFLIGHT_SECONDS = '600'

export class Origins {
  readonly #settings: ApiSettings
  readonly #domains: Domains
  readonly #domainByOrigin = new LRUCache<string, { domain: string | undefined }>({ max: 1_000 })

  constructor(options: { settings: ApiSettings; domains: Domains }) {
    this.#settings = options.settings
    this.#domains = options.domains
  }

  /** The domain that an Origin header names; undefined: none (`null`, a file, another scheme). */
  domainOf(origin: string): string | undefined {
    let known = this.#domainByOrigin.get(origin)
    if (known === undefined) {
      known = { domain: domainOfOrigin(origin) }
      this.#domainByOrigin.set(origin, known)
    }
    return known.domain
  }

  /** Whether sessions may be opened in `domain`. */
  isKnown(domain: string): boolean {
    return this.#domains.isClaimed(domain) || domain === this.#settings.adminDomain || (this.#settings.openDomains && isLocalhost(domain))
  }

  /** Whether a page of this Origin may read our answers. */
  allows(origin: string): boolean {
    if (this.#settings.corsOrigins.includes(origin)) return true
    const domain = this.domainOf(origin)
    return domain !== undefined && this.isKnown(domain)
  }
}

export function preflightHeaders(methods: string): string[] {
  return [
    'Access-Control-Allow-Methods', methods,
    'Access-Control-Allow-Headers', ALLOWED_HEADERS,
    'Access-Control-Max-Age', PREFLIGHT_SECONDS,
    'Allow', methods,
  ]
}
