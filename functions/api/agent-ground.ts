/**
 * What the api is for the gateway of published agents: their patches go through the request loop like any other's.
 *
 * Owns: where these agents are given more than REST gives: an upload to an id that exists, a name that the user has already.
 * Does not own: the loop, sessions.
 */
import { hasUuidShape, parseStateId } from '#shared/ids.ts'
import type { StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { AgentGround, AgentPatch, AgentPatchAnswer, AgentQueryAnswer, AgentScope, AgentSession, OpenAnswer } from '#shared/ports/agent-ground.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import { isMediaType, uploadName } from '#shared/ports/uploads.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import { isNameId } from '#shared/sessions/names.ts'
import type { NameIds } from '#shared/sessions/names.ts'
import type { AgentAdmins } from './agent-admins.ts'
import type { AgentKeeping } from './agent-keeping.ts'
import type { AgentQueries } from './agent-queries.ts'
import type { AgentSessions } from './agent-sessions.ts'
import type { Authorizer } from './authorizer.ts'
import { baseUrl } from './base-url.ts'
import { UNNAMED, creationOf } from './client-patch.ts'
import type { Target } from './client-patch.ts'
import type { Origins } from './cors.ts'
import type { InForceDomains } from './domains/in-force.ts'
import type { SessionIndex } from './domains/session-index.ts'
import type { EffectIds } from './effect-ids.ts'
import { bodyDigest, clientKey } from './keys.ts'
import type { Reading, ReadingAnswer } from './reading.ts'
import { runPatch } from './request-loop.ts'
import type { Loop, LoopAnswer } from './request-loop.ts'
import { parseScope } from './scope.ts'
import type { Scope, Whose } from './scope.ts'
import { typeOf } from './side-effects/side-effects.ts'

/** The domain of who has no Origin. */
const CORE = 'core'
const TYPE_PREFIX = typeOf('')

export type AgentGroundParts = {
  readonly cluster: StateCluster
  readonly loop: Loop
  readonly reading: Reading
  readonly authorizer: Authorizer
  readonly ids: NameIds
  readonly effectIds: EffectIds
  readonly queries: AgentQueries
  readonly sessions: AgentSessions
  readonly keeping: AgentKeeping
  readonly admins: AgentAdmins
  readonly index: SessionIndex
  readonly inForce: InForceDomains
  readonly uploads: Uploads
  readonly origins: Origins
  readonly openDomains: boolean
  readonly publicUrl: string | undefined
}

/** What a message says that it creates. */
type Created = { readonly type: string | undefined; readonly active: JsonObject | undefined; readonly name: string | undefined }

export function agentGround(parts: AgentGroundParts): AgentGround {
  const { origins, sessions, index, reading, authorizer, inForce } = parts
  return {
    cluster: parts.cluster,
    deployment: parts.effectIds.of('deployment'),
    domainOf: (origin) => {
      const domain = origin === undefined ? CORE : origins.domainOf(origin)
      if (domain === undefined) return undefined
      return origins.isKnown(domain) || (domain === CORE && parts.openDomains) ? domain : undefined
    },
    begin: (greeting, token) => sessions.begin(greeting, token),
    resume: (greeting, session) => sessions.resume(greeting, session),
    used: (session) => index.used(session),
    keep: (session, version, change) => parts.keeping.keep(session, version, change),
    end: (session, info) => sessions.end(session, info),
    scopeOf: (text, whose, session) => scopeOf(parts.ids, agentScope(text, whose, session)),
    patch: (patch) => runAgentPatch(parts, patch),
    open: (scope, session) => open(parts, reading, scope, session),
    query: (of) => query(parts.queries, of),
    mayRead: async (session, of) => authorizer.may('read', session, of),
    onRules: (listener) => inForce.onChange(({ domain }) => listener(domain)),
  }
}

/** Any name: whose it is does not depend on it. */
const SOME_NAME = 'name'

/** As REST has them; but UUIDs of other versions than 1 to 5, which REST refuses, are names to agents. */
function agentScope(text: string, whose: Whose, session: AgentSession): Scope | undefined {
  if (parseStateId(text) !== undefined || !hasUuidShape(text)) return parseScope(text, whose, session).scope
  const { scope } = parseScope(SOME_NAME, whose, session)
  return scope?.kind === 'name' ? { ...scope, name: text } : undefined
}

function scopeOf(ids: NameIds, scope: Scope | undefined): AgentScope | undefined {
  if (scope === undefined) return undefined
  if (scope.kind === 'id') return { ...scope, key: scope.id }
  const { user, domain, name } = scope
  return { ...scope, key: ids.idOf({ user, domain, name, generation: 0 }) }
}

async function open({ ids, cluster }: AgentGroundParts, reading: Reading, scope: AgentScope, session: AgentSession): Promise<OpenAnswer> {
  const answer = await reading.read(scope, session)
  if (answer.kind !== 'view') return unread(answer)
  const { id, view } = answer
  if (view !== undefined) return { kind: 'open', id, view }
  // A name is its owner's, whoever asks first; a UUID that was made for somebody's name is left to them.
  const owner = scope.kind === 'name' ? scope : session
  if (isNameId(id) && !ids.verifies(id, owner)) return { kind: 'open', id, view: undefined }
  const made = await cluster.create({ id, user: owner.user, domain: owner.domain, creation: scope.kind === 'name' ? creationOf(scope.name) : UNNAMED })
  if (made.kind === 'unavailable') return made
  if (made.made) return { kind: 'open', id, view: made.state }
  // Somebody was faster: judged as theirs.
  const again = await reading.read({ kind: 'id', id }, session)
  return again.kind === 'view' ? { kind: 'open', id, view: again.view } : unread(again)
}

function unread(answer: Exclude<ReadingAnswer, { readonly kind: 'view' }>): OpenAnswer {
  switch (answer.kind) {
    case 'forbidden':
      return { kind: 'failed', reason: 'the rules' }
    case 'behind':
      return { kind: 'unavailable', reason: 'behind' }
    case 'unavailable':
      return answer
  }
}

async function query(queries: AgentQueries, { session, name, params, domain }: Parameters<AgentGround['query']>[0]): Promise<AgentQueryAnswer> {
  const asked = domain ?? session.domain
  const answer = await queries.run({ caller: session, name, params, domain: asked })
  switch (answer.kind) {
    case 'rows':
      return { kind: 'rows', rows: JSON.stringify(answer.rows) }
    case 'unknown':
      return { kind: 'error', code: `INVALID QUERY '${name}' FOR '${asked}'` }
    case 'failed':
      return { kind: 'error', code: answer.sqlstate || 'Unknown Error Code' }
    case 'unavailable':
      return answer
  }
}

async function runAgentPatch(parts: AgentGroundParts, patch: AgentPatch): Promise<AgentPatchAnswer> {
  const { session, si } = patch
  const created = createdBy(patch.ops)
  const isUpload = created.type === typeOf('upload')
  await parts.admins.prepare(session, created.type, created.active)
  // The name is the upload's, not that of the state that asks for it.
  const ops = isUpload ? withoutName(patch.ops) : patch.ops
  const key = `agent ${session.session} ${si}`
  let done = await send(parts, patch, ops, key)
  // Names are one a user here: the state is kept, the name stays where it is. Sent again, the name may be free by now.
  if (done.answer.kind === 'name-taken' || done.answer.kind === 'key-reused') done = await send(parts, patch, withoutName(patch.ops), key)
  const { id, answer, effect, mirror } = done
  if (answer.kind === 'unavailable') return { kind: 'unavailable', reason: answer.reason }
  if (answer.kind !== 'stored') return { kind: 'failed', reason: answer.kind }
  if (mirror?.kind === 'unavailable') return { kind: 'unavailable', reason: 'the tables are behind' }
  const active = created.active
  const type = answer.activeType.startsWith(TYPE_PREFIX) ? answer.activeType.slice(TYPE_PREFIX.length) : ''
  const base = { kind: 'stored' as const, id, ii: answer.ii, active }
  if (effect === undefined) return { ...base, effect: undefined, refusal: undefined }
  if (effect.kind === 'done') {
    if (isUpload && created.name !== undefined) await nameUpload(parts, patch, JSON.parse(effect.result['upload']!) as StateId, created.name, `${key} name`)
    return { ...base, effect: { type, result: effect.result }, refusal: undefined }
  }
  if (effect.problem === 'domain-taken' && (await parts.admins.isLocalAdmin(session, created.active))) {
    return { ...base, effect: { type, result: await claimAgain(parts, patch, { id, ii: answer.ii, key }) }, refusal: undefined }
  }
  const url = effect.problem === 'id-taken' && isUpload ? await uploadAgain(parts, patch, { id, ii: answer.ii, created, key }) : undefined
  if (url !== undefined) return { ...base, effect: { type, result: { url: JSON.stringify(url) } }, refusal: undefined }
  return { ...base, effect: undefined, refusal: { type, code: effect.code } }
}

function send(parts: AgentGroundParts, { session, scope, host }: AgentPatch, ops: readonly Op[], key: string): Promise<LoopAnswer> {
  const text = JSON.stringify(ops)
  return runPatch(parts.loop, {
    caller: { user: session.user, domain: session.domain, session: session.session },
    target: targetOf(parts.ids, scope, session),
    ops: JSON.parse(text) as Op[],
    text,
    key: clientKey(key),
    bodyDigest: bodyDigest({ ops, ii: undefined, returnState: false, lenient: true }),
    expected: undefined,
    returnState: false,
    host,
    lenient: true,
  })
}

function targetOf(ids: NameIds, scope: AgentScope, session: AgentSession): Target {
  if (scope.kind === 'name') return { kind: 'name', name: scope.name }
  const mayCreate = !isNameId(scope.id) || ids.verifies(scope.id, session)
  return { kind: 'id', id: scope.id, creation: mayCreate ? UNNAMED : undefined }
}

/** A local domain that has been claimed before: granted again, with a report and a token of its own. */
async function claimAgain(parts: AgentGroundParts, patch: AgentPatch, of: { readonly id: StateId; readonly ii: number; readonly key: string }): Promise<{ readonly [member: string]: string }> {
  const report = parts.effectIds.of('report', of.id, String(of.ii))
  const active = { attempts: 1, success: true }
  await send(parts, { ...patch, scope: { kind: 'id', id: report, key: report } }, [{ op: 'add', path: ['active'], value: active }], `${of.key} report`)
  return { token: JSON.stringify(parts.effectIds.of('claim token', of.id, String(of.ii))), report: JSON.stringify(report) }
}

/** A new object for the state of an earlier upload, as by the sender; undefined: it is not theirs, or cannot be had. */
async function uploadAgain(parts: AgentGroundParts, patch: AgentPatch, of: { readonly id: StateId; readonly ii: number; readonly created: Created; readonly key: string }): Promise<string | undefined> {
  const { type, id: text, name } = of.created.active ?? {}
  const scope = typeof text === 'string' ? scopeOf(parts.ids, agentScope(text, {}, patch.session)) : undefined
  if (scope?.kind !== 'id' || typeof type !== 'string' || !isMediaType(type)) return undefined
  const object = parts.effectIds.of('object', of.id, String(of.ii))
  const ops: Op[] = [
    { op: 'add', path: ['active_type'], value: type },
    { op: 'add', path: ['active'], value: { type, id: object, ...(typeof name === 'string' ? { name } : {}) } },
  ]
  const done = await send(parts, { ...patch, scope }, ops, `${of.key} upload`)
  if (done.answer.kind !== 'stored') return undefined
  if (of.created.name !== undefined) await nameUpload(parts, patch, scope.id, of.created.name, `${of.key} name`)
  const address = await parts.uploads.uploadAddress({ name: uploadName({ state: scope.id, object }), type, baseUrl: baseUrl(parts.publicUrl, patch.host), isBare: true })
  return address.kind === 'signed' ? address.url : undefined
}

/** One that the user has already stays with its state: the upload keeps it in `active` only. */
async function nameUpload(parts: AgentGroundParts, patch: AgentPatch, id: StateId, name: string, key: string): Promise<void> {
  await send(parts, { ...patch, scope: { kind: 'id', id, key: id } }, [{ op: 'add', path: ['name'], value: name }], key)
}

function createdBy(ops: readonly Op[]): Created {
  let type: string | undefined
  let active: JsonObject | undefined
  let name: string | undefined
  for (const op of ops) {
    if (op.path.length !== 1 || (op.op !== 'add' && op.op !== 'replace')) continue
    const { value } = op
    if (op.path[0] === 'active_type' && typeof value === 'string') type = value
    else if (op.path[0] === 'name' && typeof value === 'string') name = value
    else if (op.path[0] === 'active' && isObject(value)) active = value
  }
  return { type, active, name }
}

function withoutName(ops: readonly Op[]): Op[] {
  return ops.filter(({ path }) => path[0] !== 'name')
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
