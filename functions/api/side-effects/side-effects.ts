/**
 * Which patch has a side effect, and running it.
 *
 * A patch has one if it adds to `["active"]` of a state that has a type of the table after it. For such an op, and
 * for no other, the cluster is asked for the state as the patch left it, if it has such a type: no other patch pays.
 *
 * Owns: nothing. Does not own: what effects do. Talks to: the cluster, for repeats.
 */
import { AssertionError } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { PatchAnswer, StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import type { Log } from '../parts.ts'
import { baseUrl } from '../base-url.ts'
import type { ClientPatch } from '../client-patch.ts'
import { refused } from './side-effect.ts'
import type { EffectAnswer, SideEffect } from './side-effect.ts'

const PREFIX = 'application/json;type='

export function typeOf(name: string): string {
  return PREFIX + name
}

type Stored = PatchAnswer & { readonly kind: 'stored' }

export class SideEffects {
  readonly #byType: ReadonlyMap<string, SideEffect>
  readonly #types: readonly string[]
  readonly #cluster: StateCluster
  readonly #publicUrl: string | undefined
  readonly #log: Log

  constructor(options: { table: { readonly [type: string]: SideEffect }; cluster: StateCluster; publicUrl: string | undefined; log: Log }) {
    this.#byType = new Map(Object.entries(options.table).map(([name, effect]) => [typeOf(name), effect]))
    this.#types = [...this.#byType.keys()]
    this.#cluster = options.cluster
    this.#publicUrl = options.publicUrl
    this.#log = options.log
  }

  /** Types for which the state is needed after this patch; undefined: it has no side effect, whatever the state is. */
  imageFor(ops: readonly Op[]): readonly string[] | undefined {
    for (const op of ops) if (op.op === 'add' && op.path.length === 1 && op.path[0] === 'active') return this.#types
    return undefined
  }

  /** After a patch for which `imageFor` named types was stored. Undefined: the state is of none of them. */
  async after(patch: ClientPatch, id: StateId, stored: Stored): Promise<EffectAnswer | undefined> {
    const image = await this.#image(id, stored)
    if (image?.kind === 'unavailable') return refused('unavailable', image.reason)
    const effect = image && this.#byType.get(image.view.activeType)
    if (effect === undefined) return undefined
    if (image!.view.active.length > limits.bodyBytes) return refused('too-large', `active is larger than ${limits.bodyBytes} bytes`)
    const active = JSON.parse(image!.view.active) as Json
    try {
      return await effect.run({ caller: patch.caller, id, ii: stored.ii, active, baseUrl: baseUrl(this.#publicUrl, patch.host), isAgents: patch.lenient === true })
    } catch (error) {
      if (error instanceof AssertionError) throw error
      // The patch is stored: the client must hear that, whatever else has gone wrong.
      this.#log.error({ err: error, id, ii: stored.ii, type: image!.view.activeType }, 'a side effect failed unexpectedly')
      return refused('internal', 'the side effect failed')
    }
  }

  /** The state right after the patch. A repeat meets a state that has moved on: it is read as it was. */
  async #image(id: StateId, stored: Stored): Promise<{ readonly kind: 'image'; readonly view: StateView } | Unavailable | undefined> {
    if (!stored.replayed) return stored.state && { kind: 'image', view: stored.state }
    const answer = await this.#cluster.stateAt({ id, ii: stored.ii as InteractionIndex })
    switch (answer.kind) {
      case 'state':
        return { kind: 'image', view: answer.state }
      case 'unavailable':
        return answer
      case 'beyond':
      case 'unwritten':
        throw new AssertionError(`interaction ${stored.ii} of ${id} was stored, and is not there`)
    }
  }
}
