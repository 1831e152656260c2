/**
 * Directory of the state processes in a collection of Firestore: the adapter of `shared/ports/directory.ts` for Google Cloud.
 * One document a member, named as it is.
 *
 * Owns: announcements that wait, watches. Does not own: the client; judging heartbeats. Talks to: Firestore.
 *
 * Invariants:
 *  I1  Of one name, announcements are sent in the order of the calls; at most one waits, a newer one replaces it and answers for it.
 *  I2  `leave` deletes the very document that it read: a newer incarnation's is another one.
 *  I3  A document that is no member's counts as absent, and is reported. Errors are outcomes or faults, never rejections.
 */
import type { Firestore, QuerySnapshot } from '@google-cloud/firestore'
import { assert } from '#shared/assert.ts'
import type { Incarnation } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Directory, DirectoryOutcome, Member } from '#shared/ports/directory.ts'
import { CallsUnderWay } from './calls-under-way.ts'
import { answered, codeOf, reasonOf } from './storage-object.ts'
import { watchCollection } from './watch.ts'

export type FirestoreDirectoryOptions = {
  /** See firestore-client.ts. Composition ends it. */
  readonly client: Firestore
  readonly collection?: string
  readonly onFault?: (fault: { readonly what: string; readonly reason: string }) => void
}

const VERSION = 1
const NAME = /^[0-9a-zA-Z][0-9a-zA-Z._-]{0,99}$/
/** Somebody else may write between the look and the deletion: so often we look again. */
const LEAVE_TRIES = 10
const NOT_FOUND = 5
const FAILED_PRECONDITION = 9

const CLOSED = { kind: 'failed', reason: 'the directory is closed' } as const

type Waiting = { member: Member; readonly done: Promise<DirectoryOutcome> }

export function openDirectory({ client, collection: path = 'members', onFault = () => {} }: FirestoreDirectoryOptions): Directory {
  const collection = client.collection(path)
  const calls = new CallsUnderWay()
  const watches = new Set<() => void>()
  /** By name: the announcement under way, and the one that waits for it. */
  const sending = new Map<string, Promise<unknown>>()
  const waiting = new Map<string, Waiting>()

  const send = async (member: Member): Promise<DirectoryOutcome> => {
    try {
      await answered(collection.doc(member.name).set(encode(member)), limits.storageRequestMs)
      return { kind: 'done' }
    } catch (error) {
      return { kind: 'failed', reason: reasonOf(error) }
    }
  }

  const inTurn = <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const turn = (sending.get(name) ?? Promise.resolve()).then(work)
    sending.set(name, turn)
    void turn.finally(() => {
      if (sending.get(name) === turn) sending.delete(name)
    })
    return calls.of(turn)
  }

  const decodeAll = (snapshot: QuerySnapshot): Member[] =>
    snapshot.docs.flatMap((document) => {
      const member = decode(document.id, document.data())
      if (member === undefined) onFault({ what: 'read a member', reason: `${path}/${document.id} is no member's record` })
      return member ?? []
    })

  return {
    announce(member) {
      assert(NAME.test(member.name), `not a member's name: ${member.name}`)
      if (calls.isClosed) return Promise.resolve(CLOSED)
      const next = waiting.get(member.name)
      if (next !== undefined) {
        next.member = member
        return next.done
      }
      const entry: Waiting = {
        member,
        done: inTurn(member.name, () => {
          if (waiting.get(member.name) === entry) waiting.delete(member.name)
          return send(entry.member)
        }),
      }
      waiting.set(member.name, entry)
      return entry.done
    },
    leave(name, incarnation) {
      assert(NAME.test(name), `not a member's name: ${name}`)
      if (calls.isClosed) return Promise.resolve(CLOSED)
      // What is announced from now on comes after it.
      waiting.delete(name)
      return inTurn(name, () => remove(client, `${path}/${name}`, incarnation))
    },
    async members() {
      if (calls.isClosed) return CLOSED
      try {
        return { kind: 'members', members: decodeAll(await calls.of(answered(collection.get(), limits.storageRequestMs))) }
      } catch (error) {
        return { kind: 'failed', reason: reasonOf(error) }
      }
    },
    watch(onChange) {
      const stop = watchCollection(collection, { onSnapshot: (snapshot) => onChange(decodeAll(snapshot)), onFault })
      watches.add(stop)
      return () => {
        watches.delete(stop)
        stop()
      }
    },
    async close() {
      for (const stop of watches) stop()
      watches.clear()
      await calls.close()
    },
  }
}

async function remove(client: Firestore, path: string, incarnation: Incarnation): Promise<DirectoryOutcome> {
  const document = client.doc(path)
  for (let tries = 0; tries < LEAVE_TRIES; tries += 1) {
    try {
      const found = await answered(document.get(), limits.storageRequestMs)
      if (!found.exists || found.get('incarnation') !== incarnation) return { kind: 'done' }
      await answered(document.delete({ lastUpdateTime: found.updateTime! }), limits.storageRequestMs)
      return { kind: 'done' }
    } catch (error) {
      if (codeOf(error) !== FAILED_PRECONDITION && codeOf(error) !== NOT_FOUND) return { kind: 'failed', reason: reasonOf(error) }
    }
  }
  return { kind: 'failed', reason: `${path} changes all the time` }
}

function encode({ name, incarnation, address, pid, state, heartbeat }: Member): Record<string, unknown> {
  return { version: VERSION, name, incarnation, address, pid: pid ?? null, state, heartbeat }
}

function decode(id: string, fields: Record<string, unknown>): Member | undefined {
  const { version, name, incarnation, address, pid, state, heartbeat } = fields
  if (version !== VERSION || name !== id || typeof incarnation !== 'string' || incarnation === '' || typeof address !== 'string') return undefined
  if (pid !== null && !(Number.isSafeInteger(pid) && (pid as number) > 0)) return undefined
  if (state !== 'joining' && state !== 'active' && state !== 'draining') return undefined
  if (typeof heartbeat !== 'number' || !Number.isFinite(heartbeat)) return undefined
  return { name: id, incarnation: incarnation as Incarnation, address, pid: (pid as number | null) ?? undefined, state, heartbeat }
}
