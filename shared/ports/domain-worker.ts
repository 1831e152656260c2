/**
 * The domain worker: runs the modules of domains, each contained in a sandbox of its own.
 *
 * What comes out of it (values, arguments of agent calls, messages, log lines) is a tenant's: hostile data of bounded size
 * and nesting, without a key `__proto__`. No method rejects for an operating error: outcomes are values.
 */
import type { Json } from '#shared/json.ts'

/** JSON as `JSON.stringify` writes it: no raw line feed and no raw tab. Goes into the sandbox as it is, parsed there only. */
export type JsonText = string

/** `key` names this text of the module and no other (a digest of it). Another key of a domain replaces its sandbox. */
export type DomainModule = { readonly domain: string; readonly key: string; readonly source: string }

/** What a module exports. */
export type ModuleHandlers = {
  readonly prePersistence: boolean
  readonly postPersistence: boolean
  readonly configure: boolean
  readonly closeScripts: readonly string[]
}

export type LoadOutcome =
  /** `isAgent`: it is the script of a domain agent, which has only been looked at. What its close scripts are shows when it runs. */
  | { readonly kind: 'loaded'; readonly handlers: ModuleHandlers; readonly log: readonly string[]; readonly isAgent?: true }
  /** It is no module, throws while it loads, or passes a bound. `line`, `column`: 1-based, of `source`, where known. */
  | { readonly kind: 'faulty'; readonly message: string; readonly line: number | undefined; readonly column: number | undefined }
  | { readonly kind: 'unavailable'; readonly reason: string }

export type Handler = 'prePersistence' | 'postPersistence' | 'configure' | { readonly closeScript: string }

export type HandlerCall = {
  readonly module: DomainModule
  readonly handler: Handler
  /** First argument: the object of domains.md. A close script takes two: `[args, {session, user}]`. */
  readonly argument: JsonText
  /** Less time than the worker's own bound (`HANDLER_CALL_MS`), from when the handler starts. */
  readonly deadlineMs?: number
}

export type AgentMethod = 'state' | 'metadata' | 'patch' | 'create' | 'query' | 'uuid'

/**
 * `args`: as the handler gave them, unchecked but for size and nesting. `number`: 0, 1, 2 ... within one run of the handler.
 * A handler can be run more than once for one call, and starts at 0 then: what a number did before must not be done twice.
 */
export type AgentCall = { readonly method: AgentMethod; readonly args: readonly Json[]; readonly number: number }

/** `error`: our own words; the handler sees them as the message of an Error. */
export type AgentAnswer = { readonly ok: JsonText } | { readonly error: string }

/** Does what a handler asks for, as the domain's own user. A promise that rejects is a broken assumption. */
export interface HandlerAgent {
  call(call: AgentCall): Promise<AgentAnswer>
}

/** `calls`, `bytes`: of the agent, in one handler call. */
export type HandlerBound = 'time' | 'memory' | 'result-size' | 'calls' | 'bytes'

/** `log`: lines of `console.log` and `agent.log`, for the domain's report. */
export type CallOutcome =
  /** `value`: undefined where the handler returned nothing, or what JSON has no word for. */
  | { readonly kind: 'returned'; readonly value: Json | undefined; readonly log: readonly string[] }
  /** `throw reject("why")`, of prePersistence only. */
  | { readonly kind: 'rejected'; readonly reason: string; readonly log: readonly string[] }
  /** `message` is for the domain's report, not for its users. A handler that is not there, a module that is faulty: too. */
  | { readonly kind: 'threw'; readonly message: string; readonly log: readonly string[] }
  | { readonly kind: 'exceeded'; readonly what: HandlerBound; readonly log: readonly string[] }
  /** No worker, no room, or it died: the handler may or may not have run, and run to any point. */
  | { readonly kind: 'unavailable'; readonly reason: string }

/** Why a domain agent has ended. */
export type AgentEnd =
  /** Nobody caught what its script threw. `line`, `column`: 1-based, of the module, where known. */
  | { readonly kind: 'failed'; readonly message: string; readonly inPromise: boolean; readonly line: number | undefined; readonly column: number | undefined }
  | { readonly kind: 'exceeded'; readonly what: 'time' | 'memory' | 'message-size' | 'messages-waiting' | 'heartbeat' }
  /** By itself. */
  | { readonly kind: 'exited'; readonly code: number }
  /** Another module of its domain runs. */
  | { readonly kind: 'replaced' }
  /** No worker, no room, or it died: no fault of its own. */
  | { readonly kind: 'unavailable'; readonly reason: string }

/** Who runs a domain agent. Nothing comes before `agent` has returned, and nothing after `ended`. */
export interface AgentEars {
  /** A message of the script; `connection`: the script's own name for where it belongs; `text`: JSON, of an object. */
  said(connection: string, text: JsonText): void
  /** The top level of its module is done. Handlers of the module can be called from now on. */
  settled(handlers: ModuleHandlers): void
  log(lines: readonly string[]): void
  /** It runs already, for another process: what its script says goes there, and what it is to be told must be passed on. */
  joined(): void
  /** What another process, which has joined, passes on. */
  passed(message: JsonText): void
  /** For good. */
  ended(why: AgentEnd): void
}

export interface RunningAgent {
  /** JSON of an object, for the script's listeners. */
  tell(message: JsonText): void
  /** To whoever it runs for, once `joined` was called. */
  pass(message: JsonText): void
  /** Ends it, or leaves it; `ended` is not called. */
  end(): void
}

export interface DomainWorker {
  /** Makes a sandbox of this module, which takes the place of the domain's present one at its first call. */
  load(module: DomainModule): Promise<LoadOutcome>
  call(call: HandlerCall, agent: HandlerAgent): Promise<CallOutcome>
  /**
   * Starts the script of a domain agent, in a sandbox that lives as long as it. Its domain has one at a time: another module's
   * takes its place, the same is joined.
   */
  agent(module: DomainModule, ears: AgentEars): RunningAgent
  /** What is under way answers `unavailable`. */
  close(): Promise<void>
}
