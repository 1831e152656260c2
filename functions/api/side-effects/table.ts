/** The types with side effects: `application/json;type=` and the name here. */
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { NameIds } from '#shared/sessions/names.ts'
import type { EffectIds } from '../effect-ids.ts'
import type { Reading } from '../reading.ts'
import { Download } from './download.ts'
import type { SideEffect } from './side-effect.ts'
import { Subscription } from './subscription.ts'
import { Upload } from './upload.ts'

export type SideEffectParts = {
  readonly cluster: StateCluster
  readonly reading: Reading
  readonly uploads: Uploads
  readonly names: NameIds
  readonly ids: EffectIds
}

export function sideEffectTable(parts: SideEffectParts): { readonly [type: string]: SideEffect } {
  return {
    subscription: new Subscription(parts),
    upload: new Upload(parts),
    download: new Download(parts),
  }
}
