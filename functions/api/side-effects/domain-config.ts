/**
 * `domain-config`: brings a configuration, uploaded before, into force.
 *
 * A repeat finds by the report how far the first try came: one that has ended, or is under way, is not begun again, so that a
 * late repeat cannot bring an old configuration back.
 */
import { parseStateId } from '#shared/ids.ts'
import type { StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { ConfigSource, DomainRecord } from '#shared/records/domain-record.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import { isOwner } from '../party.ts'
import type { Configurations } from '../domains/configurations.ts'
import { isSame, sourceText } from '../domains/in-force.ts'
import type { EffectIds } from '../effect-ids.ts'
import type { WallClock } from '../parts.ts'
import type { Reading } from '../reading.ts'
import { checkConfigActive, faultOf } from '../schemas.ts'
import { done, refused } from './side-effect.ts'
import type { EffectAnswer, Occasion, SideEffect } from './side-effect.ts'
import { objectIdOf } from './upload.ts'

export type DomainConfigParts = {
  readonly registry: DomainRegistry
  readonly configurations: Configurations
  readonly uploads: Uploads
  readonly reading: Reading
  readonly ids: EffectIds
  readonly clock: WallClock
}

export class DomainConfiguration implements SideEffect {
  readonly #parts: DomainConfigParts

  constructor(parts: DomainConfigParts) {
    this.#parts = parts
  }

  async run({ caller, id, ii, active }: Occasion): Promise<EffectAnswer> {
    if (!checkConfigActive.Check(active)) return refused('bad-request', faultOf(checkConfigActive, active, 'active'))
    const domain = active.domain === undefined ? caller.domain : parseDomain(active.domain)
    if (domain === undefined) return refused('bad-request', 'active/domain: not a domain')
    const state = parseStateId(active.config)
    if (state === undefined) return refused('bad-request', 'active/config: the id of an upload')
    const report = active.report === undefined ? this.#parts.ids.of('report', id, String(ii)) : parseStateId(active.report)
    if (report === undefined) return refused('bad-request', 'active/report: a UUID of version 1 to 5')
    const found = await this.#parts.registry.read(domain)
    if (found.kind === 'failed') return refused('unavailable', 'the domain cannot be looked up just now')
    if (found.kind === 'none') return refused('unknown-domain', `nobody has claimed ${domain}`)
    if (!isOwner(caller, { owner: found.record.admin.user, domain: found.record.admin.domain })) return refused('forbidden', 'you are not its admin')
    const upload = await this.#parts.reading.read({ kind: 'id', id: state }, caller)
    if (upload.kind === 'forbidden') return refused('forbidden', 'active/config: not a state that you may read')
    if (upload.kind !== 'view') return refused('unavailable', 'the upload cannot be looked up just now')
    const object = upload.view && objectIdOf(upload.view.active)
    if (object === undefined) return refused('not-found', 'active/config: nothing has been uploaded under this id')
    return this.#begin(found.record, { state, object, report, sinceMs: this.#parts.clock.wallMs() }, caller)
  }

  async #begin(record: DomainRecord, source: ConfigSource, caller: Occasion['caller']): Promise<EffectAnswer> {
    const result = done({ report: JSON.stringify(source.report) })
    const { reading, uploads, configurations } = this.#parts
    if ([record.config, record.applying].some((known) => known !== undefined && isSame(known, source))) return result
    const report = await reading.read({ kind: 'id', id: source.report }, caller)
    if (report.kind === 'view' && report.view !== undefined && isOf(report.view, source.state) && (hasEnded(report.view) || configurations.isOpen(source.report))) return result
    const read = await sourceText(uploads, source)
    if (read.kind === 'missing') return refused('not-found', 'active/config: the upload has no content yet')
    if (read.kind === 'failed') return refused('unavailable', read.reason)
    switch (await configurations.begin(record, source, read.text)) {
      case 'begun':
        return result
      case 'report-refused':
        return refused('forbidden', 'active/report: not a state that you may write')
      case 'unavailable':
        return refused('unavailable', 'the report cannot be written just now')
    }
  }
}

function memberOf(view: StateView, name: string): Json | undefined {
  const active = JSON.parse(view.active) as Json
  return typeof active === 'object' && active !== null && !Array.isArray(active) ? active[name] : undefined
}

function isOf(view: StateView, config: StateId): boolean {
  return memberOf(view, 'config') === config
}

function hasEnded(view: StateView): boolean {
  return memberOf(view, 'end') !== undefined
}
