/**
 * One sandbox: a thread with an engine in it, asked one thing at a time.
 *
 * Owns: the thread. Does not own: what is asked, when it has taken too long. I1. After `kill`, or `onGone`, nothing is heard
 * of it. I2. Its memory and its time end with the thread: a tenant cannot keep it alive.
 */
import { Worker } from 'node:worker_threads'
import type { LoadReply, StepReply } from './bridge.ts'
import type { EngineOptions } from './engine.ts'

const THREAD = new URL('./sandbox-thread.ts', import.meta.url)
/** Of the thread's own heap, beside the sandbox's memory: texts on their way. */
const HEAP = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8, codeRangeSizeMb: 16, stackSizeMb: 4 } as const

/** What its thread is asked. `runs`: as a domain agent. */
export type SandboxRequest =
  | string
  | { readonly kind: 'module'; readonly source: string; readonly runs: boolean }
  | { readonly kind: 'step'; readonly text: string; readonly messages: string }

export type SandboxEvents = {
  readonly onReady: () => void
  readonly onReply: (reply: StepReply | LoadReply) => void
  /** It has ended by itself: out of its heap, or broken. */
  readonly onGone: () => void
}

export class Sandbox {
  readonly #worker: Worker
  #events: SandboxEvents | undefined
  #ready = false
  #over = false

  constructor(options: EngineOptions) {
    this.#worker = new Worker(THREAD, { workerData: options, env: {}, execArgv: [], stdin: false, stdout: true, stderr: true, resourceLimits: HEAP, name: 'sandbox' })
    // Its standard streams are nobody's: nothing in there has anything to say on them.
    this.#worker.stdout.resume()
    this.#worker.stderr.resume()
    this.#worker.on('message', (message: StepReply | LoadReply) => this.#said(message))
    this.#worker.on('error', () => this.#ended())
    this.#worker.on('exit', () => this.#ended())
  }

  get threadId(): number {
    return this.#worker.threadId
  }

  get isReady(): boolean {
    return this.#ready
  }

  get isOver(): boolean {
    return this.#over
  }

  /** Who hears of it from now on. `onReady` comes at once where it is ready. */
  attach(events: SandboxEvents): void {
    this.#events = events
    if (this.#ready) events.onReady()
  }

  load(source: string): void {
    this.#ask({ kind: 'module', source, runs: false })
  }

  /** Starts the script of a domain agent. */
  begin(source: string): void {
    this.#ask({ kind: 'module', source, runs: true })
  }

  step(text: string): void {
    this.#ask(text)
  }

  /** `messages`: JSON, for the script of a domain agent, whose turn it is. */
  agentStep(text: string, messages: string): void {
    this.#ask({ kind: 'step', text, messages })
  }

  kill(): void {
    this.#over = true
    this.#events = undefined
    void this.#worker.terminate()
  }

  #ask(request: SandboxRequest): void {
    this.#worker.postMessage(request)
  }

  #said(message: StepReply | LoadReply): void {
    if (this.#over) return
    if (this.#ready) return this.#events?.onReply(message)
    this.#ready = true
    this.#events?.onReady()
  }

  #ended(): void {
    if (this.#over) return
    this.#over = true
    const events = this.#events
    this.#events = undefined
    events?.onGone()
    void this.#worker.terminate()
  }
}
