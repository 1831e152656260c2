/**
 * Types for authors of a domain's module. In a JavaScript file: `/** @type {import('.../agent').PrePersistence} *\/`.
 *
 * A module is alone with the language: no fetch, no timers, no files, no imports but those of `npm:@knowlearning/patch-proxy`,
 * `npm:fast-json-patch`, and `npm:@knowlearning/agents/deno.js`, by which it becomes a domain agent as well. What it keeps in variables may be gone at
 * any moment. A handler can be run again for one request; what its agent did before is then not done twice, provided
 * that it asks for the same in the same order. Await the agent: what is not answered when a handler ends, nobody learns.
 */
type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Paths from the root of the state: the first element is `active`, `active_type` or `name`. */
export type Op =
  | { op: 'add' | 'replace' | 'test'; path: (string | number)[]; value: Json }
  | { op: 'remove'; path: (string | number)[] }
  | { op: 'move' | 'copy'; from: (string | number)[]; path: (string | number)[] }

export type Change = {
  session: string | null
  user: string
  /** As the client named it: a name or an id. */
  scope: string
  id: string
  /** After the patch. */
  active_type: string
  patch: Op[]
  /** The index that the patch takes, or took. */
  ii: number
}

export type Metadata = {
  id: string
  ii: number
  domain: string | null
  owner: string | null
  name: string | null
  active_type: string
  /** Milliseconds since 1970. */
  created: number | null
  updated: number | null
}

/** Acts as the domain's own user. What is refused rejects with an Error. A name is the domain's own unless `user` says otherwise. */
export interface Agent {
  /** The `active` of a state. */
  state(scope: string, user?: string, domain?: string): Promise<Json>
  metadata(scope: string, user?: string, domain?: string): Promise<Metadata>
  patch(scope: string, patch: Op[]): Promise<{ id: string; ii: number }>
  /** The new state's id. */
  create(state: { id?: string; active_type?: string; active: Json; name?: string }): Promise<string>
  /** Rows of a query of the domain's configuration, or of another domain's that allows it. */
  query(name: string, params?: Json[], domain?: string): Promise<{ [column: string]: Json }[]>
  /** The same when the handler is run again. */
  uuid(): Promise<string>
  /** A line for the domain's report. */
  log(...parts: unknown[]): void
}

/** Nothing: go on. `patch`: go on with this one. `throw reject("why")`: the client gets 422, nothing is stored. */
export type PrePersistence = (change: Change & { state: Json }, agent: Agent) => void | { patch: Op[] } | Promise<void | { patch: Op[] }>
/** What it returns is `handler.result` of the client's answer: JSON, 64 KiB at most. */
export type PostPersistence = (change: Change, agent: Agent) => unknown
export type Configure = (event: { domain: string }, agent: Agent) => unknown
export type CloseScripts = { [name: string]: (args: Json, event: { session: string; user: string }, agent: Agent) => unknown }

declare global {
  /** For `throw`, in prePersistence. */
  function reject(reason: string): Error
}
