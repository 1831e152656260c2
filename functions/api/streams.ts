/** `/v1/streams`: signed addresses, because a browser's EventSource sends no Authorization header. */
import { parseStateId } from '#shared/ids.ts'
import type { OpenSessions } from '#shared/sessions/open-sessions.ts'
import type { SignedTokens } from '#shared/sessions/signed-token.ts'
import { answerForbidden, answerUnavailable } from './answers.ts'
import { baseUrl } from './base-url.ts'
import { parseJson } from './body.ts'
import type { Origins } from './cors.ts'
import type { Exchange } from './exchange.ts'
import type { Reading } from './reading.ts'
import { checkStreamBody, faultOf } from './schemas.ts'
import { parseScope } from './scope.ts'
import type { States } from './states.ts'

export type StreamsParts = {
  readonly tokens: SignedTokens
  readonly reading: Reading
  readonly states: States
  readonly open: OpenSessions
  readonly origins: Origins
  readonly publicUrl: string | undefined
}

export class Streams {
  readonly #parts: StreamsParts

  constructor(parts: StreamsParts) {
    this.#parts = parts
  }

  /** The address is bound to the state that the scope leads to now, and to the session. */
  sign = async (x: Exchange, body: Buffer): Promise<void> => {
    const json = parseJson(body)
    if (json.fault !== undefined) return x.problem('bad-request', { detail: json.fault })
    const asked = json.value
    if (!checkStreamBody.Check(asked)) return x.problem('bad-request', { detail: faultOf(checkStreamBody, asked) })
    const { caller } = x
    const { scope, fault } = parseScope(asked.scope, asked, caller)
    if (fault !== undefined) return x.problem('bad-request', { detail: fault })
    const present = await this.#parts.reading.read(scope, caller)
    if (present.kind === 'unavailable') return answerUnavailable(x, { stored: undefined, reason: present.reason })
    if (present.kind !== 'view') return answerForbidden(x)
    const claims = { sta: present.id, sid: caller.session, sub: caller.user, dom: caller.domain, prv: caller.provider }
    const token = await this.#parts.tokens.sign(claims, caller.expiresMs)
    x.json(201, JSON.stringify({ url: `${baseUrl(this.#parts.publicUrl, x.req.headers.host)}/v1/streams/${token}` }))
  }

  follow = async (x: Exchange): Promise<void> => {
    const { tokens, open, origins, states } = this.#parts
    const payload = await tokens.verify(x.parameter)
    const id = payload === undefined ? undefined : parseStateId(String(payload['sta']))
    if (payload === undefined || id === undefined) return x.problem('unauthorized', { detail: 'not a valid stream address' })
    const claims = {
      session: String(payload['sid']),
      user: String(payload.sub),
      domain: String(payload['dom']),
      provider: String(payload['prv']),
      expiresMs: payload.exp * 1000,
    }
    const { origin } = x.req.headers
    if (origin !== undefined && origins.domainOf(origin) !== claims.domain) return x.problem('forbidden', { detail: 'the address is for another Origin' })
    switch (await open.state(claims)) {
      case 'closed':
        return x.problem('unauthorized', { detail: 'the session is closed' })
      case 'unavailable':
        return answerUnavailable(x, { stored: undefined, reason: 'the session cannot be looked up just now' })
      case 'open':
        x.caller = claims
        return states.follow(x, { kind: 'id', id })
    }
  }
}
