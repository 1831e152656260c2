/**
 * What the script of a domain agent sees of the world besides the language: messages, timers, a clock, random numbers. This
 * function runs inside the sandbox, as that of world.ts does: its text is evaluated there, before the script.
 *
 * It is no boundary either: what leaves is checked by agent-bridge.ts.
 *
 * Owns: messages that wait, timers, the text that goes out next.
 */

/** Characters are UTF-16 units. */
export type AgentWorldBounds = {
  readonly message: number
  readonly logLine: number
  readonly logLines: number
  readonly timers: number
  readonly timerMs: number
}

export type AgentWorld = {
  /** JSON: messages for the script; null is a heartbeat. Continue with `turn`. */
  deliver(text: string): void
  /** Takes one message, or runs one timer, and says whether there is more. Continue with pending jobs. */
  turn(): boolean
  /** JSON: [ms until the next turn is of use, or -1, records (agent-bridge.ts), messages that wait]. */
  collect(): string
  /** Takes the evaluation of the script: a promise of its exports, which `bind` of world.ts gets. */
  evaluating(evaluation: unknown, bind: (exports: Record<string, unknown>) => string): void
  /** There was nothing to evaluate, or it threw at once. */
  threw(error: unknown): void
}

/** `entropy`: random bytes, in hexadecimal. */
export function makeAgentWorld(bounds: AgentWorldBounds, token: string, entropy: () => string): AgentWorld {
  'use strict'
  type Listener = (event: { readonly data: unknown }) => unknown
  type Timer = { readonly id: number; readonly run: (...args: unknown[]) => unknown; readonly args: unknown[]; readonly everyMs: number | undefined; due: number; order: number }

  const { parse, stringify } = JSON
  const { apply } = Reflect
  const { then } = Promise.prototype
  const NativePromise = Promise
  const NativeError = Error
  const NativeString = String
  const { now } = Date
  const startedMs = now()
  const scope = globalThis as unknown as Record<string, unknown>

  const listeners = new Set<Listener>()
  let inbox: unknown[] = []
  let read = 0
  /** Messages and timers take turns: neither keeps the other waiting for ever. */
  let wasMessage = false
  let out = ''
  let logged = 0
  let isOver = false

  function emit(record: string): void {
    if (!isOver) out += out === '' ? record : `,${record}`
  }

  const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}...` : text)

  function show(part: unknown): string {
    if (typeof part === 'string') return part
    try {
      if (part instanceof NativeError) return `${part.name}: ${part.message}`
      return stringify(part) ?? NativeString(part)
    } catch {
      return 'something that cannot be shown'
    }
  }

  // --- Errors ------------------------------------------------------------------------------------

  /** Nobody has caught it: it is the end. */
  function fail(thrown: unknown, inPromise: boolean): void {
    let message = 'something that cannot be shown'
    let place: RegExpExecArray | null = null
    let memory = thrown === null
    try {
      if (thrown instanceof NativeError) {
        memory = thrown.name === 'InternalError' && thrown.message === 'out of memory'
        place = /agent\.js:(\d+)(?::(\d+))?/.exec(NativeString(thrown.stack))
        message = `${thrown.name}: ${thrown.message}`
      } else message = show(thrown)
    } catch {
      // A getter of its own: what it throws in turn is not asked.
    }
    emit(`["failed",${stringify(cut(message, bounds.message))},${inPromise},${memory},${place?.[1] ?? 0},${place?.[2] ?? 0}]`)
    isOver = true
  }

  const failLater = (thrown: unknown): void => fail(thrown, true)

  function run(work: (...args: unknown[]) => unknown, args: unknown[]): void {
    try {
      const result = work(...args)
      if (result instanceof NativePromise) apply(then, result, [undefined, failLater])
    } catch (error) {
      fail(error, false)
    }
  }

  // --- Timers: a heap by time, and among equals by age ---------------------------------------------

  const timers = new Map<number, Timer>()
  let heap: Timer[] = []
  let made = 0

  const isBefore = (a: Timer, b: Timer): boolean => a.due < b.due || (a.due === b.due && a.order < b.order)

  function push(timer: Timer): void {
    let at = heap.length
    heap.push(timer)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(timer, heap[above]!)) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = timer
  }

  function pop(): void {
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1
      if (!isBefore(heap[below]!, last)) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = last
  }

  /** The next that was not taken back. */
  function next(): Timer | undefined {
    while (heap[0] !== undefined && timers.get(heap[0].id) !== heap[0]) pop()
    return heap[0]
  }

  function setTimer(work: unknown, ms: unknown, args: unknown[], repeats: boolean): number {
    if (typeof work !== 'function') throw new TypeError('a timer takes a function')
    if (timers.size >= bounds.timers) throw new RangeError('too many timers')
    const wanted = Number(ms)
    const afterMs = Math.max(bounds.timerMs, wanted <= 2 ** 31 - 1 ? wanted : 1)
    const id = (made += 1)
    const timer = { id, run: work as Timer['run'], args, everyMs: repeats ? afterMs : undefined, due: now() + afterMs, order: id }
    timers.set(id, timer)
    push(timer)
    return id
  }

  function clearTimer(id: unknown): void {
    timers.delete(Number(id))
    // Most timers are taken back before their time: what is left of them must not outgrow those that wait.
    if (heap.length > 64 && heap.length > 2 * timers.size) {
      heap = []
      for (const timer of timers.values()) push(timer)
    }
  }

  function ring(timer: Timer): void {
    pop()
    if (timer.everyMs === undefined) timers.delete(timer.id)
    else {
      timer.due = now() + timer.everyMs
      timer.order = made += 1
      push(timer)
    }
    run(timer.run, timer.args)
  }

  // --- Messages ----------------------------------------------------------------------------------

  function hear(message: unknown): void {
    const event = { type: 'message', data: message === null ? undefined : message }
    const onMessage = scope['onmessage']
    const all: unknown[] = [...listeners]
    if (typeof onMessage === 'function') all.push(onMessage)
    for (const listener of all) run(listener as Timer['run'], [event])
  }

  function postMessage(message: unknown): void {
    if (message === undefined) return emit('["beat"]')
    const text = stringify(message)
    if (text === undefined) throw new TypeError('it cannot be sent')
    emit(`["said",${text}]`)
  }

  function say(...parts: unknown[]): void {
    if (logged >= bounds.logLines) return
    logged += 1
    let line = ''
    for (const part of parts) if (line.length <= bounds.logLine) line += (line === '' ? '' : ' ') + cut(show(part), bounds.logLine)
    emit(`["log",${stringify(logged === bounds.logLines ? 'more lines were left out' : cut(line, bounds.logLine))}]`)
  }

  // --- Random numbers ----------------------------------------------------------------------------

  let pool = ''

  function hex(digits: number): string {
    if (pool.length < digits) pool = entropy()
    const taken = pool.slice(0, digits)
    pool = pool.slice(digits)
    return taken
  }

  function randomUUID(): string {
    const digits = hex(31)
    const variant = '89ab'[Number.parseInt(digits[15]!, 16) & 3]!
    return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(12, 15)}-${variant}${digits.slice(16, 19)}-${digits.slice(19, 31)}`
  }

  function getRandomValues<T extends ArrayBufferView>(view: T): T {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    if (bytes.length > 65_536) throw new RangeError('at most 65536 bytes at once')
    for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(hex(2), 16)
    return view
  }

  // --- structuredClone ---------------------------------------------------------------------------

  function clone(value: unknown, known: Map<object, unknown>): unknown {
    if (typeof value === 'function' || typeof value === 'symbol') throw new TypeError('it cannot be cloned')
    if (typeof value !== 'object' || value === null) return value
    if (known.has(value)) return known.get(value)
    const note = <T>(copy: T): T => {
      known.set(value, copy)
      return copy
    }
    if (Array.isArray(value)) {
      const copy = note<unknown[]>([])
      copy.length = value.length
      for (const key of Object.keys(value)) (copy as unknown as Record<string, unknown>)[key] = clone((value as unknown as Record<string, unknown>)[key], known)
      return copy
    }
    if (value instanceof Date) return note(new Date(value.getTime()))
    if (value instanceof RegExp) return note(new RegExp(value.source, value.flags))
    if (value instanceof Map) {
      const copy = note(new Map())
      for (const [key, each] of value) copy.set(clone(key, known), clone(each, known))
      return copy
    }
    if (value instanceof Set) {
      const copy = note(new Set())
      for (const each of value) copy.add(clone(each, known))
      return copy
    }
    if (value instanceof ArrayBuffer) return note(value.slice(0))
    if (ArrayBuffer.isView(value)) {
      const Kind = value.constructor as new (buffer: unknown, offset: number, length: number | undefined) => unknown
      return note(new Kind(clone(value.buffer, known), value.byteOffset, (value as { length?: number }).length ?? value.byteLength))
    }
    if (value instanceof NativeError) {
      const copy = note(new NativeError(value.message))
      copy.name = value.name
      return copy
    }
    if (value instanceof NativePromise || value instanceof WeakMap || value instanceof WeakSet) throw new TypeError('it cannot be cloned')
    const copy = note({} as Record<string, unknown>)
    for (const key of Object.keys(value)) {
      Object.defineProperty(copy, key, { value: clone((value as Record<string, unknown>)[key], known), writable: true, enumerable: true, configurable: true })
    }
    return copy
  }

  // --- What the script finds ---------------------------------------------------------------------

  Object.assign(scope, {
    self: globalThis,
    console: { log: say, info: say, warn: say, error: say, debug: say, trace: say },
    postMessage,
    addEventListener: (type: unknown, listener: Listener) => {
      if (type === 'message' && typeof listener === 'function') listeners.add(listener)
    },
    removeEventListener: (_: unknown, listener: Listener) => void listeners.delete(listener),
    setTimeout: (work: unknown, ms?: unknown, ...args: unknown[]) => setTimer(work, ms ?? 0, args, false),
    setInterval: (work: unknown, ms?: unknown, ...args: unknown[]) => setTimer(work, ms ?? 0, args, true),
    clearTimeout: clearTimer,
    clearInterval: clearTimer,
    queueMicrotask: (work: () => unknown) => void apply(then, NativePromise.resolve(), [() => run(work, [])]),
    reportError: (error: unknown) => fail(error, false),
    structuredClone: (value: unknown) => clone(value, new Map()),
    performance: { now: () => now() - startedMs },
    crypto: { randomUUID, getRandomValues },
    fetch: () => NativePromise.reject(new TypeError('there is no network here')),
    Deno: {
      args: [],
      env: { get: (name: unknown) => (name === 'AGENT_TOKEN' ? token : undefined), has: (name: unknown) => name === 'AGENT_TOKEN', toObject: () => ({ AGENT_TOKEN: token }) },
      exit: (code?: unknown) => {
        emit(`["exit",${Number.isSafeInteger(code) ? NativeString(code) : '0'}]`)
        isOver = true
        throw new NativeError('the agent has ended')
      },
    },
  })

  return {
    deliver(text) {
      const messages = parse(text) as unknown[]
      inbox = read === inbox.length ? messages : [...inbox.slice(read), ...messages]
      read = 0
    },
    turn() {
      if (isOver) return false
      const timer = next()
      const isDue = timer !== undefined && timer.due <= now()
      if (read < inbox.length && !(isDue && wasMessage)) {
        wasMessage = true
        const message = inbox[read]
        // What it was may be large, and is the script's from here on.
        inbox[read] = undefined
        read += 1
        hear(message)
      } else {
        wasMessage = false
        if (isDue) ring(timer)
      }
      return !isOver && (read < inbox.length || (next()?.due ?? Infinity) <= now())
    },
    collect() {
      const due = read < inbox.length ? 0 : (next()?.due ?? -1)
      const text = `[${due <= 0 ? due : Math.max(0, due - now())},[${out}],${inbox.length - read}]`
      out = ''
      logged = 0
      return text
    },
    evaluating(evaluation, bind) {
      const settled = (exports: unknown): void => {
        try {
          emit(`["settled",${bind(exports as Record<string, unknown>)}]`)
        } catch (error) {
          fail(error, true)
        }
      }
      apply(then, NativePromise.resolve(evaluation), [settled, failLater])
    },
    threw: failLater,
  }
}
