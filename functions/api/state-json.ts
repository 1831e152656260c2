/** States and interactions as clients see them: texts put together around what is JSON already. */
import type { StateId } from '#shared/ids.ts'
import type { InteractionView, StateView } from '#shared/ports/state-cluster.ts'

export function stateJson(view: StateView): string {
  const name = view.name === null ? 'null' : JSON.stringify(view.name)
  return (
    `{"id":"${view.id}","ii":${view.ii},"domain":${JSON.stringify(view.domain)},"owner":${JSON.stringify(view.owner)},"name":${name},` +
    `"active_type":${JSON.stringify(view.activeType)},"active":${view.active},"created":${view.created},"updated":${view.updated}}`
  )
}

/** A state that nobody has written. */
export function unwrittenJson(id: StateId): string {
  return `{"id":"${id}","ii":0,"domain":null,"owner":null,"name":null,"active_type":"application/json","active":{},"created":null,"updated":null}`
}

export function stateEvent(id: StateId, view: StateView | undefined): string {
  return `event: state\nid: ${view?.ii ?? 0}\ndata: ${view === undefined ? unwrittenJson(id) : stateJson(view)}\n\n`
}

export function patchEvent(id: StateId, of: InteractionView): string {
  return `event: patch\nid: ${of.ii}\ndata: {"id":"${id}","ii":${of.ii},"patch":${of.patch},"user":${JSON.stringify(of.user)},"ts":${of.ts}}\n\n`
}

export function historyLine(of: InteractionView): string {
  return `{"ii":${of.ii},"ts":${of.ts},"user":${JSON.stringify(of.user)},"patch":${of.patch}}\n`
}
