/**
 * The only door between a tenant's module and its host: texts of JSON, made here on the way in, checked here on the way out.
 *
 * What comes out may have been written by the module itself, whatever world.ts meant to send: every frame is a tenant's.
 * One that has not the shape is the end of its sandbox; a value in it that no state could hold is the end of its call.
 */
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentAnswer, AgentMethod, HandlerBound, JsonText, ModuleHandlers } from '#shared/ports/domain-worker.ts'
import { STEP_CHARACTERS } from './worker-bounds.ts'

export type Start = { readonly token: number; readonly handler: number | string; readonly argument: JsonText }
export type Answer = { readonly id: number; readonly answer: AgentAnswer }

/** Parsed in the sandbox only: `[[start...], [answer...], [token given up...]]`. */
export function encodeStep(starts: readonly Start[], answers: readonly Answer[], forgotten: readonly number[]): string {
  const started = starts.map(({ token, handler, argument }) => `[${token},${JSON.stringify(handler)},${argument}]`)
  const answered = answers.map(({ id, answer }) => ('ok' in answer ? `[${id},true,${answer.ok}]` : `[${id},false,${JSON.stringify(answer.error)}]`))
  return `[[${started.join(',')}],[${answered.join(',')}],[${forgotten.join(',')}]]`
}

export type SandboxRecord =
  | { readonly kind: 'nothing'; readonly token: number; readonly log: readonly string[] }
  | { readonly kind: 'returned'; readonly token: number; readonly value: Json; readonly log: readonly string[] }
  | { readonly kind: 'rejected'; readonly token: number; readonly reason: string; readonly log: readonly string[] }
  | { readonly kind: 'threw'; readonly token: number; readonly message: string; readonly log: readonly string[] }
  | { readonly kind: 'exceeded'; readonly token: number; readonly what: HandlerBound; readonly log: readonly string[] }
  | { readonly kind: 'agent'; readonly token: number; readonly id: number; readonly method: AgentMethod; readonly args: readonly Json[] }

const METHODS: readonly string[] = ['state', 'metadata', 'patch', 'create', 'query', 'uuid'] satisfies AgentMethod[]
const BOUNDS: readonly string[] = ['time', 'memory', 'result-size', 'calls', 'bytes'] satisfies HandlerBound[]
const NO_LOG: readonly string[] = []
const MESSAGE_CHARACTERS = 2_000
const LOG_LINES = 100

/** Undefined: no frame of the world's. */
export function decodeRecords(text: string): readonly SandboxRecord[] | undefined {
  if (text.length > STEP_CHARACTERS) return undefined
  const frame = parsed(text)
  if (!Array.isArray(frame)) return undefined
  const records: SandboxRecord[] = []
  for (const each of frame as unknown[]) {
    const record = isCount(each) ? { kind: 'nothing' as const, token: each, log: NO_LOG } : decodeRecord(each)
    if (record === undefined) return undefined
    records.push(record)
  }
  return records
}

function decodeRecord(each: unknown): SandboxRecord | undefined {
  if (!Array.isArray(each)) return undefined
  const [token, kind, value, more, args] = each as unknown[]
  if (!isCount(token)) return undefined
  if (kind === 'agent') {
    if (!isCount(value) || typeof more !== 'string' || !METHODS.includes(more) || !Array.isArray(args)) return undefined
    if (!isStorable(args, 0)) return { kind: 'threw', token, message: REFUSED, log: NO_LOG }
    return { kind: 'agent', token, id: value, method: more as AgentMethod, args: args as Json[] }
  }
  const log = more === undefined ? NO_LOG : textsOf(more)?.slice(0, LOG_LINES)
  if (log === undefined) return undefined
  switch (kind) {
    case 'nothing':
      return { kind, token, log }
    case 'returned':
      return isStorable(value, 0) ? { kind, token, value: value as Json, log } : { kind: 'threw', token, message: REFUSED, log }
    case 'rejected':
      return typeof value === 'string' ? { kind, token, reason: value.slice(0, MESSAGE_CHARACTERS), log } : undefined
    case 'threw':
      return typeof value === 'string' ? { kind, token, message: value.slice(0, MESSAGE_CHARACTERS), log } : undefined
    case 'exceeded':
      return typeof value === 'string' && BOUNDS.includes(value) ? { kind, token, what: value as HandlerBound, log } : undefined
    default:
      return undefined
  }
}

const REFUSED = `the value has "__proto__" as a key, or is nested deeper than ${limits.nestingLevels}`

/** `__proto__` as a key is data here and a trap elsewhere. The depth bounds this recursion too. */
function isStorable(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === limits.nestingLevels) return false
  if (Array.isArray(value)) return value.every((item) => isStorable(item, depth + 1))
  return !Object.hasOwn(value, '__proto__') && Object.values(value).every((item) => isStorable(item, depth + 1))
}

/** What `bind` says of a module; undefined: no text of the world's. */
export function decodeExports(text: string): { readonly handlers: ModuleHandlers; readonly log: readonly string[] } | undefined {
  const frame = text.length > STEP_CHARACTERS ? undefined : parsed(text)
  if (!Array.isArray(frame)) return undefined
  const [names, scripts, log] = (frame as unknown[]).map(textsOf)
  if (names === undefined || scripts === undefined || log === undefined) return undefined
  const has = (name: string): boolean => names.includes(name)
  return { handlers: { prePersistence: has('prePersistence'), postPersistence: has('postPersistence'), configure: has('configure'), closeScripts: scripts }, log }
}

export type LoadFault = { readonly message: string; readonly line: number | undefined; readonly column: number | undefined }

/** What `describe` says of a fault of loading. */
export function decodeFault(text: string): LoadFault {
  const frame = parsed(text)
  const [message, , line, column] = Array.isArray(frame) ? (frame as unknown[]) : []
  if (typeof message !== 'string') return { message: 'the module does not load', line: undefined, column: undefined }
  const place = (value: unknown): number | undefined => (isCount(value) && value > 0 ? value : undefined)
  return { message: message.slice(0, MESSAGE_CHARACTERS), line: place(line), column: place(column) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? (value as string[]).map((each) => each.slice(0, MESSAGE_CHARACTERS)) : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
