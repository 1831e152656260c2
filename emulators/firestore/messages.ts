/** Messages of Firestore to what the store takes, and back. What this emulator does not have is UNIMPLEMENTED. */
import type { Fields } from '../grpc-server.ts'
import { invalid, unimplemented } from '../grpc-status.ts'
import type { DocumentWrite, Precondition, StoredDocument } from './store.ts'

export const timestampOf = (us: number): Fields => ({ seconds: Math.floor(us / 1_000_000), nanos: (us % 1_000_000) * 1000 })

export function documentMessage({ name, fields, createdUs, updatedUs }: StoredDocument): Fields {
  return { name, fields, createTime: timestampOf(createdUs), updateTime: timestampOf(updatedUs) }
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
export const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {})
export const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? (value as Fields[]) : [])

export function writeOf(message: Fields): DocumentWrite {
  const precondition = preconditionOf(message['currentDocument'])
  if (typeof message['delete'] === 'string') return { name: message['delete'], precondition, fields: undefined }
  if (typeof message['update'] !== 'object' || message['update'] === null) throw unimplemented('a write that neither updates nor deletes')
  const { name, fields } = fieldsOf(message['update'])
  if (!/^projects\/[^/]+\/databases\/[^/]+\/documents(?:\/[^/]+\/[^/]+)+$/.test(textOf(name))) throw invalid(`Document name "${textOf(name)}" is not valid.`)
  const mask = message['updateMask'] as { readonly fieldPaths?: readonly string[] } | null
  const paths = mask?.fieldPaths
  const transforms = listOf(message['updateTransforms'])
  for (const path of [...(paths ?? []), ...transforms.map((each) => textOf(each['fieldPath']))]) if (!/^[A-Za-z_]\w*$/.test(path)) throw unimplemented(`the field path ${path}`)
  for (const each of transforms) if (each['setToServerValue'] !== 'REQUEST_TIME') throw unimplemented('a transform other than the time of the request')
  return {
    name: textOf(name),
    precondition,
    fields: (current, nowUs) => {
      const given = fieldsOf(fields)
      const made: Record<string, unknown> = paths === undefined ? { ...given } : { ...current }
      for (const path of paths ?? []) {
        if (given[path] === undefined) delete made[path]
        else made[path] = given[path]
      }
      for (const each of transforms) made[textOf(each['fieldPath'])] = { timestampValue: timestampOf(nowUs) }
      return made
    },
  }
}

function preconditionOf(message: unknown): Precondition {
  const { exists, updateTime } = fieldsOf(message)
  if (typeof exists === 'boolean') return { exists }
  if (typeof updateTime !== 'object' || updateTime === null) return undefined
  const { seconds, nanos } = updateTime as { readonly seconds: number; readonly nanos: number }
  return { updatedUs: Number(seconds) * 1_000_000 + Math.floor(Number(nanos) / 1000) }
}

/** The one collection that a query is about, whole and in the order of the names. */
export function collectionOf(parent: string, query: Fields): string {
  const from = listOf(query['from'])
  const ordered = listOf(query['orderBy']).some((each) => textOf(fieldsOf(each['field'])['fieldPath']) !== '__name__' || each['direction'] === 'DESCENDING')
  const restricted = ['where', 'startAt', 'endAt', 'limit', 'select', 'findNearest'].some((part) => query[part] !== null && query[part] !== undefined)
  if (from.length !== 1 || from[0]!['allDescendants'] === true || ordered || restricted) throw unimplemented('a query other than for one whole collection')
  return `${parent}/${textOf(from[0]!['collectionId'])}`
}
