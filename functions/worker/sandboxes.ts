/**
 * The sandboxes of all domains of one worker, and whose turn it is.
 *
 * Owns: which modules have a sandbox, empty ones made in advance, the queue. Does not own: calls (tenant.ts).
 *
 * I1. As many compute at once as there are cores; the others wait in the order in which they came, each domain once.
 * I2. Who computes while others wait is ended after a slice, and after the time of a call in any case.
 * I3. One that nobody uses is ended; a new module of a domain has a sandbox of its own, and the old one ends with its calls.
 */
import { availableParallelism } from 'node:os'
import type { CallOutcome, DomainModule, DomainWorker, HandlerAgent, HandlerCall, LoadOutcome } from '#shared/ports/domain-worker.ts'
import { Sandbox } from './sandbox.ts'
import { Tenant } from './tenant.ts'
import { CALLS_WAITING, IDLE_MS, SANDBOXES, SPARES, SWEEP_MS } from './worker-bounds.ts'
import type { WorkerBounds } from './worker-bounds.ts'

const BUSY: CallOutcome & LoadOutcome = { kind: 'unavailable', reason: 'too many handlers are running' }

export class Sandboxes implements DomainWorker {
  readonly #bounds: WorkerBounds
  readonly #slots = Math.max(1, availableParallelism())
  /** By domain and key. */
  readonly #tenants = new Map<string, Tenant>()
  readonly #queue = new Set<Tenant>()
  /** Who computes, and since when. */
  readonly #running = new Map<Tenant, number>()
  #spares: Sandbox[] = []
  readonly #sweep: NodeJS.Timeout
  #isClosed = false

  constructor(bounds: WorkerBounds) {
    this.#bounds = bounds
    this.#makeSpares()
    this.#sweep = setInterval(() => this.#look(), SWEEP_MS).unref()
  }

  async load(module: DomainModule): Promise<LoadOutcome> {
    const tenant = this.#of(module)
    if (tenant === undefined) return BUSY
    const timer = setTimeout(() => tenant.cut('time'), this.#bounds.callMs)
    const loaded = await tenant.load()
    clearTimeout(timer)
    if (loaded.kind !== 'loaded') this.#drop(tenant)
    return loaded
  }

  async call(call: HandlerCall, agent: HandlerAgent): Promise<CallOutcome> {
    const tenant = this.#of(call.module)
    if (tenant === undefined || tenant.openCalls >= CALLS_WAITING) return BUSY
    return tenant.call(call, agent)
  }

  close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#sweep)
    for (const tenant of this.#tenants.values()) tenant.close()
    for (const spare of this.#spares) spare.end()
    return Promise.resolve()
  }

  #of(module: DomainModule): Tenant | undefined {
    if (this.#isClosed) return undefined
    const name = `${module.domain} ${module.key}`
    const known = this.#tenants.get(name)
    if (known !== undefined) return known
    if (this.#tenants.size >= SANDBOXES && !this.#makeRoom()) return undefined
    const tenant = new Tenant({ module, fresh: () => this.#fresh(), onWork: (each) => this.#ask(each), callMs: this.#bounds.callMs })
    this.#tenants.set(name, tenant)
    return tenant
  }

  #makeRoom(): boolean {
    let oldest: Tenant | undefined
    for (const tenant of this.#tenants.values()) if (tenant.isIdle && !this.#running.has(tenant) && (oldest === undefined || tenant.usedMs < oldest.usedMs)) oldest = tenant
    if (oldest !== undefined) this.#drop(oldest)
    return oldest !== undefined
  }

  #drop(tenant: Tenant): void {
    for (const [name, each] of this.#tenants) if (each === tenant) this.#tenants.delete(name)
    this.#queue.delete(tenant)
    tenant.close()
  }

  #fresh(): Sandbox {
    const spare = this.#spares.find(({ isEnded }) => !isEnded)
    this.#spares = this.#spares.filter((each) => each !== spare && !each.isEnded)
    // After what is under way: a thread takes its time to start.
    setImmediate(() => this.#makeSpares())
    return spare ?? new Sandbox(this.#bounds)
  }

  #makeSpares(): void {
    while (!this.#isClosed && this.#spares.length < SPARES) this.#spares.push(new Sandbox(this.#bounds))
  }

  #ask(tenant: Tenant): void {
    if (this.#running.has(tenant)) return
    this.#queue.add(tenant)
    // What this turn of the loop brings goes in one step.
    setImmediate(() => this.#pump())
  }

  #pump(): void {
    for (const tenant of this.#queue) {
      if (this.#running.size >= this.#slots) return
      this.#queue.delete(tenant)
      if (!tenant.hasWork) continue
      this.#running.set(tenant, performance.now())
      void tenant.step().then(() => {
        this.#running.delete(tenant)
        if (tenant.hasWork) this.#queue.add(tenant)
        this.#pump()
      })
    }
  }

  #look(): void {
    const nowMs = performance.now()
    for (const [tenant, sinceMs] of this.#running) {
      const ranMs = nowMs - sinceMs
      if (ranMs > this.#bounds.callMs || (ranMs > this.#bounds.sliceMs && this.#queue.size > 0)) tenant.cut('time')
    }
    for (const tenant of this.#tenants.values()) {
      tenant.sweep(nowMs)
      if (tenant.isIdle && nowMs - tenant.usedMs > IDLE_MS && !this.#running.has(tenant)) this.#drop(tenant)
    }
  }
}
