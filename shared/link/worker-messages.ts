/**
 * What goes over a link between an api and a domain worker. As on other links a line is one message, a JSON header, then,
 * behind a tab, a text that is JSON already and travels as it is. Headers of what goes with every call are short lists.
 */
import type { Codec } from '#shared/link/link.ts'
import type { AgentEnd, AgentMethod, CallOutcome, Handler, JsonText, LoadOutcome, ModuleHandlers } from '#shared/ports/domain-worker.ts'

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
  /** Of domain agents: started, told something, ended. The api gives them their numbers. */
  | { readonly kind: 'agent'; readonly agent: number; readonly module: number }
  | { readonly kind: 'tell'; readonly agent: number; readonly text: JsonText }
  | { readonly kind: 'pass'; readonly agent: number; readonly text: JsonText }
  | { readonly kind: 'end-agent'; readonly agent: number }
  /** To the api. `done`: calls that returned nothing and logged nothing. */
  | { readonly kind: 'done'; readonly tokens: readonly number[] }
  | { readonly kind: 'outcome'; readonly token: number; readonly outcome: WorkerOutcome }
  | { readonly kind: 'loaded'; readonly token: number; readonly outcome: LoadOutcome }
  | { readonly kind: 'ask'; readonly token: number; readonly ask: number; readonly number: number; readonly method: AgentMethod; readonly args: JsonText }
  | { readonly kind: 'said'; readonly agent: number; readonly connection: string; readonly text: JsonText }
  | { readonly kind: 'passed'; readonly agent: number; readonly text: JsonText }
  | { readonly kind: 'agent-joined'; readonly agent: number }
  | { readonly kind: 'agent-log'; readonly agent: number; readonly lines: readonly string[] }
  | { readonly kind: 'agent-settled'; readonly agent: number; readonly handlers: ModuleHandlers }
  | { readonly kind: 'agent-ended'; readonly agent: number; readonly why: AgentEnd }

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
    case 'tell':
      return `["t",${message.agent}]\t${message.text}\n`
    case 'pass':
      return `["p",${message.agent}]\t${message.text}\n`
    case 'passed':
      return `["P",${message.agent}]\t${message.text}\n`
    case 'said':
      return `["s",${message.agent},${JSON.stringify(message.connection)}]\t${message.text}\n`
    case 'module':
    case 'drop':
    case 'load':
    case 'loaded':
    case 'agent':
    case 'end-agent':
    case 'agent-joined':
    case 'agent-log':
    case 'agent-settled':
    case 'agent-ended':
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
  | ['t' | 'p' | 'P', number]
  | ['s', number, string]

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
    case 't':
      return { kind: 'tell', agent: header[1], text }
    case 'p':
      return { kind: 'pass', agent: header[1], text }
    case 'P':
      return { kind: 'passed', agent: header[1], text }
    case 's':
      return { kind: 'said', agent: header[1], connection: header[2], text }
    default:
      throw new Error('a message that none of ours sends')
  }
}

export const workerCodec: Codec<WorkerMessage> = { encode, decode }
