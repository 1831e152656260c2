/** The issuer `local`: ID tokens signed with a key of this machine, so that named users need no provider. */
import { SignJWT } from 'jose'

export const LOCAL_ISSUER = 'local'
/** The audience of its tokens: a token made for something else that has the same key does not pass. */
export const LOCAL_AUDIENCE = 'state-platform'

export function signLocalIdToken(options: { key: Uint8Array; user: string; nowMs: number; validMs: number }): Promise<string> {
  const now = Math.floor(options.nowMs / 1000)
  return new SignJWT()
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(LOCAL_ISSUER)
    .setAudience(LOCAL_AUDIENCE)
    .setSubject(options.user)
    .setIssuedAt(now)
    .setExpirationTime(now + Math.floor(options.validMs / 1000))
    .sign(options.key)
}

/** The file of its key in DATA_DIR, of `LOCAL_KEY_BYTES`: `npm start` verifies with it, `npm run token` signs. */
export const LOCAL_KEY_NAME = 'local-issuer.key'
export const LOCAL_KEY_BYTES = 32
