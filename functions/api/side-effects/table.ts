/** The types with side effects: `application/json;type=` and the name here. */
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { NameIds } from '#shared/sessions/names.ts'
import type { Claims } from '../domains/claims.ts'
import type { Configurations } from '../domains/configurations.ts'
import type { Queries } from '../domains/queries.ts'
import type { EffectIds } from '../effect-ids.ts'
import type { WallClock } from '../parts.ts'
import type { Reading } from '../reading.ts'
import { DomainClaim } from './domain-claim.ts'
import { DomainConfiguration } from './domain-config.ts'
import { Download } from './download.ts'
import { PostgresQuery } from './postgres-query.ts'
import type { SideEffect } from './side-effect.ts'
import { Subscription } from './subscription.ts'
import type { Upload } from './upload.ts'

export type SideEffectParts = {
  readonly cluster: StateCluster
  readonly reading: Reading
  readonly uploads: Uploads
  readonly names: NameIds
  readonly ids: EffectIds
  readonly registry: DomainRegistry
  readonly configurations: Configurations
  readonly claims: Claims
  readonly queries: Queries
  readonly clock: WallClock
}

export function sideEffectTable(parts: SideEffectParts, upload: Upload): { readonly [type: string]: SideEffect } {
  return {
    subscription: new Subscription(parts),
    upload,
    download: new Download(parts),
    'postgres-query': new PostgresQuery(parts),
    'domain-claim': new DomainClaim(parts),
    'domain-config': new DomainConfiguration(parts),
  }
}
