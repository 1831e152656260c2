/**
 * The real host of the protocol core: cold storage, clock, timers and outbox on one side, requests on the other.
 *
 * Owns: the present core, its storage operations and timers, the requests waiting for its answers. Does not own:
 * any protocol decision. I1. Events reach the core one at a time. I2. A fenced core is followed by a new one under
 * a fresh incarnation; nothing of the old one reaches the new one.
 */
import { randomUUID } from 'node:crypto'
import { unreachable } from '#shared/assert.ts'
import type { Incarnation, InteractionIndex, StateId } from '#shared/ids.ts'
import type { Log } from '#shared/log.ts'
import type { Clock } from '#shared/ports/clock.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import type { FanOut } from '#shared/ports/fan-out.ts'
import type { Channel, FollowEvents, Submission } from '#shared/link/channel.ts'
import type { Member } from '#shared/ports/directory.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import { Core, type CoreStatus } from '#shared/protocol/core.ts'
import type { GapRule } from '#shared/protocol/recovery.ts'
import type { Answer, Effect } from '#shared/protocol/effects.ts'
import type { ClockReading, Event, FollowToken, RequestToken } from '#shared/protocol/events.ts'
import { Outbox } from '#functions/state-process/outbox.ts'

export type HostParts = {
  /** Stable name of this process in the ring. */
  readonly name: string
  readonly coldStorage: ColdStorage
  readonly clock: Clock
  readonly log: Log
  readonly fanOut: FanOut
  /** The life before of this process, where the directory knows it. */
  readonly previous: Incarnation | undefined
  /** There may be other state processes. */
  readonly clustered: boolean
  readonly gapRule: GapRule
  /** Called at each new life, the first one included. */
  readonly onIncarnation: (incarnation: Incarnation) => void
  readonly send: (to: Incarnation, message: PeerMessage) => void
}

export class Host implements Channel {
  readonly #parts: HostParts
  #core: Core
  #life = 0
  #incarnation: Incarnation
  #nextToken = 1
  #answers = new Map<RequestToken, (answer: Answer) => void>()
  #followings = new Map<FollowToken, FollowEvents>()
  #events: Event[] = []
  #stepping = false
  readonly #outbox: Outbox
  #onStopped: (() => void) | undefined
  #known: readonly Member[] | undefined

  constructor(parts: HostParts) {
    this.#parts = parts
    this.#incarnation = randomUUID() as Incarnation
    this.#outbox = new Outbox({
      fanOut: parts.fanOut,
      log: parts.log,
      // Of a life that is over nobody asks: its successor publishes from the mark.
      onPublished: (life, messages, characters) => {
        if (life === this.#life) this.#step({ kind: 'published', messages, characters })
      },
    })
    this.#core = this.#begin(parts.previous)
  }

  get incarnation(): Incarnation {
    return this.#incarnation
  }

  status(): CoreStatus {
    return this.#core.status()
  }

  /** `then` runs once, in a later turn or in this one. The token takes the request back. */
  submit(submission: Submission, then: (answer: Answer) => void): RequestToken {
    const token = this.#nextToken++
    this.#answers.set(token, then)
    this.#step({ kind: submission.kind, token, request: submission.request } as Event)
    return token
  }

  /** `then` will not run any more; what was asked for may happen all the same. */
  forget(token: RequestToken): void {
    this.#answers.delete(token)
  }

  follow(id: StateId, from: InteractionIndex | undefined, events: FollowEvents): FollowToken {
    const token = this.#nextToken++
    this.#followings.set(token, events)
    this.#step({ kind: 'follow', token, id, from })
    return token
  }

  unfollow(token: FollowToken): void {
    if (this.#followings.delete(token)) this.#step({ kind: 'unfollow', token })
  }

  /** The directory's members. */
  members(members: readonly Member[]): void {
    this.#known = members
    this.#step({ kind: 'members', members })
  }

  linkUp(peer: Incarnation, name: string): void {
    this.#step({ kind: 'link-up', peer, name })
  }

  linkDown(peer: Incarnation): void {
    this.#step({ kind: 'link-down', peer })
  }

  received(from: Incarnation, message: PeerMessage): void {
    this.#step({ kind: 'message', from, message })
  }

  /** Hands over, flushes, checkpoints, and ends the log by its own hand. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#onStopped = resolve
      this.#step({ kind: 'stop' })
    })
  }

  #begin(previous: Incarnation | undefined): Core {
    const { name, clustered, gapRule, onIncarnation } = this.#parts
    const core = new Core({ name, clustered, gapRule, incarnation: this.#incarnation, previous, publish: true }, this.#now())
    this.#core = core
    onIncarnation(this.#incarnation)
    this.#perform(core.start())
    if (this.#known) this.#step({ kind: 'members', members: this.#known })
    return core
  }

  #now(): ClockReading {
    const { clock } = this.#parts
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
  }

  #step(event: Event): void {
    // A follower that is called from here may ask for more: that comes after what is under way.
    if (this.#stepping) return void this.#events.push(event)
    this.#stepping = true
    try {
      for (let next: Event | undefined = event; next !== undefined; next = this.#events.shift()) {
        this.#perform(this.#core.step(next, this.#now()))
      }
    } finally {
      this.#stepping = false
    }
    this.#outbox.flush()
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) this.#performOne(effect)
  }

  #performOne(effect: Effect): void {
    const { coldStorage, log } = this.#parts
    const life = this.#life
    const resume = (event: Event): void => {
      if (life === this.#life) this.#step(event)
    }
    switch (effect.kind) {
      case 'put':
        return void coldStorage.put(effect.name, effect.bytes).then((outcome) => resume({ kind: 'put-done', token: effect.token, outcome }))
      case 'get':
        return void coldStorage.get(effect.name, effect.range).then((outcome) => resume({ kind: 'get-done', token: effect.token, outcome }))
      case 'list':
        return void coldStorage
          .list(effect.prefix, effect.after === undefined ? undefined : { after: effect.after })
          .then((outcome) => resume({ kind: 'list-done', token: effect.token, outcome }))
      case 'delete':
        return void coldStorage.delete(effect.name).then((outcome) => resume({ kind: 'delete-done', token: effect.token, outcome }))
      case 'timer':
        return void setTimeout(() => resume({ kind: 'timer', token: effect.token }), effect.ms).unref()
      case 'turn':
        return void setImmediate(() => resume({ kind: 'turn' }))
      case 'answer': {
        const then = this.#answers.get(effect.token)
        this.#answers.delete(effect.token)
        return then?.(effect.answer)
      }
      case 'follow-state':
        return this.#followings.get(effect.token)?.state(effect.state)
      case 'follow-patch':
        for (const token of effect.tokens) this.#followings.get(token)?.patch(effect.interaction)
        return
      case 'follow-end': {
        const events = this.#followings.get(effect.token)
        this.#followings.delete(effect.token)
        return events?.end()
      }
      case 'send':
        return this.#parts.send(effect.to, effect.message)
      case 'publish':
        return this.#outbox.add(this.#life, effect.message)
      case 'log':
        return log[effect.level === 'warning' ? 'warn' : effect.level]({ ...effect.fields, incarnation: this.#incarnation }, effect.message)
      case 'fenced':
        return this.#beginAnew()
      case 'stopped':
        this.#outbox.close()
        return this.#onStopped?.()
      default:
        unreachable(effect)
    }
  }

  #beginAnew(): void {
    const fenced = this.#incarnation
    this.#life += 1
    this.#outbox.forget()
    this.#incarnation = randomUUID() as Incarnation
    this.#begin(fenced)
    // Asked to stop while it was being fenced.
    if (this.#onStopped) this.#step({ kind: 'stop' })
  }
}
