/**
 * One simulated life of a state process: hosts a core on the world's storage, links and time.
 *
 * Owns: its clocks, what waits while it is frozen, who waits for its answers. I1. Nothing of a life that has ended
 * reaches anybody.
 */
import type { Incarnation, InteractionIndex, StateId } from '#shared/ids.ts'
import type { InteractionView, StateView } from '#shared/ports/state-cluster.ts'
import { Core } from '#shared/protocol/core.ts'
import type { Answer, Effect } from '#shared/protocol/effects.ts'
import type { ClockReading, Event } from '#shared/protocol/events.ts'
import type { Submission } from '#shared/link/channel.ts'
import { Violation } from './checker.ts'
import { SimulatedOutbox } from './fan-out.ts'
import type { World } from './world.ts'

export type FollowEvents = { state(view: StateView | undefined): void; patch(interaction: InteractionView): void; end(): void }

export class Process {
  readonly world: World
  readonly name: string
  readonly incarnation: Incarnation
  readonly core: Core
  /** This process's clocks run at this rate; the wall clock is off by this much, which may change. */
  readonly rate: number
  offsetMs: number
  /** How long the monotonic clock stood still: a machine that slept. */
  #sleptMs = 0
  alive = true
  /** Events of a paused process wait. */
  #paused: { readonly waiting: (() => void)[]; readonly sinceMs: number; readonly asleep: boolean } | undefined
  #nextToken = 1
  #answers = new Map<number, (answer: Answer) => void>()
  #followings = new Map<number, FollowEvents>()
  readonly #outbox: SimulatedOutbox
  #bundlesUnderWay = 0

  constructor(world: World, name: string, previous: Incarnation | undefined) {
    this.world = world
    this.name = name
    this.incarnation = `inc-${world.lives++}` as Incarnation
    this.rate = 1 + (world.random.next() - 0.5) * 0.02
    this.offsetMs = world.random.between(-100_000, 100_000)
    const { clustered, gapRule, tuning } = world
    this.#outbox = new SimulatedOutbox(this)
    this.core = new Core({ name, incarnation: this.incarnation, clustered, previous, publish: true, gapRule, tuning }, this.clock())
    this.#perform(this.core.start())
    world.network.join(this)
  }

  clock(): ClockReading {
    const t = this.world.timeline.nowMs
    return { wallMs: 1_700_000_000_000 + t * this.rate + this.offsetMs, monotonicMs: (t - this.#sleptMs) * this.rate }
  }

  get paused(): boolean {
    return this.#paused !== undefined
  }

  /** `asleep`: its monotonic clock stands still meanwhile. */
  pause(asleep: boolean): void {
    this.#paused ??= { waiting: [], sinceMs: this.world.timeline.nowMs, asleep }
  }

  wake(): void {
    const paused = this.#paused
    if (paused === undefined) return
    this.#paused = undefined
    if (paused.asleep) this.#sleptMs += this.world.timeline.nowMs - paused.sinceMs
    for (const run of paused.waiting) this.#whenAwake(run)
  }

  /** Runs now, or when the pause is over; not at all after the end. */
  #whenAwake(run: () => void): void {
    if (!this.alive) return
    if (this.#paused) this.#paused.waiting.push(run)
    else run()
  }

  step(event: Event): void {
    this.#whenAwake(() => this.#perform(this.core.step(event, this.clock())))
  }

  request(submission: Submission, then: (answer: Answer) => void): void {
    const token = this.#nextToken++
    this.#answers.set(token, then)
    this.step({ ...submission, token } as Event)
  }

  follow(id: StateId, from: InteractionIndex | undefined, events: FollowEvents): number {
    const token = this.#nextToken++
    this.#followings.set(token, events)
    this.step({ kind: 'follow', token, id, from })
    return token
  }

  /** False: it had ended already. */
  unfollow(token: number): boolean {
    if (!this.#followings.delete(token)) return false
    this.step({ kind: 'unfollow', token })
    return true
  }

  crash(): void {
    this.alive = false
    const followings = [...this.#followings.values()]
    this.#followings.clear()
    for (const { end } of followings) end()
  }

  #put({ name, bytes, token }: Extract<Effect, { kind: 'put' }>): void {
    const { storage, faults } = this.world
    const isBundle = name.startsWith(`leaders/${this.incarnation}/0`)
    if (isBundle) this.#bundlesUnderWay += 1
    storage.put(name, bytes, (outcome) => {
      if (isBundle) this.#bundlesUnderWay -= 1
      this.step({ kind: 'put-done', token, outcome })
    })
    // Several bundles that end in any order; seals, ends and epoch records, between one and the next.
    if (isBundle ? this.#bundlesUnderWay > 1 : !name.startsWith('ids/')) faults.delicate(this)
  }

  #perform(effects: readonly Effect[]): void {
    const { timeline, storage, random } = this.world
    for (const effect of effects) {
      if (!this.alive) return
      switch (effect.kind) {
        case 'put':
          this.#put(effect)
          break
        case 'get':
          storage.get(effect.name, effect.range, (outcome) => this.step({ kind: 'get-done', token: effect.token, outcome }))
          break
        case 'list':
          storage.list(effect.prefix, effect.after, (outcome) => this.step({ kind: 'list-done', token: effect.token, outcome }))
          break
        case 'delete':
          storage.delete(effect.name, (outcome) => this.step({ kind: 'delete-done', token: effect.token, outcome }))
          break
        case 'timer':
          timeline.after(effect.ms / this.rate, () => this.step({ kind: 'timer', token: effect.token }))
          break
        case 'turn':
          timeline.after(random.chance(0.5) ? 0 : 1, () => this.step({ kind: 'turn' }))
          break
        case 'answer': {
          const then = this.#answers.get(effect.token)
          this.#answers.delete(effect.token)
          if (then === undefined) throw new Violation(`${this.incarnation} answered request ${effect.token} twice`)
          then(effect.answer)
          break
        }
        case 'follow-state':
          this.#followings.get(effect.token)?.state(effect.state)
          break
        case 'follow-patch':
          for (const token of effect.tokens) this.#followings.get(token)?.patch(effect.interaction)
          break
        case 'follow-end': {
          const following = this.#followings.get(effect.token)
          this.#followings.delete(effect.token)
          following?.end()
          break
        }
        case 'publish':
          this.#outbox.add(effect.message)
          break
        case 'send':
          this.world.network.send(this, effect.to, effect.message)
          break
        case 'log':
          this.world.trace(`${this.incarnation} ${effect.level} ${effect.message} ${JSON.stringify(effect.fields)}`)
          break
        case 'fenced':
        case 'stopped':
          this.world.trace(`${this.incarnation} ${effect.kind}`)
          this.world.ended(this)
          break
        default:
          throw new Error(`an effect that the simulator does not know: ${JSON.stringify(effect satisfies never)}`)
      }
    }
  }
}
