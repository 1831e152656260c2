/**
 * What a domain's module sees of the world, and how its handlers are started. This function runs inside the sandbox:
 * its text is evaluated there, before the module, so it can use nothing from outside itself.
 *
 * It is no boundary: a module may take it apart, and then deceives itself. Whatever leaves the sandbox is checked by
 * bridge.ts; the bounds here exist to give better words earlier, and not to carry what would be refused anyway.
 *
 * Owns: the open calls, the agent calls that wait for an answer, the text that goes out next.
 */

/** All in UTF-16 units, but for the counts. */
export type WorldBounds = {
  readonly result: number
  readonly message: number
  readonly logLine: number
  readonly logLines: number
  readonly agentCalls: number
  readonly agentText: number
}

export type World = {
  /** Takes the exports of the module; JSON: [names of handlers, names of close scripts, log]. */
  bind(exports: Record<string, unknown>): string
  /** Text of a `Step` (bridge.ts): starts calls, hands over answers, gives up calls. Continue with pending jobs. */
  step(text: string): void
  /** What has come of it: text of an array of `Record` (bridge.ts). */
  collect(): string
  /** JSON: what was thrown, as [message, whether memory ran out, line, column]. */
  describe(thrown: unknown): string
}

/** `isFull`: whether the sandbox has once taken all its memory. */
export function makeWorld(bounds: WorldBounds, isFull: () => boolean): World {
  'use strict'
  type Open = { readonly token: number; log: string[] | undefined; calls: number; text: number; asks: number[] | undefined; over: boolean }
  type Ask = { readonly open: Open; readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }
  type Call = readonly [token: number, handler: number | string, argument: unknown]
  type Handler = (...args: unknown[]) => unknown

  const { parse, stringify } = JSON
  const { apply } = Reflect
  const { then } = Promise.prototype
  const NativePromise = Promise
  const NativeError = Error
  const NativeTypeError = TypeError
  const NativeString = String
  const NAMES = ['prePersistence', 'postPersistence', 'configure']
  const handlers: (Handler | undefined)[] = []
  const closeScripts = new Map<string, Handler>()
  const rejections = new WeakMap<object, string>()
  const calls = new Map<number, Open>()
  const asks = new Map<number, Ask>()
  let asked = 0
  let out = ''

  const opened = (token: number): Open => ({ token, log: undefined, calls: 0, text: 0, asks: undefined, over: false })
  /** Whom a line of `console.log` is put down to: the call started or continued last. */
  let current: Open | undefined = opened(0)

  function emit(record: string): void {
    out += out === '' ? record : `,${record}`
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

  function note(open: Open | undefined, parts: unknown[]): void {
    if (open === undefined || open.over) return
    const log = (open.log ??= [])
    if (log.length >= bounds.logLines) return
    let line = ''
    for (const part of parts) if (line.length <= bounds.logLine) line += (line === '' ? '' : ' ') + cut(show(part), bounds.logLine)
    log.push(log.length === bounds.logLines - 1 ? 'more lines were left out' : cut(line, bounds.logLine))
  }

  /** With no room left for an error, null is thrown; there may be none to ask either. */
  function hasRunOut(): boolean {
    try {
      return isFull()
    } catch {
      return true
    }
  }

  function explain(thrown: unknown): [message: string, memory: boolean, line: number, column: number] {
    let message = 'something that cannot be shown'
    let place: RegExpExecArray | null = null
    let memory = thrown === null && hasRunOut()
    try {
      if (thrown instanceof NativeError) {
        const { name, stack } = thrown
        memory = name === 'InternalError' && thrown.message === 'out of memory'
        place = /agent\.js:(\d+)(?::(\d+))?/.exec(NativeString(stack))
        message = `${name}: ${thrown.message}${place === null ? '' : ` (${place[0]})`}`
      } else message = show(thrown)
    } catch {
      // Its own toString, or a getter: what it throws in turn is not asked.
    }
    return [cut(message, bounds.message), memory, Number(place?.[1] ?? 0), Number(place?.[2] ?? 0)]
  }

  function end(open: Open, kind: string, text: string | undefined): void {
    if (open.over) return
    open.over = true
    calls.delete(open.token)
    if (open.asks !== undefined) for (const ask of open.asks) asks.delete(ask)
    emit(open.log === undefined ? `[${open.token},"${kind}",${text ?? 'null'}]` : `[${open.token},"${kind}",${text ?? 'null'},${stringify(open.log)}]`)
  }

  function returned(open: Open, value: unknown): void {
    if (open.over) return
    let text: string | undefined
    try {
      text = value === undefined ? undefined : stringify(value)
    } catch (error) {
      return threw(open, error)
    }
    if (text === undefined) {
      if (open.log !== undefined) return end(open, 'nothing', undefined)
      // The short way of handlers that have nothing to say: a bare token.
      open.over = true
      calls.delete(open.token)
      if (open.asks !== undefined) for (const ask of open.asks) asks.delete(ask)
      return emit(`${open.token}`)
    }
    if (text.length > bounds.result) return end(open, 'exceeded', '"result-size"')
    end(open, 'returned', text)
  }

  function threw(open: Open, thrown: unknown): void {
    if (open.over) return
    const reason = typeof thrown === 'object' && thrown !== null ? rejections.get(thrown) : undefined
    if (reason !== undefined) return end(open, 'rejected', stringify(reason))
    const [message, memory] = explain(thrown)
    if (memory) end(open, 'exceeded', '"memory"')
    else end(open, 'threw', stringify(message))
  }

  function ask(open: Open, method: string, args: unknown[]): Promise<unknown> {
    return new NativePromise((resolve, reject) => {
      if (open.over) throw new NativeError('this call of the handler is over')
      const text = stringify(args)
      open.calls += 1
      open.text += text.length
      if (open.calls > bounds.agentCalls) return end(open, 'exceeded', '"calls"')
      if (open.text > bounds.agentText) return end(open, 'exceeded', '"bytes"')
      const id = (asked += 1)
      asks.set(id, { open, resolve, reject })
      if (open.asks === undefined) open.asks = [id]
      else open.asks.push(id)
      emit(`[${open.token},"agent",${id},"${method}",${text}]`)
    })
  }

  const agentOf = (open: Open): object => ({
    state: (...args: unknown[]) => ask(open, 'state', args),
    metadata: (...args: unknown[]) => ask(open, 'metadata', args),
    patch: (...args: unknown[]) => ask(open, 'patch', args),
    create: (...args: unknown[]) => ask(open, 'create', args),
    query: (...args: unknown[]) => ask(open, 'query', args),
    uuid: () => ask(open, 'uuid', []),
    log: (...parts: unknown[]) => note(open, parts),
  })

  function start(call: Call): void {
    const open = opened(call[0])
    const handler = typeof call[1] === 'number' ? handlers[call[1]] : closeScripts.get(call[1])
    calls.set(open.token, open)
    current = open
    if (handler === undefined) return end(open, 'threw', '"there is no such handler"')
    try {
      const argument = call[2]
      const result =
        typeof call[1] === 'number' ? handler(argument, agentOf(open)) : handler((argument as unknown[])[0], (argument as unknown[])[1], agentOf(open))
      if (typeof result !== 'object' || result === null) return returned(open, result)
      const promise = result instanceof NativePromise ? result : NativePromise.resolve(result)
      apply(then, promise, [(value: unknown) => returned(open, value), (error: unknown) => threw(open, error)])
    } catch (error) {
      threw(open, error)
    }
  }

  function answer(id: number, ok: boolean, value: unknown): void {
    const waiting = asks.get(id)
    if (waiting === undefined) return
    asks.delete(id)
    current = waiting.open
    if (ok) waiting.resolve(value)
    else waiting.reject(new NativeError(value as string))
  }

  const say = (...parts: unknown[]): void => note(current, parts)
  /** The error of `throw reject("why")`. */
  const reject = (reason: unknown): Error => {
    const error = new NativeError('rejected')
    rejections.set(error, cut(show(reason), bounds.message))
    return error
  }
  Object.assign(globalThis, { reject, console: { log: say, info: say, warn: say, error: say, debug: say } })

  return {
    bind(exports) {
      for (const [at, name] of NAMES.entries()) {
        const handler = exports[name]
        if (typeof handler === 'function') handlers[at] = handler as Handler
        // A rule that is none would let everything pass, and nobody would notice.
        else if (handler !== undefined) throw new NativeTypeError(`${name} must be a function`)
      }
      const scripts = exports['closeScripts']
      if (typeof scripts === 'object' && scripts !== null) {
        for (const [name, script] of Object.entries(scripts)) if (typeof script === 'function') closeScripts.set(name, script as Handler)
      }
      const log = current?.log ?? []
      current = undefined
      return stringify([NAMES.filter((_, at) => handlers[at] !== undefined), [...closeScripts.keys()], log])
    },
    step(text) {
      const [started, answers, forgotten] = parse(text) as [Call[], [number, boolean, unknown][], number[]]
      for (const token of forgotten) {
        const open = calls.get(token)
        if (open === undefined) continue
        open.over = true
        calls.delete(token)
        if (open.asks !== undefined) for (const id of open.asks) asks.delete(id)
      }
      for (const [id, ok, value] of answers) answer(id, ok, value)
      for (const call of started) start(call)
    },
    collect() {
      const text = `[${out}]`
      out = ''
      return text
    },
    describe: (thrown) => stringify(explain(thrown)),
  }
}
