/** The schemas that validate requests, give them types, and describe the api (OpenAPI). */
import Type from 'typebox'
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { limits } from '#shared/limits.ts'

const closed = { additionalProperties: false } as const
const Index = (description: string) => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })
const Uuid = (description: string) => Type.String({ format: 'uuid', description })

const PathArray = Type.Array(Type.Union([Type.String(), Type.Integer()]), { minItems: 1, description: 'From the root: "active", "active_type" or "name" first' })
const Value = Type.Unknown({ description: 'Any JSON' })
const operations = (path: TSchema) => [
  Type.Object({ op: Type.Enum(['add', 'replace', 'test']), path, value: Value }, closed),
  Type.Object({ op: Type.Literal('remove'), path }, closed),
  Type.Object({ op: Type.Enum(['move', 'copy']), from: path, path }, closed),
]

/** An operation with array paths; `shared/patch` validates it (a schema could not name the place as well). */
export const Operation = Type.Union(operations(PathArray), { description: 'RFC 6902 with array paths' })
export const PointerOperation = Type.Object({ op: Type.String(), path: Type.String() }, { description: 'RFC 6902 with string pointers, unknown members ignored' })

export const StateDocument = Type.Object(
  {
    id: Uuid('In lower case'),
    ii: Index('Interactions so far'),
    domain: Type.Union([Type.String(), Type.Null()]),
    owner: Type.Union([Type.String(), Type.Null()]),
    name: Type.Union([Type.String(), Type.Null()]),
    active_type: Type.String(),
    active: Value,
    created: Type.Union([Type.Integer(), Type.Null()], { description: 'ms since 1970, UTC' }),
    updated: Type.Union([Type.Integer(), Type.Null()], { description: 'ms since 1970, UTC' }),
  },
  { description: 'A state. Unwritten: ii 0, active {}, and null but for id and active_type' },
)

const ii = Type.Optional(Index('The interaction index that this patch must take'))
const returned = Type.Optional(Type.Literal('state', { description: 'Answer with the state right after this patch' }))
export const PatchBody = Type.Object({ patch: Type.Array(Operation, { minItems: 1 }), ii, return: returned }, closed)
export const JsonPatchBody = Type.Array(PointerOperation)
/** `PatchBody` without what `shared/patch` checks. */
export const PatchEnvelope = Type.Object({ patch: Type.Unknown(), ii, return: returned }, closed)

const Headers = Type.Record(Type.String(), Type.String(), { description: 'upload: what must be sent along, as it is' })
export const PatchResult = Type.Object({
  id: Uuid('The state'),
  ii: Index('The index that the patch took'),
  updated: Type.Union([Type.Integer(), Type.Null()], { description: 'ms since 1970, UTC; null: an empty patch on an unwritten state' }),
  replayed: Type.Optional(Type.Literal(true, { description: 'The key was known: this is the first answer again' })),
  state: Type.Optional(StateDocument),
  url: Type.Optional(Type.String({ format: 'uri', description: 'upload, download: the signed address' })),
  upload: Type.Optional(Uuid('upload: the state of the upload, whose id a download is asked by')),
  headers: Type.Optional(Headers),
  rows: Type.Optional(Type.Array(Type.Record(Type.String(), Value), { description: 'postgres-query' })),
  token: Type.Optional(Uuid('domain-claim: what the domain has to show')),
  report: Type.Optional(Uuid('domain-claim, domain-config: the state that says how far it is')),
  error: Type.Optional(Type.Object({ code: Type.Union([Type.Integer(), Type.String()]), detail: Type.String() }, { description: 'The patch is stored, its side effect was refused or failed' })),
})

export const SessionBody = Type.Object(
  {
    token: Type.Optional(Type.String({ description: '"anonymous", an OIDC ID token, or absent with a valid bearer of the same domain' })),
    domain: Type.Optional(Type.String({ description: 'Host, with port; may be left out where the Origin header says it' })),
  },
  closed,
)
export const Session = Type.Object({
  session: Uuid('The session'),
  user: Type.String(),
  provider: Type.String({ description: '"anonymous" or the issuer' }),
  domain: Type.String(),
  token: Type.String({ description: 'The bearer' }),
  expires: Type.String({ format: 'date-time' }),
})
export const ClosedSession = Type.Object({
  session: Uuid('The session'),
  closed: Type.String({ format: 'date-time' }),
  scripts: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), result: Type.Optional(Value), error: Type.Optional(Type.String()) })),
})
export const CloseScriptBody = Type.Object({ script: Type.String({ minLength: 1 }), args: Type.Optional(Value) }, closed)
export const CloseScript = Type.Object({ id: Uuid('The close script') })

export const StreamBody = Type.Object(
  { scope: Type.String({ minLength: 1 }), user: Type.Optional(Type.String({ minLength: 1 })), domain: Type.Optional(Type.String({ minLength: 1 })) },
  closed,
)
export const StreamAddress = Type.Object({ url: Type.String({ format: 'uri' }) })

const upload = {
  id: Type.Optional(Type.String({ description: 'Of the state that the upload makes; a new one if it is left out' })),
  type: Type.String({ description: 'The media type' }),
  name: Type.Optional(Type.String({ minLength: 1, description: "The file's name" })),
}
export const UploadBody = Type.Object(upload, closed)
export const UploadAddress = Type.Object({ id: Uuid('The upload'), url: Type.String({ format: 'uri', description: 'To PUT the file to, once' }), headers: Headers })
export const DownloadAddress = Type.Object({ url: Type.String({ format: 'uri', description: 'To GET the file at' }) })

/** `active` of the types with side effects: members that they do not know are the client's business. */
export const SubscriptionActive = Type.Object({ scope: Type.String({ minLength: 1 }), user: Type.Optional(Type.String()), domain: Type.Optional(Type.String()) })
export const UploadActive = Type.Object(upload)
export const DownloadActive = Type.Object({ id: Type.String() })
const Params = Type.Optional(Type.Array(Value, { description: '$1, $2 ... of the query' }))
export const QueryActive = Type.Object({ query: Type.String(), params: Params, domain: Type.Optional(Type.String()) })
const Report = Type.Optional(Type.String({ description: 'The state to report in' }))
export const ClaimActive = Type.Object({ domain: Type.String(), report: Report })
export const ConfigActive = Type.Object({ config: Type.String(), domain: Type.Optional(Type.String()), report: Report })

export const QueryBody = Type.Object({ params: Params, domain: Type.Optional(Type.String({ description: 'Whose query it is, if not of the caller' })) }, closed)
export const Rows = Type.Object({ rows: Type.Array(Type.Record(Type.String(), Value)) })
export const ClaimStarted = Type.Object({ token: Uuid('What the domain has to show'), report: Uuid('The state that says how far it is') })
export const ConfigStarted = Type.Object({ report: Uuid('The state that says how far it is') })
export const ConfigInForce = Type.Object({ domain: Type.String(), config: Type.String({ description: 'The YAML' }), report: Uuid('The state that said how it came into force'), since: Type.String({ format: 'date-time' }) })

export const HistoryLine = Type.Object({ ii: Index('Its index'), ts: Type.Integer(), user: Type.String(), patch: Type.Array(Operation) })

export const Health = Type.Object({ status: Type.Literal('ok') })
export const Ready = Type.Object({ status: Type.Literal('ready') })
export const ClusterInfo = Type.Object({
  members: Type.Array(
    Type.Object({
      name: Type.String(),
      incarnation: Type.String(),
      pid: Type.Optional(Type.Integer()),
      address: Type.String(),
      state: Type.Enum(['joining', 'active', 'draining']),
      slots: Type.Integer(),
      leads: Type.Array(Type.Integer()),
      log: Type.Object({ seq: Type.Integer(), waiting: Type.Integer() }),
    }),
  ),
})

/** Query parameters by route. Their values are read by hand: they are texts. */
const Digits = (description: string) => Type.Optional(Type.String({ pattern: '^(0|[1-9][0-9]*)$', description }))
const Whose = {
  user: Type.Optional(Type.String({ description: "Another user's name" })),
  domain: Type.Optional(Type.String({ description: "Another domain's name" })),
}
export const StateQuery = Type.Object({
  ...Whose,
  read: Type.Optional(Type.Enum(['strong', 'tracked'])),
  min_ii: Digits(`Wait up to ${limits.minIiWaitMs} ms for this index`),
  ii: Digits('The state as it was after this interaction'),
  events: Type.Optional(Type.String({ description: 'Follow as a stream from this index' })),
})
export const PatchQuery = Type.Object(Whose)
export const HistoryQuery = Type.Object({ ...Whose, from: Digits('First index'), to: Digits('Last index') })
export const StreamQuery = Type.Object({ events: Type.Optional(Type.String({ description: 'Follow from this index' })) })

export const checkPatchEnvelope = Compile(PatchEnvelope)
export const checkSessionBody = Compile(SessionBody)
export const checkCloseScriptBody = Compile(CloseScriptBody)
export const checkStreamBody = Compile(StreamBody)
export const checkUploadBody = Compile(UploadBody)
export const checkSubscriptionActive = Compile(SubscriptionActive)
export const checkUploadActive = Compile(UploadActive)
export const checkDownloadActive = Compile(DownloadActive)
export const checkQueryActive = Compile(QueryActive)
export const checkClaimActive = Compile(ClaimActive)
export const checkConfigActive = Compile(ConfigActive)
export const checkQueryBody = Compile(QueryBody)

type Checker = { Check(value: unknown): boolean; Errors(value: unknown): { instancePath: string; message: string; params: object }[] }

/** The first fault of `value`, with its place, in words for the client's developer. */
export function faultOf(checker: Checker, value: unknown, root = 'body'): string {
  const errors = checker.Errors(value)
  const unknown = errors.find((error) => 'additionalProperties' in error.params)
  if (unknown !== undefined) {
    const names = (unknown.params as { additionalProperties: string[] }).additionalProperties
    return `${root}${unknown.instancePath}: unknown member ${names.map((name) => JSON.stringify(name)).join(', ')}`
  }
  const first = errors[0]
  return first === undefined ? `${root}: not valid` : `${root}${first.instancePath}: ${first.message}`
}

export type PatchEnvelope = Static<typeof PatchEnvelope>
