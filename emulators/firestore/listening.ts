/**
 * One Listen stream of the Firestore emulator: its targets, and what changes in them.
 *
 * Owns: the targets of the stream. Does not own: documents. Talks to: the store, a client.
 *
 * I1. A target is sent whole first, then every change of it, in the order of the commits.
 * I2. A resume token is none: whoever comes with one is told to forget what it has (RESET), and is sent the whole again.
 */
import type { Fields, StreamCall } from '../grpc-server.ts'
import { RpcError } from '../grpc-status.ts'
import { collectionOf, documentMessage, fieldsOf, textOf, timestampOf } from './messages.ts'
import type { DocumentChange, FirestoreStore, StoredDocument } from './store.ts'

type Target = { readonly holds: (name: string) => boolean; readonly all: () => readonly StoredDocument[] }

export function openListening(store: FirestoreStore, call: StreamCall): void {
  const targets = new Map<number, Target>()
  const settled = (us: number): Fields => ({ targetChange: { targetChangeType: 'NO_CHANGE', targetIds: [], readTime: timestampOf(us), resumeToken: Buffer.from(String(us)) } })
  const stop = store.listen((changes) => {
    const sent = changes.flatMap((change) => [...targets].filter(([, target]) => target.holds(change.name)).map(([id]) => changeMessage(change, id)))
    for (const message of sent) call.write(message)
    if (sent.length > 0) call.write(settled(changes[0]!.atUs))
  })
  call.on('data', (request: Fields) => {
    const { addTarget, removeTarget } = request
    if (typeof removeTarget === 'number' && removeTarget !== 0) {
      targets.delete(removeTarget)
      call.write({ targetChange: { targetChangeType: 'REMOVE', targetIds: [removeTarget] } })
      return
    }
    const message = fieldsOf(addTarget)
    const id = Number(message['targetId'] ?? 0)
    try {
      const target = targetOf(store, message)
      targets.set(id, target)
      call.write({ targetChange: { targetChangeType: 'ADD', targetIds: [id] } })
      if (message['resumeToken'] !== undefined) call.write({ targetChange: { targetChangeType: 'RESET', targetIds: [id] } })
      for (const document of target.all()) call.write({ documentChange: { document: documentMessage(document), targetIds: [id] } })
      const us = store.nowUs()
      call.write({ targetChange: { targetChangeType: 'CURRENT', targetIds: [id], readTime: timestampOf(us), resumeToken: Buffer.from(String(us)) } })
      call.write(settled(us))
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      call.emit('error', { code: error.code, details: error.details })
    }
  })
  call.on('end', () => {
    stop()
    call.end()
  })
  call.on('cancelled', stop)
}

function targetOf(store: FirestoreStore, message: Fields): Target {
  const { documents } = fieldsOf(message['documents'])
  if (Array.isArray(documents)) {
    const names = new Set(documents as string[])
    return { holds: (name) => names.has(name), all: () => [...names].flatMap((name) => store.get(name) ?? []) }
  }
  const query = fieldsOf(message['query'])
  const collection = collectionOf(textOf(query['parent']), fieldsOf(query['structuredQuery']))
  return { holds: (name) => name.slice(0, name.lastIndexOf('/')) === collection, all: () => store.list(collection) }
}

function changeMessage({ name, document, atUs }: DocumentChange, id: number): Fields {
  if (document !== undefined) return { documentChange: { document: documentMessage(document), targetIds: [id] } }
  return { documentDelete: { document: name, removedTargetIds: [id], readTime: timestampOf(atUs) } }
}
