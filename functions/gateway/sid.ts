/** The secret by which a browser is known again: a cookie, or where the browser keeps none, what `_sid-check` told its page. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { limits } from '#shared/limits.ts'

const SID_MS = 30 * 86_400_000
const CHECK = '/_sid-check'

export function mintSid(): string {
  return randomBytes(16).toString('hex')
}

/** Of the cookie. */
export function sidOf(req: IncomingMessage): string | undefined {
  for (const part of (req.headers.cookie ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2)
    if (name === 'sid' && value !== undefined && isSid(value)) return value
  }
  return undefined
}

export function isSid(text: string): boolean {
  return text.length > 0 && text.length <= limits.agentSidCharacters
}

/** Whether the request is one of published agents. Everything else is the api's. */
export function isForAgents(req: IncomingMessage): boolean {
  const url = req.url!
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  return path.endsWith(CHECK)
}

/** `allows`: whether a page of this Origin may read the answer. */
export function answerSidCheck(req: IncomingMessage, res: ServerResponse, of: { readonly allows: boolean; readonly nowMs: number }): void {
  const { origin } = req.headers
  if (origin !== undefined && of.allows) {
    res.setHeader('Access-Control-Allow-Origin', origin)
    res.setHeader('Access-Control-Allow-Credentials', 'true')
    res.setHeader('Access-Control-Allow-Methods', 'GET, POST, OPTIONS')
    res.setHeader('Access-Control-Allow-Headers', 'Origin, X-Requested-With, Content-Type, Accept')
  }
  res.setHeader('Vary', 'Origin')
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('Content-Type', 'text/plain; charset=utf-8')
  let body = 'WebSocket API Available'
  if (sidOf(req) === undefined && req.method !== 'OPTIONS') {
    const sid = mintSid()
    const expires = new Date(of.nowMs + SID_MS).toUTCString()
    res.setHeader('Set-Cookie', `sid=${sid}; Secure; HttpOnly; SameSite=None; Expires=${expires}; Partitioned;`)
    res.statusCode = 201
    body = sid
  }
  res.end(req.method === 'HEAD' ? undefined : body)
}
