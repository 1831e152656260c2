/**
 * What is kept of published agents' sessions, so that any process can go on with one: a reserved state each.
 *
 * Owns: nothing. Talks to: the cluster.
 *
 * I1. A change is made to the version that it names, or not at all: of two processes one learns that it has lost the session.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { AgentSession, KeepAnswer, KeepChange, Kept } from '#shared/ports/agent-ground.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import { keepOps, keptOf } from '#shared/sessions/agent-records.ts'
import type { EffectIds } from './effect-ids.ts'
import { clientKey } from './keys.ts'
import { TOMBSTONE } from './names.ts'
import type { Names } from './names.ts'

export class AgentKeeping {
  readonly #cluster: StateCluster
  readonly #names: Names
  readonly #effectIds: EffectIds

  constructor(parts: { readonly cluster: StateCluster; readonly names: Names; readonly effectIds: EffectIds }) {
    this.#cluster = parts.cluster
    this.#names = parts.names
    this.#effectIds = parts.effectIds
  }

  async read(session: StateId): Promise<{ readonly kind: 'kept'; readonly kept: Kept } | { readonly kind: 'unavailable' }> {
    const read = await this.#names.read(this.#idOf(session))
    return read.kind === 'view' ? { kind: 'kept', kept: keptOf(read.view) } : { kind: 'unavailable' }
  }

  async keep({ session, user, domain }: AgentSession, version: number, change: KeepChange): Promise<KeepAnswer> {
    const ops = keepOps(version, change)
    const answer = await this.#cluster.patch({
      id: this.#idOf(session),
      text: JSON.stringify(ops),
      ops,
      user,
      domain,
      authority: 'system',
      creation: TOMBSTONE,
      // Of one process and one version there is one change, so that a repeat finds it.
      key: clientKey(`kept session ${session} ${change.by} ${version}`),
      bodyDigest: '',
      expected: (version + 1) as InteractionIndex,
      returnState: false,
      lenient: false,
    })
    switch (answer.kind) {
      case 'stored':
        return { kind: 'kept', version: answer.ii }
      case 'out-of-sync':
      case 'replay':
        return { kind: 'taken' }
      case 'too-large':
        return { kind: 'full' }
      case 'unavailable':
        return { kind: 'unavailable' }
      case 'unprocessable':
      case 'forbidden':
      case 'key-reused':
      case 'unwritten':
        throw new Error(`what is kept of a session refused its change: ${answer.kind}`)
    }
  }

  #idOf(session: StateId): StateId {
    return this.#effectIds.of('kept session', session)
  }
}
