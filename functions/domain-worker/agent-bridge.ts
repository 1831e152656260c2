/**
 * The door of a domain agent's script: what comes out of its sandbox besides what handlers do (bridge.ts, whose invariants
 * hold here as well).
 */
import type { JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { JsonText, ModuleHandlers } from '#shared/ports/domain-worker.ts'
import { parsed, readLoaded, unsound, words } from './bridge.ts'

export type AgentRecord =
  /** A message of the script. `connection`: as it calls it; `text`: the message without it. */
  | { readonly kind: 'said'; readonly connection: string; readonly text: JsonText }
  /** The answer to a heartbeat. */
  | { readonly kind: 'beat' }
  | { readonly kind: 'log'; readonly line: string }
  /** The top level of the module is done. */
  | { readonly kind: 'settled'; readonly handlers: ModuleHandlers }
  /** Nobody caught what was thrown. `line`, `column`: 1-based, of the module, where known. */
  | { readonly kind: 'failed'; readonly message: string; readonly inPromise: boolean; readonly line: number | undefined; readonly column: number | undefined }
  | { readonly kind: 'memory' }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'exit'; readonly code: number }

/** `dueMs`: when the next turn is of use; undefined: when there is a message. `hasUnheard`: messages that it was given wait for that. */
export type AgentOut = { readonly dueMs: number | undefined; readonly records: readonly AgentRecord[]; readonly hasUnheard: boolean }

/** Undefined: not what agent-world.ts writes, so a tenant wrote it. */
export function readAgentOut(text: string): AgentOut | undefined {
  if (text.length > limits.domainAgentOutCharacters) return { dueMs: undefined, records: [{ kind: 'too-large' }], hasUnheard: false }
  const answer = parsed(text)
  if (!Array.isArray(answer)) return undefined
  const [due, items, unheard] = answer as unknown[]
  if (typeof due !== 'number' || !Number.isFinite(due) || !Array.isArray(items) || typeof unheard !== 'number') return undefined
  const records: AgentRecord[] = []
  for (const item of items as unknown[]) {
    const record = Array.isArray(item) ? readRecord(item as unknown[]) : undefined
    if (record === undefined) return undefined
    records.push(record)
  }
  return { dueMs: due < 0 ? undefined : Math.min(due, 2 ** 31 - 1), records, hasUnheard: unheard > 0 }
}

function readRecord(item: readonly unknown[]): AgentRecord | undefined {
  const [kind, first] = item
  switch (kind) {
    case 'said':
      return readSaid(first)
    case 'beat':
      return { kind }
    case 'log':
      return typeof first === 'string' ? { kind, line: words(first, limits.handlerLogCharacters) } : undefined
    case 'settled': {
      const loaded = readLoaded(JSON.stringify(first))
      return loaded === undefined ? undefined : { kind, handlers: loaded.handlers }
    }
    case 'failed':
      return readFailed(item)
    case 'exit':
      return typeof first === 'number' && Number.isSafeInteger(first) ? { kind, code: first } : undefined
    default:
      return undefined
  }
}

function readSaid(message: unknown): AgentRecord | undefined {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined
  // Its own error, and no more than that: the script says what is no message.
  if (unsound(message) !== undefined) return { kind: 'failed', message: 'Error: a message that is nested too deeply, or has a key "__proto__"', inPromise: false, line: undefined, column: undefined }
  const { connection, ...rest } = message as JsonObject
  if (typeof connection !== 'string' || connection.length > limits.domainAgentConnectionCharacters || !connection.isWellFormed()) {
    return { kind: 'failed', message: 'Error: a message without a connection', inPromise: false, line: undefined, column: undefined }
  }
  const text = JSON.stringify(rest)
  return text.length > limits.domainAgentMessageCharacters ? { kind: 'too-large' } : { kind: 'said', connection, text }
}

function readFailed([, message, inPromise, memory, line, column]: readonly unknown[]): AgentRecord | undefined {
  if (typeof message !== 'string') return undefined
  if (memory === true) return { kind: 'memory' }
  const place = (value: unknown): number | undefined => (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined)
  return { kind: 'failed', message: words(message, limits.handlerMessageCharacters), inPromise: inPromise === true, line: place(line), column: place(column) }
}
