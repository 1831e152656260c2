/**
 * Links between simulated state processes, and the directory that they watch. Messages of one link keep their order;
 * links are slow, break, come back, and fall silent in one direction without anybody being told. Some messages arrive once
 * more, later, whatever has become of the link. A link that came to be between two lives of a process leads to the later
 * one, and the other side takes it for the earlier one, until it ends. The directory is late, forgets, and knows processes
 * that are no more.
 *
 * Owns: links, cuts, the directory's records. Does not own: what is said.
 */
import type { Incarnation } from '#shared/ids.ts'
import type { Member } from '#shared/ports/directory.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'
import type { Process } from './process.ts'

export class Network {
  readonly #random: Random
  readonly #timeline: Timeline
  readonly #clustered: boolean
  #lives = new Map<Incarnation, Process>()
  /** Directed pairs over which a link stands, and when its last message arrives. */
  #links = new Map<string, number>()
  #latest = new Map<string, Incarnation>()
  /** Of a life the one before it. */
  #earlier = new Map<Incarnation, Incarnation>()
  /** Directed pairs of which the first takes the second for an earlier life of it. */
  #mistaken = new Map<string, Incarnation>()
  /** Chance of its own, so that the other seeds stay what they are. */
  readonly #mistakes: Random
  readonly #mistakenShare: number
  /** Directed pairs of names between which nothing passes until then; silently, or with the link going down. */
  #cuts = new Map<string, number>()
  #directory = new Map<string, Member>()
  #directoryDownUntilMs = 0
  /** A process has got word that it must act on. */
  onDelicate: (process: Process) => void = () => undefined

  constructor(random: Random, timeline: Timeline, clustered: boolean, mistakes: Random) {
    this.#random = random
    this.#mistakes = mistakes
    this.#mistakenShare = mistakes.pick([0, 0, 0, 0.3])
    this.#timeline = timeline
    this.#clustered = clustered
  }

  join(process: Process): void {
    if (!this.#clustered) return
    const earlier = this.#latest.get(process.name)
    if (earlier !== undefined) this.#earlier.set(process.incarnation, earlier)
    this.#latest.set(process.name, process.incarnation)
    for (const other of this.#lives.values()) this.#connect(process, other)
    this.#lives.set(process.incarnation, process)
    this.#announce(process)
  }

  leave(process: Process): void {
    this.#lives.delete(process.incarnation)
    for (const other of this.#lives.values()) this.#disconnect(process, other)
  }

  /** For the end: nobody else is in the directory, nothing is cut. */
  alone(): void {
    this.#directory.clear()
    this.#cuts.clear()
    this.#directoryDownUntilMs = 0
  }

  /** A record that nobody renews any more. */
  ghost(name: string): void {
    if (!this.#clustered) return
    const record: Member = { name, incarnation: `ghost-${name}` as Incarnation, address: '', pid: undefined, state: 'active', heartbeat: 1_700_000_000_000 }
    this.#directory.set(name, record)
  }

  /** It takes no record and tells nobody of any for a while, or has lost one, or finds an old one again. */
  directoryFault(trace: (line: string) => void): void {
    const dice = this.#random.next()
    const known = [...this.#directory.values()]
    if (dice < 0.5 || known.length === 0) {
      this.#directoryDownUntilMs = this.#timeline.nowMs + this.#random.between(500, 10_000)
      return trace(`the directory is down until ${this.#directoryDownUntilMs}`)
    }
    const record = this.#random.pick(known)
    trace(`the directory forgets ${record.name}, ${record.incarnation}`)
    this.#directory.delete(record.name)
    if (dice < 0.75) return
    this.#timeline.after(this.#random.between(500, 5_000), () => {
      trace(`the directory finds ${record.name}, ${record.incarnation} again`)
      this.#directory.set(record.name, record)
    })
  }

  #announce(process: Process): void {
    if (!process.alive || !this.#clustered) return
    if (!process.paused && this.#directoryDownUntilMs <= this.#timeline.nowMs) {
      const record: Member = {
        name: process.name,
        incarnation: process.incarnation,
        address: '',
        pid: undefined,
        state: process.core.status().missing.includes('stopping') ? 'draining' : 'active',
        heartbeat: Math.floor(process.clock().wallMs),
      }
      if (!this.#random.chance(0.05)) this.#directory.set(process.name, record)
      const members = [...this.#directory.values()]
      for (const other of this.#lives.values()) {
        this.#timeline.after(this.#random.delayMs(20), () => other.step({ kind: 'members', members }))
      }
    }
    this.#timeline.after(500, () => this.#announce(process))
  }

  #key(a: Process, b: Process): string {
    return `${a.incarnation} ${b.incarnation}`
  }

  #connect(a: Process, b: Process): void {
    if (a.name === b.name) return
    this.#timeline.after(this.#random.delayMs(20), () => {
      if (!a.alive || !b.alive || this.#links.has(this.#key(a, b))) return
      if (this.#isCut(a, b) || this.#isCut(b, a)) return this.#timeline.after(300, () => this.#connect(a, b))
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        this.#links.set(this.#key(from, to), this.#timeline.nowMs)
        this.#mistake(to, from)
        to.step({ kind: 'link-up', peer: this.#takenFor(to, from), name: from.name })
      }
    })
  }

  /** `by` may take `process` for the life before it, for as long as the link stands. */
  #mistake(by: Process, process: Process): void {
    const earlier = this.#earlier.get(process.incarnation)
    if (earlier === undefined || this.#lives.has(earlier) || !this.#mistakes.chance(this.#mistakenShare)) return
    this.#mistaken.set(this.#key(by, process), earlier)
    this.#timeline.after(this.#mistakes.between(500, 5_000), () => this.#disconnect(by, process))
  }

  #takenFor(by: Process, process: Process): Incarnation {
    return this.#mistaken.get(this.#key(by, process)) ?? process.incarnation
  }

  #disconnect(a: Process, b: Process): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const peer = this.#takenFor(to, from)
      this.#mistaken.delete(this.#key(to, from))
      if (this.#links.delete(this.#key(from, to))) this.#timeline.after(this.#random.delayMs(20), () => to.step({ kind: 'link-down', peer }))
    }
    if (a.alive && b.alive) this.#timeline.after(this.#random.between(200, 500), () => this.#connect(a, b))
  }

  #isCut(from: Process, to: Process): boolean {
    return (this.#cuts.get(`${from.name} ${to.name}`) ?? 0) > this.#timeline.nowMs
  }

  send(from: Process, to: Incarnation, message: PeerMessage): void {
    const receiver = this.#lives.get(to) ?? [...this.#lives.values()].find((process) => this.#mistaken.get(this.#key(from, process)) === to)
    if (receiver === undefined || !this.#links.has(this.#key(from, receiver)) || this.#isCut(from, receiver)) return
    // A link keeps order: nothing overtakes what was sent before.
    const at = Math.max(this.#timeline.nowMs + this.#random.delayMs(5), this.#links.get(this.#key(from, receiver))!)
    this.#links.set(this.#key(from, receiver), at)
    const sender = this.#takenFor(receiver, from)
    const deliver = (): void => {
      receiver.step({ kind: 'message', from: sender, message })
      // Between what it was told and what it does with it.
      if (message.kind === 'hand-over') this.onDelicate(receiver)
    }
    this.#timeline.after(at - this.#timeline.nowMs, deliver)
    if (this.#random.chance(0.01)) this.#timeline.after(at - this.#timeline.nowMs + this.#random.between(1, 3_000), deliver)
  }

  /** Cuts what passes from one process to another, or both ways, for a while; the link is noticed to be down, or not. */
  cut(trace: (line: string) => void): void {
    const lives = [...this.#lives.values()]
    if (lives.length < 2) return
    const a = this.#random.pick(lives)
    const b = this.#random.pick(lives)
    if (a.name === b.name) return
    const until = this.#timeline.nowMs + this.#random.between(100, 8000)
    trace(`cut ${a.name} ${b.name} until ${until}`)
    this.#cuts.set(`${a.name} ${b.name}`, until)
    if (this.#random.chance(0.5)) this.#cuts.set(`${b.name} ${a.name}`, until)
    if (this.#random.chance(0.5)) this.#disconnect(a, b)
  }
}
