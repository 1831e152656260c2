/**
 * The agents of all domains that have one, in a process with a door for published agents.
 *
 * Owns: the agent of each domain, which sessions of published agents run here. Does not own: what an agent does
 * (domain-agent.ts), sessions. Talks to: the ground of the door, which it hears sessions begin and end by; the api, by what is
 * stored.
 *
 * I1. Nobody waits for an agent. I2. A domain without one costs a look into a map, and an entry a session.
 */
import { LRUCache } from 'lru-cache'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { Log } from '#shared/log.ts'
import type { AgentDoor } from '#shared/ports/agent-door.ts'
import type { AgentDomains, AgentRunner, StoredInteraction } from '#shared/ports/agent-domains.ts'
import type { AgentGround, AgentSession } from '#shared/ports/agent-ground.ts'
import type { DomainModule, DomainWorker } from '#shared/ports/domain-worker.ts'
import { DomainAgent } from './domain-agent.ts'

export type DomainAgentsOptions = {
  readonly domains: AgentDomains
  readonly ground: AgentGround
  readonly worker: DomainWorker
  readonly log: Pick<Log, 'error'>
}

export class DomainAgents implements AgentRunner {
  /** For the door: as the one that was given, but that sessions are heard of, and agents let in. */
  readonly ground: AgentGround
  readonly #options: DomainAgentsOptions
  readonly #agents = new Map<string, DomainAgent>()
  readonly #bySecret = new Map<string, DomainAgent>()
  /** Sessions that went to another process are not heard of: the oldest go. */
  readonly #users = new LRUCache<string, string>({ max: limits.agentSessions })
  readonly #own = new Map<string, DomainAgent>()
  #door: AgentDoor | undefined
  #isClosed = false

  constructor(options: DomainAgentsOptions) {
    this.#options = options
    this.ground = this.#observed(options.ground)
  }

  /** From now on agents run: their connections go through this door. */
  open(door: AgentDoor): void {
    this.#door = door
    this.#options.domains.attach(this)
  }

  close(): void {
    this.#isClosed = true
    for (const agent of this.#agents.values()) agent.end()
    this.#agents.clear()
  }

  // --- What the api tells ------------------------------------------------------------------------

  stored(module: DomainModule, interaction: StoredInteraction): void {
    // Patches over REST have sessions too: of those an agent learns by following states.
    if (this.#users.get(interaction.session) !== undefined) this.#agentOf(module)?.stored(interaction)
  }

  isOwn(session: string): boolean {
    return this.#own.get(session)?.isOwn(session) === true
  }

  ensure(module: DomainModule): void {
    this.#agentOf(module)?.ensure()
  }

  configured(domain: string): void {
    void this.#withModule(domain, (module) => {
      if (module !== undefined) return this.ensure(module)
      this.#agents.get(domain)?.end()
      this.#agents.delete(domain)
    })
  }

  // --- What the door tells -----------------------------------------------------------------------

  #observed(ground: AgentGround): AgentGround {
    return {
      ...ground,
      begin: async (greeting, token) => {
        const agent = this.#bySecret.get(greeting.sid)
        const begun = agent === undefined ? await ground.begin(greeting, token) : agent.begin(greeting.domain)
        if (begun.kind !== 'new') return begun
        if (agent !== undefined) this.#own.set(begun.session.session, agent)
        this.#began(begun.session, true)
        return begun
      },
      resume: async (greeting, session) => {
        const agent = this.#bySecret.get(greeting.sid)
        const found = agent === undefined ? await ground.resume(greeting, session) : agent.resume(greeting.domain, session)
        if (found.kind === 'resumed') this.#began(found.session, false)
        return found
      },
      // Of an agent's sessions nothing is kept: they end with it.
      keep: (session, version, change) => (this.#own.has(session.session) ? Promise.resolve({ kind: 'unavailable' }) : ground.keep(session, version, change)),
      end: (session, info) => {
        this.#ended(session, info)
        return ground.end(session, info)
      },
    }
  }

  #began({ session, user, domain }: AgentSession, isNew: boolean): void {
    if (this.isOwn(session)) return
    this.#users.set(session, user)
    if (!isNew) return
    void this.#withModule(domain, (module) => {
      if (module !== undefined) this.#agentOf(module)?.opened(session, user)
    })
  }

  #ended({ session, domain }: AgentSession, info: Json): void {
    this.#own.get(session)?.sessionEnded(session)
    this.#own.delete(session)
    this.#users.delete(session)
    this.#agents.get(domain)?.closed(session, info)
  }

  // --- Agents ------------------------------------------------------------------------------------

  /** In this turn where it is known. */
  async #withModule(domain: string, then: (module: DomainModule | undefined) => void): Promise<void> {
    try {
      const module = this.#options.domains.moduleOf(domain)
      then(module instanceof Promise ? await module : module)
    } catch (error) {
      this.#options.log.error({ err: error, domain }, 'the agent of a domain could not be looked after')
    }
  }

  #agentOf(module: DomainModule): DomainAgent | undefined {
    const present = this.#agents.get(module.domain)
    if (present?.module.key === module.key) return present
    const door = this.#door
    if (door === undefined || this.#isClosed) return undefined
    present?.end()
    const agent = new DomainAgent(module, {
      worker: this.#options.worker,
      domains: this.#options.domains,
      door,
      greets: (secret, of) => void (of === undefined ? this.#bySecret.delete(secret) : this.#bySecret.set(secret, of)),
      forget: (sessions) => {
        for (const session of sessions) this.#own.delete(session)
      },
      userOf: (session) => this.#users.get(session),
    })
    this.#agents.set(module.domain, agent)
    return agent
  }
}
