/** A client on one kept connection: every call ends in an answer or in "cut", which says nothing about the request. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'

// Answers are looked at from outside: their shape is what the tests are about.
// oxlint-disable-next-line no-explicit-any
export type Body = any
export type Answer = { readonly kind: 'answer'; readonly status: number; readonly headers: IncomingMessage['headers']; readonly text: string; readonly body: Body }
export type Cut = { readonly kind: 'cut'; readonly reason: string }

export type Call = {
  readonly method?: 'GET' | 'PATCH' | 'POST' | 'DELETE'
  readonly path: string
  readonly bearer?: string | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Twice and more of what the server takes at most before it answers 503. */
const ANSWER_DEADLINE_MS = 25_000

export class Connection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  /** Rejects only if neither an answer nor the end of the connection came: the server hangs. */
  call(port: number, call: Call): Promise<Answer | Cut> {
    return new Promise((resolve, reject) => {
      const request = begin(port, call, this.#agent)
      const timer = setTimeout(() => {
        reject(new Error(`no answer within ${ANSWER_DEADLINE_MS} ms: ${call.method ?? 'GET'} ${call.path}`))
        request.destroy()
      }, ANSWER_DEADLINE_MS)
      const cut = (error: Error): void => {
        clearTimeout(timer)
        resolve({ kind: 'cut', reason: error.message })
      }
      request.on('error', cut)
      request.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => (text += part))
        response.on('error', cut)
        response.on('end', () => {
          clearTimeout(timer)
          const isJson = /^application\/(problem\+)?json/.test(response.headers['content-type'] ?? '')
          resolve({ kind: 'answer', status: response.statusCode!, headers: response.headers, text, body: isJson && text !== '' ? JSON.parse(text) : undefined })
        })
      })
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

export function begin(port: number, call: Call, agent: Agent | false): ClientRequest {
  const { method = 'GET', path, bearer, body, headers } = call
  const text = body === undefined ? undefined : JSON.stringify(body)
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    method,
    path,
    agent,
    headers: {
      ...(bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` }),
      ...(text === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(text)) }),
      ...headers,
    },
  })
  request.end(text)
  return request
}

/** One call on a connection of its own, which must be answered. */
export async function once(port: number, call: Call): Promise<Answer> {
  const connection = new Connection()
  try {
    const answer = await connection.call(port, call)
    if (answer.kind === 'cut') throw new Error(`${call.method ?? 'GET'} ${call.path}: ${answer.reason}`)
    return answer
  } finally {
    connection.close()
  }
}

export type Session = { readonly session: string; readonly user: string; readonly bearer: string }

export async function openSession(port: number): Promise<Session> {
  const { status, body, text } = await once(port, { method: 'POST', path: '/v1/sessions', body: { token: 'anonymous', domain: 'localhost' } })
  if (status !== 201) throw new Error(`no session: ${status} ${text}`)
  return { session: body.session, user: body.user, bearer: body.token }
}
