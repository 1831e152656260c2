/** `/v1/states/{scope}`: reading, patching, following, history. */
import type { InteractionIndex } from '#shared/ids.ts'
import type { HistoryAnswer, StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { parseJsonPatch, parsePatch } from '#shared/patch/parse.ts'
import type { Op } from '#shared/patch/op.ts'
import { isNameId } from '#shared/sessions/names.ts'
import type { NameIds } from '#shared/sessions/names.ts'
import { answerBehind, answerForbidden, answerOutOfSync, answerPatch, answerReplay, answerUnavailable, etag } from './answers.ts'
import { isOwner } from './party.ts'
import { contentKind, parseJson } from './body.ts'
import type { EventHub } from './event-stream.ts'
import type { Exchange } from './exchange.ts'
import { bodyDigest, clientKey, isClientKey, mintKey } from './keys.ts'
import { parseIndex } from './query.ts'
import type { Query } from './query.ts'
import type { Reading, ReadingAnswer } from './reading.ts'
import { UNNAMED } from './client-patch.ts'
import { runPatch } from './request-loop.ts'
import type { Target } from './client-patch.ts'
import type { Loop } from './request-loop.ts'
import { checkPatchEnvelope, faultOf } from './schemas.ts'
import type { PatchEnvelope } from './schemas.ts'
import { decodePart, parseScope } from './scope.ts'
import type { Scope } from './scope.ts'
import { historyLine, stateJson, unwrittenJson } from './state-json.ts'

export type StatesParts = {
  readonly cluster: StateCluster
  readonly loop: Loop
  readonly ids: NameIds
  readonly reading: Reading
  readonly hub: EventHub
}

export class States {
  readonly #cluster: StateCluster
  readonly #loop: Loop
  readonly #ids: NameIds
  readonly #reading: Reading
  readonly #hub: EventHub

  constructor(parts: StatesParts) {
    this.#cluster = parts.cluster
    this.#loop = parts.loop
    this.#ids = parts.ids
    this.#reading = parts.reading
    this.#hub = parts.hub
  }

  // --- GET ---------------------------------------------------------------------------------------

  get = async (x: Exchange): Promise<void> => {
    const query = x.query!
    const scope = scopeOf(x)
    if (scope === undefined) return
    if (query['events'] !== undefined || x.req.headers.accept?.includes('text/event-stream') === true) {
      if (query['ii'] !== undefined) return badRequest(x, 'query: "ii" does not go with a stream')
      return this.follow(x, scope)
    }
    if (query['ii'] !== undefined) return this.#getAt(x, scope, query['ii'])
    const mode = query['read'] ?? 'strong'
    if (mode !== 'strong' && mode !== 'tracked') return badRequest(x, 'query: "read" is strong or tracked')
    const minIi = indexOf(query, 'min_ii')
    if (minIi === null) return badRequest(x, 'query: "min_ii" is an index')
    const answer = await this.#reading.read(scope, x.caller, { mode, minIi })
    if (answer.kind === 'view') answerView(x, answer)
    else refuseReading(x, answer, minIi)
  }

  async #getAt(x: Exchange, scope: Scope, text: string): Promise<void> {
    const ii = parseIndex(text) as InteractionIndex | undefined
    if (ii === undefined) return badRequest(x, 'query: "ii" is an index')
    const present = await this.#reading.read(scope, x.caller)
    if (present.kind !== 'view') return refuseReading(x, present)
    const { id } = present
    const answer = present.view === undefined ? ({ kind: 'unwritten' } as const) : await this.#cluster.stateAt({ id, ii })
    switch (answer.kind) {
      case 'state':
        return answerView(x, { id, view: answer.state })
      case 'unwritten':
        if (ii === 0) return answerView(x, { id, view: undefined })
        return x.problem('not-found', { detail: 'nobody has written this state', members: { ii: 0 } })
      case 'beyond':
        return x.problem('not-found', { detail: `the current index is ${answer.ii}`, members: { ii: answer.ii } })
      case 'unavailable':
        return answerUnavailable(x, { stored: undefined, reason: answer.reason })
    }
  }

  /** Also what signed stream addresses lead to. */
  async follow(x: Exchange, scope: Scope): Promise<void> {
    const { rules } = this.#hub
    const present = await this.#reading.read(scope, x.caller)
    if (present.kind !== 'view') return refuseReading(x, present)
    // The client has gone meanwhile: nothing to open.
    if (x.res.destroyed) return
    this.#hub.open(x, { claims: x.caller, id: present.id, view: present.view, from: nextIndex(x), rules })
  }

  history = async (x: Exchange): Promise<void> => {
    const scope = scopeOf(x)
    if (scope === undefined) return
    const query = x.query!
    const from = indexOf(query, 'from')
    const to = indexOf(query, 'to')
    if (from === null || to === null) return badRequest(x, 'query: "from" and "to" are indices')
    const present = await this.#reading.read(scope, x.caller)
    if (present.kind !== 'view') return refuseReading(x, present)
    const last = Math.min(to ?? Infinity, present.view?.ii ?? 0)
    let next = Math.max(1, from ?? 1)
    const pageFrom = (): Promise<HistoryAnswer> =>
      this.#cluster.history({ id: present.id, from: next as InteractionIndex, to: last as InteractionIndex })
    let page: HistoryAnswer = next > last ? { kind: 'page', interactions: [], more: false } : await pageFrom()
    if (page.kind === 'unavailable') return answerUnavailable(x, { stored: undefined, reason: page.reason })
    const res = x.stream('application/x-ndjson')
    while (page.kind === 'page' && !res.destroyed) {
      let text = ''
      for (const interaction of page.interactions) {
        text += historyLine(interaction)
        next = interaction.ii + 1
      }
      if (text !== '' && !res.write(text)) await drained(x)
      if (!page.more || page.interactions.length === 0 || next > last) {
        res.end()
        return
      }
      page = await pageFrom()
    }
    // Cut short: the client must not take it for the whole.
    res.destroy()
  }

  // --- PATCH -------------------------------------------------------------------------------------

  patch = (x: Exchange, body: Buffer): void | Promise<void> => {
    const { headers } = x.req
    const scope = scopeOf(x)
    if (scope === undefined) return
    const read = readBody(body, contentKind(headers['content-type']) === 'json-patch')
    if (read.fault !== undefined) return badRequest(x, read.fault)
    const { ops } = read
    const precondition = readPrecondition(headers['if-match'], read.ii)
    if (precondition.fault !== undefined) return badRequest(x, precondition.fault)
    const keyText = headers['idempotency-key'] as string | undefined
    if (keyText !== undefined && !isClientKey(keyText)) return badRequest(x, 'Idempotency-Key: 1 to 128 printable characters')

    const expected = precondition.expected
    if (ops.length === 0) return scope.kind === 'name' && !scope.isOwn ? answerForbidden(x) : this.#emptyPatch(x, scope, expected)
    const target = scope.kind === 'name' && !scope.isOwn ? this.#othersTarget(scope) : this.#target(scope, x)
    if (target instanceof Promise) return target.then((found) => this.#send(x, found, { ops, read, keyText, expected }))
    return this.#send(x, target, { ops, read, keyText, expected })
  }

  #send(x: Exchange, target: Target | 'forbidden' | Unavailable, of: { readonly ops: Op[]; readonly read: BodyRead; readonly keyText: string | undefined; readonly expected: InteractionIndex | undefined }): void | Promise<void> {
    if (target === 'forbidden') return answerForbidden(x)
    if (target.kind === 'unavailable') return answerUnavailable(x, target)
    const { caller } = x
    const { headers } = x.req
    const { ops, read, keyText, expected } = of
    const { returnState } = read
    const patch = {
      caller,
      target,
      ops,
      text: JSON.stringify(ops),
      key: keyText === undefined ? mintKey() : clientKey(keyText),
      bodyDigest: keyText === undefined ? '' : bodyDigest({ ops, ii: read.ii, returnState, lenient: false }),
      expected,
      returnState,
      host: headers.host,
    }
    return runPatch(this.#loop, patch).then((done) => answerPatch(x, done))
  }

  /** Another user's name: the state must be there, and is theirs; whether the caller may write it, its leader and its domain say. */
  async #othersTarget(scope: Scope & { readonly kind: 'name' }): Promise<Target | 'forbidden' | Unavailable> {
    const named = await this.#loop.names.view(scope, scope.name)
    if (named.kind !== 'named') return named
    return named.view === undefined ? 'forbidden' : { kind: 'id', id: named.id, creation: undefined }
  }

  #target(scope: Scope, x: Exchange): Target {
    if (scope.kind === 'name') return { kind: 'name', name: scope.name }
    const mayCreate = !isNameId(scope.id) || this.#ids.verifies(scope.id, x.caller)
    return { kind: 'id', id: scope.id, creation: mayCreate ? UNNAMED : undefined }
  }

  /** Nothing to do, for who might do it. */
  async #emptyPatch(x: Exchange, scope: Scope, expected: InteractionIndex | undefined): Promise<void> {
    const target = this.#target(scope, x)
    const present = await this.#reading.read(scope, x.caller)
    if (present.kind === 'unavailable' || present.kind === 'behind') return refuseReading(x, present)
    if (present.kind === 'forbidden') return answerForbidden(x)
    const { id, view } = present
    const isAllowed = view === undefined ? target.kind === 'name' || target.creation !== undefined : !view.reserved && isOwner(x.caller, view)
    if (!isAllowed) return answerForbidden(x)
    const ii = (view?.ii ?? 0) as InteractionIndex
    if (expected !== undefined && expected <= ii) return answerOutOfSync(x, ii)
    if (expected !== undefined && expected > ii + 1) return answerReplay(x, (ii + 1) as InteractionIndex)
    x.json(200, `{"id":"${id}","ii":${ii},"updated":${view?.updated ?? null}}`, ['ETag', etag(ii)])
  }
}

function badRequest(x: Exchange, detail: string): void {
  x.problem('bad-request', { detail })
}

/** The scope of the request's path and query; undefined: answered. */
function scopeOf(x: Exchange): Scope | undefined {
  const text = decodePart(x.parameter)
  if (text === undefined) {
    badRequest(x, 'scope: broken percent-encoding')
    return undefined
  }
  const answer = parseScope(text, x.query!, x.caller)
  if (answer.fault !== undefined) badRequest(x, answer.fault)
  return answer.scope
}

/** Undefined: not given. Null: not an index. */
function indexOf(query: Query, name: string): InteractionIndex | undefined | null {
  const text = query[name]
  return text === undefined ? undefined : ((parseIndex(text) as InteractionIndex | undefined) ?? null)
}

/** Where a stream goes on: after the last event that the client says it had, which is newer than its address. */
function nextIndex(x: Exchange): number | undefined {
  const last = x.req.headers['last-event-id']
  if (typeof last === 'string' && last !== '') {
    const ii = parseIndex(last)
    return ii === undefined ? undefined : ii + 1
  }
  const events = x.query!['events']
  return events === undefined ? undefined : parseIndex(events)
}

function answerView(x: Exchange, { id, view }: { id: Parameters<typeof unwrittenJson>[0]; view: StateView | undefined }): void {
  const tag = etag(view?.ii ?? 0)
  const known = x.req.headers['if-none-match']
  if (known !== undefined && matches(known, tag, view !== undefined)) x.empty(304, ['ETag', tag])
  else x.json(200, view === undefined ? unwrittenJson(id) : stateJson(view), ['ETag', tag])
}

/** RFC 9110, 13.1.2: a list of tags, compared weakly (proxies weaken them), or `*` for whatever there is. */
function matches(header: string, tag: string, exists: boolean): boolean {
  if (header === tag) return true
  return header.split(',').some((each) => {
    const text = each.trim()
    return text === tag || text === `W/${tag}` || (text === '*' && exists)
  })
}

function refuseReading(x: Exchange, answer: Exclude<ReadingAnswer, { kind: 'view' }>, minIi?: number): void {
  switch (answer.kind) {
    case 'forbidden':
      return answerForbidden(x)
    case 'behind':
      return answerBehind(x, minIi ?? 0)
    case 'unavailable':
      // Nothing was to be stored: the member would only puzzle.
      return answerUnavailable(x, { stored: undefined, reason: answer.reason })
  }
}

function drained(x: Exchange): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      x.res.removeListener('drain', done)
      x.res.removeListener('close', done)
      resolve()
    }
    x.res.on('drain', done)
    x.res.on('close', done)
  })
}

type BodyRead = { readonly ops: Op[]; readonly ii: number | undefined; readonly returnState: boolean; readonly fault?: never }
type BodyAnswer = BodyRead | { readonly fault: string; readonly ops?: never; readonly ii?: never; readonly returnState?: never }

function readBody(body: Buffer, isJsonPatch: boolean): BodyAnswer {
  const json = parseJson(body)
  if (json.fault !== undefined) return { fault: json.fault }
  const { value } = json
  if (!isJsonPatch && !checkPatchEnvelope.Check(value)) return { fault: faultOf(checkPatchEnvelope, value) }
  const envelope = isJsonPatch ? undefined : (value as PatchEnvelope)
  const parsed = envelope === undefined ? parseJsonPatch(value) : parsePatch(envelope.patch)
  if (parsed.fault !== undefined) return { fault: `${parsed.fault.place}: ${parsed.fault.message}` }
  return { ops: parsed.ops, ii: envelope?.ii, returnState: envelope?.return === 'state' }
}

const ONE_STRONG_TAG = /^"(0|[1-9][0-9]{0,15})"$/

type Precondition = { readonly expected: InteractionIndex | undefined; readonly fault?: never } | { readonly fault: string; readonly expected?: never }

function readPrecondition(ifMatch: string | undefined, ii: number | undefined): Precondition {
  if (ifMatch === undefined) return { expected: ii as InteractionIndex | undefined }
  const digits = ONE_STRONG_TAG.exec(ifMatch)?.[1]
  const current = digits === undefined ? undefined : parseIndex(digits)
  if (current === undefined) return { fault: 'If-Match: one strong ETag of this api' }
  if (ii !== undefined && ii !== current + 1) return { fault: 'If-Match: contradicts "ii"' }
  return { expected: (current + 1) as InteractionIndex }
}
