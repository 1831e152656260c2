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
import type { AgentGreeting, AgentSession, BeginAnswer, ResumeAnswer } from '#shared/ports/agent-ground.ts'
import type { PatchAnswer, StateCluster } from '#shared/ports/state-cluster.ts'
import { agentOpeningOps, browserOps, browserUser, credentialOf, resumableUser } from '#shared/sessions/agent-records.ts'
import type { AgentKeeping } from './agent-keeping.ts'
import type { AgentTokens } from './agent-tokens.ts'
import type { SessionIndex } from './domains/session-index.ts'
import type { EffectIds } from './effect-ids.ts'
import { mintKey } from './keys.ts'
import { TOMBSTONE } from './names.ts'
import type { WallClock } from './parts.ts'
import type { Loop } from './request-loop.ts'
import type { SessionClosing } from './session-closing.ts'

export type AgentSessionsParts = {
  readonly cluster: StateCluster
  readonly loop: Loop
  readonly tokens: AgentTokens
  readonly effectIds: EffectIds
  readonly closing: SessionClosing
  readonly keeping: AgentKeeping
  readonly index: SessionIndex
  readonly clock: WallClock
}

export class AgentSessions {
  readonly #parts: AgentSessionsParts

  constructor(parts: AgentSessionsParts) {
    this.#parts = parts
  }

  async begin({ domain, sid }: AgentGreeting, token: string | undefined): Promise<BeginAnswer> {
    const browser = this.#parts.effectIds.of('browser', domain, credentialOf(sid))
    const known = token === undefined ? await this.#parts.loop.names.read(browser) : undefined
    if (known?.kind === 'unavailable') return { kind: 'unavailable' }
    const before = browserUser(known?.view, sid)
    const answer = before === undefined ? await this.#parts.tokens.userOf(token, domain) : { kind: 'user' as const, ...before }
    if (answer.kind !== 'user') return answer
    const { user, provider, info } = answer
    const session: AgentSession = { user, provider, info, domain, session: randomUUID() as StateId }
    if (token === 'anonymous-ephemeral') return { kind: 'new', session, isSaved: false }
    const opening = agentOpeningOps({ ...session, sid, openedMs: this.#parts.clock.wallMs() })
    const stored = await Promise.all([this.#store(session.session, session, opening), ...(before === undefined ? [this.#store(browser, session, browserOps(session, sid))] : [])])
    if (stored.some(({ kind }) => kind !== 'stored')) return { kind: 'unavailable' }
    this.#parts.loop.mirroring.behind(domain, session.session, true)
    await this.#parts.index.opened(session)
    return { kind: 'new', session, isSaved: true }
  }

  /** Whatever the token: in another session the client would send all that it has sent in this one. */
  async resume({ domain, sid }: AgentGreeting, text: string): Promise<ResumeAnswer> {
    const session = parseStateId(text)
    if (session === undefined) return { kind: 'over' }
    const { loop, keeping } = this.#parts
    const [read, kept] = await Promise.all([loop.names.read(session), keeping.read(session)])
    if (read.kind === 'unavailable' || kept.kind === 'unavailable') return { kind: 'unavailable' }
    const user = read.view === undefined ? undefined : resumableUser(read.view, { sid, domain })
    if (user === undefined || kept.kept.end === 'over') return { kind: 'over' }
    return { kind: 'resumed', session: { ...user, domain, session }, kept: kept.kept }
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
