/**
 * Composition of the api, and its door: one plain `node:http` request listener over the parts given.
 *
 * Owns: the order in which a request is judged: route, method, Origin, bearer, query, content type, body.
 * Does not own: what routes do. Talks to: nothing but its parts.
 *
 * The way of a patch through here allocates little and awaits nothing while the bearer and the copy of its
 * session are known: it is most of what the api costs above bare HTTP.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { StateIndex } from '#shared/mirror/state-index.ts'
import type { FoundState } from '#shared/mirror/survey.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import { runCloseSessions } from '#functions/scheduled/close-sessions.ts'
import type { ConfigSource } from '#shared/records/domain-record.ts'
import { Bearers } from '#shared/sessions/bearers.ts'
import type { Claims } from '#shared/sessions/bearers.ts'
import { IdTokens } from '#shared/sessions/id-tokens.ts'
import { NameIds } from '#shared/sessions/names.ts'
import { OpenSessions } from '#shared/sessions/open-sessions.ts'
import type { SessionState } from '#shared/sessions/open-sessions.ts'
import { SignedTokens } from '#shared/sessions/signed-token.ts'
import type { AgentDomains } from '#shared/ports/agent-domains.ts'
import type { AgentGround } from '#shared/ports/agent-ground.ts'
import { AgentAdmins } from './agent-admins.ts'
import { agentGround } from './agent-ground.ts'
import { AgentKeeping } from './agent-keeping.ts'
import { AgentQueries } from './agent-queries.ts'
import { AgentSessions } from './agent-sessions.ts'
import { AgentTokens } from './agent-tokens.ts'
import { answerUnavailable } from './answers.ts'
import { Authorizer } from './authorizer.ts'
import { collectBody, contentKind } from './body.ts'
import { Origins, preflightHeaders } from './cors.ts'
import { DomainRoutes } from './domains.ts'
import { Claims as DomainClaims } from './domains/claims.ts'
import { ApiAgentDomains } from './domain-agents.ts'
import { Configurations } from './domains/configurations.ts'
import type { Rebuilds } from './domains/configurations.ts'
import { DomainAgent } from './domains/agent.ts'
import { DomainLogs } from './domains/domain-logs.ts'
import { Handlers } from './domains/handlers.ts'
import { SessionIndex } from './domains/session-index.ts'
import { SessionSurvey } from './domains/session-survey.ts'
import { Healing } from './domains/healing.ts'
import type { MirrorEvent } from './domains/healing.ts'
import { InForceDomains } from './domains/in-force.ts'
import { MisfitReports } from './domains/misfits.ts'
import { Mirror } from './domains/mirror.ts'
import { Mirroring } from './domains/mirroring.ts'
import { Queries } from './domains/queries.ts'
import { Reports } from './domains/reports.ts'
import { EffectIds } from './effect-ids.ts'
import { EventHub } from './event-stream.ts'
import { Exchange } from './exchange.ts'
import { Files } from './files.ts'
import { Names } from './names.ts'
import { openApiDocument } from './openapi.ts'
import { Operations } from './operations.ts'
import type { ApiParts, Domains } from './parts.ts'
import { QueryRoute } from './queries.ts'
import { parseQuery } from './query.ts'
import { Reading } from './reading.ts'
import type { Loop } from './request-loop.ts'
import { Renames } from './renames.ts'
import { match, routesOf } from './routes.ts'
import type { Method, Operation, Route } from './routes.ts'
import { Sessions } from './sessions.ts'
import { SideEffects } from './side-effects/side-effects.ts'
import { sideEffectTable } from './side-effects/table.ts'
import { Upload } from './side-effects/upload.ts'
import { SessionClosing } from './session-closing.ts'
import { States } from './states.ts'
import { Streams } from './streams.ts'

export type Api = {
  /** For `http.createServer(api.handler)` and for functions-framework's `http('api', api.handler)`. */
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void
  /**
   * Ends sessions that were not used for so long, and goes on with ends whose process is gone; `aloneSinceMs`: since when
   * this is the only one. `isWhole`: there is nothing left to be done. Rejects where they cannot be looked up.
   */
  readonly closeSilentSessions: (silenceMs: number, aloneSinceMs?: number) => Promise<{ readonly ended: number; readonly isWhole: boolean }>
  /** Goes on with configurations that were begun so long ago, and not ended: 0 where this is the only process. */
  readonly resumeConfigurations: (abandonedMs: number) => Promise<void>
  /** A state is said to have come to an interaction: its rows have it, or a newer one, when this resolves. Rejects when that is not certain. */
  readonly mirrorOne: (event: MirrorEvent) => Promise<void>
  /** The last life ended without order. `found`: states that its end may have kept from the index of states. */
  readonly recoverMirror: (found: AsyncIterable<FoundState>) => Promise<void>
  /** Whether the tables of domains have all that this process stored. */
  readonly isMirrorCurrent: () => Promise<boolean>
  /** What the gateway of published agents works on. */
  readonly ground: AgentGround
  /** What runs the agents of domains works on. */
  readonly agentDomains: AgentDomains
  /** Ends every open stream and its timers; requests that come later are still answered. */
  readonly close: () => void
}

export function createApi(parts: ApiParts): Api {
  const { cluster, uploads, registry, database, settings, secrets, clock, log } = parts
  const origins = new Origins({ settings, domains: claimedDomains(registry) })
  const bearers = new Bearers({ secret: secrets.bearerKey, clock })
  const open = new OpenSessions({ cluster, clock })
  const sessionIndex = new SessionIndex({ database, clock, isConfigured: (domain) => registry.get(domain)?.config !== undefined })
  const gate = new Gate(bearers, open, origins, sessionIndex)
  const ids = new NameIds(secrets.nameKey)
  const names = new Names({ ids, cluster })
  const inForce = new InForceDomains({ registry, uploads, log })
  const rebuilds: Rebuilds = { begin: (domain) => configurations.rebuild(domain), isUnderWay: (domain) => configurations.isRebuilding(domain) }
  const authorizer = new Authorizer({ inForce, database, rebuilds, byDefault: settings.authorizeDefault })
  const reading = new Reading({ cluster, names, authorizer })
  const index = new StateIndex({ database, survey: parts.survey, log })
  const reports = new Reports({ cluster, log, onWritten: (domain, id, isNew) => mirroring.behind(domain, id, isNew) })
  const misfits = new MisfitReports({ reports, registry, log })
  const mirror = new Mirror({ inForce, database, cluster, log, onMisfits: misfits.note, onMissing: rebuilds.begin })
  database.onInterrupted(() => mirror.interrupted())
  const mirroring = new Mirroring({ inForce, mirror, index, cluster })
  const onInForce = (domain: string, { report }: ConfigSource): void => {
    configureModule(handlers, domain, report).catch((error: unknown) => log.error({ err: error, domain }, "a module's configure failed unexpectedly"))
  }
  const configurations: Configurations = new Configurations({ registry, database, uploads, cluster, inForce, mirror, index, reports, worker: parts.worker, onInForce, clock, log })
  const claims = new DomainClaims({ registry, proof: parts.proof, reports, clock, log, openDomains: settings.openDomains })
  const queries = new Queries({ inForce, database, rebuilds })
  const effectIds = new EffectIds(secrets.nameKey)
  const upload = new Upload({ cluster, uploads, names: ids, ids: effectIds, mirroring })
  const table = sideEffectTable({ cluster, reading, uploads, names: ids, ids: effectIds, registry, configurations, claims, queries, clock }, upload)
  const sideEffects = new SideEffects({ table, cluster, publicUrl: settings.publicUrl, log })
  const logs = new DomainLogs({ reports, registry })
  const agentParts = { loop: () => loop, reading, queries, ids, effectIds }
  const agentDomains = new ApiAgentDomains({ handlers: () => handlers, logs, inForce, clock })
  const handlers: Handlers = new Handlers({ inForce, worker: parts.worker, logs, agents: agentDomains, agentOf: (domain, key) => new DomainAgent(agentParts, domain, key) })
  const loop: Loop = { cluster, names, renames: new Renames({ cluster, names }), authorizer, handlers, sideEffects, mirroring, clock }
  const hub = new EventHub({ cluster, sessions: open, clock, log, onUse: (of) => sessionIndex.used(of) })
  inForce.onChange(({ domain }) => hub.reauthorize(domain, (caller, of) => authorizer.may('read', caller, of)))
  const states = new States({ cluster, loop, ids, reading, hub })
  const idTokens = new IdTokens({ issuers: settings.issuers, localIssuerKey: secrets.localIssuerKey, clock })
  const sessionSurvey = new SessionSurvey({ survey: parts.survey, names, index: sessionIndex, log })
  const closing = new SessionClosing({ cluster, loop, index: sessionIndex, clock, log })
  const sessions = new Sessions({ cluster, loop, names, bearers, idTokens, open, hub, closing, index: sessionIndex, origins, clock, log, bearerOf: gate.bearerOf })
  const admins = new AgentAdmins({ registry, openDomains: settings.openDomains })
  const keeping = new AgentKeeping({ cluster, names, effectIds })
  const agentSessions = new AgentSessions({ cluster, loop, tokens: new AgentTokens({ idTokens, encrypted: parts.encryptedTokens }), effectIds, closing, keeping, index: sessionIndex, clock, adminDomain: settings.adminDomain })
  const agentDoor = { sessions: agentSessions, keeping, admins, index: sessionIndex, openDomains: settings.openDomains, publicUrl: settings.publicUrl }
  const agentQueries = new AgentQueries({ queries, database, registry, rebuilds, adminDomain: settings.adminDomain, openDomains: settings.openDomains })
  const ground = agentGround({ cluster, loop, reading, authorizer, ids, effectIds, queries: agentQueries, inForce, uploads, origins, ...agentDoor })
  const tokens = new SignedTokens({ secret: secrets.bearerKey, purpose: 'stream', clock })
  const streams = new Streams({ tokens, reading, states, open, origins, publicUrl: settings.publicUrl })
  const files = new Files({ loop, ids: effectIds })
  const domains = new DomainRoutes({ loop, ids: effectIds, registry, uploads, upload, worker: parts.worker })
  const operations = new Operations({ cluster, clusterInfo: settings.clusterInfo, operatorToken: secrets.operatorToken })
  let document: string | undefined
  const openApi = (x: Exchange): void => {
    document ??= JSON.stringify(openApiDocument(Object.values(routes), settings.publicUrl))
    x.json(200, document)
  }
  const routes = routesOf({ sessions, states, streams, files, queries: new QueryRoute({ loop, ids: effectIds }), domains, operations, openApi })

  const handler = (req: IncomingMessage, res: ServerResponse): void => {
    const x = new Exchange(req, res, log)
    try {
      const url = req.url!
      const mark = url.indexOf('?')
      const found = match(routes, mark === -1 ? url : url.slice(0, mark))
      if (found === undefined) return unknownRoute(x, origins)
      x.parameter = found.parameter
      const { origin } = req.headers
      if (origin !== undefined && origins.allows(origin)) x.allowedOrigin = origin
      const method = req.method as Method
      const operation = Object.hasOwn(found.route.operations, method) ? found.route.operations[method] : undefined
      if (operation === undefined) return withoutOperation(x, found.route)
      const { query, fault } = parseQuery(mark === -1 ? undefined : url.slice(mark + 1), found.route.queries[method]!)
      if (fault !== undefined) x.fault = fault
      else x.query = query
      if (operation.access === 'open') run(x, operation)
      else gate.admit(x, operation)
    } catch (error) {
      x.broken(error)
    }
  }
  const close = (): void => {
    for (const part of [hub, claims, configurations, misfits, logs, sessionSurvey, sessionIndex, mirror, index, inForce]) part.close()
  }
  const recoverMirror = async (found: AsyncIterable<FoundState>): Promise<void> => {
    for await (const { id, domain } of found) index.add(domain, id)
    configurations.refill()
  }
  const closeSilentSessions: Api['closeSilentSessions'] = async (silenceMs, aloneSinceMs) => {
    const isWhole = await sessionSurvey.complete()
    const { ended, left } = await runCloseSessions({ index: sessionIndex, closing, clock, silenceMs, aloneSinceMs, log })
    return { ended, isWhole: isWhole && left === 0 }
  }
  const isMirrorCurrent = async (): Promise<boolean> => (await index.flush()) && (await sessionIndex.flush()) && mirror.isCurrent()
  const healing = new Healing({ inForce, database, index, mirroring })
  return {
    handler,
    ground,
    agentDomains,
    closeSilentSessions,
    resumeConfigurations: (abandonedMs) => configurations.resume(abandonedMs),
    mirrorOne: (event) => healing.heal(event),
    recoverMirror,
    isMirrorCurrent,
    close,
  }
}

/** Once, when a configuration takes effect: what its module does then has keys made of the report. */
async function configureModule(handlers: Handlers, domain: string, report: string): Promise<void> {
  const of = await handlers.of(domain)
  if (typeof of !== 'string' && of.exports.configure) await handlers.configure(of, report)
}

/** Which domains there are, for whoever needs to know no more. */
export function claimedDomains(registry: DomainRegistry): Domains {
  return { isClaimed: (domain) => registry.get(domain) !== undefined }
}

function unknownRoute(x: Exchange, origins: Origins): void {
  const { origin } = x.req.headers
  if (origin !== undefined && origins.allows(origin)) x.allowedOrigin = origin
  x.problem('not-found', { detail: 'no such route' })
}

/** OPTIONS, a preflight or not, and methods that the route does not have. */
function withoutOperation(x: Exchange, { allow }: Route): void {
  const { method, headers } = x.req
  if (method !== 'OPTIONS') return x.problem('method-not-allowed', { detail: `this route has ${allow}` }, ['Allow', allow])
  const isPreflight = headers.origin !== undefined && headers['access-control-request-method'] !== undefined
  if (!isPreflight) return x.empty(204, ['Allow', allow])
  if (x.allowedOrigin === undefined) return x.problem('forbidden', { detail: 'this Origin may not use the api' })
  x.empty(204, preflightHeaders(allow))
}

/** Whoever is let in: the request itself is judged and its operation run. */
function run(x: Exchange, operation: Operation): void {
  if (x.fault !== undefined) return x.problem('bad-request', { detail: x.fault })
  if (operation.body === undefined) {
    x.settle(operation.run(x))
    return
  }
  const { headers } = x.req
  const kind = contentKind(headers['content-type'])
  if (kind === undefined || !operation.kinds.includes(kind)) {
    return x.problem('unsupported-media-type', { detail: `Content-Type: ${Object.keys(operation.body).join(' or ')}, in UTF-8` })
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return x.problem('unsupported-media-type', { detail: 'Content-Encoding: none' })
  }
  collectBody(x, operation.run)
}

/** Bearers: who asks, and whether the session is still open. */
class Gate {
  readonly #bearers: Bearers
  readonly #open: OpenSessions
  readonly #origins: Origins
  readonly #uses: SessionIndex

  constructor(bearers: Bearers, open: OpenSessions, origins: Origins, uses: SessionIndex) {
    this.#uses = uses
    this.#bearers = bearers
    this.#open = open
    this.#origins = origins
  }

  admit(x: Exchange, operation: Operation): void {
    const token = bearerText(x)
    if (token === undefined) return unauthorized(x)
    const claims = this.#bearers.verify(token)
    if (claims instanceof Promise) x.settle(claims.then((verified) => this.#identified(x, operation, verified)))
    else this.#identified(x, operation, claims)
  }

  #identified(x: Exchange, operation: Operation, claims: Claims | undefined): void {
    if (claims === undefined) return unauthorized(x)
    const { origin } = x.req.headers
    if (origin !== undefined && this.#origins.domainOf(origin) !== claims.domain) {
      return x.problem('forbidden', { detail: 'the bearer is of another domain than the Origin' })
    }
    x.caller = claims
    const state = this.#open.state(claims)
    if (state instanceof Promise) x.settle(state.then((known) => this.#admitted(x, operation, claims, known)))
    else this.#admitted(x, operation, claims, state)
  }

  #admitted(x: Exchange, operation: Operation, claims: Claims, state: SessionState): void {
    // One that is closed is nobody's to end any more.
    if (state !== 'closed') this.#uses.used(claims)
    admitted(x, operation, state)
  }

  /** For the route that can do without a bearer. */
  bearerOf = async (x: Exchange): Promise<Claims | 'none' | 'unavailable'> => {
    const token = bearerText(x)
    const claims = token === undefined ? undefined : await this.#bearers.verify(token)
    if (claims === undefined) return 'none'
    const state = await this.#open.state(claims)
    return state === 'open' ? claims : state === 'closed' ? 'none' : 'unavailable'
  }
}

function admitted(x: Exchange, operation: Operation, state: SessionState): void {
  switch (state) {
    case 'open':
      return run(x, operation)
    case 'closed':
      return unauthorized(x)
    case 'unavailable':
      return answerUnavailable(x, { stored: false, reason: 'the session cannot be looked up just now' })
  }
}

/** For every reason the same words. */
function unauthorized(x: Exchange): void {
  x.problem('unauthorized', { detail: 'a valid bearer of an open session is needed' }, ['WWW-Authenticate', 'Bearer'])
}

function bearerText(x: Exchange): string | undefined {
  const header = x.req.headers.authorization
  if (header === undefined || header.length < 8) return undefined
  const isBearer = header.startsWith('Bearer ') || header.slice(0, 7).toLowerCase() === 'bearer '
  return isBearer ? header.slice(7).trim() : undefined
}
