/**
 * Tracked copies: states that another process leads and that somebody asked this one for.
 *
 * Owns: the copies, who waits for them. Does not own: what is true (the leader does). I1. A copy is the leader's
 * stored state at some `ii`, advanced by its stored interactions one by one, without gap. I2. A copy whose source
 * is lost is given up: it would grow old without anybody noticing.
 */
import type { Incarnation, InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { apply } from '#shared/patch/apply.ts'
import { activeText, documentOf, type Document } from '#shared/patch/document.ts'
import type { Op } from '#shared/patch/op.ts'
import type { InteractionView, StateView } from '#shared/ports/state-cluster.ts'
import type { Context } from '#shared/protocol/context.ts'
import type { Peers } from '#shared/protocol/peers.ts'

/** A copy's answer; "lost": ask the leader. */
export type CopyAnswer = { readonly kind: 'state'; readonly state: StateView } | { readonly kind: 'unwritten' } | { readonly kind: 'behind' } | { readonly kind: 'lost' }

type Waiting = { readonly minIi: InteractionIndex; readonly then: (answer: CopyAnswer) => void }
type Copy = {
  readonly source: Incarnation
  /** Undefined until the leader has sent it. `view` is without `active`; undefined: unwritten. */
  held: { document: Document; view: Omit<StateView, 'active'> | undefined } | undefined
  waiting: Waiting[]
  used: boolean
}

export class Replicas {
  readonly #context: Context
  readonly #peers: Peers
  #copies = new Map<StateId, Copy>()
  #sweeping = false

  constructor(context: Context, peers: Peers) {
    this.#context = context
    this.#peers = peers
  }

  /** Answers from the copy of what `source` leads, at once or when it has come to `minIi`. */
  read(id: StateId, source: Incarnation, minIi: InteractionIndex, then: (answer: CopyAnswer) => void): void {
    let copy = this.#copies.get(id)
    if (copy && copy.source !== source) {
      this.#giveUp(id, copy)
      copy = undefined
    }
    if (copy === undefined) {
      copy = { source, held: undefined, waiting: [], used: true }
      this.#copies.set(id, copy)
      this.#peers.send(source, { kind: 'track', id })
      this.#sweepLater()
    }
    copy.used = true
    if (copy.held && ii(copy) >= minIi) return then(answerOf(copy))
    const waiting: Waiting = { minIi, then }
    copy.waiting.push(waiting)
    this.#context.timer(this.#context.tuning.minIiWaitMs, () => {
      const at = copy.waiting.indexOf(waiting)
      if (at < 0) return
      copy.waiting.splice(at, 1)
      then(copy.held ? { kind: 'behind' } : { kind: 'lost' })
    })
  }

  state(from: Incarnation, id: StateId, view: StateView | null): void {
    const copy = this.#copies.get(id)
    if (copy?.source !== from) return
    const document = view
      ? documentOf({ active: JSON.parse(view.active) as Json, activeType: view.activeType, name: view.name })
      : documentOf({ active: {}, activeType: 'application/json', name: null })
    copy.held = { document, view: view ?? undefined }
    this.#wake(copy)
  }

  patch(from: Incarnation, id: StateId, interaction: InteractionView): void {
    const copy = this.#copies.get(id)
    if (copy?.source !== from || copy.held === undefined) return
    const { held } = copy
    const applies = held.view !== undefined && interaction.ii === held.view.ii + 1 && apply(held.document, JSON.parse(interaction.patch) as Op[]).kind === 'applied'
    // Missed something, or made just now by this interaction: it is asked for anew with the next read.
    if (!applies) return this.#giveUp(id, copy)
    held.view = { ...held.view!, ii: interaction.ii, updated: interaction.ts, name: held.document.name, activeType: held.document.activeType }
    this.#wake(copy)
  }

  /** The leader serves it no longer. */
  end(from: Incarnation, id: StateId): void {
    const copy = this.#copies.get(id)
    if (copy?.source === from) this.#giveUp(id, copy)
  }

  linkDown(peer: Incarnation): void {
    for (const [id, copy] of this.#copies) if (copy.source === peer) this.#giveUp(id, copy)
  }

  #giveUp(id: StateId, copy: Copy): void {
    this.#copies.delete(id)
    this.#peers.send(copy.source, { kind: 'untrack', id })
    for (const { then } of copy.waiting.splice(0)) then({ kind: 'lost' })
  }

  #wake(copy: Copy): void {
    if (copy.waiting.length === 0) return
    const at = ii(copy)
    const due = copy.waiting.filter(({ minIi }) => minIi <= at)
    copy.waiting = copy.waiting.filter(({ minIi }) => minIi > at)
    for (const { then } of due) then(answerOf(copy))
  }

  /** Gives up what nobody has asked for since the last sweep. */
  #sweepLater(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#context.timer(this.#context.tuning.copySweepMs, () => {
      this.#sweeping = false
      for (const [id, copy] of this.#copies) {
        if (!copy.used && copy.waiting.length === 0) this.#giveUp(id, copy)
        copy.used = false
      }
      if (this.#copies.size > 0) this.#sweepLater()
    })
  }
}

const ii = (copy: Copy): number => copy.held?.view?.ii ?? 0

function answerOf(copy: Copy): CopyAnswer {
  const { document, view } = copy.held!
  return view === undefined ? { kind: 'unwritten' } : { kind: 'state', state: { ...view, active: activeText(document) } }
}
