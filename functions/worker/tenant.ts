/**
 * One module of one domain, running: its sandbox and its open calls.
 *
 * Owns: the calls and what goes into the next step. Does not own: when it may step (sandboxes.ts). Talks to: the sandbox,
 * the agents of its calls.
 *
 * I1. Every call ends once, whatever the sandbox says or does.
 * I2. Calls that the sandbox took down with it end as what it died of; those that it had not seen go to the next one.
 */
import { assert } from '#shared/assert.ts'
import type { CallOutcome, DomainModule, HandlerAgent, HandlerBound, HandlerCall, LoadOutcome, ModuleHandlers } from '#shared/ports/domain-worker.ts'
import { decodeExports, decodeFault, decodeRecords, encodeStep } from './bridge.ts'
import type { Answer, SandboxRecord, Start } from './bridge.ts'
import type { Broken } from './engine.ts'
import type { Ended, Sandbox } from './sandbox.ts'

const HANDLERS: readonly unknown[] = ['prePersistence', 'postPersistence', 'configure']
const NO_LOG: readonly string[] = []

type Open = { readonly start: Start; readonly agent: HandlerAgent; readonly deadlineMs: number; readonly end: (outcome: CallOutcome) => void; startedMs: number | undefined; agentCalls: number }

export type TenantOptions = {
  readonly module: DomainModule
  /** A sandbox with nothing in it. */
  readonly fresh: () => Sandbox
  /** It has something to do. */
  readonly onWork: (tenant: Tenant) => void
  readonly callMs: number
}

export class Tenant {
  readonly #options: TenantOptions
  readonly #open = new Map<number, Open>()
  #starts: Start[] = []
  #answers: Answer[] = []
  #forgotten: number[] = []
  #sandbox: Sandbox | undefined
  #loading: Promise<LoadOutcome> | undefined
  #tokens = 0
  usedMs = performance.now()

  constructor(options: TenantOptions) {
    this.#options = options
  }

  get domain(): string {
    return this.#options.module.domain
  }

  get isIdle(): boolean {
    return this.#open.size === 0
  }

  get openCalls(): number {
    return this.#open.size
  }

  get hasWork(): boolean {
    return this.#starts.length + this.#answers.length + this.#forgotten.length > 0
  }

  /** Once for each sandbox. Time is the caller's to watch: `cut` ends it. */
  load(): Promise<LoadOutcome> {
    this.#loading ??= this.#load()
    return this.#loading
  }

  call({ handler, argument, deadlineMs }: HandlerCall, agent: HandlerAgent): Promise<CallOutcome> {
    this.usedMs = performance.now()
    const token = (this.#tokens += 1)
    const start: Start = { token, handler: typeof handler === 'string' ? HANDLERS.indexOf(handler) : handler.closeScript, argument }
    return new Promise((end) => {
      this.#open.set(token, { start, agent, deadlineMs: Math.min(deadlineMs ?? Infinity, this.#options.callMs), end, startedMs: undefined, agentCalls: 0 })
      this.#starts.push(start)
      this.#options.onWork(this)
    })
  }

  /** Everything that waits, in one go; resolves when the sandbox has answered. */
  async step(): Promise<void> {
    const loaded = await this.load()
    if (loaded.kind !== 'loaded') return this.#endAll(loaded.kind === 'faulty' ? { kind: 'threw', message: loaded.message, log: NO_LOG } : loaded)
    const text = encodeStep(this.#starts, this.#answers, this.#forgotten)
    const nowMs = performance.now()
    for (const { token } of this.#starts) {
      const open = this.#open.get(token)
      if (open !== undefined) open.startedMs = nowMs
    }
    this.#starts = []
    this.#answers = []
    this.#forgotten = []
    const sandbox = this.#sandbox!
    const out = await sandbox.step(text)
    // Ended while it ran: its calls have been answered.
    if (this.#sandbox !== sandbox) return
    if (typeof out !== 'string') return this.#lost(out)
    const records = decodeRecords(out)
    if (records === undefined) return this.#lost({ kind: 'ended' })
    for (const record of records) this.#take(record)
    this.usedMs = performance.now()
  }

  /** Calls that have had their time are given up. */
  sweep(nowMs: number): void {
    for (const [token, { startedMs, deadlineMs }] of this.#open) {
      if (startedMs === undefined || nowMs - startedMs < deadlineMs) continue
      this.#forgotten.push(token)
      this.#end(token, { kind: 'exceeded', what: 'time', log: NO_LOG })
    }
    if (this.#forgotten.length > 0) this.#options.onWork(this)
  }

  /** Ends the sandbox in the middle of what it does. */
  cut(what: HandlerBound): void {
    this.#drop({ kind: 'exceeded', what, log: NO_LOG })
  }

  /** Nothing is open, or nobody may be answered any more. */
  close(): void {
    this.#sandbox?.end()
    this.#sandbox = undefined
    this.#endAll({ kind: 'unavailable', reason: 'the worker has ended' })
  }

  async #load(): Promise<LoadOutcome> {
    const sandbox = this.#options.fresh()
    this.#sandbox = sandbox
    const loaded = await sandbox.load(this.#options.module.source)
    if (this.#sandbox !== sandbox) return { kind: 'faulty', message: 'the module takes too long to load', line: undefined, column: undefined }
    switch (loaded.kind) {
      case 'loaded': {
        const decoded = decodeExports(loaded.text)
        if (decoded === undefined) break
        return { kind: 'loaded', handlers: decoded.handlers satisfies ModuleHandlers, log: decoded.log }
      }
      case 'faulty':
        this.#forget(sandbox)
        return { kind: 'faulty', ...decodeFault(loaded.text) }
      case 'broken':
        this.#forget(sandbox)
        return { kind: 'faulty', message: loaded.memory ? 'the module takes too much memory to load' : 'the module breaks its sandbox', line: undefined, column: undefined }
      case 'ended':
        break
    }
    this.#forget(sandbox)
    this.#loading = undefined
    return { kind: 'unavailable', reason: 'the sandbox has ended' }
  }

  #forget(sandbox: Sandbox): void {
    sandbox.end()
    this.#sandbox = undefined
  }

  #take(record: SandboxRecord): void {
    const open = this.#open.get(record.token)
    // A token that is nobody's, or not any more: a module may write what it likes.
    if (open?.startedMs === undefined) return
    switch (record.kind) {
      case 'nothing':
        return this.#end(record.token, { kind: 'returned', value: undefined, log: record.log })
      case 'returned':
        return this.#end(record.token, { kind: 'returned', value: record.value, log: record.log })
      case 'rejected':
        return this.#end(record.token, open.start.handler === 0 ? { kind: 'rejected', reason: record.reason, log: record.log } : { kind: 'threw', message: record.reason, log: record.log })
      case 'threw':
        return this.#end(record.token, { kind: 'threw', message: record.message, log: record.log })
      case 'exceeded':
        return this.#end(record.token, { kind: 'exceeded', what: record.what, log: record.log })
      case 'agent':
        return this.#ask(open, record)
    }
  }

  #ask(open: Open, { token, id, method, args }: SandboxRecord & { readonly kind: 'agent' }): void {
    const number = open.agentCalls
    open.agentCalls += 1
    void open.agent.call({ method, args, number }).then((answer) => {
      if (!this.#open.has(token)) return
      this.#answers.push({ id, answer })
      this.#options.onWork(this)
    })
  }

  #end(token: number, outcome: CallOutcome): void {
    const open = this.#open.get(token)
    assert(open !== undefined, 'a call ends once')
    this.#open.delete(token)
    open.end(outcome)
  }

  #lost(out: Broken | Ended): void {
    const memory = out.kind === 'broken' && out.memory
    this.#drop(memory ? { kind: 'exceeded', what: 'memory', log: NO_LOG } : { kind: 'threw', message: 'the sandbox has broken', log: NO_LOG })
  }

  #drop(outcome: CallOutcome): void {
    this.#sandbox?.end()
    this.#sandbox = undefined
    this.#loading = undefined
    this.#answers = []
    this.#forgotten = []
    for (const [token, { startedMs }] of this.#open) if (startedMs !== undefined) this.#end(token, outcome)
    if (this.#starts.length > 0) this.#options.onWork(this)
  }

  #endAll(outcome: CallOutcome): void {
    this.#starts = []
    for (const token of [...this.#open.keys()]) this.#end(token, outcome)
    if (this.#sandbox === undefined) this.#loading = undefined
  }
}
