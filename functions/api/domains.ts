/** `/v1/domains/{domain}/...`: claiming and configuring, by the patches of the types `domain-claim` and `domain-config`. */
import { randomUUID } from 'node:crypto'
import { isUtf8 } from 'node:buffer'
import type { StateId } from '#shared/ids.ts'
import { uploadName } from '#shared/ports/uploads.ts'
import type { DomainWorker } from '#shared/ports/domain-worker.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { DomainRecord } from '#shared/records/domain-record.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import { answerEffectRefused, answerUnavailable } from './answers.ts'
import { isOwner } from './party.ts'
import { checkConfig } from './domains/checking.ts'
import { sourceText } from './domains/in-force.ts'
import type { EffectIds } from './effect-ids.ts'
import { effectPatch, keyOf } from './effect-patch.ts'
import type { Exchange } from './exchange.ts'
import type { Loop } from './request-loop.ts'
import { decodePart } from './scope.ts'
import type { Upload } from './side-effects/upload.ts'

const YAML_TYPE = 'application/yaml'

export type DomainsParts = {
  readonly loop: Loop
  readonly ids: EffectIds
  readonly registry: DomainRegistry
  readonly uploads: Uploads
  readonly upload: Upload
  readonly worker: DomainWorker
}

export class DomainRoutes {
  readonly #parts: DomainsParts

  constructor(parts: DomainsParts) {
    this.#parts = parts
  }

  claim = async (x: Exchange): Promise<void> => {
    const domain = domainOf(x)
    const key = keyOf(x)
    if (domain === undefined || key.fault) return
    const { loop, ids } = this.#parts
    const result = await effectPatch({ x, loop, ids, type: 'domain-claim', active: { domain }, keyText: key.keyText })
    if (result !== undefined) x.json(200, `{"token":${result['token']},"report":${result['report']}}`, NO_STORE)
  }

  /** Who may, and what the text says, is judged before anything is stored; and again by the patch. */
  configure = async (x: Exchange, body: Buffer): Promise<void> => {
    const domain = domainOf(x)
    const key = keyOf(x)
    if (domain === undefined || key.fault) return
    if ((await this.#administered(x, domain)) === undefined) return
    if (!isUtf8(body)) return x.problem('bad-request', { detail: 'body: not UTF-8' })
    const parsed = await checkConfig(body.toString('utf8'), domain, this.#parts.worker)
    if (parsed.kind === 'unavailable') return answerUnavailable(x, { stored: false, reason: 'the module cannot be tried just now' })
    if (parsed.kind === 'faults') return x.problem('invalid-config', { detail: parsed.faults[0]!.message, members: { faults: parsed.faults } })
    const { loop, ids } = this.#parts
    const config = key.keyText === undefined ? (randomUUID() as StateId) : ids.of('config', x.caller.domain, x.caller.user, domain, key.keyText)
    if (!(await this.#store(x, config, body))) return
    const result = await effectPatch({ x, loop, ids, type: 'domain-config', active: { config, domain }, keyText: key.keyText })
    if (result !== undefined) x.json(202, `{"report":${result['report']}}`, NO_STORE)
  }

  inForce = async (x: Exchange): Promise<void> => {
    const domain = domainOf(x)
    const record = domain === undefined ? undefined : await this.#administered(x, domain)
    if (domain === undefined || record === undefined) return
    const { config } = record
    if (config === undefined) return x.problem('not-found', { detail: `${domain} has no configuration` })
    const read = await sourceText(this.#parts.uploads, config)
    if (read.kind !== 'text') return answerUnavailable(x, { stored: undefined, reason: 'the configuration cannot be read just now' })
    x.json(200, JSON.stringify({ domain, config: read.text, report: config.report, since: new Date(config.sinceMs).toISOString() }), NO_STORE)
  }

  /** The record, if the caller administers the domain; undefined: answered. */
  async #administered(x: Exchange, domain: string): Promise<DomainRecord | undefined> {
    const found = await this.#parts.registry.read(domain)
    switch (found.kind) {
      case 'failed':
        answerUnavailable(x, { stored: false, reason: 'the domain cannot be looked up just now' })
        return undefined
      case 'none':
        x.problem('unknown-domain', { detail: `nobody has claimed ${domain}` })
        return undefined
      case 'record': {
        const { admin } = found.record
        if (isOwner(x.caller, { owner: admin.user, domain: admin.domain })) return found.record
        x.problem('forbidden', { detail: `you do not administer ${domain}` })
        return undefined
      }
    }
  }

  /** The upload that a client would have made; false: answered. */
  async #store(x: Exchange, state: StateId, body: Buffer): Promise<boolean> {
    const { ids, upload, uploads } = this.#parts
    const object = ids.of('object', state, 'config')
    const refusal = await upload.make(x.caller, state, { type: YAML_TYPE, name: undefined, object })
    if (refusal?.kind === 'refused') {
      answerEffectRefused(x, refusal)
      return false
    }
    const stored = await uploads.store(uploadName({ state, object }), YAML_TYPE, body)
    if (stored.kind === 'stored' || stored.kind === 'exists') return true
    answerUnavailable(x, { stored: stored.kind === 'not-stored' ? false : undefined, reason: 'the configuration cannot be stored just now' })
    return false
  }
}

const NO_STORE = ['Cache-Control', 'no-store'] as const

/** Undefined: answered. */
function domainOf(x: Exchange): string | undefined {
  const text = decodePart(x.parameter)
  const domain = text === undefined ? undefined : parseDomain(text)
  if (domain === undefined) x.problem('bad-request', { detail: 'domain: not a domain' })
  return domain
}
