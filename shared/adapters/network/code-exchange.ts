/** The token endpoints of OAuth providers (RFC 6749, section 4.1.3; OpenID Connect Core, section 3.1.3). */
import { limits } from '#shared/limits.ts'
import type { CodeAnswer, CodeExchange } from '#shared/ports/code-exchange.ts'

export type Provider = {
  /** As clients name it. */
  readonly provider: string
  readonly tokenUri: string
  readonly clientId: string
  readonly clientSecret: string
  /** Where the provider sent the page with its code; undefined: it does not ask. */
  readonly redirectUri: string | undefined
}

export function openCodeExchange(providers: readonly Provider[]): CodeExchange {
  return {
    exchange: async ({ provider: name, code }) => {
      const provider = providers.find((each) => each.provider === name)
      return provider === undefined ? { kind: 'refused', reason: 'no such provider' } : ask(provider, code)
    },
  }
}

async function ask({ tokenUri, clientId, clientSecret, redirectUri }: Provider, code: string): Promise<CodeAnswer> {
  const form = { grant_type: 'authorization_code', code, client_id: clientId, client_secret: clientSecret, ...(redirectUri === undefined ? {} : { redirect_uri: redirectUri }) }
  try {
    const signal = AbortSignal.timeout(limits.codeExchangeMs)
    const answer = await fetch(tokenUri, { method: 'POST', body: new URLSearchParams(form), headers: { Accept: 'application/json' }, redirect: 'error', signal })
    const text = await bounded(answer)
    if (answer.status >= 500 || answer.status === 429) return { kind: 'unavailable', reason: `the provider answered ${answer.status}` }
    if (!answer.ok || text === undefined) return { kind: 'refused', reason: `the provider answered ${answer.status}` }
    const { id_token: idToken } = JSON.parse(text) as { id_token?: unknown }
    return typeof idToken === 'string' ? { kind: 'id-token', idToken } : { kind: 'refused', reason: 'the provider sent no ID token' }
  } catch (error) {
    // What it says may have the address's parts in it, and nothing of the secret.
    return { kind: 'unavailable', reason: `the provider cannot be asked: ${(error as Error).name}` }
  }
}

/** Undefined: it is too long. */
async function bounded(answer: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length
    if (bytes > limits.codeAnswerBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
