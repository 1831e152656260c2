/**
 * One QuickJS with the world of world.ts in it. Runs in a thread of its own: what it does may never end.
 *
 * Owns: the WebAssembly instance. I1. Its memory cannot grow past `memoryBytes`, whatever runs in it. I2. After `broken`
 * it is not asked again and not disposed of (its state is unknown, and it would assert): its thread is ended.
 * I3. A module that imports the domain agent runs as one or not at all: a look at it ends at that import.
 */
import { randomBytes } from 'node:crypto'
import * as release from '@jitl/quickjs-wasmfile-release-sync'
import { newQuickJSWASMModuleFromVariant, newVariant, type QuickJSContext, type QuickJSHandle, type QuickJSRuntime, type QuickJSSyncVariant } from 'quickjs-emscripten-core'
import { limits } from '#shared/limits.ts'
import { makeAgentWorld, type AgentWorld, type AgentWorldBounds } from './agent-world.ts'
import { isDomainAgent, moduleNameOf, moduleText, TENANT_MODULE } from './modules.ts'
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
/** It has not run: it is a domain agent's. `names`: of its exports, separated by commas. */
export type LookedAt = { readonly kind: 'looked-at'; readonly names: string }
/** What a domain agent's sandbox answers to a step, and to the start of its script. `records`: of handlers, `out`: of the agent. */
export type AgentStepped = { readonly kind: 'agent'; readonly records: string; readonly out: string }
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
/** Of random bytes that a script gets at once, in hexadecimal two a byte. */
const ENTROPY_BYTES = 512
/** What `Deno.env` says: who a script is, nobody learns by it. */
const AGENT_TOKEN = 'domain-agent'

const AGENT_BOUNDS: AgentWorldBounds = {
  message: limits.handlerMessageCharacters,
  logLine: limits.handlerLogCharacters,
  logLines: limits.handlerLogLines,
  timers: limits.domainAgentTimers,
  timerMs: limits.domainAgentTimerMs,
}

export class Engine {
  readonly #runtime: QuickJSRuntime
  readonly #context: QuickJSContext
  readonly #world: Readonly<Record<keyof World, QuickJSHandle>>
  #agent: Readonly<Record<keyof AgentWorld, QuickJSHandle>> | undefined
  /** The module has imported the domain agent. */
  #isAgents = false

  private constructor(runtime: QuickJSRuntime, context: QuickJSContext, bounds: WorldBounds, isFull: () => boolean) {
    this.#runtime = runtime
    this.#context = context
    const make = context.unwrapResult(context.evalCode(`(isFull) => (${makeWorld.toString()})(${JSON.stringify(bounds)}, isFull)`, 'world.js'))
    const full = context.newFunction('isFull', () => (isFull() ? context.true : context.false))
    const world = context.unwrapResult(context.callFunction(make, context.undefined, full))
    const part = (name: keyof World): QuickJSHandle => context.getProp(world, name)
    this.#world = { bind: part('bind'), step: part('step'), collect: part('collect'), describe: part('describe') }
    runtime.setModuleLoader(
      (name) => this.#moduleText(name) ?? { error: new Error('there is no such module') },
      (base, name) => moduleNameOf(base, name) ?? { error: new Error('there is no such module') },
    )
  }

  static async make({ wasm, memoryBytes, bounds }: EngineOptions): Promise<Engine> {
    const maximum = Math.max(INITIAL_PAGES, Math.floor(memoryBytes / PAGE_BYTES))
    const wasmMemory = new Memory({ initial: INITIAL_PAGES, maximum })
    // It never shrinks: what was full once shows.
    const isFull = (): boolean => wasmMemory.buffer.byteLength + 2 * HEADROOM_BYTES >= maximum * PAGE_BYTES
    const quickJs = await newQuickJSWASMModuleFromVariant(newVariant(release.default as unknown as QuickJSSyncVariant, { wasmModule: wasm as never, wasmMemory: wasmMemory as never }))
    const runtime = quickJs.newRuntime({ memoryLimitBytes: maximum * PAGE_BYTES - HEADROOM_BYTES, maxStackSizeBytes: STACK_BYTES })
    return new Engine(runtime, runtime.newContext(), bounds, isFull)
  }

  load(source: string): Loaded | LookedAt | Faulty | Broken {
    return this.#guarded(() => {
      const context = this.#context
      const evaluated = context.evalCode(source, TENANT_MODULE, { type: 'module' })
      if (evaluated.error !== undefined) return this.#lookedAt(evaluated.error) ?? this.#faulty(evaluated.error)
      this.#runJobs()
      let exports = evaluated.value
      const promise = context.getPromiseState(exports)
      if (promise.type === 'rejected') return this.#lookedAt(promise.error) ?? this.#faulty(promise.error)
      // It imports the agent in its own time.
      if (this.#isAgents) return { kind: 'looked-at', names: '' }
      if (promise.type === 'pending') return { kind: 'faulty', text: JSON.stringify(['the module awaits at its top level what does not come', false, 0, 0]) }
      if (promise.notAPromise !== true) exports = promise.value
      const bound = context.callFunction(this.#world.bind, context.undefined, exports)
      if (bound.error !== undefined) return this.#faulty(bound.error)
      return { kind: 'loaded', text: context.getString(bound.value) }
    })
  }

  /** Starts the script of a domain agent. */
  begin(source: string): AgentStepped | Broken {
    return this.#guarded(() => {
      const context = this.#context
      const agent = this.#makeAgent()
      this.#agent = agent
      const evaluated = context.evalCode(source, TENANT_MODULE, { type: 'module' })
      const watched = evaluated.error === undefined ? context.callFunction(agent.evaluating, context.undefined, evaluated.value, this.#world.bind) : context.callFunction(agent.threw, context.undefined, evaluated.error)
      if (watched.error !== undefined) return this.#brokenBy(watched.error)
      this.#runJobs()
      return this.#agentReply(agent, '[]')
    })
  }

  /** What world.ts collected, or that it is over. `messages`: for the script of a domain agent; undefined: it is not its turn. */
  step(text: string, messages: string | undefined): string | AgentStepped | Broken {
    return this.#guarded(() => {
      const agent = this.#agent
      const broken = this.#give(this.#world.step, text)
      if (broken !== undefined) return broken
      this.#runJobs()
      if (agent !== undefined && messages !== undefined) {
        const unheard = this.#give(agent.deliver, messages) ?? this.#turns(agent)
        if (unheard !== undefined) return unheard
      }
      const records = this.#collected(this.#world.collect)
      return agent === undefined || typeof records !== 'string' ? records : this.#agentReply(agent, records)
    })
  }

  /** What the import of the agent throws where the module does not run as one. */
  #lookedAt(thrown: QuickJSHandle): LookedAt | undefined {
    if (!this.#isAgents || this.#context.typeof(thrown) !== 'string') return undefined
    return { kind: 'looked-at', names: this.#context.getString(thrown) }
  }

  #moduleText(name: string): string | undefined {
    if (isDomainAgent(name)) this.#isAgents = true
    return moduleText(name, this.#agent !== undefined)
  }

  #makeAgent(): Readonly<Record<keyof AgentWorld, QuickJSHandle>> {
    const context = this.#context
    const make = context.unwrapResult(context.evalCode(`(entropy) => (${makeAgentWorld.toString()})(${JSON.stringify(AGENT_BOUNDS)}, ${JSON.stringify(AGENT_TOKEN)}, entropy)`, 'agent-world.js'))
    const entropy = context.newFunction('entropy', () => context.newString(randomBytes(ENTROPY_BYTES).toString('hex')))
    const made = context.unwrapResult(context.callFunction(make, context.undefined, entropy))
    const part = (name: keyof AgentWorld): QuickJSHandle => context.getProp(made, name)
    return { deliver: part('deliver'), turn: part('turn'), collect: part('collect'), evaluating: part('evaluating'), threw: part('threw') }
  }

  /** As an event loop does: between two messages, or timers, everything that promises have to do. */
  #turns(agent: Readonly<Record<keyof AgentWorld, QuickJSHandle>>): Broken | undefined {
    const until = performance.now() + limits.domainAgentTurnsMs
    for (;;) {
      const turned = this.#context.callFunction(agent.turn, this.#context.undefined)
      if (turned.error !== undefined) return this.#brokenBy(turned.error)
      const more = this.#context.dump(turned.value) === true
      turned.value.dispose()
      this.#runJobs()
      if (!more || performance.now() > until) return undefined
    }
  }

  #agentReply(agent: Readonly<Record<keyof AgentWorld, QuickJSHandle>>, records: string): AgentStepped | Broken {
    const out = this.#collected(agent.collect)
    return typeof out === 'string' ? { kind: 'agent', records, out } : out
  }

  #give(to: QuickJSHandle, text: string): Broken | undefined {
    const given = this.#context.newString(text)
    const took = this.#context.callFunction(to, this.#context.undefined, given)
    given.dispose()
    if (took.error !== undefined) return this.#brokenBy(took.error)
    took.value.dispose()
    return undefined
  }

  #collected(from: QuickJSHandle): string | Broken {
    const collected = this.#context.callFunction(from, this.#context.undefined)
    if (collected.error !== undefined) return this.#brokenBy(collected.error)
    const out = this.#context.getString(collected.value)
    collected.value.dispose()
    return out
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
