/** Reading states for a caller: names resolved, the decision who may read taken on the state as it was read. */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { mayRead } from './authorize.ts'
import type { Party, Rule } from './authorize.ts'
import type { Names } from './names.ts'
import type { Scope } from './scope.ts'

export type ReadingAnswer =
  /** `view` undefined: unwritten, which everybody may read. */
  | { readonly kind: 'view'; readonly id: StateId; readonly view: StateView | undefined }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'behind' }
  | Unavailable

export type ReadingOptions = { readonly mode: 'strong' | 'tracked'; readonly minIi: InteractionIndex | undefined }
const STRONG: ReadingOptions = { mode: 'strong', minIi: undefined }

export class Reading {
  readonly #cluster: StateCluster
  readonly #names: Names
  readonly #rule: Rule

  constructor(options: { cluster: StateCluster; names: Names; rule: Rule }) {
    this.#cluster = options.cluster
    this.#names = options.names
    this.#rule = options.rule
  }

  async read(scope: Scope, caller: Party, options: ReadingOptions = STRONG): Promise<ReadingAnswer> {
    if (scope.kind === 'id') return this.#readId(scope.id, caller, options)
    // Others' names are refused unread: whether the name leads to anything must not show.
    if (!scope.isOwn && this.#rule === 'deny') return { kind: 'forbidden' }
    const named = await this.#names.view(scope, scope.name)
    if (named.kind !== 'named') return named
    const isEnough = options.minIi === undefined || (named.view?.ii ?? 0) >= options.minIi
    if (isEnough) return this.#judge(named.id, named.view, caller)
    return this.#readId(named.id, caller, options)
  }

  async #readId(id: StateId, caller: Party, { mode, minIi }: ReadingOptions): Promise<ReadingAnswer> {
    const present = await this.#cluster.read({ id, mode, minIi: undefined })
    if (present.kind === 'unavailable' || present.kind === 'behind') return present
    const answer = this.#judge(id, present.kind === 'state' ? present.state : undefined, caller)
    // Judged before it is waited for: how long a refusal takes must not show how far the state is.
    if (answer.kind !== 'view' || minIi === undefined || (answer.view?.ii ?? 0) >= minIi) return answer
    const later = await this.#cluster.read({ id, mode, minIi })
    if (later.kind === 'unavailable' || later.kind === 'behind') return later
    return this.#judge(id, later.kind === 'state' ? later.state : undefined, caller)
  }

  #judge(id: StateId, view: StateView | undefined, caller: Party): ReadingAnswer {
    if (view !== undefined && !mayRead({ caller, of: view, rule: this.#rule })) return { kind: 'forbidden' }
    return { kind: 'view', id, view }
  }
}
