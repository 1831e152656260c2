/** Messages of agents that change a scope: what they ask for, and the answer's text. */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import { parseLenientPatch } from '#shared/patch/parse.ts'
import type { AgentGround, AgentPatchAnswer, AgentScope, AgentSession } from '#shared/ports/agent-ground.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { SESSIONS_NAME } from '#shared/sessions/session-record.ts'
import { patiently } from './patience.ts'

/** What a message asks for besides its patch. */
export type Ask =
  | { readonly kind: 'subscription'; readonly label: string; readonly scope: AgentScope }
  | { readonly kind: 'query'; readonly name: string; readonly params: readonly Json[]; readonly domain: string | undefined }

export type Interaction = { readonly si: number; readonly scope: AgentScope; readonly ops: Op[]; readonly ask: Ask | undefined }

/** What an interaction needs of its session. */
export type Asker = {
  readonly ground: AgentGround
  readonly session: AgentSession
  readonly host: string | undefined
  /** The session has ended here: nobody waits for the answer. */
  isOver(): boolean
  /** Resolves when the session has got this interaction, if it follows the state. */
  echoed(id: StateId, ii: InteractionIndex): Promise<void>
  /** From `view` on, in other processes too when it resolves. False: it has too many. */
  follow(label: string, id: StateId, view: StateView | undefined): Promise<boolean>
  log(reason: string, si: number): void
}

type Opened = { readonly kind: 'opened'; readonly id: StateId; readonly view: StateView | undefined } | { readonly kind: 'not-opened'; readonly reason: string }

/** Undefined: not to be understood. */
export function interactionOf(message: JsonObject, ground: AgentGround, session: AgentSession): Interaction | undefined {
  const { si, scope: text, patch } = message
  if (typeof text !== 'string') return undefined
  const scope = ground.scopeOf(text, {}, session)
  const parsed = parseLenientPatch(patch)
  if (scope === undefined || parsed.fault !== undefined) return undefined
  const { ops } = parsed
  return { si: si as number, scope, ops, ask: askOf(scope, ops[0], ground, session) }
}

export async function perform(asker: Asker, { si, scope, ops, ask }: Interaction, earlier: Promise<unknown> | undefined): Promise<string> {
  const { ground, session, host } = asker
  // Begun together: each takes a write of its own, which are stored at once.
  const opening = ask?.kind === 'subscription' ? open(asker, ask, earlier) : undefined
  const stored = await patiently(() => ground.patch({ session, scope, ops, si, host }), () => asker.isOver())
  const opened = await opening
  if (stored.kind !== 'stored') return failed(asker, si, stored.reason)
  if (opened !== undefined) return answerOpened(asker, si, stored, opened)
  await asker.echoed(stored.id, stored.ii)
  const { ii } = stored
  const wanted = ask ?? askOfEffect(stored, ground, session)
  if (wanted !== undefined) {
    await earlier
    return wanted.kind === 'subscription' ? answerOpened(asker, si, stored, await open(asker, wanted, undefined)) : runQuery(asker, si, ii, wanted)
  }
  if (stored.refusal !== undefined) return refusedText(asker, si, ii, stored.refusal)
  return `{"si":${si},"ii":${ii}${members(stored.effect)}}`
}

async function open(asker: Asker, { label, scope }: Ask & { readonly kind: 'subscription' }, earlier: Promise<unknown> | undefined): Promise<Opened> {
  const { ground, session } = asker
  await earlier
  const answer = await patiently(() => ground.open(scope, session), () => asker.isOver())
  if (answer.kind !== 'open') return { kind: 'not-opened', reason: answer.reason }
  const { id, view } = answer
  return (await asker.follow(label, id, view)) ? { kind: 'opened', id, view } : { kind: 'not-opened', reason: 'too many subscriptions' }
}

async function answerOpened(asker: Asker, si: number, stored: AgentPatchAnswer & { readonly kind: 'stored' }, opened: Opened): Promise<string> {
  if (opened.kind === 'not-opened') return failed(asker, si, opened.reason)
  await asker.echoed(stored.id, stored.ii)
  return documentText(si, opened.id, opened.view)
}

export function errorText(si: number): string {
  return `{"si":${si},"error":"ERROR PROCESSING MESSAGE"}`
}

function failed(asker: Asker, si: number, reason: string): string {
  asker.log(reason, si)
  return errorText(si)
}

/** `active` is missing where there is none, so that agents begin with an empty one. */
function documentText(si: number, id: StateId, view: StateView | undefined): string {
  const active = view === undefined || view.active === 'null' || view.ii === 0 ? undefined : view.active
  const bytes = active === undefined ? 0 : Buffer.byteLength(active)
  const { ii, activeType, owner, domain, name, created, updated } = view ?? { ii: 0, activeType: 'application/json', owner: null, domain: null, name: null, created: 0, updated: 0 }
  const rest = { id, ii, active_type: activeType, owner, domain, name: name ?? id, created, updated, active_size: bytes, storage_size: bytes, si }
  const text = JSON.stringify(rest)
  return active === undefined ? text : `${text.slice(0, -1)},"active":${active}}`
}

async function runQuery(asker: Asker, si: number, ii: InteractionIndex, { name, params, domain }: Ask & { readonly kind: 'query' }): Promise<string> {
  const answer = await patiently(() => asker.ground.query({ session: asker.session, name, params, domain }), () => asker.isOver())
  switch (answer.kind) {
    case 'rows':
      return `{"si":${si},"ii":${ii},"rows":${answer.rows}}`
    case 'error':
      return JSON.stringify({ si, ii, error: answer.code })
    case 'unavailable':
      return failed(asker, si, answer.reason)
  }
}

/** Of the effects that have an answer of their own to agents. */
function members(effect: (AgentPatchAnswer & { readonly kind: 'stored' })['effect']): string {
  if (effect === undefined) return ''
  const { type, result } = effect
  if (type === 'domain-claim') return `,"token":${result['token']},"report":${result['report']}`
  return result['url'] === undefined ? '' : `,"url":${result['url']}`
}

function refusedText(asker: Asker, si: number, ii: number, { type, code }: { readonly type: string; readonly code: number | string }): string {
  // Without admin rights it is ignored; what is wrong with a configuration is in its report.
  if (type === 'domain-config') return `{"si":${si},"ii":${ii}}`
  return failed(asker, si, `${type}: ${code}`)
}

function askOf(scope: AgentScope, op: Op | undefined, ground: AgentGround, session: AgentSession): Ask | undefined {
  if (scope.kind !== 'name' || scope.name !== SESSIONS_NAME || op?.op !== 'add' || op.path.length !== 4) return undefined
  const [root, whose, what] = op.path
  if (root !== 'active' || whose !== session.session || !isObject(op.value)) return undefined
  if (what === 'subscriptions') return subscriptionOf(op.value, ground, session)
  return what === 'queries' ? queryOf(op.value) : undefined
}

/** The same, as older clients ask for it. */
function askOfEffect({ effect, refusal, active }: AgentPatchAnswer & { readonly kind: 'stored' }, ground: AgentGround, session: AgentSession): Ask | undefined {
  const type = effect?.type ?? refusal?.type
  if (active === undefined || !isObject(active)) return undefined
  if (type === 'subscription') return subscriptionOf(active, ground, session)
  return type === 'postgres-query' ? queryOf(active) : undefined
}

function subscriptionOf({ scope: label, user, domain }: JsonObject, ground: AgentGround, session: AgentSession): Ask | undefined {
  if (typeof label !== 'string') return undefined
  const scope = ground.scopeOf(label, { user: textOr(user), domain: textOr(domain) }, session)
  return scope === undefined ? undefined : { kind: 'subscription', label, scope }
}

function queryOf({ query: name, params, domain }: JsonObject): Ask | undefined {
  return typeof name === 'string' ? { kind: 'query', name, params: Array.isArray(params) ? params : [], domain: textOr(domain) } : undefined
}

function textOr(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
