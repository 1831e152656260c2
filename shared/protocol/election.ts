/**
 * Votes: they keep owners from sealing each other's leaders without need. They carry no safety; a lost or
 * forgotten vote costs a round.
 */
import { hash } from 'node:crypto'
import type { Incarnation, Slot } from '#shared/ids.ts'
import { elapsedMs, type Context } from '#shared/protocol/context.ts'
import type { ClockReading } from '#shared/protocol/events.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { Peers } from '#shared/protocol/peers.ts'

export type Verdict = 'elected' | 'refused' | 'another-leads'
type Call = { readonly number: number; readonly needed: number; agreed: number; left: Set<Incarnation>; readonly then: (verdict: Verdict) => void }

export class Elections {
  readonly #context: Context
  readonly #peers: Peers
  readonly #bornAt: ClockReading
  readonly #leads: (slot: Slot) => boolean
  /** Greatest vote number seen, by slot. */
  #numbers = new Map<Slot, number>()
  #calls = new Map<Slot, Call>()

  constructor(context: Context, peers: Peers, leads: (slot: Slot) => boolean) {
    this.#context = context
    this.#peers = peers
    this.#bornAt = context.now
    this.#leads = leads
  }

  /** What is left of the time after boot in which this process agrees to nothing: it may have agreed before it died. */
  bootWaitMs(): number {
    return Math.max(0, this.#context.tuning.leaseMs - elapsedMs(this.#bornAt, this.#context.now))
  }

  /** Asks `voters` whether they hear a leader of `slot`; `needed` must agree. */
  call(slot: Slot, voters: readonly Incarnation[], needed: number, then: (verdict: Verdict) => void): void {
    const number = (this.#numbers.get(slot) ?? 0) + 1
    this.#numbers.set(slot, number)
    const call: Call = { number, needed, agreed: 0, left: new Set(voters), then }
    this.#calls.set(slot, call)
    if (this.#decide(slot, call)) return
    for (const voter of voters) this.#peers.send(voter, { kind: 'vote-call', slot, number })
    this.#context.timer(this.#context.tuning.voteWaitMs, () => this.#finish(slot, call, 'refused'))
  }

  called(from: Incarnation, { slot, number }: Extract<PeerMessage, { kind: 'vote-call' }>): void {
    const last = this.#peers.heardLeader(slot)
    // The candidate itself, if it was the last leader heard of, has given the slot up.
    const heard = last?.incarnation === from ? undefined : last
    const agree = heard === undefined && !this.#leads(slot) && number > (this.#numbers.get(slot) ?? 0) && this.bootWaitMs() === 0
    this.#numbers.set(slot, Math.max(number, this.#numbers.get(slot) ?? 0))
    const leader = heard ? { incarnation: heard.incarnation, cycle: heard.cycle } : null
    this.#peers.send(from, { kind: 'vote', slot, number, agree, leader })
  }

  voted(from: Incarnation, { slot, number, agree, leader }: Extract<PeerMessage, { kind: 'vote' }>): void {
    const call = this.#calls.get(slot)
    if (call === undefined || call.number !== number || !call.left.delete(from)) return
    if (agree) call.agreed += 1
    else if (leader !== null) return this.#finish(slot, call, 'another-leads')
    this.#decide(slot, call)
  }

  #decide(slot: Slot, call: Call): boolean {
    if (call.agreed >= call.needed) this.#finish(slot, call, 'elected')
    else if (call.agreed + call.left.size < call.needed) this.#finish(slot, call, 'refused')
    else return false
    return true
  }

  #finish(slot: Slot, call: Call, verdict: Verdict): void {
    if (this.#calls.get(slot) !== call) return
    this.#calls.delete(slot)
    call.then(verdict)
  }
}

/** A wait that differs between processes and from try to try, without chance: 0 <= x < `belowMs`. */
export function scatteredMs(belowMs: number, ...what: readonly (string | number)[]): number {
  return (parseInt(hash('sha256', what.join('/'), 'hex').slice(0, 8), 16) / 2 ** 32) * belowMs
}
