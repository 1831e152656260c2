/**
 * What a user's renames have changed: a reserved state per (domain, user) that only the platform patches.
 *
 *     active  { "names": { "=<name>": id }, "of": { id: name }, "generations": { "=<name>": n } }
 *
 * `names`: the state that a name leads to, where that is not the name's computed id of generation 0.
 * `of`: the name that leads to a state, for states that a rename gave their name.
 * `generations`: the latest generation handed out of a name, so that the next one needs no search.
 * Names are keys behind `=`, so that none of them is `__proto__`.
 */
import { assert } from '#shared/assert.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

type Content = {
  readonly names: { readonly [key: string]: StateId }
  readonly of: { readonly [id: string]: string }
  readonly generations: { readonly [key: string]: number }
}
const EMPTY: Content = { names: {}, of: {}, generations: {} }

export class NameTable {
  readonly ii: InteractionIndex
  readonly #content: Content

  /** Undefined: nobody has written it, so that every name has its computed id. */
  constructor(view: StateView | undefined) {
    assert(view === undefined || view.reserved, 'the table of names is reserved')
    this.ii = view === undefined ? (0 as InteractionIndex) : view.ii
    this.#content = view === undefined || view.ii === 0 ? EMPTY : (JSON.parse(view.active) as Content)
  }

  /** The state that the table says `name` leads to; undefined: its computed id of generation 0. */
  idOf(name: string): StateId | undefined {
    return own(this.#content.names, `=${name}`)
  }

  nameOf(id: StateId): string | undefined {
    return own(this.#content.of, id)
  }

  generationOf(name: string): number {
    return own(this.#content.generations, `=${name}`) ?? 0
  }

  change(): NameTableChange {
    return new NameTableChange(this.#content, this.ii === 0)
  }
}

/** Collects what one rename changes, as one patch. */
export class NameTableChange {
  readonly #before: Content
  readonly #isFirst: boolean
  readonly #ops: Op[] = []

  constructor(before: Content, isFirst: boolean) {
    this.#before = before
    this.#isFirst = isFirst
    if (isFirst) this.#ops.push({ op: 'add', path: ['active'], value: { names: {}, of: {}, generations: {} } })
  }

  lead(name: string, id: StateId): this {
    this.#ops.push({ op: 'add', path: ['active', 'names', `=${name}`], value: id })
    return this
  }

  nameState(id: StateId, name: string | null): this {
    if (name !== null) this.#ops.push({ op: 'add', path: ['active', 'of', id], value: name })
    else if (own(this.#before.of, id) !== undefined) this.#ops.push({ op: 'remove', path: ['active', 'of', id] })
    return this
  }

  hand(name: string, generation: number, id: StateId): this {
    this.#ops.push({ op: 'add', path: ['active', 'generations', `=${name}`], value: generation })
    return this.lead(name, id)
  }

  get isEmpty(): boolean {
    return this.#ops.length === (this.#isFirst ? 1 : 0)
  }

  ops(): Op[] {
    return this.#ops
  }
}

function own<T>(members: { readonly [key: string]: T }, key: string): T | undefined {
  return Object.hasOwn(members, key) ? members[key] : undefined
}
