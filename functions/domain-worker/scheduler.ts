/**
 * Whose turn it is: as many tenants compute at once as there are cores, the others wait in line.
 *
 * Owns: the line, the turns. Does not own: what is done in a turn. I1. A tenant has one turn at a time, and after it goes to
 * the end of the line; of those who wait, whoever has computed least of late is next. It does not even wait where those who
 * have the turns have all computed far more: a few turns are kept for this, so that many who burn do not hold up who does
 * not. I2. No more than `living` tenants have a sandbox; one that is idle longest makes room.
 * Domain agents are counted by themselves.
 */
import { limits } from '#shared/limits.ts'
import type { Tenant } from './tenant.ts'

/** Times as much computed of late. */
const MUCH_HOTTER = 4

export class Scheduler {
  readonly #turns: number
  readonly #makeRoom: (tenant: Tenant) => boolean
  readonly #line = new Set<Tenant>()
  readonly #running = new Set<Tenant>()
  /** How long each computed of late, in ms, as of a moment; it halves with each `limits.turnMemoryMs`. */
  readonly #heat = new WeakMap<Tenant, { ms: number; atMs: number }>()
  readonly #begunMs = new Map<Tenant, number>()
  #isPumping = false

  /** `makeRoom`: for a sandbox of this tenant; false: there is none. */
  constructor(options: { readonly turns: number; readonly makeRoom: (tenant: Tenant) => boolean }) {
    this.#turns = options.turns
    this.#makeRoom = options.makeRoom
  }

  get othersWait(): boolean {
    return this.#line.size > 0
  }

  wants(tenant: Tenant): void {
    if (this.#running.has(tenant) || this.#line.has(tenant)) return
    this.#line.add(tenant)
    this.#soon()
  }

  over(tenant: Tenant): void {
    this.#running.delete(tenant)
    this.#heated(tenant)
    if (tenant.hasWork) this.#line.add(tenant)
    this.#soon()
  }

  forget(tenant: Tenant): void {
    this.#line.delete(tenant)
    this.#running.delete(tenant)
    this.#begunMs.delete(tenant)
  }

  #heated(tenant: Tenant): void {
    const nowMs = performance.now()
    const begunMs = this.#begunMs.get(tenant)
    if (begunMs === undefined) return
    this.#begunMs.delete(tenant)
    this.#heat.set(tenant, { ms: this.#heatOf(tenant, nowMs) + nowMs - begunMs, atMs: nowMs })
  }

  #heatOf(tenant: Tenant, nowMs: number): number {
    const heat = this.#heat.get(tenant)
    return heat === undefined ? 0 : heat.ms * 2 ** ((heat.atMs - nowMs) / limits.turnMemoryMs)
  }

  /** Of those who are as cool, whoever waits longest. */
  #coolestFirst(nowMs: number): Iterable<Tenant> {
    if (this.#line.size < 2 || this.#running.size >= this.#turns + limits.coolTurns) return this.#line
    const heats = new Map([...this.#line].map((tenant) => [tenant, this.#heatOf(tenant, nowMs)]))
    return [...this.#line].sort((a, b) => heats.get(a)! - heats.get(b)!)
  }

  #hasTurn(tenant: Tenant, nowMs: number): boolean {
    if (this.#running.size < this.#turns) return true
    if (this.#running.size >= this.#turns + limits.coolTurns) return false
    const heat = this.#heatOf(tenant, nowMs)
    const hotter = [...this.#running].filter((other) => this.#heatOf(other, nowMs) + nowMs - this.#begunMs.get(other)! > MUCH_HOTTER * heat)
    return hotter.length >= this.#turns
  }

  /** In a microtask: what else came in the same frame goes into the same step. */
  #soon(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    queueMicrotask(() => this.#pump())
  }

  #pump(): void {
    this.#isPumping = false
    const kept: Tenant[] = []
    const nowMs = performance.now()
    for (const tenant of this.#coolestFirst(nowMs)) {
      if (!this.#hasTurn(tenant, nowMs)) break
      this.#line.delete(tenant)
      if (!tenant.hasWork) continue
      if (!tenant.hasSandbox && !this.#makeRoom(tenant)) {
        kept.push(tenant)
        continue
      }
      this.#running.add(tenant)
      this.#begunMs.set(tenant, nowMs)
      tenant.begin()
    }
    // No room for a sandbox: the next turn that ends may make some.
    for (const tenant of kept) this.#line.add(tenant)
  }
}

/** Runs `look` every now and then while there is something to look at. */
export class Watch {
  readonly #look: () => boolean
  #timer: NodeJS.Timeout | undefined

  /** `look`: false where nothing is left to look at. */
  constructor(look: () => boolean) {
    this.#look = look
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      if (!this.#look()) this.stop()
    }, limits.sandboxLookMs)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
