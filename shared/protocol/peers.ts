/**
 * The other state processes as this one knows them: members of the directory, links, who leads what.
 *
 * Owns: the ring's members, what was heard when. Does not own: leadership (epoch records decide that). Everything
 * here may be out of date: it costs time, never correctness.
 */
import type { Cycle, Incarnation, Slot } from '#shared/ids.ts'
import type { Member } from '#shared/ports/directory.ts'
import { elapsedMs, type Context } from '#shared/protocol/context.ts'
import type { ClockReading } from '#shared/protocol/events.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import { ownersOf } from '#shared/protocol/ring.ts'

export type HeardLeader = { readonly name: string; readonly incarnation: Incarnation; readonly cycle: Cycle }

type KnownMember = { readonly member: Member; /** When its record was last seen to change. */ readonly changedAt: ClockReading }
type Link = { readonly name: string; heardAt: ClockReading; leading: Map<Slot, Cycle> }

export class Peers {
  readonly #context: Context
  readonly name: string
  readonly incarnation: Incarnation
  #members = new Map<string, KnownMember>()
  #links = new Map<Incarnation, Link>()
  #owners = new Map<Slot, string[]>()
  #ring = ''
  #beating = false
  /** It takes no new slots and is in nobody's ring. */
  draining = false
  /** The directory has been read. */
  known = false

  constructor(context: Context, name: string, incarnation: Incarnation) {
    this.#context = context
    this.name = name
    this.incarnation = incarnation
  }

  /** The directory's members, all of them. */
  update(members: readonly Member[]): void {
    this.known = true
    const now = this.#context.now
    const next = new Map<string, KnownMember>()
    for (const member of members) {
      const before = this.#members.get(member.name)
      const same = before && before.member.incarnation === member.incarnation && before.member.heartbeat === member.heartbeat
      next.set(member.name, { member, changedAt: same ? before.changedAt : now })
    }
    this.#members = next
  }

  /** Names of the slot's owners, the preferred leader first. */
  owners(slot: Slot): readonly string[] {
    const names = this.draining ? [] : [this.name]
    for (const { member } of this.#members.values()) {
      if (member.name !== this.name && member.state === 'active' && !this.#isStale(member)) names.push(member.name)
    }
    const ring = names.sort().join(' ')
    if (ring !== this.#ring) {
      this.#ring = ring
      this.#owners.clear()
    }
    let owners = this.#owners.get(slot)
    if (owners === undefined) this.#owners.set(slot, (owners = ownersOf(slot, names, this.#context.tuning.owners)))
    return owners
  }

  #isStale(member: Member): boolean {
    const { now, tuning } = this.#context
    const link = this.#links.get(member.incarnation)
    if (link && elapsedMs(link.heardAt, now) <= tuning.memberStaleMs) return false
    const known = this.#members.get(member.name)
    return known === undefined || elapsedMs(known.changedAt, now) > tuning.memberStaleMs
  }

  linkUp(incarnation: Incarnation, name: string, leading: readonly (readonly [Slot, Cycle])[]): void {
    this.#links.set(incarnation, { name, heardAt: this.#context.now, leading: new Map() })
    this.send(incarnation, { kind: 'leading', slots: leading })
    this.#beat()
  }

  linkDown(incarnation: Incarnation): void {
    this.#links.delete(incarnation)
  }

  /** A link reaches it, and it is not silent: one that is frozen keeps its links. */
  isReachable(incarnation: Incarnation): boolean {
    const link = this.#links.get(incarnation)
    return link !== undefined && elapsedMs(link.heardAt, this.#context.now) <= this.#context.tuning.leaseMs
  }

  /** The life of `name` that a link leads to. */
  linkTo(name: string): Incarnation | undefined {
    for (const [incarnation, link] of this.#links) if (link.name === name) return incarnation
    return undefined
  }

  get linked(): readonly Incarnation[] {
    return [...this.#links.keys()]
  }

  /** Cannot be reached, and the directory does not speak for it either. */
  isGone(incarnation: Incarnation, name: string): boolean {
    if (this.isReachable(incarnation)) return false
    const known = this.#members.get(name)
    if (name === this.name || known === undefined || known.member.incarnation !== incarnation) return true
    // A draining one that cannot be reached has ended, or is about to.
    return known.member.state === 'draining' || this.#isStale(known.member)
  }

  /** The leader of `slot` that was heard within a lease. */
  heardLeader(slot: Slot): HeardLeader | undefined {
    let found: HeardLeader | undefined
    for (const [incarnation, link] of this.#links) {
      const cycle = link.leading.get(slot)
      if (cycle === undefined || (found && found.cycle >= cycle)) continue
      if (elapsedMs(link.heardAt, this.#context.now) <= this.#context.tuning.leaseMs) found = { name: link.name, incarnation, cycle }
    }
    return found
  }

  send(to: Incarnation, message: PeerMessage): void {
    if (this.#links.has(to)) this.#context.emit({ kind: 'send', to, message })
  }

  broadcast(message: PeerMessage): void {
    for (const to of this.#links.keys()) this.send(to, message)
  }

  /** Something came from `incarnation`; what it says of its leaderships is noted. */
  heard(incarnation: Incarnation, message: PeerMessage): void {
    const link = this.#links.get(incarnation)
    if (link === undefined) return
    link.heardAt = this.#context.now
    if (message.kind === 'leading') link.leading = new Map(message.slots)
    else if (message.kind === 'leads') link.leading.set(message.slot, message.cycle)
    else if (message.kind === 'leads-not') link.leading.delete(message.slot)
  }

  /** One that leads and hears nothing of a majority of the owners for longer than a lease is on its own. */
  hearsMajority(slot: Slot): boolean {
    const owners = this.owners(slot)
    let heard = 0
    for (const name of owners) {
      if (name === this.name) heard += 1
      else {
        const incarnation = this.linkTo(name)
        const link = incarnation && this.#links.get(incarnation)
        if (link && elapsedMs(link.heardAt, this.#context.now) <= this.#context.tuning.leaseMs) heard += 1
      }
    }
    return heard >= Math.floor(owners.length / 2) + 1
  }

  #beat(): void {
    if (this.#beating || this.#links.size === 0) return
    this.#beating = true
    this.#context.timer(this.#context.tuning.heartbeatMs, () => {
      this.#beating = false
      this.broadcast({ kind: 'heartbeat' })
      this.#beat()
    })
  }
}
