/** Reading states for a caller: names resolved, the decision who may read taken on the state as it was read. */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import type { Requested } from '#shared/domain/authorize.ts'
import type { Authorizer } from './authorizer.ts'
import { isOwner } from './party.ts'
import type { Party } from './party.ts'
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
  readonly #authorizer: Authorizer

  constructor(options: { cluster: StateCluster; names: Names; authorizer: Authorizer }) {
    this.#cluster = options.cluster
    this.#names = options.names
    this.#authorizer = options.authorizer
  }

  async read(scope: Scope, caller: Party, options: ReadingOptions = STRONG): Promise<ReadingAnswer> {
    if (scope.kind === 'id') return this.#readId(scope.id, caller, options)
    const owner = { owner: scope.user, domain: scope.domain }
    // Others' names are refused unread where they can be: whether the name leads to anything must not show.
    if (!scope.isOwn && !(await this.#authorizer.mayRead(caller, owner))) return { kind: 'forbidden' }
    const named = await this.#names.view(scope, scope.name)
    if (named.kind !== 'named') return named
    const refusal = scope.isOwn ? undefined : await this.#refusal(caller, { id: named.id, ...owner })
    if (refusal !== undefined) return refusal
    const isEnough = options.minIi === undefined || (named.view?.ii ?? 0) >= options.minIi
    if (isEnough) return this.#judge(named.id, named.view, caller)
    return this.#readId(named.id, caller, options)
  }

  async #readId(id: StateId, caller: Party, { mode, minIi }: ReadingOptions): Promise<ReadingAnswer> {
    const present = await this.#cluster.read({ id, mode, minIi: undefined })
    if (present.kind === 'unavailable' || present.kind === 'behind') return present
    const answer = await this.#judge(id, present.kind === 'state' ? present.state : undefined, caller)
    // Judged before it is waited for: how long a refusal takes must not show how far the state is.
    if (answer.kind !== 'view' || minIi === undefined || (answer.view?.ii ?? 0) >= minIi) return answer
    const later = await this.#cluster.read({ id, mode, minIi })
    if (later.kind === 'unavailable' || later.kind === 'behind') return later
    return this.#judge(id, later.kind === 'state' ? later.state : undefined, caller)
  }

  #judge(id: StateId, view: StateView | undefined, caller: Party): ReadingAnswer | Promise<ReadingAnswer> {
    const answer: ReadingAnswer = { kind: 'view', id, view }
    if (view === undefined || isOwner(caller, view)) return answer
    return this.#refusal(caller, view).then((refusal) => refusal ?? answer)
  }

  async #refusal(caller: Party, of: Requested): Promise<ReadingAnswer | undefined> {
    switch (await this.#authorizer.may('read', caller, of)) {
      case 'allow':
        return undefined
      case 'deny':
        return { kind: 'forbidden' }
      case 'unavailable':
        return { kind: 'unavailable', stored: undefined, reason: "the domain's rules cannot be asked just now" }
    }
  }
}
