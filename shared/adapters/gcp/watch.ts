/**
 * Snapshots of a collection of Firestore, for as long as somebody wants them: the client reconnects by itself, but gives a watch up
 * for good after an error that it takes for permanent. That must not end it here: a directory that nobody watches any more looks quiet.
 *
 * Owns: the client's watch, the timer of the next try. I1. After the returned function was called there is no call back.
 */
import type { CollectionReference, QuerySnapshot } from '@google-cloud/firestore'
import { reasonOf } from './storage-object.ts'

export type WatchOptions = {
  readonly onSnapshot: (snapshot: QuerySnapshot) => void
  readonly onFault: (fault: { readonly what: string; readonly reason: string }) => void
}

const FIRST_PAUSE_MS = 200
const MOST_PAUSE_MS = 10_000

export function watchCollection(collection: CollectionReference, { onSnapshot, onFault }: WatchOptions): () => void {
  let isEnded = false
  let pauseMs = FIRST_PAUSE_MS
  let timer: NodeJS.Timeout | undefined
  let stop = (): void => {}
  const begin = (): void => {
    stop = collection.onSnapshot(
      (snapshot) => {
        if (isEnded) return
        pauseMs = FIRST_PAUSE_MS
        onSnapshot(snapshot)
      },
      (error) => {
        if (isEnded) return
        onFault({ what: `watch ${collection.path}`, reason: reasonOf(error) })
        timer = setTimeout(begin, pauseMs).unref()
        pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS)
      },
    )
  }
  begin()
  return () => {
    isEnded = true
    clearTimeout(timer)
    stop()
  }
}
