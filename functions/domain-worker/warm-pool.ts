/**
 * Sandboxes made ahead: starting one takes a hundred times as long as taking one that stands ready.
 *
 * Owns: those that nobody has taken. I1. One that has a module in it never comes back.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { EngineOptions } from './engine.ts'
import { Sandbox } from './sandbox.ts'

const WASM = import.meta.resolve('@jitl/quickjs-wasmfile-release-sync/wasm')
/** A sandbox that was taken is replaced after this: the one who took it comes first. */
const REFILL_MS = 50

export class WarmPool {
  readonly #options: EngineOptions
  readonly #size: number
  #ready: Sandbox[] = []
  #refill: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: Omit<EngineOptions, 'wasm'> & { readonly size: number }) {
    const { size, memoryBytes, bounds } = options
    this.#options = { memoryBytes, bounds, wasm: new WebAssembly.Module(readFileSync(fileURLToPath(WASM))) }
    this.#size = size
    this.#fill()
  }

  take(): Sandbox {
    this.#ready = this.#ready.filter((sandbox) => !sandbox.isOver)
    const at = this.#ready.findIndex((sandbox) => sandbox.isReady)
    const [taken] = this.#ready.splice(Math.max(at, 0), 1)
    this.#refill ??= setTimeout(() => this.#fill(), REFILL_MS)
    return taken ?? new Sandbox(this.#options)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#refill)
    for (const sandbox of this.#ready) sandbox.kill()
  }

  #fill(): void {
    this.#refill = undefined
    if (this.#closed) return
    this.#ready = this.#ready.filter((sandbox) => !sandbox.isOver)
    if (this.#ready.length < this.#size) this.#ready.push(new Sandbox(this.#options))
    // One at a time: starting costs a core, and whoever serves needs it more.
    if (this.#ready.length < this.#size) this.#refill = setTimeout(() => this.#fill(), REFILL_MS)
  }
}
