/**
 * The agent of handlers: does what they ask for, as the domain's own user (user and domain are both the domain).
 *
 * Owns: nothing. Talks to: the request loop (its patches take all of it but the handlers), reading, queries.
 *
 * I1. Its patches have keys made of the request's key and the number of the call, its new ids too: a handler that runs
 *     again for the same request does nothing twice. What such a call did the first time stands, whatever it says now: a
 *     handler that writes what it has read says something else after a crash, and has to get to its end all the same.
 * I2. What a handler hands in is a tenant's: checked here like a client's, and refused in our own words.
 */
import type { Json, JsonObject } from '#shared/json.ts'
import { parseStateId } from '#shared/ids.ts'
import type { StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import { parsePatch } from '#shared/patch/parse.ts'
import type { AgentAnswer, AgentCall, HandlerAgent } from '#shared/ports/domain-worker.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { isNameText, parseDomain } from '#shared/sessions/domain.ts'
import { isNameId } from '#shared/sessions/names.ts'
import type { NameIds } from '#shared/sessions/names.ts'
import type { EffectIds } from '../effect-ids.ts'
import { clientKey } from '../keys.ts'
import type { Party } from '../party.ts'
import type { Reading } from '../reading.ts'
import { UNNAMED } from '../client-patch.ts'
import { runPatch } from '../request-loop.ts'
import type { Target } from '../client-patch.ts'
import type { Loop, LoopAnswer } from '../request-loop.ts'
import { parseScope } from '../scope.ts'
import type { Scope } from '../scope.ts'
import type { Queries } from './queries.ts'

/** In the place of a digest of the patch: any patch under a known key is a repeat of the first (I1). */
const ANY_PATCH = clientKey('any patch of a handler')

export type AgentParts = {
  /** Made after the agent: the loop has the handlers, and these have it. */
  readonly loop: () => Loop
  readonly reading: Reading
  readonly queries: Queries
  readonly ids: NameIds
  readonly effectIds: EffectIds
}

export class DomainAgent implements HandlerAgent {
  readonly #parts: AgentParts
  readonly #self: Party
  readonly #key: string

  constructor(parts: AgentParts, domain: string, key: string) {
    this.#parts = parts
    this.#self = { user: domain, domain }
    this.#key = key
  }

  async call({ method, args, number }: AgentCall): Promise<AgentAnswer> {
    switch (method) {
      case 'state':
        return this.#read(args, (view) => view?.active ?? '{}')
      case 'metadata':
        return this.#read(args, metadataOf)
      case 'patch':
        return this.#patch(args, number)
      case 'create':
        return this.#create(args, number)
      case 'query':
        return this.#query(args)
      case 'uuid':
        return { ok: JSON.stringify(this.#idOf(number)) }
    }
  }

  async #read([scopeText, user, domain]: readonly Json[], of: (view: StateView | undefined, id: StateId) => string): Promise<AgentAnswer> {
    const scope = this.#scopeOf(scopeText, user, domain)
    if (typeof scope === 'string') return { error: scope }
    const answer = await this.#parts.reading.read(scope, this.#self)
    switch (answer.kind) {
      case 'view':
        return { ok: of(answer.view, answer.id) }
      case 'forbidden':
        return { error: 'this state is not for the domain' }
      case 'behind':
      case 'unavailable':
        return { error: 'the state cannot be read just now' }
    }
  }

  async #patch([scopeText, patch]: readonly Json[], number: number): Promise<AgentAnswer> {
    const scope = this.#scopeOf(scopeText, undefined, undefined)
    if (typeof scope === 'string') return { error: scope }
    const parsed = parsePatch(patch)
    if (parsed.fault !== undefined) return { error: `patch: ${parsed.fault.message}` }
    if (parsed.ops.length === 0) return { error: 'patch: is empty' }
    return answerOf(await this.#send(this.#targetOf(scope), parsed.ops, number))
  }

  async #create([given]: readonly Json[], number: number): Promise<AgentAnswer> {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return { error: 'create: takes {id?, active_type?, active, name?}' }
    const { id: idText, active_type: type, active, name } = given as JsonObject
    const id = idText === undefined ? this.#idOf(number) : typeof idText === 'string' ? parseStateId(idText) : undefined
    if (id === undefined) return { error: 'create: id is no UUID of version 1 to 5' }
    if (active === undefined) return { error: 'create: active is missing' }
    if (name !== undefined && (typeof name !== 'string' || !isNameText(name))) return { error: 'create: name is no name' }
    const members: [string, Json | undefined][] = [['active_type', type], ['active', active], ['name', name]]
    const parsed = parsePatch(members.flatMap(([member, value]) => (value === undefined ? [] : [{ op: 'add', path: [member], value }])))
    if (parsed.fault !== undefined) return { error: `create: ${parsed.fault.message}` }
    const answer = answerOf(await this.#send(this.#targetOf({ kind: 'id', id }), parsed.ops, number))
    return 'error' in answer ? answer : { ok: JSON.stringify(id) }
  }

  async #query([name, params, domainText]: readonly Json[]): Promise<AgentAnswer> {
    if (typeof name !== 'string') return { error: 'query: the name is no text' }
    if (params !== undefined && params !== null && !Array.isArray(params)) return { error: 'query: the parameters are no list' }
    const domain = domainText === undefined || domainText === null ? this.#self.domain : typeof domainText === 'string' ? parseDomain(domainText) : undefined
    if (domain === undefined) return { error: 'query: not a domain' }
    const answer = await this.#parts.queries.run({ caller: this.#self, name, params: params ?? [], domain })
    switch (answer.kind) {
      case 'rows':
        return { ok: JSON.stringify(answer.rows) }
      case 'unknown':
        return { error: 'there is no such query for this domain' }
      case 'failed':
        return { error: `${answer.sqlstate}: ${answer.message}` }
      case 'unavailable':
        return { error: 'the database cannot be asked just now' }
    }
  }

  #send(target: Target, ops: Op[], number: number): Promise<LoopAnswer> {
    return runPatch(this.#parts.loop(), {
      caller: this.#self,
      target,
      ops,
      text: JSON.stringify(ops),
      key: clientKey(`agent ${this.#self.domain} ${this.#key} ${number}`),
      bodyDigest: ANY_PATCH,
      expected: undefined,
      returnState: false,
      skipsHandlers: true,
    })
  }

  #idOf(number: number): StateId {
    return this.#parts.effectIds.of('agent', this.#self.domain, Buffer.from(this.#key, 'latin1').toString('base64'), String(number))
  }

  #scopeOf(text: Json | undefined, user: Json | undefined, domain: Json | undefined): Scope | string {
    if (typeof text !== 'string' || text === '') return 'the scope is no text'
    for (const each of [user, domain]) if (each !== undefined && each !== null && typeof each !== 'string') return 'user and domain are texts'
    const { scope, fault } = parseScope(text, { user: (user as string | null) ?? undefined, domain: (domain as string | null) ?? undefined }, this.#self)
    return scope ?? fault
  }

  #targetOf(scope: Scope): Target {
    if (scope.kind === 'name') return { kind: 'name', name: scope.name }
    const mayCreate = !isNameId(scope.id) || this.#parts.ids.verifies(scope.id, this.#self)
    return { kind: 'id', id: scope.id, creation: mayCreate ? UNNAMED : undefined }
  }
}

function metadataOf(view: StateView | undefined, id: StateId): string {
  if (view === undefined) return JSON.stringify({ id, ii: 0, domain: null, owner: null, name: null, active_type: 'application/json', created: null, updated: null })
  const { ii, domain, owner, name, activeType, created, updated } = view
  return JSON.stringify({ id, ii, domain, owner, name, active_type: activeType, created, updated })
}

function answerOf({ id, answer, mirror }: LoopAnswer): AgentAnswer {
  switch (answer.kind) {
    case 'stored':
      return mirror?.kind === 'unavailable' ? { error: 'stored, but the tables are behind' } : { ok: JSON.stringify({ id, ii: answer.ii }) }
    case 'unprocessable':
      return { error: `the patch does not apply: op ${answer.op}: ${answer.reason}` }
    case 'forbidden':
    case 'unwritten':
      return { error: 'this state is not for the domain' }
    case 'too-large':
      return { error: 'the state would be too large' }
    case 'name-taken':
      return { error: 'the domain has another state of this name' }
    default:
      return { error: 'the patch could not be stored just now' }
  }
}
