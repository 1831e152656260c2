/**
 * The links of a domain worker: apis that call handlers, and do what these ask of their agent.
 *
 * Owns: per link, the modules told on it and the agent calls under way. I1. A call's agent calls go back over the link
 * that it came on. I2. Of a link that has ended nothing is answered; its calls run to their end, their agent fails.
 * I3. A domain agent ends with the link that started it; others that joined learn of it.
 */
import type { Incarnation } from '#shared/ids.ts'
import { acceptWith, type LinkCredentials, type LinkServer } from '#shared/link/connect.ts'
import type { Link } from '#shared/link/link.ts'
import { workerCodec, type WorkerMessage } from '#shared/link/worker-messages.ts'
import type { AgentEars, DomainModule, Handler, RunningAgent } from '#shared/ports/domain-worker.ts'
import { HANDLERS } from './bridge.ts'
import type { SandboxHost } from './host.ts'
import type { AskAnswer } from './tenant.ts'

type CallMessage = Extract<WorkerMessage, { kind: 'call' }>

const GONE: AskAnswer = { ok: false, text: '"the platform cannot be reached"' }

export function serveDomainWorker(options: {
  readonly sandboxes: SandboxHost
  readonly host: string
  readonly port: number
  readonly credentials: LinkCredentials
  readonly incarnation: Incarnation
}): Promise<LinkServer> {
  const { sandboxes, host, port, credentials, incarnation } = options
  return acceptWith(workerCodec, {
    host,
    port,
    credentials,
    hello: () => ({ role: 'domain-worker', name: 'domain-worker', incarnation }),
    onLink: (link) => new CallerLink(link, sandboxes),
  })
}

class CallerLink {
  readonly #link: Link<WorkerMessage>
  readonly #sandboxes: SandboxHost
  readonly #modules = new Map<number, DomainModule>()
  #nextAsk = 1
  readonly #agents = new Map<number, RunningAgent>()
  readonly #asks = new Map<number, (answer: AskAnswer) => void>()
  /** Calls that have nothing to say but that they are over: told together. */
  #done: number[] = []
  #ended = false

  constructor(link: Link<WorkerMessage>, sandboxes: SandboxHost) {
    this.#link = link
    this.#sandboxes = sandboxes
    link.onMessage = (message) => this.#received(message)
    link.onEnd = () => {
      this.#ended = true
      const asks = [...this.#asks.values()]
      this.#asks.clear()
      for (const then of asks) then(GONE)
      for (const agent of this.#agents.values()) agent.end()
      this.#agents.clear()
    }
  }

  #received(message: WorkerMessage): void {
    switch (message.kind) {
      case 'module':
        return void this.#modules.set(message.module, { domain: message.domain, key: message.key, source: message.source })
      case 'drop':
        return void this.#modules.delete(message.module)
      case 'call':
        return this.#call(message)
      case 'load': {
        const module = this.#modules.get(message.module)
        if (module === undefined) return this.#link.end()
        return this.#sandboxes.load(module, (outcome) => this.#link.send({ kind: 'loaded', token: message.token, outcome }))
      }
      case 'answer': {
        const then = this.#asks.get(message.ask)
        this.#asks.delete(message.ask)
        return then?.({ ok: message.ok, text: message.text })
      }
      case 'agent':
        return this.#agent(message.agent, message.module)
      case 'tell':
        return this.#agents.get(message.agent)?.tell(message.text)
      case 'pass':
        return this.#agents.get(message.agent)?.pass(message.text)
      case 'end-agent':
        this.#agents.get(message.agent)?.end()
        return void this.#agents.delete(message.agent)
      case 'done':
      case 'outcome':
      case 'loaded':
      case 'ask':
      case 'said':
      case 'passed':
      case 'agent-joined':
      case 'agent-log':
      case 'agent-settled':
      case 'agent-ended':
        return this.#link.end()
    }
  }

  #call({ token, module: number, handler, deadlineMs, argument }: CallMessage): void {
    const module = this.#modules.get(number)
    if (module === undefined) return this.#link.end()
    this.#sandboxes.run(module, {
      handler: codeOf(handler),
      argument,
      deadlineMs,
      done: (outcome) => {
        if (outcome.kind === 'returned' && outcome.value === undefined && outcome.log.length === 0) this.#isDone(token)
        else this.#link.send({ kind: 'outcome', token, outcome })
      },
      ask: (asked, then) => {
        if (this.#ended) return then(GONE)
        const ask = this.#nextAsk++
        this.#asks.set(ask, then)
        this.#link.send({ kind: 'ask', token, ask, ...asked })
      },
    })
  }

  #agent(agent: number, number: number): void {
    const module = this.#modules.get(number)
    if (module === undefined || this.#agents.has(agent)) return this.#link.end()
    let isOver = false
    const ears: AgentEars = {
      said: (connection, text) => this.#link.send({ kind: 'said', agent, connection, text }),
      settled: (handlers) => this.#link.send({ kind: 'agent-settled', agent, handlers }),
      log: (lines) => this.#link.send({ kind: 'agent-log', agent, lines }),
      joined: () => this.#link.send({ kind: 'agent-joined', agent }),
      passed: (text) => this.#link.send({ kind: 'passed', agent, text }),
      ended: (why) => {
        isOver = true
        this.#agents.delete(agent)
        this.#link.send({ kind: 'agent-ended', agent, why })
      },
    }
    const running = this.#sandboxes.agent(module, ears)
    if (!isOver) this.#agents.set(agent, running)
  }

  #isDone(token: number): void {
    this.#done.push(token)
    if (this.#done.length > 1) return
    queueMicrotask(() => {
      const tokens = this.#done
      this.#done = []
      this.#link.send({ kind: 'done', tokens })
    })
  }
}

const codeOf = (handler: Handler): number | string => (typeof handler === 'string' ? HANDLERS.indexOf(handler) : handler.closeScript)
