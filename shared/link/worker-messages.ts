/**
 * What goes over a link between an api and a domain worker. As on other links a line is one message, a JSON header, then,
 * behind a tab, a text that is JSON already and travels as it is. Headers of what goes with every call are short lists.
 */
import type { Codec } from '#shared/link/link.ts'
import type { AgentMethod, CallOutcome, Handler, JsonText, LoadOutcome } from '#shared/ports/domain-worker.ts'

type Returned = Extract<CallOutcome, { kind: 'returned' }>
/** As the port has it, but the value is still a text. */
export type WorkerOutcome = Exclude<CallOutcome, Returned> | (Omit<Returned, 'value'> & { readonly value: JsonText | undefined })

export type WorkerMessage =
  /** To the worker: a number for a module on this link; it is good until it is dropped. */
  | { readonly kind: 'module'; readonly module: number; readonly domain: string; readonly key: string; readonly source: string }
  | { readonly kind: 'drop'; readonly module: number }
  | { readonly kind: 'load'; readonly token: number; readonly module: number }
  | { readonly kind: 'call'; readonly token: number; readonly module: number; readonly handler: Handler; readonly deadlineMs: number | undefined; readonly argument: JsonText }
  | { readonly kind: 'answer'; readonly ask: number; readonly ok: boolean; readonly text: JsonText }
  /** To the api. `done`: calls that returned nothing and logged nothing. */
  | { readonly kind: 'done'; readonly tokens: readonly number[] }
  | { readonly kind: 'outcome'; readonly token: number; readonly outcome: WorkerOutcome }
  | { readonly kind: 'loaded'; readonly token: number; readonly outcome: LoadOutcome }
  | { readonly kind: 'ask'; readonly token: number; readonly ask: number; readonly number: number; readonly method: AgentMethod; readonly args: JsonText }

function encode(message: WorkerMessage): string {
  switch (message.kind) {
    case 'call': {
      const { token, module, handler, deadlineMs, argument } = message
      return `["c",${token},${module},${JSON.stringify(handler)},${deadlineMs ?? 0}]\t${argument}\n`
    }
    case 'answer':
      return `["a",${message.ask},${message.ok}]\t${message.text}\n`
    case 'done':
      return `["d",${message.tokens.join(',')}]\n`
    case 'ask':
      return `["q",${message.token},${message.ask},${message.number},"${message.method}"]\t${message.args}\n`
    case 'outcome': {
      const { outcome } = message
      if (outcome.kind !== 'returned' || outcome.value === undefined) return `${JSON.stringify(message)}\n`
      return `["r",${message.token},${JSON.stringify(outcome.log)}]\t${outcome.value}\n`
    }
    case 'module':
    case 'drop':
    case 'load':
    case 'loaded':
      return `${JSON.stringify(message)}\n`
  }
}

function decode(frame: string): WorkerMessage[] {
  const messages: WorkerMessage[] = []
  for (let start = 0; start < frame.length; ) {
    let end = frame.indexOf('\n', start)
    if (end < 0) end = frame.length
    const tab = frame.indexOf('\t', start)
    const isBare = tab < 0 || tab > end
    messages.push(read(JSON.parse(frame.slice(start, isBare ? end : tab)) as Header, isBare ? '' : frame.slice(tab + 1, end)))
    start = end + 1
  }
  return messages
}

type Header =
  | WorkerMessage
  | ['c', number, number, Handler, number]
  | ['a', number, boolean]
  | ['d', ...number[]]
  | ['q', number, number, number, AgentMethod]
  | ['r', number, string[]]

function read(header: Header, text: string): WorkerMessage {
  if (!Array.isArray(header)) return header
  switch (header[0]) {
    case 'c':
      return { kind: 'call', token: header[1], module: header[2], handler: header[3], deadlineMs: header[4] === 0 ? undefined : header[4], argument: text }
    case 'a':
      return { kind: 'answer', ask: header[1], ok: header[2], text }
    case 'd':
      return { kind: 'done', tokens: header.slice(1) as number[] }
    case 'q':
      return { kind: 'ask', token: header[1], ask: header[2], number: header[3], method: header[4], args: text }
    case 'r':
      return { kind: 'outcome', token: header[1], outcome: { kind: 'returned', value: text, log: header[2] } }
    default:
      throw new Error('a message that none of ours sends')
  }
}

export const workerCodec: Codec<WorkerMessage> = { encode, decode }
