/**
 * A domain worker behind a link.
 *
 * Owns: one link, dialled again when it ends; the calls under way on it, what it was told of modules. I1. A call ends with
 * one outcome: the worker's, or `unavailable` when the link ends or nothing comes within `handlerAnswerMs`. I2. A call made
 * while there is no link waits for one, for `handlerWaitMs`: a worker that has died is started again meanwhile. I3. A domain
 * agent lives on one link, and ends with it; who wants it back starts it again.
 */
import type { Incarnation } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { dialWith, type LinkCredentials } from '#shared/link/connect.ts'
import type { Link } from '#shared/link/link.ts'
import { workerCodec, type WorkerMessage, type WorkerOutcome } from '#shared/link/worker-messages.ts'
import type { AgentAnswer, AgentEars, AgentEnd, CallOutcome, DomainModule, DomainWorker, HandlerAgent, HandlerCall, LoadOutcome, RunningAgent } from '#shared/ports/domain-worker.ts'

type Unavailable = { readonly kind: 'unavailable'; readonly reason: string }
type Request =
  | { readonly kind: 'call'; readonly call: HandlerCall; readonly agent: HandlerAgent; readonly done: (outcome: CallOutcome) => void; readonly since: number }
  | { readonly kind: 'load'; readonly module: DomainModule; readonly done: (outcome: LoadOutcome) => void; readonly since: number }

const SWEEP_MS = 100
const GONE = 'the domain worker has gone'

export class DomainWorkerClient implements DomainWorker {
  readonly #credentials: LinkCredentials
  readonly #name: string
  #address: string | undefined
  #link: Link<WorkerMessage> | undefined
  #dialling = false
  #closed = false
  /** They have no link yet. */
  #waiting: Request[] = []
  #nextToken = 1
  /** In the order in which they were made. */
  readonly #open = new Map<number, Request>()
  #nextAgent = 1
  readonly #agents = new Map<number, AgentEars>()
  #nextModule = 1
  /** By domain and key, in the order of last use. */
  #told = new Map<string, number>()
  #sweep: NodeJS.Timeout | undefined

  /** `name`: who dials. */
  constructor(options: { readonly credentials: LinkCredentials; readonly name: string }) {
    this.#credentials = options.credentials
    this.#name = options.name
  }

  /** Where it is: host:port or URL; undefined: nowhere just now. */
  at(address: string | undefined): void {
    if (this.#address !== address) this.#link?.end()
    this.#address = address
    this.#dial()
  }

  load(module: DomainModule): Promise<LoadOutcome> {
    return new Promise((done) => this.#submit({ kind: 'load', module, done, since: performance.now() }))
  }

  call(call: HandlerCall, agent: HandlerAgent): Promise<CallOutcome> {
    return new Promise((done) => this.#submit({ kind: 'call', call, agent, done, since: performance.now() }))
  }

  agent(module: DomainModule, ears: AgentEars): RunningAgent {
    const agent = this.#nextAgent++
    const link = this.#link
    if (link === undefined || this.#closed) queueMicrotask(() => this.#agentEnded(agent, { kind: 'unavailable', reason: 'the domain worker cannot be reached' }))
    this.#agents.set(agent, ears)
    link?.send({ kind: 'agent', agent, module: this.#tell(link, module) })
    return {
      tell: (text) => {
        if (this.#agents.has(agent)) link?.send({ kind: 'tell', agent, text })
      },
      pass: (text) => {
        if (this.#agents.has(agent)) link?.send({ kind: 'pass', agent, text })
      },
      end: () => {
        if (this.#agents.delete(agent)) link?.send({ kind: 'end-agent', agent })
      },
    }
  }

  close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweep)
    this.#agents.clear()
    const waiting = this.#waiting
    this.#waiting = []
    for (const { done } of waiting) done({ kind: 'unavailable', reason: 'closed' })
    this.#link?.close()
    return Promise.resolve()
  }

  #submit(request: Request): void {
    if (this.#closed) return request.done({ kind: 'unavailable', reason: 'closed' })
    this.#sweep ??= setInterval(() => this.#giveUp(), SWEEP_MS)
    if (this.#link === undefined) this.#waiting.push(request)
    else this.#send(this.#link, request)
  }

  #send(link: Link<WorkerMessage>, request: Request): void {
    const token = this.#nextToken++
    this.#open.set(token, request)
    if (request.kind === 'load') return link.send({ kind: 'load', token, module: this.#tell(link, request.module) })
    const { module, handler, deadlineMs, argument } = request.call
    link.send({ kind: 'call', token, module: this.#tell(link, module), handler, deadlineMs, argument })
  }

  /** The number of a module on this link. */
  #tell(link: Link<WorkerMessage>, { domain, key, source }: DomainModule): number {
    const name = `${domain}\n${key}`
    const known = this.#told.get(name)
    if (known !== undefined) {
      this.#told.delete(name)
      this.#told.set(name, known)
      return known
    }
    const module = this.#nextModule++
    this.#told.set(name, module)
    link.send({ kind: 'module', module, domain, key, source })
    if (this.#told.size > limits.modulesTold) {
      const [oldest, number] = this.#told.entries().next().value!
      this.#told.delete(oldest)
      link.send({ kind: 'drop', module: number })
    }
    return module
  }

  #giveUp(): void {
    const now = performance.now()
    while (this.#waiting[0] !== undefined && now - this.#waiting[0].since > limits.handlerWaitMs) {
      this.#waiting.shift()!.done({ kind: 'unavailable', reason: 'the domain worker cannot be reached' })
    }
    for (const [token, { since, done }] of this.#open) {
      if (now - since <= limits.handlerAnswerMs) break
      this.#open.delete(token)
      done({ kind: 'unavailable', reason: 'the domain worker does not answer' })
    }
    if (this.#waiting.length > 0 || this.#open.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }

  #dial(): void {
    const address = this.#address
    if (this.#closed || this.#dialling || this.#link !== undefined || address === undefined) return
    this.#dialling = true
    const hello = { role: 'api', name: this.#name, incarnation: '' as Incarnation } as const
    const then = (link: Link<WorkerMessage> | undefined): void => {
      this.#dialling = false
      // Ports are given out again: another process may listen where the worker did.
      if (link?.peer.role === 'domain-worker' && this.#address === address && !this.#closed) return this.#up(link)
      link?.end()
      this.#later()
    }
    void dialWith(workerCodec, { address, hello: () => hello, credentials: this.#credentials, then })
  }

  #later(): void {
    setTimeout(() => this.#dial(), limits.linkRedialMs).unref()
  }

  #up(link: Link<WorkerMessage>): void {
    this.#link = link
    this.#told = new Map()
    link.onMessage = (message) => this.#received(link, message)
    link.onEnd = () => {
      this.#link = undefined
      const open = [...this.#open.values()]
      this.#open.clear()
      this.#later()
      for (const { done } of open) done({ kind: 'unavailable', reason: GONE } satisfies Unavailable)
      for (const agent of [...this.#agents.keys()]) this.#agentEnded(agent, { kind: 'unavailable', reason: GONE })
    }
    const waiting = this.#waiting
    this.#waiting = []
    for (const request of waiting) this.#send(link, request)
  }

  #received(link: Link<WorkerMessage>, message: WorkerMessage): void {
    switch (message.kind) {
      case 'done':
        for (const token of message.tokens) this.#outcome(token, { kind: 'returned', value: undefined, log: [] })
        return
      case 'outcome':
        return this.#outcome(message.token, message.outcome)
      case 'loaded': {
        const request = this.#open.get(message.token)
        this.#open.delete(message.token)
        if (request?.kind === 'load') request.done(message.outcome)
        return
      }
      case 'ask':
        return this.#ask(link, message)
      case 'said':
        return this.#agents.get(message.agent)?.said(message.connection, message.text)
      case 'passed':
        return this.#agents.get(message.agent)?.passed(message.text)
      case 'agent-joined':
        return this.#agents.get(message.agent)?.joined()
      case 'agent-log':
        return this.#agents.get(message.agent)?.log(message.lines)
      case 'agent-settled':
        return this.#agents.get(message.agent)?.settled(message.handlers)
      case 'agent-ended':
        return this.#agentEnded(message.agent, message.why)
      case 'module':
      case 'drop':
      case 'load':
      case 'call':
      case 'answer':
      case 'agent':
      case 'tell':
      case 'pass':
      case 'end-agent':
        return link.end()
    }
  }

  #agentEnded(agent: number, why: AgentEnd): void {
    const ears = this.#agents.get(agent)
    this.#agents.delete(agent)
    ears?.ended(why)
  }

  #outcome(token: number, outcome: WorkerOutcome): void {
    const request = this.#open.get(token)
    this.#open.delete(token)
    if (request?.kind !== 'call') return
    if (outcome.kind !== 'returned') return request.done(outcome)
    request.done({ ...outcome, value: outcome.value === undefined ? undefined : (JSON.parse(outcome.value) as Json) })
  }

  #ask(link: Link<WorkerMessage>, { token, ask, number, method, args }: Extract<WorkerMessage, { kind: 'ask' }>): void {
    const request = this.#open.get(token)
    const answer = (given: AgentAnswer): void => {
      if ('ok' in given) link.send({ kind: 'answer', ask, ok: true, text: given.ok })
      else link.send({ kind: 'answer', ask, ok: false, text: JSON.stringify(given.error) })
    }
    if (request?.kind !== 'call') return answer({ error: 'this call of the handler is over' })
    void request.agent.call({ method, args: JSON.parse(args) as Json[], number }).then(answer)
  }
}
