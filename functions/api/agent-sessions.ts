/**
 * Sessions of published agents: from the first message of a connection to a user and a session, and their end.
 *
 * Owns: the order of what is stored. Does not own: connections. Talks to: the records of sessions and browsers, the issuers.
 *
 * I1. Whom a browser was is known by the digest of its secret only. A session is resumed by nobody else.
 * I2. A session is answered when its record is stored.
 */
import { randomUUID } from 'node:crypto'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { parseStateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { AgentGreeting, AgentSession, BeginAnswer, ResumeAnswer } from '#shared/ports/agent-ground.ts'
import type { Creation, PatchAnswer, StateCluster } from '#shared/ports/state-cluster.ts'
import { USERS, agentOpeningOps, browserOps, browserUser, credentialOf, resumableUser, userOps } from '#shared/sessions/agent-records.ts'
import type { AgentKeeping } from './agent-keeping.ts'
import type { AgentTokens } from './agent-tokens.ts'
import { UNNAMED } from './client-patch.ts'
import type { SessionIndex } from './domains/session-index.ts'
import type { EffectIds } from './effect-ids.ts'
import { mintKey } from './keys.ts'
import { TOMBSTONE } from './names.ts'
import type { WallClock } from './parts.ts'
import type { Party } from './party.ts'
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
  /** Where users are recorded; undefined: nowhere. */
  readonly adminDomain: string | undefined
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
    const answer = before === undefined ? await this.#parts.tokens.userOf(token, domain) : { kind: 'user' as const, subject: undefined, ...before }
    if (answer.kind !== 'user') return answer
    const { user, provider, info, subject } = answer
    const session: AgentSession = { user, provider, info, domain, session: randomUUID() as StateId }
    if (token === 'anonymous-ephemeral') return { kind: 'new', session, isSaved: false }
    const opening = agentOpeningOps({ ...session, sid, openedMs: this.#parts.clock.wallMs() })
    const writes = [this.#store({ id: session.session, of: session, ops: opening })]
    if (before === undefined) writes.push(this.#store({ id: browser, of: session, ops: browserOps(session, sid) }))
    if (subject !== undefined) writes.push(this.#recordUser(user, { provider, subject }))
    if ((await Promise.all(writes)).some((kind) => kind !== 'stored')) return { kind: 'unavailable' }
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

  /** Once: one that was there before stays as it is. */
  async #recordUser(user: string, of: { readonly provider: string; readonly subject: string }): Promise<PatchAnswer['kind']> {
    const { adminDomain: domain, loop } = this.#parts
    if (domain === undefined) return 'stored'
    const id = user as StateId
    const kind = await this.#store({ id, of: { user: USERS, domain }, ops: userOps(of), creation: UNNAMED, expected: 1 as InteractionIndex })
    if (kind === 'out-of-sync') return 'stored'
    loop.mirroring.behind(domain, id, true)
    return kind
  }

  async #store({ id, of, ops, creation = TOMBSTONE, expected }: Stored): Promise<PatchAnswer['kind']> {
    const answer = await this.#parts.cluster.patch({
      id,
      ops,
      text: JSON.stringify(ops),
      user: of.user,
      domain: of.domain,
      authority: 'system',
      creation,
      key: mintKey(),
      bodyDigest: '',
      expected,
      returnState: false,
      lenient: false,
    })
    return answer.kind
  }
}

type Stored = { readonly id: StateId; readonly of: Party; readonly ops: Op[]; readonly creation?: Creation; readonly expected?: InteractionIndex }
