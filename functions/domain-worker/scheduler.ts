/**
 * Whose turn it is: as many tenants compute at once as there are cores, the others wait in line.
 *
 * Owns: the line, the turns. Does not own: what is done in a turn. I1. A tenant has one turn at a time, and after it goes to
 * the end of the line. I2. No more than `living` tenants have a sandbox; one that is idle longest makes room.
 */
import { limits } from '#shared/limits.ts'
import type { Tenant } from './tenant.ts'

export class Scheduler {
  readonly #turns: number
  readonly #makeRoom: () => boolean
  readonly #line = new Set<Tenant>()
  readonly #running = new Set<Tenant>()
  #isPumping = false

  /** `makeRoom`: for one more sandbox; false: there is none. */
  constructor(options: { readonly turns: number; readonly makeRoom: () => boolean }) {
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
    if (tenant.hasWork) this.#line.add(tenant)
    this.#soon()
  }

  forget(tenant: Tenant): void {
    this.#line.delete(tenant)
    this.#running.delete(tenant)
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
    for (const tenant of this.#line) {
      if (this.#running.size >= this.#turns) break
      this.#line.delete(tenant)
      if (!tenant.hasWork) continue
      if (!tenant.hasSandbox && !this.#makeRoom()) {
        kept.push(tenant)
        continue
      }
      this.#running.add(tenant)
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
