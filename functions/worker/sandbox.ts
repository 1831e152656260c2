/**
 * One sandbox: QuickJS in a thread of its own, with hard limits.
 *
 * Owns: the thread. Does not own: when it may run, what its texts mean. Talks to: thread.ts.
 *
 * I1. It is asked one thing at a time. I2. Memory is capped by its WebAssembly instance, time by ending the thread, whatever
 * runs in it; after either it is not asked again.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Broken, EngineOptions, Faulty, Loaded } from './engine.ts'
import { worldBounds } from './worker-bounds.ts'
import type { WorkerBounds } from './worker-bounds.ts'

const THREAD = new URL('./thread.ts', import.meta.url)
const { Module } = (globalThis as unknown as { readonly WebAssembly: { readonly Module: new (bytes: Uint8Array) => object } }).WebAssembly
/** Compiled once: a thread that is given it starts in a few ms. */
const wasm = new Module(readFileSync(fileURLToPath(import.meta.resolve('@jitl/quickjs-wasmfile-release-sync/wasm'))))
/** Of the thread beside its WebAssembly memory. */
const THREAD_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8, stackSizeMb: 4 }

/** The thread has ended: by us, or by itself. */
export type Ended = { readonly kind: 'ended' }

export class Sandbox {
  readonly #thread: Worker
  readonly #ready: Promise<boolean>
  #waiting: ((reply: unknown) => void) | undefined
  #isEnded = false

  constructor(bounds: WorkerBounds) {
    const options: EngineOptions = { wasm, memoryBytes: bounds.memoryBytes, bounds: worldBounds(bounds) }
    this.#thread = new Worker(THREAD, { workerData: options, env: {}, execArgv: [], argv: [], resourceLimits: THREAD_LIMITS, stdin: false, stdout: true, stderr: true })
    this.#thread.unref()
    this.#ready = this.#reply().then((reply) => reply === 'ready')
    this.#thread.on('message', (reply: unknown) => this.#take()?.(reply))
    // An error of the thread ends it.
    this.#thread.on('error', () => undefined)
    this.#thread.on('exit', () => {
      this.#isEnded = true
      this.#take()?.(ENDED)
    })
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  async load(source: string): Promise<Loaded | Faulty | Broken | Ended> {
    if (!(await this.#ready)) return ENDED
    return this.#ask({ load: source }) as Promise<Loaded | Faulty | Broken | Ended>
  }

  /** `text` of bridge.ts in and out. */
  step(text: string): Promise<string | Broken | Ended> {
    return this.#ask({ step: text }) as Promise<string | Broken | Ended>
  }

  /** Whatever it is doing. */
  end(): void {
    this.#isEnded = true
    void this.#thread.terminate()
  }

  #ask(message: object): Promise<unknown> {
    if (this.#isEnded) return Promise.resolve(ENDED)
    this.#thread.postMessage(message)
    return this.#reply()
  }

  #reply(): Promise<unknown> {
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  #take(): ((reply: unknown) => void) | undefined {
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting
  }
}

const ENDED: Ended = { kind: 'ended' }
