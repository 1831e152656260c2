/**
 * Settings: read from the environment and checked in one place, all faults named at once. Nothing else in the
 * code looks at the environment, or asks where it runs: what differs is a named setting.
 */
import { createPrivateKey } from 'node:crypto'
import type { JSONWebKeySet } from 'jose'
import { limits } from '#shared/limits.ts'

type Kind = 'key' | 'connections' | 'milliseconds' | 'kibibytes' | 'minutes' | 'text' | 'port' | 'count' | 'flag' | 'list' | 'issuers' | 'providers' | 'private-key' | 'allow-or-deny' | 'level' | 'gap-rule' | 'hours' | 'mebibytes'

type Setting = { readonly kind: Kind; readonly byDefault: string | undefined; readonly help: string }

const ANYWHERE = {
  HOST: { kind: 'text', byDefault: '127.0.0.1', help: 'address to listen on' },
  PORT: { kind: 'port', byDefault: '8080', help: 'port to listen on; 0: any free one' },
  DATA_DIR: { kind: 'text', byDefault: '.data', help: 'folder for everything that is kept' },
  STATE_PROCESSES: { kind: 'count', byDefault: '1', help: 'state processes; 1: in the same process' },
  PROCESS_NAME: { kind: 'text', byDefault: 'state-process-0', help: 'stable name of a state process of its own' },
  PUBLIC_URL: { kind: 'text', byDefault: undefined, help: 'what handed-out addresses begin with; else the Host of the request' },
  DATABASE_URL: { kind: 'text', byDefault: undefined, help: 'a Postgres to keep the tables of domains in, as an admin without superuser rights; else one of our own is started' },
  MAX_DATABASE_CONNECTIONS: { kind: 'connections', byDefault: '40', help: 'connections of one process to Postgres' },
  ADMIN_DOMAIN: { kind: 'text', byDefault: undefined, help: 'the domain that may be used without a claim, to claim others from' },
  OPEN_DOMAINS: { kind: 'flag', byDefault: 'false', help: 'localhost and *.localhost may be used without a claim' },
  CORS_ORIGINS: { kind: 'list', byDefault: '', help: 'comma-separated origins that browsers may call from, besides those of claimed domains' },
  ISSUERS: {
    kind: 'issuers',
    byDefault: '[]',
    help: 'JSON list of OIDC issuers: {"issuer", "audiences": [..], "jwksUri" or "jwks"}',
  },
  AGENT_TOKEN_KEY: { kind: 'private-key', byDefault: undefined, help: "PEM of the RSA key that published agents' log-ins encrypt their tokens for" },
  AGENT_PROVIDERS: {
    kind: 'providers',
    byDefault: '[]',
    help: 'JSON list of the OAuth providers of these log-ins: {"provider", "tokenUri", "clientId", "clientSecret", "redirectUri" if it asks for one}; their ID tokens are of an issuer in ISSUERS',
  },
  LOCAL_ISSUER: { kind: 'flag', byDefault: 'false', help: 'accept tokens that "npm run token" makes with a key in DATA_DIR' },
  AUTHORIZE_DEFAULT: { kind: 'allow-or-deny', byDefault: 'deny', help: "whether others may read a user's states where the domain configured nothing" },
  CLUSTER_INFO: { kind: 'flag', byDefault: 'false', help: 'GET /v1/cluster answers everybody' },
  OPERATOR_TOKEN: { kind: 'text', byDefault: undefined, help: 'bearer of operators' },
  GAP_RULE: { kind: 'gap-rule', byDefault: 'refuse', help: 'a state with missing interactions: refuse it until an operator decides (npm run repair), or accept what is before them' },
  RETENTION_HOURS: { kind: 'hours', byDefault: '24', help: 'how long log objects that checkpoints cover are kept' },
  SESSION_SILENCE_MINUTES: { kind: 'minutes', byDefault: String(limits.sessionSilenceMs / 60_000), help: 'a session without a request or an open stream for this long is closed' },
  UPLOAD_LIMIT_MIB: { kind: 'mebibytes', byDefault: String(limits.uploadBytes / 2 ** 20), help: 'largest file that can be uploaded, in MiB' },
  SANDBOX_MEMORY_MIB: { kind: 'mebibytes', byDefault: '64', help: "memory of one domain's sandbox, in MiB; at least 16" },
  SANDBOX_SLICE_MS: { kind: 'milliseconds', byDefault: '200', help: 'how long a handler may compute at a stretch while other domains wait' },
  SANDBOXES: { kind: 'count', byDefault: '32', help: 'sandboxes that live at once, one a domain; idle ones make room. As many domain agents run besides' },
  SANDBOXES_RUNNING: { kind: 'count', byDefault: undefined, help: 'sandboxes that compute at once, beside two for domains that hardly compute; else one a core' },
  SANDBOXES_WARM: { kind: 'count', byDefault: '2', help: 'sandboxes kept ready for domains that have none yet' },
  HANDLER_CALL_MS: { kind: 'milliseconds', byDefault: '1000', help: 'how long one call of a handler may take, with what it waits for' },
  HANDLER_RESULT_KIB: { kind: 'kibibytes', byDefault: '64', help: 'largest result of a handler, in KiB' },
  HANDLER_AGENT_CALLS: { kind: 'count', byDefault: '100', help: 'calls of the agent in one call of a handler' },
  HANDLER_AGENT_KIB: { kind: 'kibibytes', byDefault: '4096', help: 'what these may carry in both directions together, in KiB' },
  LOG_LEVEL: { kind: 'level', byDefault: 'info', help: 'debug, info, warn or error' },
} as const satisfies Record<string, Setting>

/** Of the parts that run on Google Cloud, or on its emulators. Terraform and `npm run start:emulated` set them. */
const ON_GOOGLE_CLOUD = {
  GOOGLE_CLOUD_PROJECT: { kind: 'text', byDefault: undefined, help: 'project of everything that is named below' },
  ADDRESS: { kind: 'text', byDefault: undefined, help: 'where others reach this state process or domain worker, https://..., and the audience of the ID tokens that they bring' },
  LINK_ID_TOKENS: { kind: 'flag', byDefault: 'false', help: "links between processes carry ID tokens of the caller's service account; else the secret in DATA_DIR" },
  LINK_CALLERS: { kind: 'list', byDefault: '', help: 'comma-separated service accounts that may open links to this state process or domain worker' },
  ID_TOKEN_KEYS: { kind: 'text', byDefault: 'https://www.googleapis.com/oauth2/v3/certs', help: 'address of the keys of these ID tokens; front: whoever lets callers in has checked the signature' },
  COLD_STORAGE_BUCKET: { kind: 'text', byDefault: undefined, help: 'bucket of cold storage; else a folder in DATA_DIR' },
  UPLOADS_BUCKET: { kind: 'text', byDefault: undefined, help: 'bucket of uploads; else a folder in DATA_DIR' },
  UPLOADS_SIGNER: { kind: 'text', byDefault: undefined, help: 'service account that signs addresses of uploads; else the credentials of this process' },
  FIRESTORE_DATABASE: { kind: 'text', byDefault: '(default)', help: 'Firestore database of the directory and of the registry of domains' },
  REGISTRY_TAKES_MS: { kind: 'milliseconds', byDefault: '2000', help: 'how long a configuration waits until every process has it, in ms' },
  FAN_OUT_TOPIC: { kind: 'text', byDefault: 'patches', help: 'Pub/Sub topic of the fan-out' },
  CLOUD_SQL_INSTANCE: { kind: 'text', byDefault: undefined, help: 'connection name of the Cloud SQL instance of the tables, where DATABASE_URL does not say' },
  CLOUD_SQL_USER: { kind: 'text', byDefault: undefined, help: "login there: a service account's address without .gserviceaccount.com" },
  DATABASE_NAME: { kind: 'text', byDefault: 'postgres', help: 'database there that domains are made from' },
  DOMAIN_WORKER_URL: { kind: 'text', byDefault: undefined, help: 'where the domain worker is reached' },
  BEARER_KEY: { kind: 'key', byDefault: undefined, help: 'signs bearers; base64 of at least 32 bytes, as the two that follow' },
  NAME_KEY: { kind: 'key', byDefault: undefined, help: 'makes the IDs of names; must never change' },
  DOMAIN_ROLES_KEY: { kind: 'key', byDefault: undefined, help: "makes names and passwords of domains' roles in Postgres; must never change" },
  STORAGE_EMULATOR_HOST: { kind: 'text', byDefault: undefined, help: 'http://host:port of an emulator in place of Cloud Storage' },
  FIRESTORE_EMULATOR_HOST: { kind: 'text', byDefault: undefined, help: 'host:port of one in place of Firestore' },
  PUBSUB_EMULATOR_HOST: { kind: 'text', byDefault: undefined, help: 'host:port of one in place of Pub/Sub' },
} as const satisfies Record<string, Setting>

const TABLE = { ...ANYWHERE, ...ON_GOOGLE_CLOUD }

export type ProviderSetting = {
  readonly provider: string
  readonly tokenUri: string
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUri: string | undefined
}

export type IssuerSetting = {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly keys: { readonly jwksUri: string } | { readonly jwks: JSONWebKeySet }
}

type ValueOf<K extends Kind> = K extends 'text' | 'level' | 'private-key'
  ? string
  : K extends 'gap-rule'
  ? 'refuse' | 'accept'
  : K extends 'key'
  ? Uint8Array
  : K extends 'port' | 'count' | 'connections' | 'milliseconds' | 'kibibytes' | 'minutes' | 'hours' | 'mebibytes'
    ? number
    : K extends 'flag'
      ? boolean
      : K extends 'list'
        ? readonly string[]
        : K extends 'issuers'
          ? readonly IssuerSetting[]
          : K extends 'providers'
            ? readonly ProviderSetting[]
            : 'allow' | 'deny'

export type Name = keyof typeof TABLE
export type Settings = {
  readonly [N in Name]: ValueOf<(typeof TABLE)[N]['kind']> | ((typeof TABLE)[N]['byDefault'] extends undefined ? undefined : never)
}

/** With those that cannot be missing. */
export type SettingsWith<N extends Name> = Settings & { readonly [M in N]: NonNullable<Settings[M]> }

export type SettingsAnswer<N extends Name = never> =
  | { readonly kind: 'settings'; readonly settings: SettingsWith<N> }
  | { readonly kind: 'faults'; readonly faults: readonly string[] }

/** `presets`: what this way of running sets where the environment says nothing. `required`: what it cannot do without. */
export function readSettings<N extends Name = never>(
  environment: Readonly<Record<string, string | undefined>>,
  { presets = {}, required = [] }: { readonly presets?: Partial<Record<Name, string>>; readonly required?: readonly N[] } = {},
): SettingsAnswer<N> {
  const faults: string[] = []
  const values: Record<string, unknown> = {}
  for (const name of Object.keys(TABLE) as Name[]) {
    const { kind, byDefault } = TABLE[name]
    const given = environment[name]
    const text = given !== undefined && given !== '' ? given : (presets[name] ?? byDefault)
    if (text === undefined) {
      values[name] = undefined
      if ((required as readonly Name[]).includes(name)) faults.push(`${name}: is needed here (${TABLE[name].help})`)
      continue
    }
    const parsed = parse(kind, text)
    if ('fault' in parsed) faults.push(`${name}: ${parsed.fault}`)
    else values[name] = parsed.value
  }
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'settings', settings: values as SettingsWith<N> }
}

type Parsed = { readonly value: unknown } | { readonly fault: string }

function parse(kind: Kind, text: string): Parsed {
  switch (kind) {
    case 'text':
      return { value: text }
    case 'port':
      return wholeNumber(text, 0, 65_535)
    case 'count':
      return wholeNumber(text, 1, 100)
    case 'connections':
      return wholeNumber(text, 8, 1_000)
    case 'key':
      return key(text)
    case 'minutes':
      return wholeNumber(text, 1, 60 * 24 * 7)
    case 'hours':
      return wholeNumber(text, 1, 24 * 365)
    case 'milliseconds':
      return wholeNumber(text, 1, 3_600_000)
    case 'kibibytes':
    case 'mebibytes':
      return wholeNumber(text, 1, 1_000_000)
    case 'gap-rule':
      return oneOf(text, ['refuse', 'accept'], text)
    case 'flag':
      return oneOf(text, ['true', 'false'], text === 'true')
    case 'list':
      return { value: text.split(',').map((item) => item.trim()).filter((item) => item !== '') }
    case 'allow-or-deny':
      return oneOf(text, ['allow', 'deny'], text)
    case 'level':
      return oneOf(text, ['debug', 'info', 'warn', 'error'], text)
    case 'issuers':
      return jsonList(text, issuer)
    case 'providers':
      return jsonList(text, provider)
    case 'private-key':
      return privateKey(text)
  }
}

function wholeNumber(text: string, least: number, most: number): Parsed {
  const value = Number(text)
  return /^\d+$/.test(text) && value >= least && value <= most ? { value } : { fault: `must be a whole number from ${least} to ${most}` }
}

/** Says nothing of what was given. */
function key(text: string): Parsed {
  const value = Buffer.from(text, 'base64')
  return /^[A-Za-z0-9+/_-]+=*$/.test(text) && value.length >= 32 ? { value: new Uint8Array(value) } : { fault: 'must be base64 of at least 32 bytes' }
}

/** Line breaks may be written as \n. Says nothing of what was given. */
function privateKey(text: string): Parsed {
  const value = text.replaceAll('\\n', '\n')
  try {
    if (createPrivateKey(value).asymmetricKeyType === 'rsa') return { value }
  } catch {
    // What is wrong with it may be in the message.
  }
  return { fault: 'must be the PEM of an RSA private key' }
}

const oneOf = (text: string, allowed: readonly string[], value: unknown): Parsed =>
  allowed.includes(text) ? { value } : { fault: `must be one of ${allowed.join(', ')}` }

type Members = Readonly<Record<string, unknown>>

/** A JSON list, each item as `take` has it, which says of an item that is no good what is wrong with it, and nothing of what was given. */
function jsonList(text: string, take: (item: Members) => object | string): Parsed {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    return { fault: 'is not JSON' }
  }
  if (!Array.isArray(list)) return { fault: 'must be a JSON list' }
  const value: object[] = []
  for (const [at, item] of list.entries()) {
    const taken = take((typeof item === 'object' && item !== null ? item : {}) as Members)
    if (typeof taken === 'string') return { fault: `[${at}]${taken}` }
    value.push(taken)
  }
  return { value }
}

function issuer({ issuer, audiences, jwksUri, jwks }: Members): IssuerSetting | string {
  if (typeof issuer !== 'string' || issuer === '') return '.issuer must be a text'
  if (!Array.isArray(audiences) || audiences.length === 0 || audiences.some((a) => typeof a !== 'string')) return '.audiences must be a list of texts'
  if (typeof jwksUri === 'string' && URL.canParse(jwksUri)) return { issuer, audiences, keys: { jwksUri } }
  if (typeof jwks === 'object' && jwks !== null) return { issuer, audiences, keys: { jwks: jwks as JSONWebKeySet } }
  return ' needs jwksUri (an address) or jwks (a key set)'
}

function provider({ provider, tokenUri, clientId, clientSecret, redirectUri }: Members): ProviderSetting | string {
  if (typeof provider !== 'string' || typeof clientId !== 'string' || typeof clientSecret !== 'string') return ' needs provider, clientId and clientSecret, texts'
  if (typeof tokenUri !== 'string' || !URL.canParse(tokenUri)) return '.tokenUri must be an address'
  if (redirectUri !== undefined && typeof redirectUri !== 'string') return '.redirectUri must be a text'
  return { provider, tokenUri, clientId, clientSecret, redirectUri }
}

/** What `--help` prints: every setting of one machine, its default in this way of running, and what it is for. */
export function describeSettings(presets: Partial<Record<Name, string>> = {}): string {
  const names = Object.keys(ANYWHERE) as (keyof typeof ANYWHERE)[]
  const width = Math.max(...names.map((name) => name.length))
  return names
    .map((name) => {
      const byDefault = presets[name] ?? TABLE[name].byDefault
      return `  ${name.padEnd(width)}  ${TABLE[name].help}${byDefault ? ` (${byDefault})` : ''}`
    })
    .join('\n')
}
