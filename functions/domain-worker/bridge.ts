/**
 * The only door between a sandbox and the rest: the texts of steps that go in, the records that come out.
 *
 * What comes out is a tenant's, forged as far as it likes: its shape, nesting, size and keys are checked here, and what is
 * handed on is our own text of it. I1. No value leaves that is nested past `limits.nestingLevels`, or has a key `__proto__`.
 * I2. Every text that leaves is well-formed and bounded. I3. What is said of a call says no more than its token;
 * whether such a call is open, the caller knows.
 */
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentMethod, HandlerBound, JsonText, ModuleHandlers } from '#shared/ports/domain-worker.ts'
import type { AgentStepped, Broken, Faulty, Loaded, LookedAt } from './engine.ts'

/** `handler`: place in `HANDLERS`, or the name of a close script. */
export type StepCall = { readonly token: number; readonly handler: number | string; readonly argument: JsonText }
export type StepAnswer = { readonly ask: number; readonly ok: boolean; readonly text: JsonText }
/** What a sandbox does next, in this order: gives up calls, hands over answers, starts calls. */
export type Step = { readonly forget: readonly number[]; readonly answers: readonly StepAnswer[]; readonly calls: readonly StepCall[] }

export const HANDLERS = ['prePersistence', 'postPersistence', 'configure'] as const
const METHODS: readonly string[] = ['state', 'metadata', 'patch', 'create', 'query', 'uuid'] satisfies AgentMethod[]
const BOUNDS: readonly string[] = ['time', 'memory', 'result-size', 'calls', 'bytes'] satisfies HandlerBound[]

export type SandboxRecord =
  /** `value`: undefined for nothing. */
  | { readonly kind: 'returned'; readonly token: number; readonly value: JsonText | undefined; readonly log: readonly string[] }
  | { readonly kind: 'rejected' | 'threw'; readonly token: number; readonly words: string; readonly log: readonly string[] }
  | { readonly kind: 'exceeded'; readonly token: number; readonly what: HandlerBound; readonly log: readonly string[] }
  /** `bytes`: of the arguments. */
  | { readonly kind: 'agent'; readonly token: number; readonly ask: number; readonly method: AgentMethod; readonly args: JsonText; readonly bytes: number }

/** What a thread answers to a step. */
export type StepReply = string | AgentStepped | Broken
export type LoadReply = Loaded | LookedAt | AgentStepped | Faulty | Broken

export function stepText({ forget, answers, calls }: Step): string {
  let started = ''
  for (const { token, handler, argument } of calls) {
    const name = typeof handler === 'number' ? handler : JSON.stringify(handler)
    started += `${started === '' ? '' : ','}[${token},${name},${argument}]`
  }
  const given = answers.map(({ ask, ok, text }) => `[${ask},${ok},${text}]`).join(',')
  return `[[${started}],[${given}],[${forget.join(',')}]]`
}

const NO_LOG: readonly string[] = []

/** Undefined: not what world.ts writes, so a tenant wrote it. `resultBytes`: largest result. */
export function readRecords(text: string, resultBytes: number): SandboxRecord[] | undefined {
  if (text.length > limits.stepOutCharacters) return undefined
  const list = parsed(text)
  if (!Array.isArray(list)) return undefined
  const records: SandboxRecord[] = []
  for (const item of list) {
    const record = Number.isSafeInteger(item) ? ({ kind: 'returned', token: item as number, value: undefined, log: NO_LOG } as const) : readRecord(item, resultBytes)
    if (record === undefined) return undefined
    records.push(record)
  }
  return records
}

function readRecord(item: unknown, resultBytes: number): SandboxRecord | undefined {
  if (!Array.isArray(item)) return undefined
  const [token, kind, third, fourth, fifth] = item as unknown[]
  if (typeof token !== 'number' || !Number.isSafeInteger(token)) return undefined
  if (kind === 'agent') return readAsk(token, third, fourth, fifth)
  const log = fourth === undefined ? NO_LOG : lines(fourth)
  if (log === undefined) return undefined
  switch (kind) {
    case 'nothing':
      return { kind: 'returned', token, value: undefined, log }
    case 'returned': {
      const fault = unsound(third)
      if (fault !== undefined) return { kind: 'threw', token, words: `the result ${fault}`, log }
      const value = JSON.stringify(third)
      return Buffer.byteLength(value) > resultBytes ? { kind: 'exceeded', token, what: 'result-size', log } : { kind: 'returned', token, value, log }
    }
    case 'rejected':
    case 'threw':
      return typeof third === 'string' ? { kind, token, words: words(third, limits.handlerMessageCharacters), log } : undefined
    case 'exceeded':
      return typeof third === 'string' && BOUNDS.includes(third) ? { kind, token, what: third as HandlerBound, log } : undefined
    default:
      return undefined
  }
}

function readAsk(token: number, ask: unknown, method: unknown, args: unknown): SandboxRecord | undefined {
  if (typeof ask !== 'number' || !Number.isSafeInteger(ask) || typeof method !== 'string' || !METHODS.includes(method) || !Array.isArray(args)) return undefined
  const fault = unsound(args)
  if (fault !== undefined) return { kind: 'threw', token, words: `an argument of agent.${method} ${fault}`, log: NO_LOG }
  const text = JSON.stringify(args)
  return { kind: 'agent', token, ask, method: method as AgentMethod, args: text, bytes: Buffer.byteLength(text) }
}

/** What world.ts says of a module that has loaded. Undefined: forged. */
export function readLoaded(text: string): { readonly handlers: ModuleHandlers; readonly log: readonly string[] } | undefined {
  if (text.length > limits.stepCharacters) return undefined
  const answer = parsed(text)
  if (!Array.isArray(answer)) return undefined
  const [names, scripts] = answer as unknown[]
  const log = lines(answer[2])
  if (!areTexts(names) || !areTexts(scripts) || log === undefined) return undefined
  const has = (name: string): boolean => names.includes(name)
  return {
    handlers: { prePersistence: has('prePersistence'), postPersistence: has('postPersistence'), configure: has('configure'), closeScripts: scripts.map((name) => name.toWellFormed()) },
    log,
  }
}

/** Of a module that was only looked at: what its exports are, nobody knows before it runs. */
export function handlersNamed(names: string): ModuleHandlers {
  const all = names.split(',')
  const has = (name: string): boolean => all.includes(name)
  return { prePersistence: has('prePersistence'), postPersistence: has('postPersistence'), configure: has('configure'), closeScripts: [] }
}

/** What world.ts says of what a module threw while loading. */
export function readFault(text: string): { readonly message: string; readonly line: number | undefined; readonly column: number | undefined } {
  const answer = text.length > limits.stepCharacters ? undefined : parsed(text)
  const [message, , line, column] = Array.isArray(answer) ? (answer as unknown[]) : []
  const place = (value: unknown): number | undefined => (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined)
  return {
    message: typeof message === 'string' ? words(message, limits.handlerMessageCharacters) : 'the module does not load',
    line: place(line),
    column: place(column),
  }
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

const areTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string')

export function words(text: string, most: number): string {
  return (text.length > most ? `${text.slice(0, most)}...` : text).toWellFormed()
}

function lines(value: unknown): string[] | undefined {
  return areTexts(value) ? value.slice(0, limits.handlerLogLines).map((line) => words(line, limits.handlerLogCharacters)) : undefined
}

/** What is wrong with a value, or undefined. Not recursive: nesting is what it must survive. */
export function unsound(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  let level: object[] = [value]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limits.nestingLevels) return 'is nested too deeply'
    const below: object[] = []
    for (const item of level) {
      if (!Array.isArray(item) && Object.hasOwn(item, '__proto__')) return 'has a key "__proto__"'
      for (const inner of Object.values(item) as Json[]) if (typeof inner === 'object' && inner !== null) below.push(inner)
    }
    level = below
  }
  return undefined
}
