/**
 * Sessions of published agents: from the first message of a connection to a user and a session, and their end.
 *
 * Owns: the order of what is stored. Does not own: connections. Talks to: the records of sessions and browsers, the issuers.
 *
 * I1. Whom a browser was is known by the digest of its secret only. A session is resumed by nobody else.
 * I2. A session is answered when its record is stored.
 */
import { randomUUID } from 'node:crypto'
import type { StateId } from '#shared/ids.ts'
import { parseStateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { AgentGreeting, AgentSession, AgentUser, BeginAnswer } from '#shared/ports/agent-ground.ts'
import type { PatchAnswer, StateCluster } from '#shared/ports/state-cluster.ts'
import { agentOpeningOps, browserOps, browserUser, credentialOf, resumableUser } from '#shared/sessions/agent-records.ts'
import type { IdTokens } from '#shared/sessions/id-tokens.ts'
import { userIdOf } from '#shared/sessions/uuid.ts'
import type { SessionIndex } from './domains/session-index.ts'
import type { EffectIds } from './effect-ids.ts'
import { mintKey } from './keys.ts'
import { TOMBSTONE } from './names.ts'
import type { WallClock } from './parts.ts'
import type { Loop } from './request-loop.ts'
import type { SessionClosing } from './session-closing.ts'

/** Shorter tokens are what clients make up after a log-out. */
const TOKEN_CHARACTERS = 32

export type AgentSessionsParts = {
  readonly cluster: StateCluster
  readonly loop: Loop
  readonly idTokens: IdTokens
  readonly effectIds: EffectIds
  readonly closing: SessionClosing
  readonly index: SessionIndex
  readonly clock: WallClock
}

export class AgentSessions {
  readonly #parts: AgentSessionsParts

  constructor(parts: AgentSessionsParts) {
    this.#parts = parts
  }

  async begin(greeting: AgentGreeting): Promise<BeginAnswer> {
    const { domain, token } = greeting
    const credential = credentialOf(greeting.sid)
    // Whatever the token: in another session the client would send all that it has sent in this one.
    if (greeting.session !== undefined) return this.#resume(greeting.session, { credential, domain })
    const browser = this.#parts.effectIds.of('browser', domain, credential)
    const known = token === undefined ? await this.#parts.loop.names.read(browser) : undefined
    if (known?.kind === 'unavailable') return { kind: 'unavailable' }
    const before = browserUser(known?.view)
    const who = before ?? (await this.#userOf(token))
    if (typeof who === 'string') return { kind: who }
    const session: AgentSession = { ...who, domain, session: randomUUID() as StateId }
    if (token === 'anonymous-ephemeral') return { kind: 'new', session, isSaved: false }
    const opening = agentOpeningOps({ ...who, credential, openedMs: this.#parts.clock.wallMs() })
    const stored = await Promise.all([this.#store(session.session, session, opening), ...(before === undefined ? [this.#store(browser, session, browserOps(who))] : [])])
    if (stored.some(({ kind }) => kind !== 'stored')) return { kind: 'unavailable' }
    this.#parts.loop.mirroring.behind(domain, session.session, true)
    this.#parts.index.used(session)
    return { kind: 'new', session, isSaved: true }
  }

  async end(session: AgentSession, info: Json): Promise<void> {
    const { closing } = this.#parts
    const path = ['active', session.session]
    const farewell: Op[] = [{ op: 'add', path: [...path, 'close'], value: info }, { op: 'remove', path }]
    const marked = await closing.mark(session, session.session)
    if (marked.kind === 'closed') await closing.finish(session, session.session, farewell)
    // One that was never saved has an entry all the same. A record that cannot be read now is left to the schedule.
    else if (marked.kind === 'none') await closing.patchEntries(session, farewell)
  }

  async #resume(text: string, of: { readonly credential: string; readonly domain: string }): Promise<BeginAnswer> {
    const session = parseStateId(text)
    if (session === undefined) return { kind: 'over' }
    const read = await this.#parts.loop.names.read(session)
    if (read.kind === 'unavailable') return { kind: 'unavailable' }
    const user = read.view === undefined ? undefined : resumableUser(read.view, of)
    return user === undefined ? { kind: 'over' } : { kind: 'resumed', session: { ...user, domain: of.domain, session } }
  }

  async #userOf(token: string | undefined): Promise<AgentUser | 'refused' | 'unavailable'> {
    if (token === undefined || token.length < TOKEN_CHARACTERS) return { user: randomUUID(), provider: 'anonymous' }
    const answer = await this.#parts.idTokens.verify(token)
    if (answer.kind === 'verified') return { user: userIdOf(answer.issuer, answer.subject), provider: answer.issuer }
    return answer.kind
  }

  #store(id: StateId, of: AgentSession, ops: Op[]): Promise<PatchAnswer> {
    return this.#parts.cluster.patch({
      id,
      ops,
      text: JSON.stringify(ops),
      user: of.user,
      domain: of.domain,
      authority: 'system',
      creation: TOMBSTONE,
      key: mintKey(),
      bodyDigest: '',
      expected: undefined,
      returnState: false,
      lenient: false,
    })
  }
}
