/**
 * A state as its leader holds it.
 *
 * `document` and `ii` are speculative: they include interactions whose bundle is not stored yet. Nothing of
 * them is shown before `lastSeq` is stored (P1); what a reader gets is taken when it asks and handed out then.
 */
import type { InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import type { Following } from '#shared/protocol/follow.ts'
import { KeyWindow } from '#shared/protocol/key-window.ts'
import type { Slot } from '#shared/protocol/slot.ts'
import { Tail } from '#shared/protocol/tail.ts'
import { activeText, documentOf, emptyDocument, type Document } from '#shared/patch/document.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import type { Json } from '#shared/json.ts'
import type { IdFileBase } from '#shared/records/id-file.ts'
import type { CreationData } from '#shared/records/bundle.ts'

const CACHED_TEXT_CHARACTERS = 4096

export class TrackedState {
  readonly id: StateId
  readonly slot: Slot
  document: Document
  ii = 0 as InteractionIndex
  /** Undefined: unwritten. */
  creation: CreationData | undefined
  created = 0
  updated = 0
  keys: KeyWindow
  readonly tail = new Tail()
  /** A creation record that no ID file holds yet. */
  creationSeq: Seq | undefined
  /** `ii` of the newest ID file; undefined: there is none. */
  fileIi: InteractionIndex | undefined
  /** Number of the bundle that holds its last interaction or creation record; 0: all of it is stored. */
  lastSeq = 0 as Seq
  followings: Following[] | undefined
  /** Set whenever it is asked for, cleared by the sweep that looks for states to drop. */
  used = true
  #activeText: { readonly ii: InteractionIndex; readonly text: string } | undefined

  constructor(id: StateId, slot: Slot, base: IdFileBase | undefined) {
    this.id = id
    this.slot = slot
    if (base === undefined) {
      this.document = emptyDocument()
      this.keys = new KeyWindow()
      return
    }
    const { header } = base
    const active = header.removed ? undefined : (JSON.parse(base.active) as Json)
    this.document = documentOf({ active, activeType: header.activeType, name: header.name })
    this.keys = new KeyWindow(base.window)
    this.ii = header.ii
    this.fileIi = header.ii
    this.creation = { domain: header.domain, owner: header.owner, name: header.initialName, reserved: header.reserved }
    this.created = header.created
    this.updated = header.updated
  }

  /** Everything it holds is in ID files. */
  get clean(): boolean {
    return this.tail.length === 0 && this.creationSeq === undefined
  }

  create(creation: CreationData, ts: number): void {
    this.creation = creation
    this.document = documentOf({ active: {}, activeType: this.document.activeType, name: creation.name })
    this.created = ts
    this.updated = ts
  }

  /** Takes `create` back: the patch that would have made the state was refused. */
  unmake(): void {
    this.creation = undefined
    this.document = emptyDocument()
    this.created = 0
    this.updated = 0
  }

  activeText(): string {
    if (this.#activeText?.ii === this.ii) return this.#activeText.text
    const text = activeText(this.document)
    // Small ones cost less to make again than to keep.
    this.#activeText = text.length < CACHED_TEXT_CHARACTERS ? undefined : { ii: this.ii, text }
    return text
  }

  /** The state as it is now, interactions that are not stored yet included. Undefined: unwritten. */
  view(): StateView | undefined {
    if (this.creation === undefined) return undefined
    return {
      id: this.id,
      ii: this.ii,
      domain: this.creation.domain,
      owner: this.creation.owner,
      name: this.document.name,
      activeType: this.document.activeType,
      active: this.activeText(),
      created: this.created,
      updated: this.updated,
      reserved: this.creation.reserved,
    }
  }

  forgetText(): void {
    this.#activeText = undefined
  }
}
