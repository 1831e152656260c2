/**
 * One QuickJS with the world of world.ts in it. Runs in a thread of its own: what it does may never end.
 *
 * Owns: the WebAssembly instance. I1. Its memory cannot grow past `memoryBytes`, whatever runs in it. I2. After `broken`
 * it is not asked again and not disposed of (its state is unknown, and it would assert): its thread is ended.
 */
import * as release from '@jitl/quickjs-wasmfile-release-sync'
import { newQuickJSWASMModuleFromVariant, newVariant, type QuickJSContext, type QuickJSHandle, type QuickJSRuntime, type QuickJSSyncVariant } from 'quickjs-emscripten-core'
import { makeWorld, type World, type WorldBounds } from './world.ts'

export type EngineOptions = {
  /** A compiled `WebAssembly.Module`. */
  readonly wasm: object
  readonly memoryBytes: number
  readonly bounds: WorldBounds
}

/** `memory`: as far as it can be told. */
export type Broken = { readonly kind: 'broken'; readonly memory: boolean; readonly message: string }
export type Loaded = { readonly kind: 'loaded'; readonly text: string }
/** `text`: what `describe` of the world says. */
export type Faulty = { readonly kind: 'faulty'; readonly text: string }

/** Node's, which no `lib` of TypeScript's without a browser describes. */
const { Memory } = (globalThis as unknown as { readonly WebAssembly: { readonly Memory: new (of: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer } } }).WebAssembly

const PAGE_BYTES = 64 * 1024
/** The module asks for so much to begin with. */
const INITIAL_PAGES = 256
/** Kept from QuickJS's own count, so that it says "out of memory" before the instance runs into the wall. */
const HEADROOM_BYTES = 2 * 1024 * 1024
const STACK_BYTES = 256 * 1024
/** Names that `import` finds, and their texts. */
const MODULES: Readonly<Record<string, string>> = {}

export class Engine {
  readonly #runtime: QuickJSRuntime
  readonly #context: QuickJSContext
  readonly #world: Readonly<Record<keyof World, QuickJSHandle>>

  private constructor(runtime: QuickJSRuntime, context: QuickJSContext, bounds: WorldBounds, isFull: () => boolean) {
    this.#runtime = runtime
    this.#context = context
    const make = context.unwrapResult(context.evalCode(`(isFull) => (${makeWorld.toString()})(${JSON.stringify(bounds)}, isFull)`, 'world.js'))
    const full = context.newFunction('isFull', () => (isFull() ? context.true : context.false))
    const world = context.unwrapResult(context.callFunction(make, context.undefined, full))
    const part = (name: keyof World): QuickJSHandle => context.getProp(world, name)
    this.#world = { bind: part('bind'), step: part('step'), collect: part('collect'), describe: part('describe') }
  }

  static async make({ wasm, memoryBytes, bounds }: EngineOptions): Promise<Engine> {
    const maximum = Math.max(INITIAL_PAGES, Math.floor(memoryBytes / PAGE_BYTES))
    const wasmMemory = new Memory({ initial: INITIAL_PAGES, maximum })
    // It never shrinks: what was full once shows.
    const isFull = (): boolean => wasmMemory.buffer.byteLength + 2 * HEADROOM_BYTES >= maximum * PAGE_BYTES
    const quickJs = await newQuickJSWASMModuleFromVariant(newVariant(release.default as unknown as QuickJSSyncVariant, { wasmModule: wasm as never, wasmMemory: wasmMemory as never }))
    const runtime = quickJs.newRuntime({ memoryLimitBytes: maximum * PAGE_BYTES - HEADROOM_BYTES, maxStackSizeBytes: STACK_BYTES })
    runtime.setModuleLoader(
      (name) => (Object.hasOwn(MODULES, name) ? MODULES[name]! : { error: new Error('there is no such module') }),
      (_, name) => name,
    )
    return new Engine(runtime, runtime.newContext(), bounds, isFull)
  }

  load(source: string): Loaded | Faulty | Broken {
    return this.#guarded(() => {
      const context = this.#context
      const evaluated = context.evalCode(source, 'agent.js', { type: 'module' })
      if (evaluated.error !== undefined) return this.#faulty(evaluated.error)
      this.#runJobs()
      let exports = evaluated.value
      const promise = context.getPromiseState(exports)
      if (promise.type === 'rejected') return this.#faulty(promise.error)
      if (promise.type === 'pending') return { kind: 'faulty', text: JSON.stringify(['the module awaits at its top level what does not come', false, 0, 0]) }
      if (promise.notAPromise !== true) exports = promise.value
      const bound = context.callFunction(this.#world.bind, context.undefined, exports)
      if (bound.error !== undefined) return this.#faulty(bound.error)
      return { kind: 'loaded', text: context.getString(bound.value) }
    })
  }

  /** What world.ts collected, or that it is over. */
  step(text: string): string | Broken {
    return this.#guarded(() => {
      const context = this.#context
      const given = context.newString(text)
      const stepped = context.callFunction(this.#world.step, context.undefined, given)
      given.dispose()
      if (stepped.error !== undefined) return this.#brokenBy(stepped.error)
      this.#runJobs()
      const collected = context.callFunction(this.#world.collect, context.undefined)
      if (collected.error !== undefined) return this.#brokenBy(collected.error)
      const out = context.getString(collected.value)
      collected.value.dispose()
      return out
    })
  }

  #runJobs(): void {
    for (;;) {
      const ran = this.#runtime.executePendingJobs()
      // A job that fails ends the round, not the others: promises have taken their errors already.
      if (ran.error === undefined) return
      ran.error.dispose()
    }
  }

  #faulty(thrown: QuickJSHandle): Faulty | Broken {
    const described = this.#context.callFunction(this.#world.describe, this.#context.undefined, thrown)
    if (described.error !== undefined) return { kind: 'broken', memory: false, message: 'the sandbox has broken' }
    return { kind: 'faulty', text: this.#context.getString(described.value) }
  }

  #brokenBy(thrown: QuickJSHandle): Broken {
    const faulty = this.#faulty(thrown)
    const [message, memory] = faulty.kind === 'faulty' ? (JSON.parse(faulty.text) as [string, boolean]) : [faulty.message, false]
    return { kind: 'broken', memory, message }
  }

  /** What the instance itself throws (its stack, its memory, an assertion of its own) is the end of it. */
  #guarded<T>(run: () => T | Broken): T | Broken {
    try {
      return run()
    } catch (error) {
      const message = error instanceof Error ? error.message : ''
      return { kind: 'broken', memory: /memory/i.test(message), message: 'the sandbox has broken' }
    }
  }
}
