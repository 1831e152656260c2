/**
 * Domains whose module is a domain agent's, between the api, which knows them and what happens in them, and what runs
 * their agents in a process that has a door for published agents.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { DomainModule, JsonText, ModuleHandlers } from '#shared/ports/domain-worker.ts'

/** An interaction that a session brought in; told again where its message was sent again. `scope`, `patch`: as it sent them. */
export type StoredInteraction = { readonly session: string; readonly id: StateId; readonly scope: string; readonly patch: JsonText; readonly ii: InteractionIndex }

export interface AgentDomains {
  /** The agent's module in force; undefined: the domain has none, or it cannot be told now. */
  moduleOf(domain: string): DomainModule | undefined | Promise<DomainModule | undefined>
  /** From now on it hears of them. */
  attach(runner: AgentRunner): void
  /** For the report of the configuration in force: `done`, or what keeps the agent from running. */
  started(domain: string, outcome: string): void
  /** For the domain's admin. */
  lines(domain: string, lines: readonly string[]): void
  error(domain: string, message: string): void
  /** What a module that runs exports. */
  exported(module: DomainModule, handlers: ModuleHandlers): void
}

/** No method takes long: nobody waits for an agent. */
export interface AgentRunner {
  stored(module: DomainModule, interaction: StoredInteraction): void
  /** Whether a session is the agent's own, of which it hears nothing. */
  isOwn(session: string): boolean
  /** A handler of the module is to be called, which can be where it runs only. */
  ensure(module: DomainModule): void
  /** Another configuration, or none, may be in force. */
  configured(domain: string): void
}
