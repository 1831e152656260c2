/**
 * The mirror function: a fan-out message comes, the state's row in its domain's database is brought up to at least that
 * interaction. The message says that something has happened; what the state is now is read from the cluster.
 *
 * Idempotent: `mirrorOne` writes by `ii`, so a double or an old message changes nothing. What cannot be done now throws, and
 * Pub/Sub brings the message again, in the end to the dead letter topic. What is no message of the fan-out never becomes one: it is
 * reported, and taken.
 */
import type { Log } from '#shared/log.ts'
import { decodeMirrorEvent, type MirrorEvent } from './event.ts'

/** Brings the row of `id` to interaction `ii` or a newer one. Rejects when that is not certain to be done. */
export type MirrorOne = (event: MirrorEvent) => Promise<void>

export type CloudEventLike = { readonly id?: string | undefined; readonly data?: unknown }

export function mirrorTarget({ mirrorOne, log }: { readonly mirrorOne: MirrorOne; readonly log: Log }): (event: CloudEventLike) => Promise<void> {
  return async ({ id, data }) => {
    const decoded = decodeMirrorEvent(data)
    if (decoded === undefined) {
      log.error({ event: String(id).slice(0, 100) }, 'an event that is no message of the fan-out: dropped')
      return
    }
    await mirrorOne(decoded)
  }
}
