/**
 * What follows a stored patch in the mirror: of a domain with a configuration its rows, before the acknowledgement; of any
 * other, that there is a new state.
 *
 * Owns: nothing. Talks to: configurations in force, the mirror, the index of states; the cluster, for a state as it is.
 */
import type { StateId } from '#shared/ids.ts'
import type { StateIndex } from '#shared/mirror/state-index.ts'
import type { PatchAnswer, PatchRequest, StateCluster } from '#shared/ports/state-cluster.ts'
import type { InForceAnswer, InForceDomains } from './in-force.ts'
import type { Mirror, MirrorOutcome } from './mirror.ts'

type Stored = Pick<PatchAnswer & { readonly kind: 'stored' }, 'ii' | 'replayed' | 'state'>

export class Mirroring {
  readonly #inForce: InForceDomains
  readonly #mirror: Mirror
  readonly #index: StateIndex
  readonly #cluster: StateCluster

  constructor(options: { readonly inForce: InForceDomains; readonly mirror: Mirror; readonly index: StateIndex; readonly cluster: StateCluster }) {
    this.#inForce = options.inForce
    this.#mirror = options.mirror
    this.#index = options.index
    this.#cluster = options.cluster
  }

  /** What `imageFor` of a patch in this domain has to be for the mirror's sake; undefined: the mirror needs none. */
  imageFor(domain: string): PatchRequest['imageFor'] {
    return this.#inForce.of(domain) === 'none' ? undefined : 'all'
  }

  /** Undefined: done already. `stored.state` is the image, if the patch was made with `imageFor`; else it is read. */
  after(domain: string, id: StateId, stored: Stored): Promise<MirrorOutcome> | undefined {
    if (stored.ii === 1 && !stored.replayed) this.#index.add(domain, id)
    const present = this.#inForce.of(domain)
    if (present === 'none') return undefined
    // A repeat is answered with the state as it is by now: that has what the first try may not have written.
    if (stored.state !== undefined && !(present instanceof Promise)) return this.#mirror.write(stored.state)
    return this.#write(present, id, stored)
  }

  /** The platform has changed a state by itself: its rows follow, off any request's way. */
  behind(domain: string, id: StateId, isNew: boolean): void {
    if (isNew) this.#index.add(domain, id)
    if (this.#inForce.of(domain) !== 'none') this.#mirror.behind(domain, id)
  }

  async #write(present: InForceAnswer | Promise<InForceAnswer>, id: StateId, stored: Stored): Promise<MirrorOutcome> {
    if ((await present) === 'none') return { kind: 'done' }
    if (stored.state !== undefined) return this.#mirror.write(stored.state)
    const read = await this.#cluster.read({ id, mode: 'strong', minIi: undefined })
    switch (read.kind) {
      case 'state':
        return this.#mirror.write(read.state)
      case 'unwritten':
        return { kind: 'done' }
      case 'behind':
        return { kind: 'unavailable', reason: 'behind' }
      case 'unavailable':
        return { kind: 'unavailable', reason: read.reason }
    }
  }
}
