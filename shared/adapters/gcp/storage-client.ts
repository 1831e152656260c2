/**
 * The client of Cloud Storage as the adapters need it: every call is one request, and nothing is sent a second time behind
 * the caller's back. Whoever calls a port knows whether a call may be repeated, and does so by itself. The client's own
 * `timeout` does not reach its requests (8.4.0): the adapters keep the time, see storage-object.ts.
 */
import { IdempotencyStrategy, Storage } from '@google-cloud/storage'
import { GoogleAuth, Impersonated } from 'google-auth-library'

export type StorageClientOptions = {
  /** Undefined: the client asks its environment. */
  readonly projectId: string | undefined
  /** `http://host:port` of an emulator; undefined: Google Cloud. With one, requests carry no credentials. */
  readonly apiEndpoint?: string
  /** What signs addresses; undefined: the service account that the process runs as, by IAM. */
  readonly credentials?: { readonly client_email: string; readonly private_key: string }
}

const PLATFORM = 'https://www.googleapis.com/auth/cloud-platform'

/** One that signs as another service account, by IAM: addresses can do no more than that account. Rejects where this process has no account. */
export async function openSignerClient({ projectId, account }: { readonly projectId: string; readonly account: string }): Promise<Storage> {
  const sourceClient = await new GoogleAuth({ scopes: [PLATFORM] }).getClient()
  const authClient = new Impersonated({ sourceClient, targetPrincipal: account, targetScopes: [PLATFORM], lifetime: 3_600, delegates: [] })
  return new Storage({ projectId, authClient: new GoogleAuth({ authClient }) })
}

export function openStorageClient({ projectId, apiEndpoint, credentials }: StorageClientOptions): Storage {
  return new Storage({
    ...(projectId === undefined ? {} : { projectId }),
    ...(apiEndpoint === undefined ? {} : { apiEndpoint }),
    ...(credentials === undefined ? {} : { authClient: signing(credentials) }),
    // `maxRetries: 0` would be taken for "not given", which is 3.
    retryOptions: { autoRetry: false, idempotencyStrategy: IdempotencyStrategy.RetryNever },
  })
}

/** Its constructor takes credentials as well, and prints a warning with each. */
function signing(credentials: NonNullable<StorageClientOptions['credentials']>): GoogleAuth {
  const auth = new GoogleAuth()
  auth.jsonContent = credentials
  return auth
}
