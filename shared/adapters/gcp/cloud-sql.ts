/**
 * Postgres on Cloud SQL through its connector: private address, TLS, certificates that it renews by itself. The platform's role
 * logs in with a token of a service account instead of a password; domains' roles have passwords as everywhere.
 *
 * Owns: the connector. Does not own: connections. Talks to: the Cloud SQL Admin API, IAM.
 */
import { AuthTypes, Connector, IpAddressTypes } from '@google-cloud/cloud-sql-connector'
import { GoogleAuth, Impersonated, type AuthClient } from 'google-auth-library'
import type { AdminConnection } from '#shared/adapters/postgres/admin-connection.ts'

export type CloudSqlOptions = {
  /** `project:region:instance`. */
  readonly instance: string
  /** Login: the service account's address without `.gserviceaccount.com`. */
  readonly user: string
  readonly database: string
}

const LOGIN = 'https://www.googleapis.com/auth/sqlservice.login'
const PLATFORM = 'https://www.googleapis.com/auth/cloud-platform'
const TOKEN_S = 3_600

export type CloudSql = { readonly admin: AdminConnection; close(): void }

/** Rejects where the instance cannot be asked for its address and certificate. */
export async function openCloudSql({ instance, user, database }: CloudSqlOptions): Promise<CloudSql> {
  const own = await new GoogleAuth({ scopes: [PLATFORM] }).getClient()
  const account = `${user}.gserviceaccount.com`
  const connector = new Connector({ auth: as(own, account, [PLATFORM]) })
  // One way in for all roles: a certificate with a login in it (authType IAM) would let only that login pass.
  const { stream } = await connector.getOptions({ instanceConnectionName: instance, ipType: IpAddressTypes.PRIVATE, authType: AuthTypes.PASSWORD })
  const login = as(own, account, [LOGIN])
  const password = async (): Promise<string> => {
    const { token } = await login.getAccessToken()
    if (typeof token !== 'string') throw new Error('no token for the login of Cloud SQL')
    return token
  }
  return { admin: { server: { stream }, user, password, database }, close: () => connector.close() }
}

const as = (sourceClient: AuthClient, targetPrincipal: string, targetScopes: string[]): Impersonated => new Impersonated({ sourceClient, targetPrincipal, targetScopes, lifetime: TOKEN_S, delegates: [] })
