/**
 * Every route in one table: what `index.ts` dispatches to, what 405 lists, and what the OpenAPI document describes.
 */
import type { TObject, TSchema } from 'typebox'
import type { ProblemName } from '#shared/errors.ts'
import type { Exchange } from './exchange.ts'
import type { ContentKind } from './body.ts'
import type { DomainRoutes } from './domains.ts'
import type { Files } from './files.ts'
import type { Operations } from './operations.ts'
import type { QueryRoute } from './queries.ts'
import * as schemas from './schemas.ts'
import type { Sessions } from './sessions.ts'
import type { States } from './states.ts'
import type { Streams } from './streams.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Media type -> schema; undefined: a body that JSON Schema does not describe. */
export type Content = { readonly [mediaType: string]: TSchema | undefined }

type Described = {
  readonly summary: string
  /** `session`: needs the bearer of an open session. */
  readonly access: 'open' | 'session'
  readonly query?: TObject
  /** Request headers that mean something here. */
  readonly headers?: readonly string[]
  readonly success: { readonly [status: number]: Content }
  readonly problems: readonly ProblemName[]
}
export type Operation = Described &
  (
    | { readonly run: (x: Exchange) => void | Promise<void>; readonly body?: never; readonly kinds?: never }
    | { readonly run: (x: Exchange, body: Buffer) => void | Promise<void>; readonly body: Content; readonly kinds: readonly ContentKind[] }
  )

export type Route = {
  readonly template: string
  readonly operations: { readonly [method in Method]?: Operation }
  /** The `Allow` header. */
  readonly allow: string
  /** By method: query parameters that it knows. */
  readonly queries: { readonly [method in Method]?: readonly string[] }
}

export type Handlers = {
  readonly sessions: Sessions
  readonly states: States
  readonly streams: Streams
  readonly files: Files
  readonly queries: QueryRoute
  readonly domains: DomainRoutes
  readonly operations: Operations
  readonly openApi: (x: Exchange) => void
}
export type Routes = ReturnType<typeof routesOf>

function route(template: string, operations: Route['operations']): Route {
  const methods = Object.keys(operations) as Method[]
  const queries: { [method in Method]?: readonly string[] } = {}
  for (const method of methods) queries[method] = Object.keys(operations[method]?.query?.properties ?? {})
  return { template, operations, allow: [...methods, 'OPTIONS'].join(', '), queries }
}

const json = (schema: TSchema): Content => ({ 'application/json': schema })
const events: Content = { 'text/event-stream': undefined }
const onBody = ['bad-request', 'too-large', 'unsupported-media-type'] as const
const onSession = ['unauthorized', 'forbidden', 'unavailable'] as const

export function routesOf(handlers: Handlers) {
  const { sessions, states, streams, files, queries, domains, operations, openApi } = handlers
  return {
    sessions: route('/v1/sessions', {
      POST: {
        summary: 'Open a session',
        access: 'open',
        headers: ['Origin', 'Authorization'],
        body: json(schemas.SessionBody),
        kinds: ['json'],
        success: { 201: json(schemas.Session) },
        problems: [...onBody, ...onSession, 'unknown-domain'],
        run: sessions.open,
      },
    }),
    session: route('/v1/sessions/{session}', {
      DELETE: {
        summary: 'Close a session of the caller: runs its close scripts, ends its streams',
        access: 'session',
        success: { 200: json(schemas.ClosedSession) },
        problems: [...onSession, 'not-found'],
        run: sessions.close,
      },
    }),
    closeScripts: route('/v1/sessions/{session}/close-scripts', {
      POST: {
        summary: 'Leave a script to be run when the session is closed',
        access: 'session',
        headers: ['Idempotency-Key'],
        body: json(schemas.CloseScriptBody),
        kinds: ['json'],
        success: { 201: json(schemas.CloseScript) },
        problems: [...onBody, ...onSession, 'not-found', 'unprocessable', 'key-reused'],
        run: sessions.addCloseScript,
      },
    }),
    state: route('/v1/states/{scope}', {
      GET: {
        summary: 'Read a state, as it is or as it was; follow it as server-sent events with `Accept: text/event-stream` or `?events=`',
        access: 'session',
        query: schemas.StateQuery,
        headers: ['If-None-Match', 'Last-Event-ID'],
        success: { 200: { ...json(schemas.StateDocument), ...events }, 304: {} },
        problems: [...onSession, 'bad-request', 'not-found'],
        run: states.get,
      },
      PATCH: {
        summary: 'Patch a state, all or nothing',
        access: 'session',
        query: schemas.PatchQuery,
        headers: ['Idempotency-Key', 'If-Match'],
        body: { 'application/json': schemas.PatchBody, 'application/json-patch+json': schemas.JsonPatchBody },
        kinds: ['json', 'json-patch'],
        success: { 200: json(schemas.PatchResult) },
        problems: [...onBody, ...onSession, 'replay', 'name-taken', 'out-of-sync', 'unprocessable', 'key-reused'],
        run: states.patch,
      },
    }),
    history: route('/v1/states/{scope}/history', {
      GET: {
        summary: 'The interactions of a state, one JSON text a line',
        access: 'session',
        query: schemas.HistoryQuery,
        success: { 200: { 'application/x-ndjson': schemas.HistoryLine } },
        problems: [...onSession, 'bad-request'],
        run: states.history,
      },
    }),
    streams: route('/v1/streams', {
      POST: {
        summary: 'A signed address that follows one state, good for as long as the session is',
        access: 'session',
        body: json(schemas.StreamBody),
        kinds: ['json'],
        success: { 201: json(schemas.StreamAddress) },
        problems: [...onBody, ...onSession],
        run: streams.sign,
      },
    }),
    stream: route('/v1/streams/{address}', {
      GET: {
        summary: 'Follow the state of a signed address',
        access: 'open',
        query: schemas.StreamQuery,
        headers: ['Last-Event-ID'],
        success: { 200: events },
        problems: [...onSession, 'bad-request'],
        run: streams.follow,
      },
    }),
    uploads: route('/v1/uploads', {
      POST: {
        summary: 'A signed address to upload one file to, once, within 15 minutes; its state belongs to the caller',
        access: 'session',
        headers: ['Idempotency-Key'],
        body: json(schemas.UploadBody),
        kinds: ['json'],
        success: { 201: json(schemas.UploadAddress) },
        problems: [...onBody, ...onSession, 'id-taken', 'key-reused'],
        run: files.upload,
      },
    }),
    download: route('/v1/downloads/{id}', {
      GET: {
        summary: 'A signed address to download an uploaded file at, for 15 minutes: as a redirect, or in JSON with `Accept: application/json`',
        access: 'session',
        success: { 200: json(schemas.DownloadAddress), 302: {} },
        problems: [...onSession, 'bad-request', 'not-found'],
        run: files.download,
      },
    }),
    query: route('/v1/queries/{name}', {
      POST: {
        summary: "A query that the caller's domain has configured, or another one for it",
        access: 'session',
        body: json(schemas.QueryBody),
        kinds: ['json'],
        success: { 200: json(schemas.Rows) },
        problems: [...onBody, ...onSession, 'not-found', 'query-failed'],
        run: queries.run,
      },
    }),
    claim: route('/v1/domains/{domain}/claim', {
      POST: {
        summary: 'Claim a domain: it has to show the token in a TXT record, or at /.well-known/knowlearning-admin-challenge; the report says how far it is',
        access: 'session',
        headers: ['Idempotency-Key'],
        success: { 200: json(schemas.ClaimStarted) },
        problems: [...onSession, 'bad-request', 'domain-taken', 'key-reused'],
        run: domains.claim,
      },
    }),
    config: route('/v1/domains/{domain}/config', {
      GET: {
        summary: 'The configuration in force, for the admin of the domain',
        access: 'session',
        success: { 200: json(schemas.ConfigInForce) },
        problems: [...onSession, 'bad-request', 'unknown-domain', 'not-found'],
        run: domains.inForce,
      },
      PUT: {
        summary: 'Configure a domain, for its admin: checked as a whole, then applied step by step, as the report says',
        access: 'session',
        headers: ['Idempotency-Key'],
        body: { 'application/yaml': undefined },
        kinds: ['yaml'],
        success: { 202: json(schemas.ConfigStarted) },
        problems: [...onBody, ...onSession, 'unknown-domain', 'invalid-config', 'key-reused'],
        run: domains.configure,
      },
    }),
    health: route('/v1/health', {
      GET: { summary: 'The process is up', access: 'open', success: { 200: json(schemas.Health) }, problems: [], run: operations.health },
    }),
    ready: route('/v1/ready', {
      GET: { summary: 'It can serve', access: 'open', success: { 200: json(schemas.Ready) }, problems: ['unavailable'], run: operations.ready },
    }),
    cluster: route('/v1/cluster', {
      GET: {
        summary: 'The members of the cluster (a local deployment, or an operator)',
        access: 'open',
        headers: ['Authorization'],
        success: { 200: json(schemas.ClusterInfo) },
        problems: ['unauthorized', 'forbidden'],
        run: operations.members,
      },
    }),
    openApi: route('/v1/openapi.json', {
      GET: { summary: 'This description', access: 'open', success: { 200: { 'application/json': undefined } }, problems: [], run: openApi },
    }),
  } as const satisfies { readonly [name: string]: Route }
}

/** The route of a path, and its variable part as it stands there. By hand: this is on the way of every patch. */
export function match(routes: Routes, path: string): { readonly route: Route; readonly parameter: string } | undefined {
  if (path.startsWith('/v1/states/')) {
    const end = path.indexOf('/', 11)
    if (end === -1) return path.length > 11 ? { route: routes.state, parameter: path.slice(11) } : undefined
    return end > 11 && path.slice(end) === '/history' ? { route: routes.history, parameter: path.slice(11, end) } : undefined
  }
  if (path.startsWith('/v1/sessions/')) {
    const end = path.indexOf('/', 13)
    if (end === -1) return path.length > 13 ? { route: routes.session, parameter: path.slice(13) } : undefined
    return end > 13 && path.slice(end) === '/close-scripts' ? { route: routes.closeScripts, parameter: path.slice(13, end) } : undefined
  }
  if (path.startsWith('/v1/streams/')) {
    return path.length > 12 && !path.includes('/', 12) ? { route: routes.stream, parameter: path.slice(12) } : undefined
  }
  if (path.startsWith('/v1/downloads/')) {
    return path.length > 14 && !path.includes('/', 14) ? { route: routes.download, parameter: path.slice(14) } : undefined
  }
  if (path.startsWith('/v1/queries/')) {
    return path.length > 12 && !path.includes('/', 12) ? { route: routes.query, parameter: path.slice(12) } : undefined
  }
  if (path.startsWith('/v1/domains/')) {
    const end = path.indexOf('/', 12)
    if (end <= 12) return undefined
    const parameter = path.slice(12, end)
    switch (path.slice(end)) {
      case '/claim':
        return { route: routes.claim, parameter }
      case '/config':
        return { route: routes.config, parameter }
      default:
        return undefined
    }
  }
  const route = fixed(routes, path)
  return route === undefined ? undefined : { route, parameter: '' }
}

function fixed(routes: Routes, path: string): Route | undefined {
  switch (path) {
    case '/v1/sessions':
      return routes.sessions
    case '/v1/streams':
      return routes.streams
    case '/v1/uploads':
      return routes.uploads
    case '/v1/health':
      return routes.health
    case '/v1/ready':
      return routes.ready
    case '/v1/cluster':
      return routes.cluster
    case '/v1/openapi.json':
      return routes.openApi
    default:
      return undefined
  }
}
