/**
 * Domains whose module is a domain agent's, as the api knows them.
 *
 * Owns: who runs their agents, if anybody does here. Does not own: agents. Talks to: handlers, which learn what a module is;
 * the domain's log and report.
 */
import type { AgentDomains, AgentRunner, StoredInteraction } from '#shared/ports/agent-domains.ts'
import type { DomainModule, ModuleHandlers } from '#shared/ports/domain-worker.ts'
import type { DomainLogs } from './domains/domain-logs.ts'
import type { Handlers, HandlersAnswer } from './domains/handlers.ts'
import type { InForceDomains } from './domains/in-force.ts'
import type { WallClock } from './parts.ts'

/** How far clocks may be apart. */
const SKEW_MS = 60_000

export type ApiAgentDomainsOptions = { readonly handlers: () => Handlers; readonly logs: DomainLogs; readonly inForce: InForceDomains; readonly clock: WallClock }

export class ApiAgentDomains implements AgentDomains {
  readonly #options: ApiAgentDomainsOptions
  #runner: AgentRunner | undefined

  constructor(options: ApiAgentDomainsOptions) {
    this.#options = options
  }

  moduleOf(domain: string): DomainModule | undefined | Promise<DomainModule | undefined> {
    const of = this.#options.handlers().of(domain)
    return of instanceof Promise ? of.then(agentOf) : agentOf(of)
  }

  attach(runner: AgentRunner): void {
    this.#runner = runner
    const sinceMs = this.#options.clock.wallMs() - SKEW_MS
    // What is found at the start is left alone until something happens in its domain: most have no agent. The tables of a new
    // configuration are filled when nothing is being applied any more.
    this.#options.inForce.onChange(({ domain, config, applying }) => {
      if (applying === undefined && config !== undefined && config.sinceMs > sinceMs) runner.configured(domain)
    })
  }

  started(domain: string, outcome: string): void {
    this.#options.logs.agentStarted(domain, outcome)
  }

  lines(domain: string, lines: readonly string[]): void {
    this.#options.logs.lines(domain, lines)
  }

  error(domain: string, message: string): void {
    this.#options.logs.error(domain, message)
  }

  exported(module: DomainModule, handlers: ModuleHandlers): void {
    this.#options.handlers().learn(module, handlers)
  }

  // --- For handlers ------------------------------------------------------------------------------

  stored(module: DomainModule, interaction: StoredInteraction): void {
    this.#runner?.stored(module, interaction)
  }

  isOwn(session: string | null): boolean {
    return session !== null && this.#runner?.isOwn(session) === true
  }

  ensure(module: DomainModule): void {
    this.#runner?.ensure(module)
  }
}

function agentOf(of: HandlersAnswer): DomainModule | undefined {
  return typeof of === 'string' || !of.isAgent ? undefined : of.module
}
