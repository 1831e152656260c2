/**
 * What goes wrong in a run: crashes, pauses, doubles, storage that is gone, cut links, clocks that jump, processes that
 * come and go, all that stop at once.
 *
 * Owns: when. I1. It ends: what never comes to rest need not get anywhere.
 */
import type { Process } from './process.ts'
import type { World } from './world.ts'

const FAULTS_MS = 300_000

export class Faults {
  readonly #world: World
  #over = false
  /**
   * Either wall clocks jump, or monotonic clocks stand still while a machine sleeps: of both at once nobody can tell how
   * much time has passed (rule L2).
   */
  readonly #clocksJump: boolean
  readonly #delicacy: number
  readonly #kinds: readonly (readonly [weight: number, run: () => void])[]

  constructor(world: World) {
    this.#world = world
    this.#clocksJump = world.random.chance(0.5)
    this.#delicacy = world.random.pick([0, 0.01, 0.1])
    this.#kinds = [
      [25, () => this.#crash()],
      [18, () => this.#pause()],
      [8, () => this.#world.double(this.#anybody())],
      [10, () => this.#storageGone()],
      [8, () => this.#stop()],
      [14, () => this.#world.network.cut(this.#world.trace)],
      [6, () => this.#world.endOthers()],
      [2, () => this.#stopAll()],
      [3, () => this.#grow()],
      [3, () => this.#shrink()],
      [4, () => this.#clockJumps(this.#anybody())],
      [2, () => this.#world.network.directoryFault(this.#world.trace)],
    ]
  }

  start(): void {
    const { random, timeline, network } = this.#world
    if (random.chance(0.2)) network.ghost(random.pick(['p0', 'p7', 'p8']))
    const fault = (): void => {
      if (this.#over || timeline.nowMs > FAULTS_MS) return
      let dice = random.between(0, this.#kinds.reduce((sum, [weight]) => sum + weight, 0) - 1)
      this.#kinds.find(([weight]) => (dice -= weight) < 0)![1]()
      timeline.after(random.delayMs(random.pick([300, 2000, 20_000])), fault)
    }
    timeline.after(random.delayMs(2000), fault)
    network.onDelicate = (process) => this.delicate(process)
  }

  /** `process` is in the middle of something: it crashes, freezes, or another life of it begins, now or a little later. */
  delicate(process: Process): void {
    const { random, timeline, trace, storage } = this.#world
    if (this.#over || timeline.nowMs > FAULTS_MS || !random.chance(this.#delicacy)) return
    timeline.after(random.between(0, storage.faults.typicalMs), () => {
      if (this.#over || !process.alive || this.#world.current(process.name) !== process) return
      trace(`${process.incarnation} is met at a delicate moment`)
      const dice = random.next()
      if (dice < 0.4) {
        this.#world.crash(process)
        this.#world.restart(process)
      } else if (dice < 0.7) this.#world.double(process)
      else this.#freeze(process)
    })
  }

  end(): void {
    this.#over = true
  }

  #anybody(): Process {
    return this.#world.current(this.#world.random.pick(this.#world.names))
  }

  #crash(): void {
    const process = this.#anybody()
    this.#world.trace(`${process.incarnation} crashes`)
    this.#world.crash(process)
    this.#world.restart(process)
  }

  #pause(): void {
    this.#freeze(this.#anybody())
  }

  /** For longer than a lease, or shorter; another life begins meanwhile, or not. */
  #freeze(process: Process): void {
    const { random, timeline, trace } = this.#world
    process.pause(!this.#clocksJump && random.chance(0.5))
    trace(`${process.incarnation} pauses`)
    if (random.chance(0.5)) this.#world.double(process)
    if (random.chance(0.3)) this.#clockJumps(process)
    timeline.after(random.between(50, 6000), () => {
      trace(`${process.incarnation} wakes up`)
      process.wake()
    })
  }

  #storageGone(): void {
    const { random, timeline, trace, storage } = this.#world
    trace('storage is gone')
    storage.available = false
    timeline.after(random.between(100, 3000), () => (storage.available = true))
  }

  #stop(): void {
    const process = this.#anybody()
    this.#world.trace(`${process.incarnation} stops`)
    process.step({ kind: 'stop' })
  }

  #stopAll(): void {
    this.#world.trace('all stop')
    for (const name of this.#world.names) this.#world.current(name).step({ kind: 'stop' })
  }

  #grow(): void {
    const name = this.#world.grow()
    if (name !== undefined) this.#world.trace(`the ring grows by ${name}`)
  }

  /** One leaves for good, orderly or not; in its place comes another, some time. */
  #shrink(): void {
    const { random, timeline, trace } = this.#world
    const process = this.#world.shrink()
    if (process === undefined) return
    trace(`the ring shrinks by ${process.name}, ${process.incarnation}`)
    if (random.chance(0.5)) process.step({ kind: 'stop' })
    else this.#world.crash(process)
    timeline.after(random.between(1_000, 20_000), () => {
      if (!this.#over) this.#grow()
    })
  }

  #clockJumps(process: Process): void {
    if (!this.#clocksJump) return
    const { random, trace } = this.#world
    const byMs = random.pick([-1, 1]) * random.pick([500, 5_000, 3_600_000])
    trace(`${process.incarnation}'s wall clock jumps by ${byMs} ms`)
    process.offsetMs += byMs
  }
}
