/**
 * What may be seen, by the promises of shared/protocol/SPEC.md. Every simulated interaction adds one key, its
 * token, to its state's `active`: the keys of a state at `ii`, in order, are its first `ii` interactions. The value is the
 * number of the request that brought it in: of a token that was sent again, that says which of the requests was taken.
 *
 * Owns: what was stored, what anybody saw, what was answered with a certain no.
 */
import type { StateId } from '#shared/ids.ts'
import type { FanOutMessage } from '#shared/ports/fan-out.ts'
import type { InteractionView, StateView } from '#shared/ports/state-cluster.ts'
import { decodeBundle } from '#shared/records/bundle.ts'
import { logObjectType } from '#shared/records/fence.ts'

export class Violation extends Error {
  override name = 'Violation'
}

const ACTIVE_TYPE = 'application/json'

/** Nobody has seen that a state was made. */
export const UNWRITTEN = -1

type Truth = {
  readonly tokens: Map<number, string>
  readonly indexOf: Map<string, number>
  readonly acknowledged: Map<string, number>
  /** When an interaction was made, by index. */
  readonly times: Map<number, number>
  readonly requestOf: Map<string, number>
  /** Requests (token and number) that were answered with a certain no. */
  readonly refused: Map<string, string>
  /** Largest index that anybody saw; 0: that it was made. */
  seen: number
  /** What it was made with. */
  creation: string | undefined
  /** Somebody was told to have made it by a creation record. */
  made: boolean
}

export class Checker {
  /** Index up to which subscribers have everything of a state, doubles dropped. */
  #published = new Map<StateId, number>()
  #truth = new Map<StateId, Truth>()
  /** What is in stored bundles: id and ii, and the token behind it. */
  #stored = new Set<string>()
  observations = 0

  #of(id: StateId): Truth {
    let truth = this.#truth.get(id)
    if (truth === undefined) {
      truth = { tokens: new Map(), indexOf: new Map(), acknowledged: new Map(), times: new Map(), requestOf: new Map(), refused: new Map(), seen: UNWRITTEN, creation: undefined, made: false }
      this.#truth.set(id, truth)
    }
    return truth
  }

  /** An object of cold storage came to be. */
  stored(name: string, bytes: Uint8Array): void {
    const match = /^leaders\/([^/]+)\/(\d{12})$/.exec(name)
    if (!match || logObjectType(bytes) !== 'bundle') return
    for (const entry of decodeBundle(bytes, match[1] as never, Number(match[2]) as never).entries) {
      this.#stored.add(`${entry.id} ${entry.ii}`)
      for (const op of JSON.parse(entry.patch)) this.#stored.add(`${entry.id} ${entry.ii} ${op.path[1]}`)
    }
  }

  /** Interaction `ii` of `id` was seen to be `token`, by whatever way. */
  #saw(id: StateId, ii: number, token: string, request: number | undefined): void {
    this.observations += 1
    const truth = this.#of(id)
    const known = truth.tokens.get(ii)
    if (known !== undefined && known !== token) throw new Violation(`P2: interaction ${ii} of ${id} was ${known} and is ${token}`)
    if (!this.#stored.has(`${id} ${ii} ${token}`)) throw new Violation(`P1: interaction ${ii} of ${id}, ${token}, was seen before it was stored`)
    const elsewhere = truth.indexOf.get(token)
    if (elsewhere !== undefined && elsewhere !== ii) throw new Violation(`P6: ${token} of ${id} was interaction ${elsewhere} and is ${ii} as well`)
    truth.tokens.set(ii, token)
    truth.indexOf.set(token, ii)
    truth.seen = Math.max(truth.seen, ii)
    if (request === undefined || truth.requestOf.has(token)) return
    truth.requestOf.set(token, request)
    this.#compareRefusal(id, token, request)
  }

  #compareRefusal(id: StateId, token: string, request: number): void {
    const truth = this.#of(id)
    const why = truth.refused.get(`${token}/${request}`)
    if (why !== undefined && truth.requestOf.get(token) === request) {
      throw new Violation(`P5: request ${request} of ${token} of ${id} was answered "${why}", and is interaction ${truth.indexOf.get(token)}`)
    }
  }

  #sawTime(id: StateId, ii: number, time: number): void {
    const { times } = this.#of(id)
    const known = times.get(ii)
    if (known !== undefined && known !== time) throw new Violation(`P2: interaction ${ii} of ${id} was of ${known} and is of ${time}`)
    times.set(ii, time)
  }

  acknowledged(id: StateId, ii: number, token: string, updated: number): void {
    this.#saw(id, ii, token, undefined)
    this.#sawTime(id, ii, updated)
    const { acknowledged } = this.#of(id)
    const before = acknowledged.get(token)
    if (before !== undefined && before !== ii) throw new Violation(`P6: ${token} of ${id} was acknowledged as ${before} and as ${ii}`)
    acknowledged.set(token, ii)
  }

  /** This request, of those that carried `token`, was answered with a certain no (A8). */
  refused(id: StateId, token: string, request: number, why: string): void {
    this.#of(id).refused.set(`${token}/${request}`, why)
    this.#compareRefusal(id, token, request)
  }

  /** A refusal, begun when `mustShow` was known, says that `ii` is the present index. */
  present(id: StateId, mustShow: number, ii: number, why: string): void {
    const truth = this.#of(id)
    if (ii < Math.max(0, mustShow)) throw new Violation(`P7: ${id} was answered "${why}" at ${ii}, and ${mustShow} had been seen`)
    if (ii > 0 && !this.#stored.has(`${id} ${ii}`)) throw new Violation(`P1: ${id} was answered "${why}" at ${ii}, which is not stored`)
    // At 0 it can be unwritten.
    if (ii > 0) truth.seen = Math.max(truth.seen, ii)
  }

  patchEvent(id: StateId, interaction: Pick<InteractionView, 'ii' | 'ts' | 'patch'>): void {
    const { ii, ts, patch } = interaction
    for (const op of JSON.parse(patch)) this.#saw(id, ii, op.path[1], op.value)
    this.#sawTime(id, ii, ts)
  }

  /** Subscribers got it: everything before it of the state they have already (rule O3). */
  published(message: FanOutMessage): void {
    const { id, ii, activeType, domain } = message
    this.patchEvent(id, message)
    const known = this.#published.get(id) ?? 0
    if (ii > known + 1) throw new Violation(`fan-out of ${id} goes from ${known} to ${ii}`)
    this.#published.set(id, Math.max(known, ii))
    if (activeType !== ACTIVE_TYPE) throw new Violation(`interaction ${ii} of ${id} is published as ${activeType}`)
    if (domain !== JSON.parse(this.#of(id).creation ?? JSON.stringify([domain]))[0]) throw new Violation(`interaction ${ii} of ${id} is published for ${domain}`)
  }

  isPublished(id: StateId): boolean {
    return (this.#published.get(id) ?? 0) >= this.#of(id).seen
  }

  /** At the end, when all has come to rest. */
  finallyPublished(id: StateId): void {
    if (!this.isPublished(id)) throw new Violation(`interactions of ${id} from ${(this.#published.get(id) ?? 0) + 1} to ${this.#of(id).seen} were never published`)
  }

  /** A state was seen. `past`: as it was, by replay; its index need not be the present one. */
  view(id: StateId, view: StateView | undefined, past = false): void {
    if (view === undefined) return
    const truth = this.#of(id)
    const active = JSON.parse(view.active) as Record<string, number>
    const tokens = Object.keys(active)
    if (tokens.length !== view.ii) throw new Violation(`P3: ${id} at ${view.ii} has ${tokens.length} interactions`)
    tokens.forEach((token, at) => this.#saw(id, at + 1, token, active[token]))
    if (view.ii > 0) this.#sawTime(id, view.ii, view.updated)
    else if (!past && !this.#stored.has(`${id} 0`)) throw new Violation(`P1: ${id} was seen at 0, and no creation record is stored`)
    const creation = JSON.stringify([view.domain, view.owner, view.name, view.created, view.reserved])
    if (truth.creation !== undefined && truth.creation !== creation) throw new Violation(`P2: ${id} was made as ${truth.creation} and as ${creation}`)
    truth.creation = creation
    truth.seen = Math.max(truth.seen, view.ii)
  }

  created(id: StateId, mustShow: number, made: boolean, view: StateView): void {
    const truth = this.#of(id)
    this.strongRead(id, made ? UNWRITTEN : mustShow, view)
    if (!made) return
    if (truth.made) throw new Violation(`P6: ${id} was made twice`)
    if (mustShow !== UNWRITTEN || view.ii !== 0) throw new Violation(`P4: ${id} was made, and had been seen at ${mustShow}`)
    truth.made = true
  }

  /** What a strong read that begins now must show at least. */
  mustShow(id: StateId): number {
    return this.#truth.get(id)?.seen ?? UNWRITTEN
  }

  strongRead(id: StateId, mustShow: number, view: StateView | undefined): void {
    this.view(id, view)
    const shown = view?.ii ?? UNWRITTEN
    if (shown < mustShow) throw new Violation(`P7: a strong read of ${id} shows ${shown} and not ${mustShow}`)
  }

  /** At the end, the state as a fresh process recovers it. */
  final(id: StateId, view: StateView | undefined): void {
    this.strongRead(id, this.mustShow(id), view)
    const tokens = view ? Object.keys(JSON.parse(view.active)) : []
    for (const [token, ii] of this.#of(id).acknowledged) {
      if (tokens[ii - 1] !== token) throw new Violation(`P4: ${token} of ${id} was acknowledged as ${ii}, which is ${tokens[ii - 1]}`)
    }
    if (new Set(tokens).size !== tokens.length) throw new Violation(`P6: an interaction of ${id} is there more than once`)
  }

  history(id: StateId, from: number, interactions: readonly InteractionView[]): void {
    interactions.forEach((interaction, at) => {
      if (interaction.ii !== from + at) throw new Violation(`P3: history of ${id} from ${from} has ${interaction.ii} at place ${at}`)
      this.patchEvent(id, interaction)
    })
  }
}
