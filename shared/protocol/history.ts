/** History of a state and the state at an earlier index: from its chain of ID files, then from memory. */
import type { InteractionIndex } from '#shared/ids.ts'
import { apply } from '#shared/patch/apply.ts'
import type { Op } from '#shared/patch/op.ts'
import { documentOf, emptyDocument, activeText, type Document } from '#shared/patch/document.ts'
import type { HistoryAnswer, InteractionView, StateAtAnswer, StateView } from '#shared/ports/state-cluster.ts'
import type { Context, Tuning } from '#shared/protocol/context.ts'
import type { LeaderLog } from '#shared/protocol/leader-log.ts'
import { decoded, isBroken, type Broken } from '#shared/protocol/fencing.ts'
import type { TrackedState } from '#shared/protocol/state.ts'
import type { Json } from '#shared/json.ts'
import type { CreationData } from '#shared/records/bundle.ts'
import { decodeIdFileBase, decodeIdFileHistory, type IdFileBase } from '#shared/records/id-file.ts'
import { idFileName, idPrefix, parseIdFileName } from '#shared/records/names.ts'

const broken = (context: Context, fault: Broken): { kind: 'unavailable'; stored: undefined; reason: string } => {
  context.log('error', 'history is not served: an object cannot be vouched for', { ...fault })
  return { kind: 'unavailable', stored: undefined, reason: `${fault.object}: ${fault.reason}` }
}

/**
 * Interactions `from`..`to` that are stored, at most a page of them. `storedIi`: what of the state is stored;
 * it must not shrink, and what is in memory must reach back to the newest ID file.
 */
export function readHistory(
  context: Context,
  log: LeaderLog,
  state: TrackedState,
  storedIi: InteractionIndex,
  range: { readonly from: InteractionIndex; readonly to: InteractionIndex | undefined },
  then: (answer: HistoryAnswer) => void,
): void {
  const from = Math.max(1, range.from)
  const to = Math.min(range.to ?? storedIi, storedIi)
  if (from > to) return then({ kind: 'page', interactions: [], more: false })
  if (from > (state.fileIi ?? 0)) return then(page(context.tuning, state.tail.entries(log, from, to), from, to))
  context.names(idPrefix(state.id), (names) => {
    const ii = names.map((name) => parseIdFileName(state.id, name)).find((fileIi) => fileIi >= from)
    // Written meanwhile or not: the file that holds `from` is stored, `fileIi` says so.
    const name = idFileName(state.id, ii ?? (state.fileIi as InteractionIndex))
    context.read(name, (bytes) => {
      const file = bytes && ii !== undefined ? decoded(name, () => decodeIdFileHistory(bytes, state.id, ii)) : { object: name, reason: 'missing' }
      if (isBroken(file)) return then(broken(context, file))
      const answer = page(context.tuning, file.history, from, to)
      then(answer.interactions.length > 0 ? { ...answer, more: answer.interactions.at(-1)!.ii < to } : broken(context, { object: name, reason: `does not hold ${from}` }))
    })
  })
}

function page(tuning: Tuning, entries: Iterable<InteractionView>, from: number, to: number): Extract<HistoryAnswer, { kind: 'page' }> {
  const interactions: InteractionView[] = []
  let bytes = 0
  for (const { ii, user, ts, patch } of entries) {
    if (ii < from || ii > to) continue
    bytes += patch.length
    if (interactions.length > 0 && (interactions.length >= tuning.historyPageInteractions || bytes > tuning.historyPageBytes)) break
    interactions.push({ ii, user, ts, patch })
  }
  return { kind: 'page', interactions, more: interactions.length > 0 && interactions.at(-1)!.ii < to }
}

/** The state right after interaction `ii`, by replay from the ID file at or before it. */
export function readStateAt(
  context: Context,
  log: LeaderLog,
  /** `made`: what made it, as it was when it was asked for. */
  { state, storedIi, made }: { readonly state: TrackedState; readonly storedIi: InteractionIndex; readonly made: (CreationData & { readonly created: number }) | undefined },
  ii: InteractionIndex,
  then: (answer: StateAtAnswer) => void,
): void {
  if (made === undefined) return then({ kind: 'unwritten' })
  if (ii > storedIi) return then({ kind: 'beyond', ii: storedIi })
  const view = (document: Document, updated: number): StateView => ({
    id: state.id,
    ii,
    domain: made.domain,
    owner: made.owner,
    name: document.name,
    activeType: document.activeType,
    active: activeText(document),
    created: made.created,
    updated,
    reserved: made.reserved,
  })
  const replay = (document: Document, at: InteractionIndex, updated: number): void => {
    if (at === ii) return then({ kind: 'state', state: view(document, updated) })
    readHistory(context, log, state, storedIi, { from: (at + 1) as InteractionIndex, to: ii }, (answer) => {
      if (answer.kind !== 'page') return then(answer)
      let last = updated
      for (const interaction of answer.interactions) {
        const outcome = apply(document, JSON.parse(interaction.patch) as Op[])
        if (outcome.kind !== 'applied') return then(broken(context, { object: idPrefix(state.id), reason: `logged interaction ${interaction.ii} does not apply` }))
        last = interaction.ts
      }
      replay(document, answer.interactions.at(-1)!.ii, last)
    })
  }
  const fresh = (): void => {
    const document = made.name === null ? emptyDocument() : documentOf({ active: {}, activeType: emptyDocument().activeType, name: made.name })
    replay(document, 0 as InteractionIndex, made.created)
  }
  context.names(idPrefix(state.id), (names) => {
    const base = names.map((name) => parseIdFileName(state.id, name)).findLast((fileIi) => fileIi <= ii)
    if (base === undefined || base === 0) return fresh()
    const name = idFileName(state.id, base)
    context.read(name, (bytes) => {
      const file: Broken | IdFileBase | { needBytes: number } = bytes
        ? decoded(name, () => decodeIdFileBase(bytes, state.id, base))
        : { object: name, reason: 'missing' }
      if ('needBytes' in file) return then(broken(context, { object: name, reason: 'truncated' }))
      if (isBroken(file)) return then(broken(context, file))
      const { header } = file
      const active = header.removed ? undefined : (JSON.parse(file.active) as Json)
      replay(documentOf({ active, activeType: header.activeType, name: header.name }), base, header.updated)
    })
  })
}
