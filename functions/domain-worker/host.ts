/**
 * The sandboxes of all domains in one process.
 *
 * Owns: the tenants, by domain and key of their module. Does not own: links. I1. A call of another key of a domain
 * supersedes those it has: they end when what they have at hand is done, a domain agent at once. I2. What is idle for
 * `sandboxIdleMs` ends; a domain agent lives until it is ended. I3. A domain has one agent at a time.
 */
import { limits } from '#shared/limits.ts'
import type { AgentEars, DomainModule, LoadOutcome, RunningAgent } from '#shared/ports/domain-worker.ts'
import { AgentLine } from './agent-line.ts'
import { Scheduler, Watch } from './scheduler.ts'
import { Tenant, type Call, type TenantBounds } from './tenant.ts'
import { WarmPool } from './warm-pool.ts'

export type HostOptions = TenantBounds & {
  readonly memoryBytes: number
  /** Sandboxes that live, that compute at once, that are made ahead. */
  readonly living: number
  readonly running: number
  readonly warm: number
}

export class SandboxHost {
  readonly #options: HostOptions
  readonly #pool: WarmPool
  readonly #scheduler: Scheduler
  readonly #tenants = new Map<string, Tenant>()
  readonly #watch = new Watch(() => this.#look())
  readonly #idle: NodeJS.Timeout
  #superseded = new Set<Tenant>()
  #closed = false

  constructor(options: HostOptions) {
    this.#options = options
    this.#pool = new WarmPool({
      size: options.warm,
      memoryBytes: options.memoryBytes,
      bounds: {
        result: options.resultBytes,
        message: limits.handlerMessageCharacters,
        logLine: limits.handlerLogCharacters,
        logLines: limits.handlerLogLines,
        agentCalls: options.agentCalls,
        agentText: options.agentBytes,
      },
    })
    this.#scheduler = new Scheduler({ turns: options.running, makeRoom: (tenant) => this.#makeRoom(tenant) })
    this.#idle = setInterval(() => this.#endIdle(), limits.sandboxIdleMs / 4).unref()
  }

  /** Threads that hold a domain's module. */
  get threads(): readonly number[] {
    return [...this.#tenants.values()].flatMap(({ threadId }) => threadId ?? [])
  }

  load(module: DomainModule, then: (outcome: LoadOutcome) => void): void {
    if (this.#closed) return then({ kind: 'unavailable', reason: 'the domain worker is stopping' })
    this.#watch.start()
    this.#tenant(module).load(then)
  }

  run(module: DomainModule, call: Call): void {
    if (this.#closed) return call.done({ kind: 'unavailable', reason: 'the domain worker is stopping' })
    this.#watch.start()
    const tenant = this.#tenant(module)
    this.#supersede(tenant)
    tenant.run(call)
  }

  /** Runs a module as its domain's agent. */
  agent(module: DomainModule, ears: AgentEars): RunningAgent {
    const tenant = this.#tenant(module)
    this.#supersede(tenant)
    if (tenant.line !== undefined) return tenant.line.join(ears)
    const line: AgentLine = new AgentLine({ ears, wants: () => this.#wants(tenant, line), over: (why) => tenant.endAgent(why) })
    const agents = [...this.#tenants.values()].filter(({ line: other }) => other !== undefined).length
    if (this.#closed) line.close({ kind: 'unavailable', reason: 'the domain worker is stopping' })
    else if (agents >= this.#options.living) line.close({ kind: 'unavailable', reason: 'too many domain agents run' })
    else {
      this.#watch.start()
      tenant.startAgent(line)
    }
    return {
      tell: (message) => line.tell(message),
      pass: () => undefined,
      end: () => (tenant.line === line ? tenant.endAgent(undefined) : line.close(undefined)),
    }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#idle)
    for (const tenant of this.#tenants.values()) tenant.end('the domain worker is stopping')
    this.#tenants.clear()
    this.#watch.stop()
    this.#pool.close()
  }

  #tenant(module: DomainModule): Tenant {
    const name = nameOf(module)
    const known = this.#tenants.get(name)
    if (known !== undefined) return known
    const tenant = new Tenant(module, {
      bounds: this.#options,
      take: () => this.#pool.take(),
      turn: { wants: (self) => this.#scheduler.wants(self), over: (self) => this.#scheduler.over(self) },
    })
    this.#tenants.set(name, tenant)
    this.#current.set(module.domain, this.#current.get(module.domain) ?? tenant)
    return tenant
  }

  /** Of each domain the tenant that was called last. */
  readonly #current = new Map<string, Tenant>()

  #wants(tenant: Tenant, line: AgentLine): void {
    if (tenant.line !== line) return
    this.#watch.start()
    tenant.wake()
  }

  #supersede(tenant: Tenant): void {
    const { domain } = tenant.module
    const before = this.#current.get(domain)
    if (before === tenant) return
    this.#current.set(domain, tenant)
    this.#superseded.delete(tenant)
    if (before === undefined) return
    before.endAgent({ kind: 'replaced' })
    this.#superseded.add(before)
  }

  #look(): boolean {
    let isBusy = false
    const { othersWait } = this.#scheduler
    for (const tenant of this.#tenants.values()) {
      tenant.look(othersWait)
      isBusy ||= !tenant.isQuiet
    }
    for (const tenant of this.#superseded) if (tenant.isIdle) this.#drop(tenant)
    return isBusy || this.#superseded.size > 0
  }

  #endIdle(): void {
    const before = performance.now() - limits.sandboxIdleMs
    for (const tenant of this.#tenants.values()) if (tenant.isIdle && tenant.usedAt < before) this.#drop(tenant)
  }

  #makeRoom(tenant: Tenant): boolean {
    // They had to find theirs when they were started.
    if (tenant.line !== undefined) return true
    const living = [...this.#tenants.values()].filter(({ hasSandbox, line }) => hasSandbox && line === undefined)
    if (living.length < this.#options.living) return true
    const [longest] = living.filter(({ isIdle }) => isIdle).sort((a, b) => a.usedAt - b.usedAt)
    if (longest !== undefined) this.#drop(longest)
    return longest !== undefined
  }

  #drop(tenant: Tenant): void {
    const { module } = tenant
    this.#superseded.delete(tenant)
    this.#tenants.delete(nameOf(module))
    if (this.#current.get(module.domain) === tenant) this.#current.delete(module.domain)
    this.#scheduler.forget(tenant)
    tenant.end('its sandbox was ended')
  }
}

/** A domain has no line feed in it. */
const nameOf = ({ domain, key }: DomainModule): string => `${domain}\n${key}`
