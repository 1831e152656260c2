/**
 * Fan-out within one process: the embedded adapter of `shared/ports/fan-out.ts`.
 *
 * Purpose: what Pub/Sub does with ordering keys, for subscribers in this process (the mirror).
 * Owns: per subscriber a queue of what it has not taken, in memory.
 * Does not own: what survives the process. "published" means handed to every subscriber's queue; what a kill -9 finds
 * there has to come again from the log, by whoever keeps the published mark behind.
 * Talks to: its subscribers.
 *
 * At the bound of a queue `publish` waits: backpressure reaches the outbox, nothing is dropped. A message that its
 * subscriber always throws at stays at the head of its state's queue, is reported to `onFault` at every attempt, and
 * holds up other states only when the queue is full.
 *
 * `close` hands out what is queued and tries what fails once more; what still fails is left to the log as well.
 *
 * Invariants:
 *  I1  Of one state, a subscriber is handed a message only after it took the one before.
 *  I2  A message leaves a queue only when its subscriber took it, unsubscribed, or failed after `close`.
 *  I3  Publications are handed over in the order of the calls, also when one has to wait.
 *  I4  A queue holds at most `queueMessages` messages, and at most `queueBytes` of patches or one message.
 */
import { assert } from '#shared/assert.ts'
import type { StateId } from '#shared/ids.ts'
import type { FanOut, FanOutMessage } from '#shared/ports/fan-out.ts'

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

type Outcome = Awaited<ReturnType<FanOut['publish']>>

const PUBLISHED: Promise<Outcome> = Promise.resolve({ kind: 'published' })
const CLOSED: Promise<Outcome> = Promise.resolve({ kind: 'failed', reason: 'the fan-out is closed' })

type Subscriber = {
  hasRoom(message: FanOutMessage): boolean
  add(message: FanOutMessage): void
  /** Forgets what is queued. */
  stop(): void
  /** Hands out what is queued, what failed once more, and resolves when no call of `onMessage` is under way. */
  drain(): Promise<void>
}

type WaitingPublication = { readonly messages: readonly FanOutMessage[]; next: number; readonly resolve: (outcome: Outcome) => void }

export function openFanOut(options: FanOutOptions = {}): FanOut {
  const subscribers = new Map<string, Subscriber>()
  /** The first of them was handed over up to `next`. */
  const waiting: WaitingPublication[] = []
  let closing: Promise<void> | undefined

  /** Hands over what has room. True when all of it is. */
  function handOver(publication: { readonly messages: readonly FanOutMessage[]; next: number }): boolean {
    for (; publication.next < publication.messages.length; publication.next += 1) {
      const message = publication.messages[publication.next]!
      for (const subscriber of subscribers.values()) if (!subscriber.hasRoom(message)) return false
      for (const subscriber of subscribers.values()) subscriber.add(message)
    }
    return true
  }

  function onRoom(): void {
    while (waiting.length > 0 && handOver(waiting[0]!)) waiting.shift()!.resolve({ kind: 'published' })
  }

  return {
    publish(messages) {
      if (closing !== undefined) return CLOSED
      // Before anything else, so that it costs next to nothing where nobody listens.
      if (subscribers.size === 0) return PUBLISHED
      const publication = { messages, next: 0 }
      if (waiting.length === 0 && handOver(publication)) return PUBLISHED
      return new Promise((resolve) => waiting.push({ ...publication, resolve }))
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
        for (const publication of waiting.splice(0)) publication.resolve({ kind: 'failed', reason: 'the fan-out is closed' })
        await Promise.all([...subscribers.values()].map((subscriber) => subscriber.drain()))
        subscribers.clear()
      })()
      return closing
    },
  }
}

type StateQueue = { readonly messages: FanOutMessage[]; attempt: number; timer: NodeJS.Timeout | undefined }

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
    const message = queue.messages[0]
    assert(message !== undefined, 'a ready state has a message')
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
    add(message) {
      count += 1
      bytes += message.patch.length
      const queue = queues.get(message.id)
      if (queue !== undefined) {
        queue.messages.push(message)
        return
      }
      queues.set(message.id, { messages: [message], attempt: 0, timer: undefined })
      ready.push(message.id)
      // Not within the publisher's call: a subscriber's work before its first await is not the publisher's to wait for.
      if (ready.length === 1) queueMicrotask(startReady)
    },
    stop() {
      stopped = true
      for (const queue of queues.values()) clearTimeout(queue.timer)
      queues.clear()
      ready = []
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
