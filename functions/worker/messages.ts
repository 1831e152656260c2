/** Messages between a process that calls handlers and the domain worker: what is sent in one turn of the loop goes together. */
import type { AgentAnswer, AgentCall, CallOutcome, DomainModule, Handler, JsonText, LoadOutcome } from '#shared/ports/domain-worker.ts'

/** `number`: of the request, given by whoever asks. A module is sent once in a life of the worker, then named. */
export type ToWorker =
  | { readonly kind: 'module'; readonly module: DomainModule }
  | { readonly kind: 'load'; readonly number: number; readonly name: string }
  | { readonly kind: 'call'; readonly number: number; readonly name: string; readonly handler: Handler; readonly argument: JsonText; readonly deadlineMs?: number | undefined }
  | { readonly kind: 'answer'; readonly ask: number; readonly answer: AgentAnswer }

export type FromWorker =
  | { readonly kind: 'loaded'; readonly number: number; readonly outcome: LoadOutcome }
  | { readonly kind: 'ended'; readonly number: number; readonly outcome: CallOutcome }
  | { readonly kind: 'agent'; readonly number: number; readonly ask: number; readonly call: AgentCall }

export function moduleName({ domain, key }: DomainModule): string {
  return `${domain} ${key}`
}

/** Collects what is sent in one turn. */
export class Outbox<M> {
  readonly #send: (batch: readonly M[]) => void
  #batch: M[] = []

  constructor(send: (batch: readonly M[]) => void) {
    this.#send = send
  }

  add(message: M): void {
    this.#batch.push(message)
    if (this.#batch.length > 1) return
    setImmediate(() => {
      const batch = this.#batch
      this.#batch = []
      this.#send(batch)
    })
  }
}
