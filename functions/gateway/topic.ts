/**
 * One state that agents of this process follow, and what they are told of it.
 *
 * Owns: the newest updates, as agents can apply them; a page of older ones while somebody catches up. Does not own: how far
 * each agent is. Talks to: the cluster.
 *
 * I1. `last` only grows; every index up to it can be had, from what is at hand or from the state's history.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { AgentGround } from '#shared/ports/agent-ground.ts'
import type { Follower, Following, InteractionView, StateView } from '#shared/ports/state-cluster.ts'
import { translated, translatedOn } from './update.ts'

type Text = string | Promise<string | undefined>

export class Topic implements Follower {
  readonly id: StateId
  /** Called when there is more to be had. */
  readonly listeners = new Set<() => void>()
  readonly #cluster: AgentGround['cluster']
  readonly #following: Following
  #last = 0
  readonly #recent = new Map<number, { readonly text: Text; readonly characters: number }>()
  #recentCharacters = 0
  #page: readonly InteractionView[] = []

  constructor(id: StateId, cluster: AgentGround['cluster']) {
    this.id = id
    this.#cluster = cluster
    this.#following = cluster.follow({ id, from: undefined }, this)
  }

  /** The newest interaction that is known here. */
  get last(): number {
    return this.#last
  }

  /** The patch of interaction `ii`, if it is one of the newest. */
  atHand(ii: number): Text | undefined {
    return this.#recent.get(ii)?.text
  }

  /** Of any interaction up to `last`; undefined: it cannot be had now. */
  update(ii: number): Text {
    return this.atHand(ii) ?? this.#older(ii)
  }

  state(view: StateView | undefined): void {
    this.#advance(view?.ii ?? 0)
  }

  patch(interaction: InteractionView): void {
    const { ii, patch } = interaction
    const text = this.#textOf(interaction)
    this.#recent.set(ii, { text, characters: patch.length })
    // What could not be had once must be asked for again.
    if (typeof text !== 'string') text.then((found) => found === undefined && this.#forget(ii), () => this.#forget(ii))
    this.#recentCharacters += patch.length
    for (const [oldest, { characters }] of this.#recent) {
      if (this.#recent.size <= limits.agentRecentUpdates && this.#recentCharacters <= limits.agentRecentCharacters) break
      this.#recent.delete(oldest)
      this.#recentCharacters -= characters
    }
    this.#advance(ii)
  }

  #forget(ii: number): void {
    this.#recentCharacters -= this.#recent.get(ii)?.characters ?? 0
    this.#recent.delete(ii)
  }

  stop(): void {
    this.#following.stop()
    this.listeners.clear()
  }

  #advance(ii: number): void {
    if (ii <= this.#last) return
    this.#last = ii
    for (const listener of this.listeners) listener()
  }

  #textOf({ ii, patch }: InteractionView): Text {
    return translated(patch) ?? this.#textOn(ii, patch)
  }

  async #textOn(ii: number, patch: string): Promise<string | undefined> {
    const before = await this.#cluster.stateAt({ id: this.id, ii: (ii - 1) as InteractionIndex })
    return before.kind === 'state' ? translatedOn(before.state, patch) : undefined
  }

  async #older(ii: number): Promise<string | undefined> {
    const known = this.#page.find((each) => each.ii === ii)
    if (known !== undefined) return this.#textOf(known)
    const answer = await this.#cluster.history({ id: this.id, from: ii as InteractionIndex, to: this.#last as InteractionIndex })
    if (answer.kind !== 'page') return undefined
    this.#page = answer.interactions
    const first = answer.interactions[0]
    return first?.ii === ii ? this.#textOf(first) : undefined
  }
}

/** All topics of this process: one a state, as long as somebody listens. */
export class Topics {
  readonly #cluster: AgentGround['cluster']
  readonly #byId = new Map<StateId, Topic>()

  constructor(cluster: AgentGround['cluster']) {
    this.#cluster = cluster
  }

  listen(id: StateId, listener: () => void): Topic {
    let topic = this.#byId.get(id)
    if (topic === undefined) {
      topic = new Topic(id, this.#cluster)
      this.#byId.set(id, topic)
    }
    topic.listeners.add(listener)
    return topic
  }

  leave(topic: Topic, listener: () => void): void {
    topic.listeners.delete(listener)
    if (topic.listeners.size > 0 || this.#byId.get(topic.id) !== topic) return
    topic.stop()
    this.#byId.delete(topic.id)
  }

  close(): void {
    for (const topic of this.#byId.values()) topic.stop()
    this.#byId.clear()
  }
}
