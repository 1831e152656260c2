/**
 * The handlers of domains, run for patches.
 *
 * Owns: which handlers each module in force exports, learnt once. Does not own: sandboxes (the domain worker), what handlers
 * do (agent.ts), the order of the request loop. Talks to: configurations in force, the worker, the domain's log.
 *
 * A module may be a domain agent's as well: then its agent hears of what was stored, whatever else the module exports.
 *
 * I1. A domain without a module costs a look into a map.
 * I2. What a handler says is a tenant's text: clients get the reason that it gave them, and else our own words.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import { parsePatch } from '#shared/patch/parse.ts'
import type { StoredInteraction } from '#shared/ports/agent-domains.ts'
import type { CallOutcome, DomainModule, DomainWorker, HandlerAgent, ModuleHandlers } from '#shared/ports/domain-worker.ts'
import type { DomainLogs } from './domain-logs.ts'
import type { InForceAnswer, InForceDomains } from './in-force.ts'

/** The module of a domain, and what it exports. `exports`: what the request loop has to run; for an agent's, what was stored is told to it in `after`. */
export type DomainHandlers = { readonly domain: string; readonly module: DomainModule; readonly exports: ModuleHandlers; readonly isAgent: boolean; readonly hasAfter: boolean }
export type HandlersAnswer = DomainHandlers | 'none' | 'unavailable'

/** What happened, as domains.md offers it to handlers. */
export type HandlerEvent = {
  readonly session: string | null
  readonly user: string
  readonly scope: string
  readonly id: StateId
  readonly activeType: string
  /** JSON text. */
  readonly patch: string
  readonly ii: InteractionIndex
}

export type Judgement =
  | { readonly kind: 'go-on' }
  | { readonly kind: 'changed'; readonly ops: Op[] }
  | { readonly kind: 'rejected'; readonly reason: string }
  /** It threw something else, answered with what is no patch, or passed a bound other than time and memory. */
  | { readonly kind: 'handler-error' }
  /** Over its time or memory. */
  | { readonly kind: 'handler-exceeded' }
  | { readonly kind: 'unavailable'; readonly reason: string }

/** JSON text for the member `handler` of the 200; undefined: the handler returned nothing. */
export type HandlerResult = string | undefined

export type HandlersOptions = {
  readonly inForce: InForceDomains
  readonly worker: DomainWorker
  readonly logs: DomainLogs
  /** The agent that acts for a handler: `key` is the request's, from which the keys of its own patches are made. */
  readonly agentOf: (domain: string, key: string) => HandlerAgent
  /** Domains whose module is a domain agent's. */
  readonly agents: HandlersAgents
}

export type HandlersAgents = {
  stored(module: DomainModule, interaction: StoredInteraction): void
  /** Whether the session is the agent's own: no handler is run for it, and it is not told. */
  isOwn(session: string | null): boolean
  /** It must run for its handlers to be called. */
  ensure(module: DomainModule): void
}

const GO_ON: Judgement = { kind: 'go-on' }

export class Handlers {
  readonly #options: HandlersOptions
  readonly #known = new Map<string, DomainHandlers>()

  constructor(options: HandlersOptions) {
    this.#options = options
  }

  of(domain: string): HandlersAnswer | Promise<HandlersAnswer> {
    const present = this.#options.inForce.of(domain)
    if (present instanceof Promise) return present.then((answer) => this.#of(domain, answer))
    return this.#of(domain, present)
  }

  async judge(handlers: DomainHandlers, event: HandlerEvent, state: string, key: string): Promise<Judgement> {
    if (handlers.isAgent && this.#options.agents.isOwn(event.session)) return GO_ON
    const outcome = await this.#call(handlers, 'prePersistence', `{${members(event)},"state":${state}}`, `pre ${key}`)
    switch (outcome.kind) {
      case 'returned':
        return judgementOf(outcome.value)
      case 'rejected':
        return { kind: 'rejected', reason: outcome.reason }
      case 'threw':
        return { kind: 'handler-error' }
      case 'exceeded':
        return outcome.what === 'time' || outcome.what === 'memory' ? { kind: 'handler-exceeded' } : { kind: 'handler-error' }
      case 'unavailable':
        return { kind: 'unavailable', reason: "the domain's handlers cannot be run just now" }
    }
  }

  async after(handlers: DomainHandlers, event: HandlerEvent, key: string): Promise<HandlerResult> {
    if (handlers.isAgent) {
      const { session, id, scope, patch, ii } = event
      if (this.#options.agents.isOwn(session)) return undefined
      if (session !== null) this.#options.agents.stored(handlers.module, { session, id, scope, patch, ii })
      if (!handlers.hasAfter) return undefined
    }
    const outcome = await this.#call(handlers, 'postPersistence', `{${members(event)}}`, `post ${key}`)
    switch (outcome.kind) {
      case 'returned':
        return outcome.value === undefined ? undefined : JSON.stringify({ result: outcome.value })
      case 'rejected':
      case 'threw':
        return FAILED
      case 'exceeded':
        return outcome.what === 'time' || outcome.what === 'memory' ? EXCEEDED : FAILED
      case 'unavailable':
        return UNAVAILABLE
    }
  }

  /** Once, when a configuration takes effect. Its outcome is in the domain's log. */
  async configure(handlers: DomainHandlers, key: string): Promise<CallOutcome> {
    return this.#call(handlers, 'configure', JSON.stringify({ domain: handlers.domain }), `configure ${key}`)
  }

  async closeScript(handlers: DomainHandlers, of: { readonly script: string; readonly args: Json; readonly session: string; readonly user: string; readonly key: string }): Promise<CallOutcome> {
    const { script, args, session, user, key } = of
    return this.#call(handlers, { closeScript: script }, JSON.stringify([args, { session, user }]), `close ${key}`)
  }

  /** The patch that the pre-persistence handler answered with cannot be applied: for the domain's report. */
  unfit({ domain }: DomainHandlers): void {
    this.#options.logs.error(domain, 'prePersistence: its patch cannot be applied to the state')
  }

  /** What `module` exports, before it is in force. */
  load(module: DomainModule): ReturnType<DomainWorker['load']> {
    return this.#options.worker.load(module)
  }

  /** What the module of a domain agent exports shows for good when it runs. */
  learn(module: DomainModule, exports: ModuleHandlers): void {
    const known = this.#known.get(module.domain)
    if (known?.module.key === module.key) this.#known.set(module.domain, handlersOf(module, exports, known.isAgent))
  }

  #of(domain: string, present: InForceAnswer): HandlersAnswer | Promise<HandlersAnswer> {
    if (typeof present === 'string') return present
    if (present.module === undefined) return 'none'
    const known = this.#known.get(domain)
    return known?.module.key === present.module.key ? known : this.#learn(present.module)
  }

  async #learn(module: DomainModule): Promise<HandlersAnswer> {
    const loaded = await this.#options.worker.load(module)
    switch (loaded.kind) {
      case 'loaded': {
        const handlers = handlersOf(module, loaded.handlers, loaded.isAgent === true)
        this.#known.set(module.domain, handlers)
        return handlers
      }
      case 'faulty':
        // It loaded when it came into force: what it needs of time or memory is not there now.
        this.#options.logs.error(module.domain, `the module does not load: ${loaded.message}`)
        return 'unavailable'
      case 'unavailable':
        return 'unavailable'
    }
  }

  async #call(handlers: DomainHandlers, handler: Parameters<DomainWorker['call']>[0]['handler'], argument: string, key: string): Promise<CallOutcome> {
    const { worker, logs, agentOf } = this.#options
    const { domain, module } = handlers
    if (handlers.isAgent) this.#options.agents.ensure(module)
    const outcome = await worker.call({ module, handler, argument }, agentOf(domain, key))
    const name = typeof handler === 'string' ? handler : `close script ${handler.closeScript}`
    if (outcome.kind !== 'unavailable' && outcome.log.length > 0) logs.lines(domain, outcome.log)
    if (outcome.kind === 'threw') logs.error(domain, `${name}: ${outcome.message}`)
    if (outcome.kind === 'exceeded') logs.error(domain, `${name}: over its bound of ${outcome.what}`)
    return outcome
  }
}

function handlersOf(module: DomainModule, exports: ModuleHandlers, isAgent: boolean): DomainHandlers {
  const hasAfter = exports.postPersistence
  return { domain: module.domain, module, exports: isAgent ? { ...exports, postPersistence: true } : exports, isAgent, hasAfter }
}

const FAILED = '{"error":"the handler failed"}'
const EXCEEDED = '{"error":"the handler took more time or memory than it may"}'
export const UNAVAILABLE = '{"error":"the handler could not be run"}'

function members({ session, user, scope, id, activeType, patch, ii }: HandlerEvent): string {
  return `"session":${JSON.stringify(session)},"user":${JSON.stringify(user)},"scope":${JSON.stringify(scope)},"id":"${id}","active_type":${JSON.stringify(activeType)},"patch":${patch},"ii":${ii}`
}

function judgementOf(value: Json | undefined): Judgement {
  if (value === undefined || value === null) return GO_ON
  if (typeof value !== 'object' || Array.isArray(value) || !Object.hasOwn(value, 'patch')) return { kind: 'handler-error' }
  const parsed = parsePatch(value['patch'])
  return parsed.fault === undefined && parsed.ops.length > 0 ? { kind: 'changed', ops: parsed.ops } : { kind: 'handler-error' }
}
