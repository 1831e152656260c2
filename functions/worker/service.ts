/** The worker's side of its messages: requests in, outcomes and agent calls out. */
import type { AgentAnswer, DomainModule, DomainWorker, HandlerAgent } from '#shared/ports/domain-worker.ts'
import { moduleName, Outbox } from './messages.ts'
import type { FromWorker, ToWorker } from './messages.ts'

export class WorkerService {
  readonly #worker: DomainWorker
  readonly #out: Outbox<FromWorker>
  readonly #modules = new Map<string, DomainModule>()
  readonly #asks = new Map<number, (answer: AgentAnswer) => void>()
  #asked = 0

  constructor(worker: DomainWorker, send: (batch: readonly FromWorker[]) => void) {
    this.#worker = worker
    this.#out = new Outbox(send)
  }

  take(batch: readonly ToWorker[]): void {
    for (const message of batch) this.#takeOne(message)
  }

  #takeOne(message: ToWorker): void {
    switch (message.kind) {
      case 'module':
        this.#modules.set(moduleName(message.module), message.module)
        return
      case 'load': {
        const { number } = message
        void this.#worker.load(this.#modules.get(message.name)!).then((outcome) => this.#out.add({ kind: 'loaded', number, outcome }))
        return
      }
      case 'call': {
        const { number, name, handler, argument, deadlineMs } = message
        const call = { module: this.#modules.get(name)!, handler, argument, ...(deadlineMs === undefined ? {} : { deadlineMs }) }
        void this.#worker.call(call, this.#agentOf(number)).then((outcome) => this.#out.add({ kind: 'ended', number, outcome }))
        return
      }
      case 'answer': {
        const answered = this.#asks.get(message.ask)
        this.#asks.delete(message.ask)
        answered?.(message.answer)
        return
      }
    }
  }

  #agentOf(number: number): HandlerAgent {
    return {
      call: (call) =>
        new Promise((resolve) => {
          const ask = (this.#asked += 1)
          this.#asks.set(ask, resolve)
          this.#out.add({ kind: 'agent', number, ask, call })
        }),
    }
  }
}
