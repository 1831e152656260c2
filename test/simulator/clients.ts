/**
 * Clients of a simulated cluster: they send until they know, always under one key; they make states, name the index that
 * they expect, ask for the state, use keys for something else, read, follow; and tell the checker what they were told.
 *
 * Owns: what was sent and what is still open of it. Does not own: what may be true (the checker).
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { PatchRequest } from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import { Violation, UNWRITTEN } from './checker.ts'
import type { World } from './world.ts'

const DOMAIN = 'sim.localhost'
const USER = 'user'

type Sent = { readonly id: StateId; readonly token: string; readonly expected: number | undefined; readonly mayMake: boolean; readonly returnState: boolean }

export class Clients {
  readonly #world: World
  #left = 0
  acknowledged = 0
  trackedReads = 0
  refusals = 0
  reused = 0
  creations = 0

  constructor(world: World) {
    this.#world = world
  }

  get areDone(): boolean {
    return this.#left === 0
  }

  /** Sends `patches` interactions, one after the other. */
  startWriter(client: number, patches: number): void {
    const { random, timeline } = this.#world
    let sent = 0
    this.#left += 1
    const next = (): void => {
      if (sent === patches) {
        this.#left -= 1
        return
      }
      const id = random.pick(this.#world.ids)
      const token = `c${client}-${sent++}`
      timeline.after(random.delayMs(20), () => {
        if (random.chance(0.1)) this.#create(id, token, next)
        else this.#patch(this.#begin(id, token), next)
      })
    }
    next()
  }

  #begin(id: StateId, token: string): Sent {
    const { random, checker } = this.#world
    // Most often the index that comes next, as far as anybody has seen.
    const expected = random.chance(0.2) ? Math.max(0, checker.mustShow(id)) + random.pick([0, 1, 1, 1, 2, 3]) : undefined
    return { id, token, expected: expected === 0 ? 1 : expected, mayMake: random.chance(0.9), returnState: random.chance(0.2) }
  }

  /** `number`: which of the requests for this token. */
  #request(sent: Sent, number: number): PatchRequest {
    const { id, token, expected, mayMake, returnState } = sent
    const ops: Op[] = [{ op: 'add', path: ['active', token], value: number }]
    return {
      id,
      ops,
      text: JSON.stringify(ops),
      user: USER,
      domain: DOMAIN,
      authority: 'owner',
      creation: mayMake ? { name: null, reserved: false } : undefined,
      key: token.padEnd(16, '.'),
      bodyDigest: `b${token}`.padEnd(16, '.'),
      expected: expected as InteractionIndex | undefined,
      returnState,
      lenient: false,
    }
  }

  /** Sends until it is stored, or until it is refused, or it gives up after a certain no. */
  #patch(sent: Sent, then: () => void): void {
    const { random, timeline, checker, trace } = this.#world
    const { id, token, expected } = sent
    let done = false
    let requests = 0
    const finish = (): void => {
      done = true
      then()
    }
    const attempt = (hint?: string): void => {
      if (done) return
      let settled = false
      const again = (leader?: string): void => {
        if (settled || done) return
        settled = true
        timeline.after(random.delayMs(100), () => attempt(leader))
      }
      const answered = (answer: Answer, number: number, mustShow: number): void => {
        /** This request brings nothing in, and the client may leave it at that. */
        const certain = (why: string, leave: boolean): void => {
          checker.refused(id, token, number, why)
          if (done || !leave) return again()
          this.refusals += 1
          finish()
        }
        switch (answer.kind) {
          case 'stored':
            trace(`client ${token} ${id.slice(0, 8)} stored as ${answer.ii}`)
            this.#stored(sent, answer)
            if (done) return
            this.acknowledged += 1
            done = true
            return void (random.chance(0.15) ? this.#sendAgain(sent, answer.ii, then) : then())
          case 'not-leader':
            if (random.chance(0.1)) return certain('not leader', true)
            checker.refused(id, token, number, 'not leader')
            return again(answer.leader)
          case 'unavailable':
            if (answer.stored === false) return certain('unavailable, not stored', random.chance(0.1))
            return again()
          case 'replay':
            if (expected === undefined || expected <= answer.next) throw new Violation(`${token} expected ${expected} and was answered "replay" from ${answer.next}`)
            checker.present(id, mustShow, answer.next - 1, 'replay')
            return certain('replay', true)
          case 'out-of-sync':
            if (expected === undefined || expected > answer.ii) throw new Violation(`${token} expected ${expected} and was answered "out of sync" at ${answer.ii}`)
            checker.present(id, mustShow, answer.ii, 'out of sync')
            return certain('out of sync', true)
          case 'unwritten':
            if (sent.mayMake) throw new Violation(`${token}, which may make the state, was answered "unwritten"`)
            if (mustShow !== UNWRITTEN) throw new Violation(`P7: ${id} was answered "unwritten", and ${mustShow} had been seen`)
            return certain('unwritten', true)
          default:
            throw new Violation(`a patch that can only be stored was answered: ${JSON.stringify(answer)}`)
        }
      }
      const send = (number: number): void => {
        const mustShow = checker.mustShow(id)
        this.#world.find(hint).request({ kind: 'patch', request: this.#request(sent, number) }, (answer) => {
          // An answer that gets lost.
          if (!random.chance(0.05)) timeline.after(random.delayMs(5), () => answered(answer, number, mustShow))
        })
      }
      const sendAfter = (delayMs: number): void => {
        const number = (requests += 1)
        timeline.after(delayMs, () => send(number))
      }
      // A request or an answer that got lost, or a process that takes too long.
      timeline.after(random.between(200, 6000), () => again())
      if (!random.chance(0.03)) sendAfter(random.delayMs(5))
      // The network delivers a request twice.
      if (random.chance(0.05)) sendAfter(random.delayMs(200))
    }
    attempt()
  }

  #stored(sent: Sent, answer: Extract<Answer, { kind: 'stored' }>): void {
    const { checker } = this.#world
    const { id, token, expected, returnState } = sent
    const { ii, updated, replayed, state } = answer
    checker.acknowledged(id, ii, token, updated)
    if (expected !== undefined && ii !== expected) throw new Violation(`${token} of ${id} expected ${expected} and is ${ii}`)
    if (!returnState) return
    if (state === undefined) throw new Violation(`${token} of ${id} asked for the state and got none`)
    checker.view(id, state)
    if (replayed ? state.ii < ii : state.ii !== ii) throw new Violation(`${token} of ${id} is ${ii} and came with the state at ${state.ii}`)
  }

  /** An acknowledged interaction once more, or its key under something else (P6). */
  #sendAgain(sent: Sent, ii: number, then: () => void): void {
    const { random, timeline, checker } = this.#world
    const { id, token } = sent
    const other = random.chance(0.5) ? `${token}!` : undefined
    if (other !== undefined) checker.refused(id, other, 0, 'key reused')
    const request = this.#request(sent, 0)
    const body = other === undefined ? request : { ...this.#request({ ...sent, token: other }, 0), key: request.key }
    let done = false
    let tries = 0
    const attempt = (): void => {
      if (done) return
      if (++tries > 20) {
        done = true
        return then()
      }
      timeline.after(random.between(200, 3000), attempt)
      this.#world.find().request({ kind: 'patch', request: { ...body, ops: JSON.parse(body.text) as Op[] } }, (answer) => {
        if (answer.kind === 'not-leader' || answer.kind === 'unavailable') return
        const fine = other === undefined ? answer.kind === 'stored' && answer.replayed && answer.ii === ii : answer.kind === 'key-reused'
        if (!fine) throw new Violation(`P6: ${token} of ${id} is ${ii}; ${other === undefined ? 'sent again' : 'its key sent for something else'} it was answered ${JSON.stringify(answer)}`)
        if (answer.kind === 'stored') this.#stored(sent, answer)
        this.reused += 1
        if (done) return
        done = true
        then()
      })
    }
    attempt()
  }

  /** A creation record: made once, and for ever (A9). */
  #create(id: StateId, token: string, then: () => void): void {
    const { random, timeline, checker } = this.#world
    let done = false
    const attempt = (): void => {
      if (done) return
      timeline.after(random.between(200, 4000), attempt)
      const mustShow = checker.mustShow(id)
      this.#world.find().request({ kind: 'create', request: { id, user: USER, domain: DOMAIN, creation: { name: token, reserved: false } } }, (answer) => {
        if (answer.kind === 'not-leader' || answer.kind === 'unavailable') return
        if (answer.kind !== 'created') throw new Violation(`a creation was answered ${JSON.stringify(answer)}`)
        checker.created(id, mustShow, answer.made, answer.state)
        this.creations += 1
        if (done) return
        done = true
        then()
      })
    }
    attempt()
  }

  startFollower(id: StateId): void {
    const { random, timeline, checker } = this.#world
    let next: number | undefined
    const begin = (): void => {
      const process = this.#world.find()
      const from = next as InteractionIndex | undefined
      const token = process.follow(id, from, {
        state: (view) => {
          checker.view(id, view)
          next = (view?.ii ?? 0) + 1
        },
        patch: (interaction) => {
          if (interaction.ii !== next) throw new Violation(`P3: a follower of ${id} expected ${next} and got ${interaction.ii}`)
          next += 1
          checker.patchEvent(id, interaction)
        },
        end: () => timeline.after(random.delayMs(50), begin),
      })
      // It goes away by itself, and comes back elsewhere.
      if (random.chance(0.2)) timeline.after(random.delayMs(1000), () => process.unfollow(token) && timeline.after(random.delayMs(50), begin))
    }
    timeline.after(random.delayMs(100), begin)
  }

  startReader(): void {
    const { random, timeline } = this.#world
    const read = (): void => {
      const id = random.pick(this.#world.ids)
      const dice = random.next()
      if (dice < 0.15) this.#history(id)
      else if (dice < 0.3) this.#stateAt(id)
      else if (dice < 0.55) this.#trackedRead(id)
      else this.#strongRead(id)
      timeline.after(random.delayMs(30), read)
    }
    timeline.after(random.delayMs(30), read)
  }

  #strongRead(id: StateId): void {
    const { checker } = this.#world
    const mustShow = checker.mustShow(id)
    this.#world.find().request({ kind: 'read', request: { id, mode: 'strong', minIi: undefined } }, (answer) => {
      if (answer.kind === 'unwritten') checker.strongRead(id, mustShow, undefined)
      else if (answer.kind === 'state') checker.strongRead(id, mustShow, answer.state)
    })
  }

  #trackedRead(id: StateId): void {
    const { random, checker } = this.#world
    const minIi = random.chance(0.5) ? (random.between(1, Math.max(0, checker.mustShow(id)) + 1) as InteractionIndex) : undefined
    this.#world.find().request({ kind: 'read', request: { id, mode: 'tracked', minIi } }, (answer) => {
      if (answer.kind !== 'state') return
      checker.view(id, answer.state)
      if (minIi !== undefined && answer.state.ii < minIi) throw new Violation(`a tracked read of ${id} shows ${answer.state.ii} and not ${minIi}`)
      this.trackedReads += 1
    })
  }

  #history(id: StateId): void {
    const { random, checker } = this.#world
    const from = random.between(1, 10)
    this.#world.find().request({ kind: 'history', request: { id, from: from as InteractionIndex, to: undefined } }, (answer) => {
      if ('interactions' in answer) checker.history(id, from, answer.interactions)
    })
  }

  #stateAt(id: StateId): void {
    const { random, checker } = this.#world
    const mustShow = checker.mustShow(id)
    const ii = random.between(0, Math.max(0, mustShow) + 2)
    this.#world.find().request({ kind: 'state-at', request: { id, ii: ii as InteractionIndex } }, (answer) => {
      if (answer.kind === 'state') {
        if (answer.state.ii !== ii) throw new Violation(`${id} as it was at ${ii} is at ${answer.state.ii}`)
        checker.view(id, answer.state, true)
      } else if (answer.kind === 'unwritten' && mustShow !== UNWRITTEN) throw new Violation(`P7: ${id} was answered "unwritten", and ${mustShow} had been seen`)
      else if (answer.kind === 'beyond') {
        if (answer.ii >= ii) throw new Violation(`${ii} of ${id} was answered to be beyond ${answer.ii}`)
        checker.present(id, mustShow, answer.ii, 'beyond')
      }
    })
  }
}
