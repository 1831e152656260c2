/** From a judged patch to its state process: by id, by name, as a rename, or as one that the rules let others write. */
import type { StateId } from '#shared/ids.ts'
import { clusterPatch, creationOf, freshOps, touchesName } from './client-patch.ts'
import type { ClientPatch, Persisted } from './client-patch.ts'
import { judged } from './judging.ts'
import type { Seen } from './judging.ts'
import { isOwner } from './party.ts'
import type { Loop } from './request-loop.ts'

/** The domain's pre-persistence handler, then the state process, which persists and acknowledges. */
export async function persist(loop: Loop, patch: ClientPatch): Promise<Persisted> {
  const { caller } = patch
  const of = patch.skipsHandlers === true ? 'none' : await loop.handlers.of(caller.domain)
  if (of === 'unavailable') return unavailable(patch)
  if (of === 'none' || !of.exports.prePersistence) return send(loop, patch)
  const { cluster, handlers } = loop
  return judged({ cluster, handlers, of, patch, look: () => look(loop, patch), mayWrite: (view) => view === undefined || (!view.reserved && isOwner(caller, view)), send: (each) => send(loop, each) })
}

async function send(loop: Loop, patch: ClientPatch): Promise<Persisted> {
  if (touchesName(patch.ops)) return loop.renames.patch(patch)
  const { target } = patch
  if (target.kind === 'id') {
    const answer = await loop.cluster.patch(clusterPatch(patch, target.id, target.creation, patch.ops))
    return answer.kind === 'forbidden' ? sendGranted(loop, patch, target.id) : { id: target.id, answer }
  }
  return loop.names.patch(patch.caller, target.name, (id) => loop.cluster.patch(clusterPatch(patch, id, creationOf(target.name), freshOps(patch))))
}

/** Not the owner's: the rules of the state's domain may let others write its `active`, and its handler judges. */
async function sendGranted(loop: Loop, patch: ClientPatch, id: StateId): Promise<Persisted> {
  const { cluster, authorizer, handlers } = loop
  const refused: Persisted = { id, answer: { kind: 'forbidden' } }
  const read = await cluster.read({ id, mode: 'strong', minIi: undefined })
  if (read.kind === 'unavailable') return { id, answer: { kind: 'unavailable', stored: false, reason: read.reason } }
  if (read.kind !== 'state' || read.state.reserved) return refused
  const { domain, owner } = read.state
  const verdict = await authorizer.may('write', patch.caller, { id, owner, domain })
  if (verdict === 'unavailable') return { id, answer: { kind: 'unavailable', stored: false, reason: "the domain's rules cannot be asked just now" } }
  if (verdict === 'deny') return refused
  // Who may write may not read by it.
  if (patch.returnState && (await authorizer.may('read', patch.caller, { id, owner, domain })) !== 'allow') return refused
  const grant = async (each: ClientPatch): Promise<Persisted> => ({ id, domain, answer: await cluster.patch({ ...clusterPatch(each, id, undefined, freshOps(each)), authority: 'granted' }) })
  const of = patch.skipsHandlers === true ? 'none' : await handlers.of(domain)
  if (of === 'unavailable') return unavailable(patch)
  if (of === 'none' || !of.exports.prePersistence) return grant(patch)
  return judged({ cluster, handlers, of, patch, look: () => look(loop, { ...patch, target: { kind: 'id', id, creation: undefined } }), mayWrite: () => true, send: grant })
}

async function look({ cluster, names }: Loop, { caller, target }: ClientPatch): Promise<Seen> {
  if (target.kind === 'name') {
    const named = await names.view(caller, target.name)
    return named.kind === 'named' ? { kind: 'seen', id: named.id, view: named.view } : named
  }
  const read = await cluster.read({ id: target.id, mode: 'strong', minIi: undefined })
  switch (read.kind) {
    case 'state':
      return { kind: 'seen', id: target.id, view: read.state }
    case 'unwritten':
      return { kind: 'seen', id: target.id, view: undefined }
    case 'behind':
      return { kind: 'unavailable', stored: false, reason: 'behind' }
    case 'unavailable':
      return read
  }
}

function unavailable({ target }: ClientPatch): Persisted {
  return { id: target.kind === 'id' ? target.id : ('' as StateId), answer: { kind: 'unavailable', stored: false, reason: "the domain's handlers cannot be run just now" } }
}
