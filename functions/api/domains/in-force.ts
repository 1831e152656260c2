/**
 * The configurations in force, as this process has them.
 *
 * Owns: the configuration of each domain that was asked for, read and checked once. Does not own: the records of domains
 * (the registry), bringing a configuration into force (configurations.ts).
 * Talks to: the registry, uploads.
 *
 * I1. What `of` answers is the configuration that the registry names at that moment, never one before it.
 * I2. A domain without configuration costs a look into a map.
 */
import { hash } from 'node:crypto'
import { parseDomainConfig } from '#shared/domain/config.ts'
import type { DomainConfig } from '#shared/domain/config.ts'
import { domainBounds } from '#shared/domain/bounds.ts'
import { statementTexts } from '#shared/mirror/batch.ts'
import type { StatementTexts } from '#shared/mirror/batch.ts'
import { mirrorTables } from '#shared/mirror/rows.ts'
import type { DomainModule } from '#shared/ports/domain-worker.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import { uploadName } from '#shared/ports/uploads.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { ConfigSource, DomainRecord } from '#shared/records/domain-record.ts'
import type { Log } from '../parts.ts'

export type InForce = {
  readonly domain: string
  readonly source: ConfigSource
  readonly config: DomainConfig
  /** Undefined: the domain has no handlers. */
  readonly module: DomainModule | undefined
  /** The statements of its mirror, and with them its tables. */
  readonly texts: StatementTexts
}

/** `none`: the domain has no configuration. `unavailable`: it has one that cannot be read now. */
export type InForceAnswer = InForce | 'none' | 'unavailable'

export type SourceAnswer = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'missing' } | { readonly kind: 'failed'; readonly reason: string }

export class InForceDomains {
  readonly #registry: DomainRegistry
  readonly #uploads: Uploads
  readonly #log: Log
  readonly #loaded = new Map<string, InForce>()
  readonly #loading = new Map<string, { readonly source: ConfigSource; readonly answer: Promise<InForceAnswer> }>()
  readonly #listeners = new Set<(record: DomainRecord) => void>()
  readonly #unwatch: () => void

  constructor(options: { readonly registry: DomainRegistry; readonly uploads: Uploads; readonly log: Log }) {
    this.#registry = options.registry
    this.#uploads = options.uploads
    this.#log = options.log
    this.#unwatch = this.#registry.watch((record) => {
      for (const listener of this.#listeners) listener(record)
    })
  }

  of(domain: string): InForceAnswer | Promise<InForceAnswer> {
    const source = this.#registry.get(domain)?.config
    if (source === undefined) return 'none'
    const loaded = this.#loaded.get(domain)
    if (loaded !== undefined && isSame(loaded.source, source)) return loaded
    return this.#load(domain, source)
  }

  /** Calls back when a domain's record has changed, its configuration or not. */
  onChange(listener: (record: DomainRecord) => void): void {
    this.#listeners.add(listener)
  }

  close(): void {
    this.#unwatch()
    this.#listeners.clear()
  }

  #load(domain: string, source: ConfigSource): Promise<InForceAnswer> {
    const under = this.#loading.get(domain)
    if (under !== undefined && isSame(under.source, source)) return under.answer
    const answer = this.#read(domain, source).finally(() => {
      if (this.#loading.get(domain)?.answer === answer) this.#loading.delete(domain)
    })
    this.#loading.set(domain, { source, answer })
    return answer
  }

  async #read(domain: string, source: ConfigSource): Promise<InForceAnswer> {
    const read = await sourceText(this.#uploads, source)
    const parsed = read.kind === 'text' ? parseDomainConfig(read.text) : undefined
    if (parsed?.kind !== 'config') {
      const reason = read.kind === 'text' ? 'it is not valid any more' : read.kind === 'missing' ? 'its upload is gone' : read.reason
      this.#log.error({ domain, upload: source.object, reason }, 'the configuration of a domain cannot be read')
      return 'unavailable'
    }
    const loaded = inForce(domain, source, parsed.config)
    // One that took longer than the next reconfiguration must not come back.
    const present = this.#registry.get(domain)?.config
    if (present === undefined || !isSame(present, source)) return this.of(domain)
    this.#loaded.set(domain, loaded)
    return loaded
  }
}

export function inForce(domain: string, source: ConfigSource, config: DomainConfig): InForce {
  const module = config.agent === undefined ? undefined : moduleOf(domain, config.agent)
  return { domain, source, config, module, texts: statementTexts(mirrorTables(config)) }
}

/** Names the text of a module, and no other. */
export function moduleOf(domain: string, source: string): DomainModule {
  return { domain, key: hash('sha256', source, 'hex').slice(0, 32), source }
}

export function isSame(a: ConfigSource, b: ConfigSource): boolean {
  return a.object === b.object && a.report === b.report
}

/** The YAML of a configuration. */
export async function sourceText(uploads: Uploads, { state, object }: Pick<ConfigSource, 'state' | 'object'>): Promise<SourceAnswer> {
  const found = await uploads.content(uploadName({ state, object }), domainBounds.configBytes)
  switch (found.kind) {
    case 'found':
      return { kind: 'text', text: Buffer.from(found.content.buffer, found.content.byteOffset, found.content.byteLength).toString('utf8') }
    case 'missing':
      return { kind: 'missing' }
    case 'too-large':
      return { kind: 'failed', reason: `it is larger than ${domainBounds.configBytes} bytes` }
    case 'failed':
      return found
  }
}
