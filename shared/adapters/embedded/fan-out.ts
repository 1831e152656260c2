/**
 * Fan-out within one process: the embedded adapter of `shared/ports/fan-out.ts`.
 *
 * Purpose: what Pub/Sub does with ordering keys, for subscribers in this process (the mirror).
 * Owns: per subscriber a queue of what it has not taken, in memory.
 * Does not own: what survives the process. "published" therefore means taken by every subscriber: what a kill -9 finds in
 * a queue comes again from the log, whose mark of what is published is still behind it.
 * Talks to: its subscribers.
 *
 * At the bound of a queue a publication is handed over in pieces, as there is room; nothing is dropped. A message that its
 * subscriber always throws at stays at the head of its state's queue, is reported to `onFault` at every attempt, and
 * holds up its publication: other states of it go on, what is published later waits.
 *
 * `close` hands out what is queued and tries what fails once more; a publication of which something still fails has failed.
 *
 * Invariants:
 *  I1  Of one state, a subscriber is handed a message only after it took the one before.
 *  I2  A message leaves a queue only when its subscriber took it, unsubscribed, or failed after `close`. A publication is
 *      published when all of it was handed over, and has left all queues by the first two of these.
 *  I3  Publications are handed over in the order of the calls, also when one has to wait.
 *  I4  A queue holds at most `queueMessages` messages, and at most `queueBytes` of patches or one message.
 */
import { assert } from '#shared/assert.ts'
import type { StateId } from '#shared/ids.ts'
import type { FanOut, FanOutMessage, PublishOutcome } from '#shared/ports/fan-out.ts'

export type FanOutOptions = {
  /** Bound of each subscriber's queue. */
  readonly queueMessages?: number
  /** The same, in UTF-16 units of patches. */
  readonly queueBytes?: number
  /** States that one subscriber works on at a time. */
  readonly concurrentStates?: number
  /** First and longest pause before a message is handed again to who threw at it; doubled each time. */
  readonly retryFirstMs?: number
  readonly retryMaxMs?: number
  readonly onFault?: (fault: { readonly subscriber: string; readonly message: FanOutMessage; readonly attempt: number; readonly error: unknown }) => void
}

const PUBLISHED: Promise<PublishOutcome> = Promise.resolve({ kind: 'published' })
const CLOSED: Promise<PublishOutcome> = Promise.resolve({ kind: 'failed', reason: 'the fan-out is closed' })

type Subscriber = {
  hasRoom(message: FanOutMessage): boolean
  /** `left` runs once, when the subscriber has taken the message or wants it no longer. */
  add(message: FanOutMessage, left: () => void): void
  /** Forgets what is queued. */
  stop(): void
  /** Hands out what is queued, what failed once more, and resolves when no call of `onMessage` is under way. */
  drain(): Promise<void>
}

type Publication = {
  readonly messages: readonly FanOutMessage[]
  /** Handed over are those before it. */
  next: number
  /** In queues. */
  queued: number
  readonly resolve: (outcome: PublishOutcome) => void
}

export function openFanOut(options: FanOutOptions = {}): FanOut {
  const subscribers = new Map<string, Subscriber>()
  /** Not published yet, in order. */
  const open = new Set<Publication>()
  /** Those of them of which something is not handed over. */
  const waiting: Publication[] = []
  let closing: Promise<void> | undefined

  /** Hands over what has room. True when all of it is. */
  function handOver(publication: Publication): boolean {
    const left = (): void => {
      publication.queued -= 1
      settle(publication)
    }
    for (; publication.next < publication.messages.length; publication.next += 1) {
      const message = publication.messages[publication.next]!
      for (const subscriber of subscribers.values()) if (!subscriber.hasRoom(message)) return false
      publication.queued += subscribers.size
      for (const subscriber of subscribers.values()) subscriber.add(message, left)
    }
    return true
  }

  function settle(publication: Publication): void {
    if (publication.queued > 0 || publication.next < publication.messages.length || !open.delete(publication)) return
    publication.resolve({ kind: 'published' })
  }

  function onRoom(): void {
    while (waiting.length > 0 && handOver(waiting[0]!)) settle(waiting.shift()!)
  }

  return {
    publish(messages) {
      if (closing !== undefined) return CLOSED
      // Before anything else, so that it costs next to nothing where nobody listens.
      if (subscribers.size === 0) return PUBLISHED
      return new Promise((resolve) => {
        const publication: Publication = { messages, next: 0, queued: 0, resolve }
        open.add(publication)
        if (waiting.length === 0 && handOver(publication)) settle(publication)
        else waiting.push(publication)
      })
    },
    subscribe(name, onMessage) {
      assert(closing === undefined, 'subscribe after close')
      assert(!subscribers.has(name), `two subscribers named ${name}`)
      const subscriber = openSubscriber(name, onMessage, onRoom, options)
      subscribers.set(name, subscriber)
      return () => {
        if (subscribers.get(name) !== subscriber) return
        subscribers.delete(name)
        subscriber.stop()
        // It may have been the one that publications waited for.
        onRoom()
      }
    },
    close() {
      closing ??= (async () => {
        waiting.length = 0
        await Promise.all([...subscribers.values()].map((subscriber) => subscriber.drain()))
        for (const { resolve } of open) resolve({ kind: 'failed', reason: 'the fan-out is closed' })
        open.clear()
        subscribers.clear()
      })()
      return closing
    },
  }
}

type Queued = { readonly message: FanOutMessage; readonly left: () => void }
type StateQueue = { readonly messages: Queued[]; attempt: number; timer: NodeJS.Timeout | undefined }

function openSubscriber(name: string, onMessage: (message: FanOutMessage) => Promise<void>, onRoom: () => void, options: FanOutOptions): Subscriber {
  const { queueMessages = 10_000, queueBytes = 64 * 1024 * 1024, concurrentStates = 64, retryFirstMs = 100, retryMaxMs = 30_000, onFault } = options
  const queues = new Map<StateId, StateQueue>()
  /** States whose head can be handed out as soon as fewer are under way. */
  let ready: StateId[] = []
  let count = 0
  let bytes = 0
  let underWay = 0
  let stopped = false
  let draining = false
  let onDrained: (() => void) | undefined

  function startReady(): void {
    while (!stopped && underWay < concurrentStates && ready.length > 0) void deliver(ready.shift()!)
  }

  async function deliver(id: StateId): Promise<void> {
    const queue = queues.get(id)
    assert(queue !== undefined, 'a ready state has a queue')
    const queued = queue.messages[0]
    assert(queued !== undefined, 'a ready state has a message')
    const { message } = queued
    underWay += 1
    queue.attempt += 1
    let error: unknown
    let taken = true
    try {
      await onMessage(message)
    } catch (thrown) {
      taken = false
      error = thrown
    }
    underWay -= 1
    if (stopped) {
      if (underWay === 0) onDrained?.()
      return
    }
    if (!taken) onFault?.({ subscriber: name, message, attempt: queue.attempt, error })
    if (taken) {
      queue.attempt = 0
      queue.messages.shift()
      count -= 1
      bytes -= message.patch.length
      if (queue.messages.length > 0) ready.push(id)
      else queues.delete(id)
      queued.left()
      onRoom()
    } else if (draining) {
      // What follows it must not overtake it, and there is no time for another attempt.
      queues.delete(id)
    } else {
      const pauseMs = Math.min(retryFirstMs * 2 ** (queue.attempt - 1), retryMaxMs)
      queue.timer = setTimeout(() => {
        queue.timer = undefined
        ready.push(id)
        startReady()
      }, pauseMs)
    }
    startReady()
    if (queues.size === 0) onDrained?.()
  }

  return {
    hasRoom: (message) => count === 0 || (count < queueMessages && bytes + message.patch.length <= queueBytes),
    add(message, left) {
      count += 1
      bytes += message.patch.length
      const queue = queues.get(message.id)
      if (queue !== undefined) {
        queue.messages.push({ message, left })
        return
      }
      queues.set(message.id, { messages: [{ message, left }], attempt: 0, timer: undefined })
      ready.push(message.id)
      // Not within the publisher's call: a subscriber's work before its first await is not the publisher's to wait for.
      if (ready.length === 1) queueMicrotask(startReady)
    },
    stop() {
      stopped = true
      const given = [...queues.values()]
      for (const queue of given) clearTimeout(queue.timer)
      queues.clear()
      ready = []
      for (const { messages } of given) for (const { left } of messages) left()
      if (underWay === 0) onDrained?.()
    },
    drain() {
      draining = true
      for (const [id, queue] of queues) {
        if (queue.timer === undefined) continue
        clearTimeout(queue.timer)
        queue.timer = undefined
        ready.push(id)
      }
      if (queues.size === 0 && underWay === 0) return Promise.resolve()
      const drained = new Promise<void>((done) => (onDrained = done))
      startReady()
      return drained
    },
  }
}
