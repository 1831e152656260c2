/**
 * A whole cluster with clients in one thread, from one seed: simulated time, storage, processes that crash, pause
 * and come back, clients that send again what was not answered. After the run a fresh process recovers everything.
 *
 * Owns: which lives there are. Does not own: what clients do, what goes wrong when.
 */
import type { StateId } from '#shared/ids.ts'
import type { Tuning } from '#shared/protocol/context.ts'
import type { GapRule } from '#shared/protocol/recovery.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import { Checker, Violation } from './checker.ts'
import { Clients } from './clients.ts'
import type { FanOutFaults } from './fan-out.ts'
import { Faults } from './faults.ts'
import { Network } from './network.ts'
import { Process } from './process.ts'
import { Random } from './random.ts'
import { startRetention } from './retention.ts'
import { SimulatedStorage } from './storage.ts'
import { Timeline } from './timeline.ts'

export type RunOptions = { readonly seed: number; readonly trace?: (line: string) => void; readonly processes?: number; readonly clients?: number; readonly patchesPerClient?: number }
export type RunResult = {
  readonly acknowledged: number
  readonly observations: number
  readonly lives: number
  /** Answers other than "stored": what was refused, answered as a repeat or a misuse of a key, made. */
  readonly refusals: number
  readonly reused: number
  readonly creations: number
  readonly trackedReads: number
  readonly digest: string
}

/** Far from all seeds. */
const SEEDS_OF_MISTAKES = 1_000_000_000
const MOST_STEPS = 600_000
/** A fresh process has read and published by then what others left behind. */
const PUBLISHED_AFTER_MS = 10_000
/** Longest name that grows into the ring. */
const MOST_PROCESSES = 5

export class World {
  readonly random: Random
  readonly timeline = new Timeline()
  readonly storage: SimulatedStorage
  readonly checker = new Checker()
  fanOutFaults: FanOutFaults
  readonly trace: (line: string) => void
  readonly ids: readonly StateId[]
  readonly tuning: Partial<Tuning>
  readonly gapRule: GapRule
  readonly clustered: boolean
  readonly network: Network
  readonly clients: Clients
  lives = 0
  /** Names in the ring; grows and shrinks. */
  #names: string[]
  /** Of each name the life that clients find, and older ones that may still run. */
  #current = new Map<string, Process>()
  #others: Process[] = []
  /** At the end: dead, so that what clients still send late changes nothing. */
  #nobody: Process | undefined
  readonly faults: Faults
  /** Many writers at once: several puts are under way, and end in any order. */
  readonly #busy: boolean
  #options: RunOptions

  constructor(options: RunOptions) {
    this.#options = options
    this.random = new Random(options.seed)
    const { random, timeline } = this
    this.trace = (line) => options.trace?.(`${String(timeline.nowMs).padStart(8)} ${line}`)
    this.storage = new SimulatedStorage(random, timeline, {
      unknown: random.pick([0, 0.05, 0.2]),
      failed: random.pick([0, 0.02, 0.1]),
      typicalMs: random.pick([2, 10, 60]),
    })
    this.storage.onStored = (name, bytes) => {
      this.trace(`stored ${name}`)
      this.checker.stored(name, bytes)
    }
    this.fanOutFaults = { failed: random.pick([0, 0.1, 0.6]), typicalMs: random.pick([1, 10, 500]) }
    this.#busy = random.chance(0.4)
    // Bounds so low that a short run meets them, in some runs.
    this.tuning = random.chance(0.5)
      ? {}
      : {
          slotTailInteractions: random.between(2, 8),
          logTailBytes: random.between(500, 5000),
          logObjects: random.between(3, 60),
          slotTailAgeMs: random.between(500, 10_000),
          looseBundles: random.between(2, 4),
          segmentFanIn: 2,
          bundleInteractions: this.#busy ? 1 : random.between(1, 4),
          historyPageInteractions: random.between(1, 5),
          trackedStates: random.pick([1, 2, 100]),
          unpublishedMessages: random.pick([1, 3, 50_000]),
          heldMessages: random.pick([0, 1, 1_000]),
          paceInteractions: random.pick([1, 2, 8]),
        }
    // With all rules kept there are no gaps: then nothing is ever dropped, whatever becomes of gaps.
    this.gapRule = random.pick(['refuse', 'accept'] as const)
    this.ids = someIds(random.between(1, 4), random.chance(0.5))
    this.#names = Array.from({ length: options.processes ?? random.pick([1, 2, 3, 3, 4]) }, (_, at) => `p${at}`)
    this.clustered = this.#names.length > 1
    this.network = new Network(random, timeline, this.clustered, new Random(options.seed + SEEDS_OF_MISTAKES))
    this.clients = new Clients(this)
    this.faults = new Faults(this)
    for (const name of this.#names) this.#current.set(name, new Process(this, name, undefined))
  }

  run(): RunResult {
    const { random, timeline, clients } = this
    const writers = this.#options.clients ?? (this.#busy ? random.between(6, 12) : random.between(1, 5))
    const patches = this.#options.patchesPerClient ?? (this.#busy ? random.between(2, 8) : random.between(3, 25))
    for (let client = 0; client < writers; client++) clients.startWriter(client, patches)
    for (const id of this.ids) if (random.chance(0.7)) clients.startFollower(id)
    clients.startReader()
    if (random.chance(0.4)) startRetention(this)
    this.faults.start()
    for (let steps = 0; !clients.areDone; steps++) {
      if (steps > MOST_STEPS) throw new Violation('no progress')
      if (!timeline.step()) throw new Violation('clients wait for ever')
    }
    this.#recoverAll()
    const { acknowledged, refusals, reused, creations, trackedReads } = clients
    const { observations } = this.checker
    return { acknowledged, observations, lives: this.lives, refusals, reused, creations, trackedReads, digest: `${timeline.nowMs}/${this.storage.objects.size}/${observations}` }
  }

  get names(): readonly string[] {
    return this.#names
  }

  current(name: string): Process {
    return this.#current.get(name)!
  }

  /** `process` was fenced or has stopped: its host begins a new life, unless another one runs or none is wanted. */
  ended(process: Process): void {
    this.crash(process)
    if (process === this.#current.get(process.name)) this.restart(process)
  }

  crash(process: Process): void {
    process.crash()
    this.network.leave(process)
  }

  restart(before: Process): void {
    // The directory knows the life before, or it does not.
    this.#begin(before.name, this.random.chance(0.8) ? before : undefined)
  }

  #begin(name: string, before: Process | undefined): void {
    const next = new Process(this, name, before?.incarnation)
    this.#current.set(name, next)
    this.trace(`${next.incarnation} begins as ${name}`)
  }

  /** Another life of `process`'s name begins while this one goes on. */
  double(process: Process): void {
    this.#others.push(process)
    this.restart(process)
  }

  /** Ends those of the lives that were doubled. */
  endOthers(): void {
    for (const other of this.#others) this.crash(other)
    this.#others = []
  }

  /** A new name, or one that had left. Undefined: there are enough. */
  grow(): string | undefined {
    if (!this.clustered) return undefined
    const free = Array.from({ length: MOST_PROCESSES }, (_, at) => `p${at}`).filter((name) => !this.#names.includes(name))
    if (free.length === 0) return undefined
    const name = this.random.pick(free)
    this.#names = [...this.#names, name].sort()
    this.#begin(name, undefined)
    return name
  }

  /** A name leaves the ring; its last life goes on until somebody ends it, or it has stopped. */
  shrink(): Process | undefined {
    if (this.#names.length < 2) return undefined
    const process = this.current(this.random.pick(this.#names))
    this.#names = this.#names.filter((name) => name !== process.name)
    this.#current.delete(process.name)
    this.#others.push(process)
    return process
  }

  /** Whom a client finds: the named one, or any, sometimes one that should not be there any more. */
  find(name?: string): Process {
    if (this.#nobody !== undefined) return this.#nobody
    const named = name === undefined ? undefined : this.#current.get(name)
    if (named !== undefined) return named
    const others = this.#others.filter((process) => process.alive)
    return others.length > 0 && this.random.chance(0.15) ? this.random.pick(others) : this.current(this.random.pick(this.#names))
  }

  /** Without any fault: a fresh process shows everything that anybody was told. */
  #recoverAll(): void {
    this.faults.end()
    for (const process of [...this.#current.values(), ...this.#others]) this.crash(process)
    this.#nobody = this.current(this.#names[0]!)
    this.storage.available = true
    this.storage.faults = { unknown: 0, failed: 0, typicalMs: 2 }
    this.fanOutFaults = { failed: 0, typicalMs: 1 }
    this.network.alone()
    const last = new Process(this, 'p0', undefined)
    this.#names = ['p0']
    this.#current = new Map([['p0', last]])
    let left = this.ids.length
    for (const id of this.ids) {
      last.request({ kind: 'read', request: { id, mode: 'strong', minIi: undefined } }, (answer) => {
        left -= 1
        if (answer.kind === 'state') this.checker.final(id, answer.state)
        else if (answer.kind === 'unwritten') this.checker.final(id, undefined)
        else throw new Violation(`the state ${id} cannot be read at the end: ${JSON.stringify(answer)}`)
      })
    }
    for (let steps = 0; left > 0; steps++) if (steps > 1_000_000 || !this.timeline.step()) throw new Violation('a fresh process does not answer')
    const untilMs = this.timeline.nowMs + PUBLISHED_AFTER_MS
    while (this.timeline.nowMs < untilMs && !this.ids.every((id) => this.checker.isPublished(id)) && this.timeline.step());
    for (const id of this.ids) this.checker.finallyPublished(id)
  }
}

/** Few states and slots, so that they meet. `together`: the first two are of one slot. */
function someIds(count: number, together: boolean): StateId[] {
  const ids = Array.from({ length: count }, (_, at) => `0000000${at}-0000-4000-8000-00000000000${at}` as StateId)
  for (let n = 0; together && ids.length > 1 && slotOf(ids[1]!) !== slotOf(ids[0]!); n++) ids[1] = `00000001-0000-4000-8000-${String(n).padStart(12, '0')}` as StateId
  return ids
}

export const simulate = (options: RunOptions): RunResult => new World(options).run()
