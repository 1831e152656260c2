/** How the platform's own role reaches Postgres: the embedded server, an address, or Cloud SQL's connector. */
import type { ClientConfig } from 'pg'

/** The role needs LOGIN, CREATEDB and CREATEROLE, and is no superuser, as on Cloud SQL. */
export type AdminConnection = {
  /** `host` and `port`, or a connector's `stream`; `ssl`. Domains' roles log in over it as well. */
  readonly server: Pick<ClientConfig, 'host' | 'port' | 'ssl' | 'stream'>
  readonly user: string
  /** A function for passwords that expire (IAM): asked at every connection. */
  readonly password: string | (() => string | Promise<string>)
  /** Where roles and databases are made from; holds nothing. */
  readonly database: string
}

/** `postgres://user:password@host:port/database?sslmode=...`. Throws where it is none. */
export function parseDatabaseUrl(text: string): AdminConnection {
  const url = URL.parse(text)
  if (url === null || !/^postgres(?:ql)?:$/.test(url.protocol)) throw new Error('DATABASE_URL must be postgres://user:password@host:port/database')
  const database = decodeURIComponent(url.pathname.slice(1))
  return {
    server: { host: url.searchParams.get('host') ?? decodeURIComponent(url.hostname).replace(/^\[|\]$/g, ''), port: url.port === '' ? 5432 : Number(url.port), ssl: tlsOf(url.searchParams.get('sslmode')) },
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: database === '' ? 'postgres' : database,
  }
}

/** As libpq means it: `require` encrypts and checks nobody. */
function tlsOf(mode: string | null): boolean | { readonly rejectUnauthorized: false } {
  switch (mode) {
    case null:
    case 'disable':
    case 'allow':
    case 'prefer':
      return false
    case 'require':
    case 'no-verify':
      return { rejectUnauthorized: false }
    case 'verify-ca':
    case 'verify-full':
      return true
    default:
      throw new Error(`DATABASE_URL: sslmode=${mode} is none of disable, allow, prefer, require, verify-ca, verify-full`)
  }
}
