/** ID tokens of the account that this process runs as: kept by the library, and renewed before they end. */
import { GoogleAuth, type IdTokenClient } from 'google-auth-library'

/** An ID token for `audience`. Rejects where there is no account, or nobody who makes tokens. */
export function openServiceTokens(): (audience: string) => Promise<string> {
  const auth = new GoogleAuth()
  const clients = new Map<string, Promise<IdTokenClient>>()
  return async (audience) => {
    let client = clients.get(audience)
    if (client === undefined) {
      clients.set(audience, (client = auth.getIdTokenClient(audience)))
      client.catch(() => clients.delete(audience))
    }
    const header = (await (await client).getRequestHeaders()).get('authorization') ?? ''
    return header.replace(/^Bearer /, '')
  }
}
