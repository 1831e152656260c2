/**
 * From names to states.
 *
 * Owns: nothing; the decisions are in the table of the user's renames (shared/sessions/name-table.ts), a state
 * like any other, and in the ids (shared/sessions/names.ts). Talks to: the cluster.
 *
 * I1. A name leads to one state: what the table says, else the computed id of generation 0.
 * I2. An id that a rename burned with a tombstone, and did not get to use, is never written: the name gets its next generation.
 */
import { assert } from '#shared/assert.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Creation, StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { NameTable } from '#shared/sessions/name-table.ts'
import type { NameTableChange } from '#shared/sessions/name-table.ts'
import type { NameIds, NameOwner } from '#shared/sessions/names.ts'
import { mintKey } from './keys.ts'

export const TOMBSTONE: Creation = Object.freeze({ name: null, reserved: true })

/** Attempts against others who change the same table, and generations in a row that somebody has written by their UUID. */
const ATTEMPTS = 16
const GENERATIONS = 64

export type TableAnswer = { readonly kind: 'table'; readonly table: NameTable } | Unavailable
export type IdAnswer = { readonly kind: 'id'; readonly id: StateId } | Unavailable
export type NamedViewAnswer = { readonly kind: 'named'; readonly id: StateId; readonly view: StateView | undefined } | Unavailable
/** `lost`: somebody else changed the table first. */
export type ChangeAnswer = { readonly kind: 'changed' } | { readonly kind: 'lost' } | Unavailable

export class Names {
  readonly ids: NameIds
  readonly #cluster: StateCluster

  constructor(options: { ids: NameIds; cluster: StateCluster }) {
    this.ids = options.ids
    this.#cluster = options.cluster
  }

  async table(owner: NameOwner): Promise<TableAnswer> {
    const answer = await this.read(this.ids.tableId(owner))
    return answer.kind === 'view' ? { kind: 'table', table: new NameTable(answer.view) } : answer
  }

  idIn(table: NameTable, owner: NameOwner, name: string): StateId {
    return table.idOf(name) ?? this.ids.idOf({ ...owner, name, generation: 0 })
  }

  async id(owner: NameOwner, name: string): Promise<IdAnswer> {
    const answer = await this.table(owner)
    return answer.kind === 'table' ? { kind: 'id', id: this.idIn(answer.table, owner, name) } : answer
  }

  /** A strong read. `view` undefined: unwritten. */
  async read(id: StateId): Promise<{ readonly kind: 'view'; readonly view: StateView | undefined } | Unavailable> {
    const answer = await this.#cluster.read({ id, mode: 'strong', minIi: undefined })
    switch (answer.kind) {
      case 'state':
        return { kind: 'view', view: answer.state }
      case 'unwritten':
        return { kind: 'view', view: undefined }
      case 'behind':
        return { kind: 'unavailable', stored: false, reason: 'behind' }
      case 'unavailable':
        return { kind: 'unavailable', stored: false, reason: answer.reason }
    }
  }

  /** Writes the user's table, if it is still as it was when `change` was begun. */
  async writeTable(owner: NameOwner, table: NameTable, change: NameTableChange): Promise<ChangeAnswer> {
    const ops = change.ops()
    const answer = await this.#cluster.patch({
      id: this.ids.tableId(owner),
      text: JSON.stringify(ops),
      ops,
      ...owner,
      authority: 'system',
      creation: TOMBSTONE,
      // Minted, not derived from the client's key: pinned to its index, the change is made once anyway, and a
      // derived key would be answered "stored" after the change was taken back.
      key: mintKey(),
      bodyDigest: '',
      expected: (table.ii + 1) as InteractionIndex,
      returnState: false,
      lenient: false,
    })
    switch (answer.kind) {
      case 'stored':
        return { kind: 'changed' }
      case 'out-of-sync':
      case 'replay':
        return { kind: 'lost' }
      case 'too-large':
        return { kind: 'unavailable', stored: false, reason: 'the table of names is full' }
      case 'unavailable':
        return { kind: 'unavailable', stored: false, reason: answer.reason }
      case 'unprocessable':
      case 'forbidden':
      case 'key-reused':
      case 'unwritten':
        assert(false, `the table of names refused its change: ${answer.kind}`)
    }
  }

  /** The next id of a name whose present one was given away or burned: of the next generation that nobody has written. */
  async nextId(owner: NameOwner, table: NameTable, name: string): Promise<{ kind: 'next'; id: StateId; generation: number } | Unavailable> {
    const first = table.generationOf(name) + 1
    for (let generation = first; generation < first + GENERATIONS; generation++) {
      const id = this.ids.idOf({ ...owner, name, generation })
      const answer = await this.read(id)
      if (answer.kind === 'unavailable') return answer
      if (answer.view === undefined) return { kind: 'next', id, generation }
    }
    return { kind: 'unavailable', stored: false, reason: 'no free generation of the name' }
  }

  /**
   * The state a name leads to, as it is. A tombstone reads as unwritten, under the id that the first patch
   * will give the name.
   */
  async view(owner: NameOwner, name: string): Promise<NamedViewAnswer> {
    const tableAnswer = await this.table(owner)
    if (tableAnswer.kind !== 'table') return tableAnswer
    const id = this.idIn(tableAnswer.table, owner, name)
    const answer = await this.read(id)
    if (answer.kind === 'unavailable') return answer
    if (answer.view === undefined || !answer.view.reserved) return { kind: 'named', id, view: answer.view }
    const next = await this.nextId(owner, tableAnswer.table, name)
    return next.kind === 'next' ? { kind: 'named', id: next.id, view: undefined } : next
  }

  /**
   * Patches the state that the owner's name leads to, by `send`, which must bring fresh `ops` every time.
   * A tombstone in its place is what a crash in the middle of a rename left: the name gets its next id.
   */
  async patch<A extends { readonly kind: string }>(
    owner: NameOwner,
    name: string,
    send: (id: StateId) => Promise<A>,
  ): Promise<{ readonly id: StateId; readonly answer: A | Unavailable }> {
    let id = this.ids.idOf({ ...owner, name, generation: 0 })
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const tableAnswer = await this.table(owner)
      if (tableAnswer.kind !== 'table') return { id, answer: tableAnswer }
      const { table } = tableAnswer
      id = this.idIn(table, owner, name)
      const answer = await send(id)
      if (answer.kind !== 'forbidden') return { id, answer }
      const present = await this.read(id)
      if (present.kind === 'unavailable') return { id, answer: present }
      if (present.view === undefined || !present.view.reserved) return { id, answer }
      const next = await this.nextId(owner, table, name)
      if (next.kind === 'unavailable') return { id, answer: next }
      const written = await this.writeTable(owner, table, table.change().hand(name, next.generation, next.id))
      if (written.kind === 'unavailable') return { id, answer: written }
    }
    return { id, answer: { kind: 'unavailable', stored: false, reason: 'the name is being renamed all the time' } }
  }
}
