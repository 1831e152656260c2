/**
 * Patches that may change a state's name.
 *
 * Owns: the order of the steps. Does not own: what names lead to (names.ts), whether ops apply (shared/patch,
 * and in the end the state's leader). Talks to: the cluster.
 *
 * The steps of a rename of state X from A to B:
 *   1. read X and apply the ops to a copy: the name they end with is B;
 *   2. burn the id that B has now, with a tombstone that only we can make: nobody can begin to use B meanwhile;
 *   3. the user's table: B leads to X, A to an id that nobody has written; pinned to the table's index;
 *   4. patch X, pinned to the index of the copy.
 *
 * I1. Every patch here is pinned to the index that its name was judged by; X moved on: judged again.
 * I2. A name that leads to a written state is never taken from it but by that state's own rename.
 * I3. A crash after any step loses nothing: a repeat finds that the table says B -> X and goes on behind it;
 *     without a repeat, B leads to X already, A is free, and X still calls itself A until its next rename.
 * I4. A refusal after step 3 takes it back.
 * I5. A repeat of a rename that was done gets the first answer, by its old name too, which may be another state by now.
 */
import { hasUuidShape } from '#shared/ids.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Creation, PatchAnswer, StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { isNameText } from '#shared/sessions/domain.ts'
import { isOwner } from './party.ts'
import { TOMBSTONE } from './names.ts'
import type { Names } from './names.ts'
import { clusterPatch, creationOf, freshOps } from './client-patch.ts'
import type { ClientPatch, Persisted } from './client-patch.ts'
import { tryOn } from './try-on.ts'

const ATTEMPTS = 16
/** An index that no patch can take: a known key is answered before it is looked at, any other patch is refused. */
const NO_INDEX = 0 as InteractionIndex

/** One rename as far as it is known in one attempt. */
type Rename = { readonly id: StateId; readonly present: string | null; readonly wanted: string | null }
type Led = { readonly kind: 'led' } | { readonly kind: 'taken' } | { readonly kind: 'lost' } | Unavailable

export class Renames {
  readonly #cluster: StateCluster
  readonly #names: Names

  constructor(options: { cluster: StateCluster; names: Names }) {
    this.#cluster = options.cluster
    this.#names = options.names
  }

  async patch(patch: ClientPatch): Promise<Persisted> {
    const { target } = patch
    if (target.kind === 'id') return this.#patchState(patch, target.id, target.creation)
    const earlier = await this.#earlier(patch, target.name)
    if (earlier.kind === 'answer') return earlier
    if (earlier.kind === 'state') return this.#patchState(patch, earlier.id, undefined)
    return this.#names.patch(patch.caller, target.name, async (id) => (await this.#patchState(patch, id, creationOf(target.name))).answer)
  }

  /**
   * What an earlier try of this patch may have left, whose own rename has made the name that it is sent to
   * lead elsewhere (I5, I3): the first answer, or the state to go on with.
   */
  async #earlier(patch: ClientPatch, name: string): Promise<{ kind: 'none' } | { kind: 'state'; id: StateId } | (Persisted & { kind: 'answer' })> {
    const wanted = lastName(patch.ops)
    if (wanted === undefined || wanted === name) return { kind: 'none' }
    const tableAnswer = await this.#names.table(patch.caller)
    const id = tableAnswer.kind === 'table' ? tableAnswer.table.idOf(wanted) : undefined
    if (tableAnswer.kind !== 'table' || id === undefined) return { kind: 'none' }
    const { table } = tableAnswer
    if (table.nameOf(id) !== wanted || table.generationOf(name) === 0) return { kind: 'none' }
    const led = await this.#names.read(this.#names.idIn(table, patch.caller, name))
    if (led.kind === 'unavailable') return { kind: 'answer', id, answer: led }
    if (patch.bodyDigest !== '') {
      const answer = await this.#probe(patch, id)
      if (answer.kind === 'stored' || answer.kind === 'unavailable') return { kind: 'answer', id, answer }
    }
    const state = await this.#names.read(id)
    if (state.kind === 'unavailable') return { kind: 'answer', id, answer: state }
    return led.view === undefined && state.view?.name === name ? { kind: 'state', id } : { kind: 'none' }
  }

  /** Asks the leader of `id` for the answer of a known key, without a chance that anything is applied. */
  #probe(patch: ClientPatch, id: StateId): Promise<PatchAnswer> {
    return this.#cluster.patch(clusterPatch(patch, id, undefined, freshOps(patch), NO_INDEX))
  }

  async #patchState(patch: ClientPatch, id: StateId, creation: Creation | undefined): Promise<Persisted> {
    let led: Rename | undefined
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const step = await this.#attempt(patch, id, creation, led, attempt === 0)
      led = step.led
      if (step.answer === undefined) continue
      // Not known to be stored and not certain to be refused: a repeat goes on from here.
      const isOpen = step.answer.kind === 'stored' || step.answer.kind === 'unavailable'
      if (led !== undefined && !isOpen) await this.#takeBack(patch, led)
      return { id, answer: step.answer }
    }
    return { id, answer: { kind: 'unavailable', stored: false, reason: 'the state changes all the time' } }
  }

  /** `answer` undefined: try again. `led`: what the table says by the doing of this request. */
  async #attempt(
    patch: ClientPatch,
    id: StateId,
    creation: Creation | undefined,
    led: Rename | undefined,
    isFirst: boolean,
  ): Promise<{ readonly led: Rename | undefined; readonly answer: Persisted['answer'] | undefined }> {
    const read = await this.#names.read(id)
    if (read.kind === 'unavailable') return { led, answer: read }
    const { view } = read
    if (view === undefined && creation === undefined) return { led, answer: { kind: 'unwritten' } }
    if (view !== undefined && !mayWrite(patch, view)) return { led, answer: { kind: 'forbidden' } }
    if (view !== undefined && isFirst && patch.bodyDigest !== '') {
      const known = await this.#probe(patch, id)
      if (known.kind !== 'out-of-sync') return { led, answer: known }
    }
    const next = ((view?.ii ?? 0) + 1) as InteractionIndex
    const { expected } = patch
    if (expected !== undefined && expected > next) return { led, answer: { kind: 'replay', next } }
    if (expected !== undefined && expected < next) return { led, answer: { kind: 'out-of-sync', ii: (next - 1) as InteractionIndex } }

    const present = view === undefined ? creation!.name : view.name
    const tried = tryOn(view, present, freshOps(patch), patch.lenient)
    const wanted = tried.document.name
    let nowLed = led
    if (tried.outcome.kind === 'applied' && wanted !== present) {
      if (wanted !== null && (!isNameText(wanted) || hasUuidShape(wanted))) return { led, answer: notAName(patch) }
      const answer = await this.#lead(patch, { id, present, wanted })
      if (answer.kind === 'lost') return { led, answer: undefined }
      if (answer.kind === 'taken') return { led, answer: { kind: 'name-taken' } }
      if (answer.kind === 'unavailable') return { led, answer }
      nowLed = { id, present, wanted }
    }
    const answer = await this.#cluster.patch(clusterPatch(patch, id, creation, freshOps(patch), next))
    const movedOn = answer.kind === 'out-of-sync' || answer.kind === 'replay'
    if (movedOn && expected === undefined) return { led: nowLed, answer: undefined }
    return { led: nowLed, answer }
  }

  /** Steps 2 and 3. */
  async #lead(patch: ClientPatch, { id, present, wanted }: Rename): Promise<Led> {
    const owner = patch.caller
    const tableAnswer = await this.#names.table(owner)
    if (tableAnswer.kind !== 'table') return tableAnswer
    const { table } = tableAnswer
    const change = table.change()
    if (wanted !== null) {
      const candidate = this.#names.idIn(table, owner, wanted)
      if (candidate !== id) {
        const burned = await this.#burn(patch, candidate)
        if (burned.kind !== 'led') return burned
        change.lead(wanted, id)
      }
    }
    const before = table.nameOf(id)
    for (const old of new Set([present, before])) {
      if (typeof old !== 'string' || old === wanted || this.#names.idIn(table, owner, old) !== id) continue
      const next = await this.#names.nextId(owner, table, old)
      if (next.kind === 'unavailable') return next
      change.hand(old, next.generation, next.id)
    }
    if (before !== (wanted ?? undefined)) change.nameState(id, wanted)
    if (change.isEmpty) return { kind: 'led' }
    const written = await this.#names.writeTable(owner, table, change)
    return written.kind === 'changed' ? { kind: 'led' } : written
  }

  async #burn(patch: ClientPatch, id: StateId): Promise<Led> {
    const read = await this.#names.read(id)
    if (read.kind === 'unavailable') return read
    if (read.view !== undefined) return read.view.reserved ? { kind: 'led' } : { kind: 'taken' }
    const { user, domain } = patch.caller
    const answer = await this.#cluster.create({ id, user, domain, creation: TOMBSTONE })
    if (answer.kind === 'unavailable') return { kind: 'unavailable', stored: false, reason: answer.reason }
    return answer.state.reserved ? { kind: 'led' } : { kind: 'taken' }
  }

  /** I4. What cannot be taken back now (no leader, the old name is in use already) stays: the state can be reached by the new name. */
  async #takeBack(patch: ClientPatch, { id, present, wanted }: Rename): Promise<void> {
    const owner = patch.caller
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const tableAnswer = await this.#names.table(owner)
      if (tableAnswer.kind !== 'table') return
      const { table } = tableAnswer
      const change = table.change()
      if (wanted !== null) {
        if (this.#names.idIn(table, owner, wanted) !== id) return
        const next = await this.#names.nextId(owner, table, wanted)
        if (next.kind === 'unavailable') return
        change.hand(wanted, next.generation, next.id)
      }
      const given = present === null ? undefined : this.#names.idIn(table, owner, present)
      const read = given === undefined || given === id ? undefined : await this.#names.read(given)
      const isFree = read?.kind === 'view' && read.view === undefined
      if (present !== null && isFree) {
        // The id that the old name got in step 3 may be in use in a moment: burned, so that it cannot be.
        const burned = await this.#burn(patch, given!)
        if (burned.kind === 'led') change.lead(present, id)
      }
      change.nameState(id, present)
      const written = await this.#names.writeTable(owner, table, change)
      if (written.kind !== 'lost') return
    }
  }
}

function mayWrite(patch: ClientPatch, view: StateView): boolean {
  return !view.reserved && isOwner(patch.caller, view)
}

function lastName(ops: readonly Op[]): string | undefined {
  for (let i = ops.length - 1; i >= 0; i--) {
    const op = ops[i]!
    if ((op.op === 'add' || op.op === 'replace') && op.path[0] === 'name' && typeof op.value === 'string') return op.value
  }
  return undefined
}

function notAName(patch: ClientPatch): PatchAnswer {
  const op = patch.ops.findLastIndex((each) => each.path[0] === 'name')
  return { kind: 'unprocessable', op, reason: 'a name has 1 to 1024 bytes, no control characters and not the form of a UUID' }
}
