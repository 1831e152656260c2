/** `/v1/sessions`: opening and closing sessions, close scripts. */
import { randomUUID } from 'node:crypto'
import type { Log, WallClock } from './parts.ts'
import type { StateId } from '#shared/ids.ts'
import { parseStateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Op } from '#shared/patch/op.ts'
import { parsePatch } from '#shared/patch/parse.ts'
import type { StateCluster, Unavailable } from '#shared/ports/state-cluster.ts'
import type { Bearers, Claims } from '#shared/sessions/bearers.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import type { IdTokens } from '#shared/sessions/id-tokens.ts'
import type { OpenSessions } from '#shared/sessions/open-sessions.ts'
import { SESSIONS_NAME, openingOps } from '#shared/sessions/session-record.ts'
import { userIdOf, versionedUuid } from '#shared/sessions/uuid.ts'
import { answerPatch, answerUnavailable } from './answers.ts'
import { parseJson } from './body.ts'
import type { Origins } from './cors.ts'
import type { SessionIndex } from './domains/session-index.ts'
import type { EventHub } from './event-stream.ts'
import type { Exchange } from './exchange.ts'
import { bodyDigest, clientKey, isClientKey, mintKey } from './keys.ts'
import type { Names } from './names.ts'
import { runPatch } from './request-loop.ts'
import type { Loop } from './request-loop.ts'
import { checkCloseScriptBody, checkSessionBody, faultOf } from './schemas.ts'
import { decodePart } from './scope.ts'
import type { SessionClosing } from './session-closing.ts'

export type SessionsParts = {
  readonly cluster: StateCluster
  readonly loop: Loop
  readonly names: Names
  readonly bearers: Bearers
  readonly idTokens: IdTokens
  readonly open: OpenSessions
  readonly hub: EventHub
  readonly closing: SessionClosing
  readonly index: SessionIndex
  readonly origins: Origins
  readonly clock: WallClock
  readonly log: Log
  /** Who the request's bearer stands for, if it has a valid one of an open session. */
  readonly bearerOf: (x: Exchange) => Promise<Claims | 'none' | 'unavailable'>
}

type User = { readonly user: string; readonly provider: string }
type UserAnswer =
  | ({ readonly kind: 'user' } & User)
  | { readonly kind: 'unauthorized'; readonly detail: string }
  | { readonly kind: 'forbidden'; readonly detail: string }
  | { readonly kind: 'unavailable'; readonly reason: string }

export class Sessions {
  readonly #parts: SessionsParts

  constructor(parts: SessionsParts) {
    this.#parts = parts
  }

  // --- POST /v1/sessions -------------------------------------------------------------------------

  open = async (x: Exchange, body: Buffer): Promise<void> => {
    const { origins, bearers, open, index } = this.#parts
    const json = parseJson(body)
    if (json.fault !== undefined) return x.problem('bad-request', { detail: json.fault })
    const asked = json.value
    if (!checkSessionBody.Check(asked)) return x.problem('bad-request', { detail: faultOf(checkSessionBody, asked) })

    const domain = asked.domain === undefined ? undefined : parseDomain(asked.domain)
    if (asked.domain !== undefined && domain === undefined) return x.problem('bad-request', { detail: 'body/domain: not a domain' })
    const { origin } = x.req.headers
    const originDomain = origin === undefined ? domain : origins.domainOf(origin)
    if (origin !== undefined && originDomain === undefined) return x.problem('forbidden', { detail: 'Origin names no domain' })
    if (originDomain === undefined) return x.problem('bad-request', { detail: 'body/domain: needed where there is no Origin' })
    if (domain !== undefined && domain !== originDomain) return x.problem('forbidden', { detail: 'Origin and "domain" are different' })
    if (!origins.isKnown(originDomain)) return x.problem('unknown-domain', { detail: `nobody has claimed ${originDomain}` })

    const who = await this.#userOf(x, asked.token, originDomain)
    if (who.kind === 'unavailable') return answerUnavailable(x, { stored: false, reason: who.reason })
    if (who.kind !== 'user') return x.problem(who.kind, { detail: who.detail }, who.kind === 'unauthorized' ? ['WWW-Authenticate', 'Bearer'] : [])

    const { user, provider } = who
    const issued = await bearers.issue({ session: randomUUID(), user, domain: originDomain, provider })
    const { claims } = issued
    const failure = await this.#record(claims)
    if (failure !== undefined) return answerUnavailable(x, failure)
    open.noteOpened(claims.session)
    // One that could not be noted is noted later.
    await index.opened(claims)
    const { session } = claims
    const expires = new Date(claims.expiresMs).toISOString()
    x.json(201, JSON.stringify({ session, user, provider, domain: originDomain, token: issued.token, expires }))
  }

  async #userOf(x: Exchange, token: string | undefined, domain: string): Promise<UserAnswer> {
    if (token === 'anonymous') return { kind: 'user', user: randomUUID(), provider: 'anonymous' }
    if (token !== undefined) {
      const answer = await this.#parts.idTokens.verify(token)
      switch (answer.kind) {
        case 'verified':
          return { kind: 'user', user: userIdOf(answer.issuer, answer.subject), provider: answer.issuer }
        case 'refused':
          return { kind: 'unauthorized', detail: 'body/token: not a valid token of an issuer known here' }
        case 'unavailable':
          this.#parts.log.warn({ reason: answer.reason }, "an issuer's keys cannot be had")
          return { kind: 'unavailable', reason: "the issuer's keys cannot be had just now" }
      }
    }
    const claims = await this.#parts.bearerOf(x)
    if (claims === 'unavailable') return { kind: 'unavailable', reason: 'the session cannot be looked up just now' }
    if (claims === 'none') return { kind: 'unauthorized', detail: 'a token or a valid bearer is needed' }
    if (claims.domain !== domain) return { kind: 'forbidden', detail: 'the bearer is of another domain' }
    return { kind: 'user', user: claims.user, provider: claims.provider }
  }

  /** The record first: an entry without one would never be closed by anybody. */
  async #record(claims: Claims): Promise<Omit<Unavailable, 'kind'> | undefined> {
    const { closing, cluster, clock, log, loop } = this.#parts
    const openedMs = clock.wallMs()
    const ops = openingOps({ user: claims.user, provider: claims.provider, openedMs })
    const record = await cluster.patch({ ...platformPatch(claims, ops), creation: { name: null, reserved: true }, expected: undefined })
    if (record.kind === 'unavailable') return { stored: undefined, reason: record.reason }
    if (record.kind !== 'stored') throw new Error(`the record of a new session was refused: ${record.kind}`)
    loop.mirroring.behind(claims.domain, claims.session as StateId, true)
    const entry = await closing.patchEntries(claims, [{ op: 'add', path: ['active', claims.session], value: { opened: openedMs, close: {} } }])
    if (entry.kind === 'unavailable') return { stored: undefined, reason: entry.reason }
    if (entry.kind !== 'stored') {
      // The state is the user's own: what they made of it must not keep them out.
      log.warn({ session: claims.session, user: claims.user, refusal: entry.kind }, 'the state "sessions" does not take the session')
    }
    return undefined
  }

  // --- DELETE /v1/sessions/{session} -------------------------------------------------------------

  close = async (x: Exchange): Promise<void> => {
    const { hub, open, closing } = this.#parts
    const id = sessionIdOf(x)
    const marked = id === undefined ? ({ kind: 'none' } as const) : await closing.mark({ user: x.caller.user, domain: x.caller.domain }, id)
    if (marked.kind === 'unavailable') return answerUnavailable(x, marked)
    if (id === undefined || marked.kind === 'none') return x.problem('not-found', { detail: 'not an open session of this user' })
    open.noteClosed(id)
    hub.endSession(id)
    const { scripts } = await closing.finish({ user: x.caller.user, domain: x.caller.domain }, id)
    x.json(200, JSON.stringify({ session: id, closed: new Date(marked.closedMs).toISOString(), scripts }))
  }

  // --- POST /v1/sessions/{session}/close-scripts -------------------------------------------------

  addCloseScript = async (x: Exchange, body: Buffer): Promise<void> => {
    const json = parseJson(body)
    if (json.fault !== undefined) return x.problem('bad-request', { detail: json.fault })
    const asked = json.value
    if (!checkCloseScriptBody.Check(asked)) return x.problem('bad-request', { detail: faultOf(checkCloseScriptBody, asked) })
    const keyText = x.req.headers['idempotency-key'] as string | undefined
    if (keyText !== undefined && !isClientKey(keyText)) return x.problem('bad-request', { detail: 'Idempotency-Key: 1 to 128 printable characters' })
    const session = sessionIdOf(x)
    const found = session === undefined ? ({ kind: 'none' } as const) : await this.#parts.closing.openRecord(x.caller, session)
    if (found.kind === 'unavailable') return answerUnavailable(x, found)
    if (session === undefined || found.kind === 'none') return x.problem('not-found', { detail: 'not an open session of this user' })

    // By a client's key the same id again: a repeat must be the same patch.
    const id = keyText === undefined ? randomUUID() : versionedUuid(Buffer.from(clientKey(`close script of ${session}: ${keyText}`), 'latin1'), 4)
    const present = await this.#parts.closing.scripts(x.caller, session)
    if (present === undefined) return answerUnavailable(x, { stored: false, reason: 'the session cannot be looked up just now' })
    if (present.length >= limits.closeScripts && !present.some((left) => left.id === id)) {
      const reason = `a session has at most ${limits.closeScripts} close scripts`
      return x.problem('unprocessable', { detail: `op 0: ${reason}`, members: { op: 0, reason } })
    }
    const value = { script: asked.script, args: asked.args ?? {} }
    const parsed = parsePatch([{ op: 'add', path: ['active', session, 'close', id], value }])
    if (parsed.fault !== undefined) return x.problem('bad-request', { detail: `body: ${parsed.fault.message}` })
    const { ops } = parsed
    const { user, domain, session: by } = x.caller
    const done = await runPatch(this.#parts.loop, {
      caller: { user, domain, session: by },
      target: { kind: 'name', name: SESSIONS_NAME },
      ops,
      text: JSON.stringify(ops),
      key: keyText === undefined ? mintKey() : clientKey(keyText),
      bodyDigest: keyText === undefined ? '' : bodyDigest({ ops, ii: undefined, returnState: false, lenient: false }),
      expected: undefined,
      returnState: false,
    })
    if (done.answer.kind === 'stored' && done.mirror?.kind !== 'unavailable') x.json(201, JSON.stringify({ id }))
    else answerPatch(x, done)
  }
}

/** Undefined: no id that a session could have. */
function sessionIdOf(x: Exchange): StateId | undefined {
  const text = decodePart(x.parameter)
  return text === undefined ? undefined : parseStateId(text)
}

function platformPatch(of: Pick<Claims, 'session' | 'user' | 'domain'>, ops: Op[]) {
  return {
    id: of.session as StateId,
    ops,
    text: JSON.stringify(ops),
    user: of.user,
    domain: of.domain,
    authority: 'system' as const,
    key: mintKey(),
    bodyDigest: '',
    returnState: false,
    lenient: false,
  }
}
