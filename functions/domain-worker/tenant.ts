/**
 * One domain's module at one version: its calls, and the sandbox that they run in.
 *
 * Owns: the calls that wait, those that are open (started, and not over), the sandbox. Does not own: its turn
 * (scheduler.ts), the words on the link. Talks to: one sandbox at a time, by steps (bridge.ts).
 *
 * I1. A sandbox does one step at a time, and only in the tenant's turn. A step carries several calls and answers: what one
 *     costs to hand over is paid once for all.
 * I2. A sandbox that took too long, or ran out of memory, is ended with all in it. The one call that was at work is at
 *     fault; where there were several, nobody can say which: they are run again one by one. Handlers bear being run again.
 * I3. Every call ends with one outcome, at `handlerRuns` runs at the latest.
 * I4. A module that is a domain agent's runs as one or not at all: its sandbox lives as long as its line (agent-line.ts), calls
 *     of its handlers run in there, and a step is for the agent or for calls.
 */
import { assert } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'
import type { WorkerOutcome } from '#shared/link/worker-messages.ts'
import type { AgentEnd, AgentMethod, DomainModule, JsonText, LoadOutcome } from '#shared/ports/domain-worker.ts'
import type { AgentLine } from './agent-line.ts'
import { handlersNamed, readFault, readLoaded, readRecords, stepText, words, type LoadReply, type SandboxRecord, type StepAnswer, type StepReply } from './bridge.ts'
import type { Sandbox } from './sandbox.ts'

export type TenantBounds = {
  readonly callMs: number
  readonly sliceMs: number
  readonly resultBytes: number
  readonly agentCalls: number
  readonly agentBytes: number
}

export type Ask = { readonly method: AgentMethod; readonly args: JsonText; readonly number: number }
export type AskAnswer = { readonly ok: boolean; readonly text: JsonText }

export type Call = {
  /** Place in `HANDLERS`, or the name of a close script. */
  readonly handler: number | string
  readonly argument: JsonText
  readonly deadlineMs: number | undefined
  readonly ask: (ask: Ask, then: (answer: AskAnswer) => void) => void
  readonly done: (outcome: WorkerOutcome) => void
}

/** One call on its way. */
type Run = {
  readonly token: number
  readonly call: Call
  readonly deadlineMs: number
  queuedAt: number
  startedAt: number
  runs: number
  /** It is not started while others are open, nor others while it is. */
  alone: boolean
  agentCalls: number
  agentBytes: number
  asks: number[] | undefined
}

type Phase = 'none' | 'starting' | 'loading' | 'idle' | 'busy' | 'faulty'

const NO_LOG: readonly string[] = []
const STARTING_MS = 10_000
/** What its handlers are is told when its top level is done. */
const RUNS: LoadOutcome = { kind: 'loaded', handlers: { prePersistence: false, postPersistence: false, configure: false, closeScripts: [] }, log: NO_LOG, isAgent: true }
const NOT_RUNNING = "the domain's agent does not run"

export class Tenant {
  readonly module: DomainModule
  readonly #bounds: TenantBounds
  readonly #take: () => Sandbox
  /** It wants a turn; its turn is over. */
  readonly #turn: { wants(tenant: Tenant): void; over(tenant: Tenant): void }
  #phase: Phase = 'none'
  #sandbox: Sandbox | undefined
  #load: LoadOutcome | undefined
  #line: AgentLine | undefined
  /** The present sandbox is the agent's. */
  #isAgents = false
  #wasAgentsTurn = false
  #loads: ((outcome: LoadOutcome) => void)[] = []
  #nextToken = 1
  #waiting: Run[] = []
  readonly #open = new Map<number, Run>()
  /** The one that is open, where it must be alone. */
  #lone: Run | undefined
  #asks = new Map<number, { readonly run: Run }>()
  #answers: { readonly run: Run; readonly answer: StepAnswer }[] = []
  #forget: number[] = []
  /** Who is at work in the step that runs. */
  #atWork: Run[] = []
  #since = 0
  /** It was over its time at the last look: the word that saves it may be on its way in this very turn. */
  #late = false
  /** Calls and answers of a step at most. */
  #most = 1
  #usedAt = performance.now()

  constructor(module: DomainModule, options: { readonly bounds: TenantBounds; readonly take: () => Sandbox; readonly turn: { wants(tenant: Tenant): void; over(tenant: Tenant): void } }) {
    this.module = module
    this.#bounds = options.bounds
    this.#take = options.take
    this.#turn = options.turn
  }

  get hasSandbox(): boolean {
    return this.#sandbox !== undefined
  }

  get threadId(): number | undefined {
    return this.#sandbox?.threadId
  }

  /** The agent that runs, or is about to. */
  get line(): AgentLine | undefined {
    return this.#line
  }

  /** Nothing is open, waits, or runs, and nobody would miss its sandbox. */
  get isIdle(): boolean {
    return this.#line === undefined && this.isQuiet
  }

  get isQuiet(): boolean {
    return this.#open.size === 0 && this.#waiting.length === 0 && this.#loads.length === 0 && (this.#phase === 'idle' || this.#phase === 'none' || this.#phase === 'faulty')
  }

  get usedAt(): number {
    return this.#usedAt
  }

  load(then: (outcome: LoadOutcome) => void): void {
    this.#usedAt = performance.now()
    if (this.#load !== undefined) return then(this.#load)
    if (this.#isAgents && (this.#phase === 'idle' || this.#phase === 'busy')) return then(RUNS)
    this.#loads.push(then)
    this.#turn.wants(this)
  }

  run(call: Call): void {
    this.#usedAt = performance.now()
    if (this.#phase === 'faulty') return call.done(this.#faultOutcome())
    if (this.#runsNoCalls) return call.done({ kind: 'unavailable', reason: NOT_RUNNING })
    if (this.#waiting.length >= limits.handlersWaiting) return call.done({ kind: 'unavailable', reason: 'too many calls wait' })
    const deadlineMs = Math.min(call.deadlineMs ?? this.#bounds.callMs, this.#bounds.callMs)
    const run = { token: this.#nextToken++, call, deadlineMs, queuedAt: this.#usedAt, startedAt: 0, runs: 0, alone: false, agentCalls: 0, agentBytes: 0, asks: undefined }
    this.#waiting.push(run)
    this.#turn.wants(this)
  }

  /** Runs the module as a domain agent, which it is not doing yet. */
  startAgent(line: AgentLine): void {
    assert(this.#line === undefined, 'a domain has one agent at a time')
    if (this.#phase === 'faulty') {
      const fault = this.#load?.kind === 'faulty' ? this.#load : undefined
      return line.close({ kind: 'failed', message: fault?.message ?? 'Error', inPromise: true, line: fault?.line, column: fault?.column })
    }
    this.#usedAt = performance.now()
    this.#line = line
    if (this.#phase === 'idle') this.#dropSandbox('none')
    this.#turn.wants(this)
  }

  /** It has something to do: a turn, please. */
  wake(): void {
    this.#turn.wants(this)
  }

  /** Ends the agent and its sandbox. `why` undefined: whoever runs it knows. */
  endAgent(why: AgentEnd | undefined): void {
    const line = this.#line
    if (line === undefined) return
    this.#line = undefined
    const isTurn = this.#isAgents && (this.#phase === 'starting' || this.#phase === 'loading' || this.#phase === 'busy')
    if (this.#isAgents) {
      this.#dropSandbox('none')
      this.#endRuns(NOT_RUNNING)
    }
    line.close(why)
    if (isTurn) this.#turn.over(this)
  }

  /** Whether a turn would be of use. */
  get hasWork(): boolean {
    switch (this.#phase) {
      case 'none':
        return this.#waiting.length > 0 || this.#loads.length > 0 || this.#line !== undefined
      case 'idle':
        return this.#hasAgentWork || this.#answers.length > 0 || this.#canStart(this.#open.size)
      case 'starting':
      case 'loading':
      case 'busy':
      case 'faulty':
        return false
    }
  }

  /** Its turn has come: `turn.over` tells of its end. */
  begin(): void {
    if (this.#phase === 'idle') return this.#step()
    assert(this.#phase === 'none', 'a tenant has one turn at a time')
    this.#phase = 'starting'
    this.#begins()
    const sandbox = this.#take()
    this.#sandbox = sandbox
    // Who wants to know what the module is has to know it before it runs.
    this.#isAgents = this.#line !== undefined && this.#loads.length === 0
    const isAgents = this.#isAgents
    sandbox.attach({
      onReady: () => {
        this.#phase = 'loading'
        this.#begins()
        if (isAgents) sandbox.begin(this.module.source)
        else sandbox.load(this.module.source)
      },
      onReply: (reply) => {
        if (this.#phase === 'loading') this.#loaded(reply as LoadReply)
        else this.#stepped(reply as StepReply)
      },
      onGone: () => this.#gone(),
    })
  }

  /** Ends what is over its time. `othersWait`: for a turn. */
  look(othersWait: boolean): void {
    const now = performance.now()
    for (const run of this.#open.values()) {
      if (now - run.startedAt > run.deadlineMs && !this.#atWork.includes(run)) this.#forgetRun(run, { kind: 'exceeded', what: 'time', log: NO_LOG })
    }
    while (this.#waiting[0] !== undefined && now - this.#waiting[0].queuedAt > limits.handlerWaitMs) {
      this.#waiting.shift()!.call.done({ kind: 'unavailable', reason: 'its turn did not come in time' })
    }
    if (now - this.#since <= this.#allowedMs(othersWait)) this.#late = false
    else if (this.#late) this.#tooLong()
    else this.#late = true
  }

  /** Ends the sandbox. Calls of it answer `unavailable`. */
  end(reason: string): void {
    const isTurn = this.#phase === 'starting' || this.#phase === 'loading' || this.#phase === 'busy'
    const line = this.#line
    this.#line = undefined
    this.#dropSandbox(this.#phase === 'faulty' ? 'faulty' : 'none')
    const loads = this.#loads
    this.#loads = []
    this.#endRuns(reason)
    line?.close({ kind: 'unavailable', reason })
    for (const then of loads) then({ kind: 'unavailable', reason })
    if (isTurn) this.#turn.over(this)
  }

  #endRuns(reason: string): void {
    const runs = [...this.#open.values(), ...this.#waiting]
    this.#open.clear()
    this.#lone = undefined
    this.#waiting = []
    for (const { call } of runs) call.done({ kind: 'unavailable', reason })
  }

  /** I4. */
  get #runsNoCalls(): boolean {
    return this.#line === undefined && this.#load?.kind === 'loaded' && this.#load.isAgent === true
  }

  get #hasAgentWork(): boolean {
    return this.#isAgents && this.#line !== undefined && this.#line.hasWork
  }

  #begins(): void {
    this.#since = performance.now()
    this.#late = false
  }

  /** `open`: how many would be open already. */
  #canStart(open: number): boolean {
    const next = this.#waiting[0]
    if (next === undefined || open >= limits.handlersOpen) return false
    if (this.#line !== undefined && !(this.#isAgents && this.#line.isSettled)) return false
    return open === 0 || (!next.alone && this.#lone === undefined)
  }

  #step(): void {
    const forget = this.#forget
    this.#forget = []
    const callsWait = this.#answers.length > 0 || this.#canStart(this.#open.size)
    if (this.#hasAgentWork && !(this.#wasAgentsTurn && callsWait)) return this.#agentStep(forget)
    this.#wasAgentsTurn = false
    const given = this.#answers.splice(0, this.#lone === undefined ? this.#most : 1)
    this.#atWork = [...new Set(given.map(({ run }) => run))]
    const now = performance.now()
    const calls = []
    for (let characters = 0; calls.length + given.length < this.#most && (given.length === 0 || !this.#waiting[0]?.alone) && this.#canStart(this.#open.size); ) {
      const { argument } = this.#waiting[0]!.call
      if (calls.length > 0 && characters + argument.length > limits.stepCharacters) break
      const run = this.#waiting.shift()!
      characters += argument.length
      run.startedAt = now
      run.runs += 1
      this.#open.set(run.token, run)
      this.#atWork.push(run)
      calls.push({ token: run.token, handler: run.call.handler, argument })
      if (run.alone) this.#lone = run
    }
    this.#phase = 'busy'
    this.#since = now
    this.#late = false
    this.#sandbox!.step(stepText({ forget, answers: given.map(({ answer }) => answer), calls }))
  }

  #agentStep(forget: readonly number[]): void {
    this.#wasAgentsTurn = true
    this.#atWork = []
    this.#phase = 'busy'
    this.#begins()
    this.#sandbox!.agentStep(stepText({ forget, answers: [], calls: [] }), this.#line!.take())
  }

  /** What the agent did in this step; false: that was its end. */
  #agentDid(out: string): boolean {
    const line = this.#line
    const end = line?.took(out)
    if (end !== undefined) this.endAgent(end)
    // Whoever was told may have ended it, too.
    return this.#line === line && end === undefined
  }

  #stepped(reply: StepReply): void {
    const text = typeof reply === 'string' ? reply : reply.kind === 'agent' ? reply.records : undefined
    const records = text === undefined ? undefined : readRecords(text, this.#bounds.resultBytes)
    if (records === undefined) {
      const [memory, message] = typeof reply === 'string' || reply.kind === 'agent' ? [false, 'the sandbox has broken'] : [reply.memory, reply.message]
      return this.#restart(memory ? { kind: 'exceeded', what: 'memory', log: NO_LOG } : { kind: 'threw', message: words(message, limits.handlerMessageCharacters), log: NO_LOG })
    }
    if (typeof reply !== 'string' && reply.kind === 'agent' && !this.#agentDid(reply.out)) return
    const tookMs = performance.now() - this.#since
    if (tookMs < limits.stepShortMs) this.#most = Math.min(limits.stepCalls, this.#most * 2)
    else if (tookMs > limits.stepLongMs) this.#most = Math.max(1, this.#most >> 1)
    this.#phase = 'idle'
    this.#atWork = []
    let ranOut = false
    for (const record of records) {
      this.#record(record)
      ranOut ||= record.kind === 'exceeded' && record.what === 'memory'
    }
    // What it holds on to would make the next call fail as well.
    if (ranOut && this.hasSandbox) this.#restart(undefined)
    else this.#turn.over(this)
  }

  #record(record: SandboxRecord): void {
    const run = this.#open.get(record.token)
    // It was given up in the meantime, or it never was.
    if (run === undefined) return
    switch (record.kind) {
      case 'returned':
        return this.#finish(run, record)
      case 'rejected':
        return this.#finish(run, run.call.handler === 0 ? { kind: 'rejected', reason: record.words, log: record.log } : { kind: 'threw', message: `rejected: ${record.words}`, log: record.log })
      case 'threw':
        return this.#finish(run, { kind: 'threw', message: record.words, log: record.log })
      case 'exceeded':
        return this.#finish(run, { kind: 'exceeded', what: record.what, log: record.log })
      case 'agent':
        return this.#ask(run, record)
    }
  }

  #ask(run: Run, { ask, method, args, bytes }: Extract<SandboxRecord, { kind: 'agent' }>): void {
    run.agentBytes += bytes
    const number = run.agentCalls++
    if (run.agentCalls > this.#bounds.agentCalls) return this.#forgetRun(run, { kind: 'exceeded', what: 'calls', log: NO_LOG })
    if (run.agentBytes > this.#bounds.agentBytes) return this.#forgetRun(run, { kind: 'exceeded', what: 'bytes', log: NO_LOG })
    if (this.#asks.has(ask)) return
    const asked = { run }
    this.#asks.set(ask, asked)
    if (run.asks === undefined) run.asks = [ask]
    else run.asks.push(ask)
    run.call.ask({ method, args, number }, ({ ok, text }) => {
      // Of another life of the sandbox, or of a call that is over: nobody waits for it.
      if (this.#asks.get(ask) !== asked) return
      this.#asks.delete(ask)
      run.agentBytes += Buffer.byteLength(text)
      if (run.agentBytes > this.#bounds.agentBytes) return this.#forgetRun(run, { kind: 'exceeded', what: 'bytes', log: NO_LOG })
      this.#answers.push({ run, answer: { ask, ok, text } })
      this.#turn.wants(this)
    })
  }

  /** The sandbox knows that it is over. */
  #finish(run: Run, outcome: WorkerOutcome): void {
    this.#open.delete(run.token)
    if (this.#lone === run) this.#lone = undefined
    if (run.asks !== undefined) for (const ask of run.asks) this.#asks.delete(ask)
    if (run.asks !== undefined) this.#answers = this.#answers.filter((given) => given.run !== run)
    run.call.done(outcome)
    // Those that must be alone wait for this.
    if (this.#waiting.length > 0) this.#turn.wants(this)
  }

  /** It is to learn that it is over. */
  #forgetRun(run: Run, outcome: WorkerOutcome): void {
    this.#forget.push(run.token)
    this.#finish(run, outcome)
  }

  /** For how long it may go on with what it is at. */
  #allowedMs(othersWait: boolean): number {
    switch (this.#phase) {
      case 'starting':
        return STARTING_MS
      case 'loading':
        return this.#isAgents ? agentMs(othersWait) : this.#bounds.callMs
      case 'busy': {
        if (this.#isAgents && this.#atWork.length === 0) return agentMs(othersWait)
        if (this.#atWork.length > 1) return limits.stepDoubtMs
        const run = this.#atWork[0]
        const leftMs = run === undefined ? this.#bounds.callMs : run.startedAt + run.deadlineMs - this.#since
        return othersWait ? Math.min(leftMs, this.#bounds.sliceMs) : leftMs
      }
      case 'none':
      case 'idle':
      case 'faulty':
        return Infinity
    }
  }

  #tooLong(): void {
    if (this.#phase === 'starting') return this.end('no sandbox has started')
    if (this.#isAgents && this.#atWork.length === 0) return this.endAgent({ kind: 'exceeded', what: 'time' })
    if (this.#phase === 'loading') {
      this.#isFaulty({ message: 'the module takes too long to load', line: undefined, column: undefined })
      // The machine may have been busy: the next one tries again.
      this.#phase = 'none'
      this.#load = undefined
      return
    }
    this.#restart({ kind: 'exceeded', what: 'time', log: NO_LOG })
  }

  #gone(): void {
    if (this.#phase === 'starting') return this.end('no sandbox has started')
    if (this.#isAgents && this.#atWork.length === 0) return this.endAgent({ kind: 'exceeded', what: 'memory' })
    if (this.#phase === 'loading') return this.#isFaulty({ message: 'the module takes too much memory to load', line: undefined, column: undefined })
    this.#restart({ kind: 'exceeded', what: 'memory', log: NO_LOG })
  }

  #loaded(reply: LoadReply): void {
    if (reply.kind === 'faulty') return this.#isFaulty(readFault(reply.text))
    if (reply.kind === 'looked-at') return this.#lookedAt(reply.names)
    if (reply.kind === 'agent') {
      const loads = this.#loads
      this.#loads = []
      for (const then of loads) then(RUNS)
      if (!this.#agentDid(reply.out)) return
      this.#phase = 'idle'
      this.#turn.over(this)
      return
    }
    const read = reply.kind === 'loaded' ? readLoaded(reply.text) : undefined
    if (read === undefined) {
      const message = reply.kind === 'broken' && reply.memory ? 'the module takes too much memory to load' : 'the module breaks its sandbox'
      return this.#isFaulty({ message, line: undefined, column: undefined })
    }
    this.#phase = 'idle'
    // It is run as an agent, and imports none: as such it gets a sandbox of its own.
    if (this.#line !== undefined) this.#dropSandbox('none')
    this.#tellLoads({ kind: 'loaded', ...read })
  }

  /** I4. Its sandbox has half a module in it. */
  #lookedAt(names: string): void {
    this.#dropSandbox('none')
    this.#load = { kind: 'loaded', handlers: handlersNamed(names), log: NO_LOG, isAgent: true }
    if (this.#line === undefined) this.#endRuns(NOT_RUNNING)
    this.#tellLoads(this.#load)
  }

  #isFaulty(fault: { readonly message: string; readonly line: number | undefined; readonly column: number | undefined }): void {
    const line = this.#line
    this.#line = undefined
    this.#dropSandbox('faulty')
    line?.close({ kind: 'failed', inPromise: true, ...fault })
    this.#tellLoads({ kind: 'faulty', ...fault })
    const runs = this.#waiting
    this.#waiting = []
    for (const { call } of runs) call.done(this.#faultOutcome())
  }

  #tellLoads(outcome: LoadOutcome): void {
    this.#load = outcome
    const loads = this.#loads
    this.#loads = []
    for (const then of loads) then(outcome)
    this.#turn.over(this)
  }

  #faultOutcome(): WorkerOutcome {
    const why = this.#load?.kind === 'faulty' ? this.#load.message : ''
    return { kind: 'threw', message: `the module does not load: ${why}`, log: NO_LOG }
  }

  /** I2. `outcome`: of the call at fault. Undefined: it is over already. */
  #restart(outcome: WorkerOutcome | undefined): void {
    const inDoubt = outcome !== undefined && this.#atWork.length > 1
    const atFault = inDoubt || outcome === undefined ? undefined : this.#atWork[0]
    const isTurn = this.#phase === 'busy' || outcome === undefined
    const line = this.#isAgents ? this.#line : undefined
    if (this.#isAgents) this.#line = undefined
    const again = [...this.#open.values()].filter((run) => run !== atFault)
    this.#open.clear()
    this.#lone = undefined
    this.#dropSandbox('none')
    if (atFault !== undefined && outcome !== undefined) atFault.call.done(outcome)
    const now = performance.now()
    line?.close(agentEndOf(outcome))
    if (this.#runsNoCalls) this.#endRuns(NOT_RUNNING)
    const kept = this.#runsNoCalls ? [] : again.filter((run) => run.runs < limits.handlerRuns)
    for (const run of kept) Object.assign(run, { queuedAt: now, alone: inDoubt || run.alone, agentCalls: 0, agentBytes: 0, asks: undefined })
    this.#waiting.unshift(...kept)
    for (const run of again) if (!kept.includes(run)) run.call.done({ kind: 'unavailable', reason: 'its sandbox was ended again and again' })
    if (isTurn) this.#turn.over(this)
    else this.#turn.wants(this)
  }

  #dropSandbox(phase: 'none' | 'faulty'): void {
    this.#sandbox?.kill()
    this.#sandbox = undefined
    this.#phase = phase
    this.#asks = new Map()
    this.#answers = []
    this.#forget = []
    this.#atWork = []
    this.#late = false
    this.#most = 1
    this.#isAgents = false
  }
}

function agentMs(othersWait: boolean): number {
  return othersWait ? limits.domainAgentSliceMs : limits.domainAgentStepMs
}

/** A call of the module, or nobody knows what, took the sandbox with it. */
function agentEndOf(outcome: WorkerOutcome | undefined): AgentEnd {
  if (outcome?.kind === 'exceeded' && outcome.what === 'time') return { kind: 'exceeded', what: 'time' }
  if (outcome === undefined || outcome.kind === 'exceeded') return { kind: 'exceeded', what: 'memory' }
  return { kind: 'failed', message: outcome.kind === 'threw' ? `Error: ${outcome.message}` : 'Error: the sandbox has broken', inPromise: false, line: undefined, column: undefined }
}
