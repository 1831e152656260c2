/**
 * The domain worker as a child of `npm start`: started again when it dies.
 *
 * Owns: the child, the requests it has not answered. Does not own: what handlers do. Talks to: functions/domain-worker.
 *
 * I1. A request of a child that died is answered "unavailable": its handler may or may not have run. The next one goes to the
 *     next child.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Log } from '#shared/log.ts'
import type { CallOutcome, DomainModule, DomainWorker, HandlerAgent, HandlerCall, LoadOutcome } from '#shared/ports/domain-worker.ts'

const ENTRY = fileURLToPath(new URL('../worker/index.ts', import.meta.url))
/** A child that dies again and again is not started more often than this. */
const RESTART_MS = 250

type Pending = { readonly end: (outcome: { readonly kind: 'unavailable'; readonly reason: string } | CallOutcome | LoadOutcome) => void; readonly agent: HandlerAgent | undefined }
const DIED = { kind: 'unavailable', reason: 'the worker has died' } as const

export class WorkerProcess implements DomainWorker {
  readonly #options: { readonly environment: Readonly<Record<string, string>>; readonly log: Log }
  readonly #pending = new Map<number, Pending>()
  #sent = new Set<string>()
  #batch: object[] = []
  #numbers = 0
  #child: ChildProcess | undefined
  #isClosed = false

  constructor(options: { readonly environment: Readonly<Record<string, string>>; readonly log: Log }) {
    this.#options = options
    this.#start()
  }

  load(module: DomainModule): Promise<LoadOutcome> {
    return this.#ask(module, (number, name) => ({ kind: 'load', number, name }), undefined) as Promise<LoadOutcome>
  }

  call({ module, handler, argument, deadlineMs }: HandlerCall, agent: HandlerAgent): Promise<CallOutcome> {
    return this.#ask(module, (number, name) => ({ kind: 'call', number, name, handler, argument, deadlineMs }), agent) as Promise<CallOutcome>
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const child = this.#child
    if (child === undefined) return
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.kill('SIGTERM')
    })
  }

  #start(): void {
    const { environment, log } = this.#options
    const child = fork(ENTRY, [], { env: { ...environment }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child = child
    this.#sent = new Set()
    const startedAt = performance.now()
    child.on('message', (batch) => this.#take(batch as readonly Received[]))
    child.on('error', (error) => log.error({ reason: error.message }, 'the domain worker cannot be started'))
    child.once('exit', (code, signal) => {
      this.#child = undefined
      for (const { end } of this.#pending.values()) end(DIED)
      this.#pending.clear()
      if (this.#isClosed) return
      log.error({ pid: child.pid, code, signal }, 'the domain worker has died: starting it again')
      setTimeout(() => {
        if (!this.#isClosed) this.#start()
      }, Math.max(0, RESTART_MS - (performance.now() - startedAt)))
    })
  }

  #ask(module: DomainModule, message: (number: number, name: string) => object, agent: HandlerAgent | undefined): Promise<unknown> {
    if (this.#child === undefined || this.#isClosed) return Promise.resolve(DIED)
    const name = `${module.domain} ${module.key}`
    if (!this.#sent.has(name)) {
      this.#sent.add(name)
      this.#send({ kind: 'module', module })
    }
    const number = (this.#numbers += 1)
    return new Promise((end) => {
      this.#pending.set(number, { end, agent })
      this.#send(message(number, name))
    })
  }

  /** What is sent in one turn of the loop goes in one message. */
  #send(message: object): void {
    this.#batch.push(message)
    if (this.#batch.length > 1) return
    setImmediate(() => {
      const batch = this.#batch
      this.#batch = []
      this.#child?.send(batch, () => undefined)
    })
  }

  #take(batch: readonly Received[]): void {
    for (const message of batch) {
      const pending = this.#pending.get(message.number)
      if (pending === undefined) continue
      if (message.kind === 'agent') {
        void pending.agent?.call(message.call).then((answer) => this.#send({ kind: 'answer', ask: message.ask, answer }))
        continue
      }
      this.#pending.delete(message.number)
      pending.end(message.outcome)
    }
  }
}

type Received =
  | { readonly kind: 'loaded'; readonly number: number; readonly outcome: LoadOutcome }
  | { readonly kind: 'ended'; readonly number: number; readonly outcome: CallOutcome }
  | { readonly kind: 'agent'; readonly number: number; readonly ask: number; readonly call: Parameters<HandlerAgent['call']>[0] }
