/**
 * One request and its answer.
 *
 * Owns: the response, which is answered once; the request's id. Does not own: routes, authentication, bodies.
 *
 * I1. At most one answer is written; a client that has gone is answered into the void.
 * I2. What is unexpected becomes a 500 that tells nothing; a broken assumption stops the process.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AssertionError } from '#shared/assert.ts'
import { problems } from '#shared/errors.ts'
import type { ProblemName } from '#shared/errors.ts'
import type { Claims } from '#shared/sessions/bearers.ts'
import type { Log } from './parts.ts'
import { problemText } from './problem.ts'
import type { ProblemDetails } from './problem.ts'
import type { Query } from './query.ts'

/** A framework that has read the body itself leaves it here. */
export type ApiRequest = IncomingMessage & { readonly rawBody?: Buffer }

const EXPOSED_HEADERS = 'ETag, X-Request-Id, Retry-After, Location'

// Unique, not secret: a prefix per process and a count cost nothing.
const idPrefix = randomBytes(9).toString('base64url')
let requests = 0

export class Exchange {
  readonly req: ApiRequest
  readonly res: ServerResponse
  readonly id: string
  readonly #log: Log
  /** The Origin that may read the answer, once the CORS rules have allowed it. */
  allowedOrigin: string | undefined = undefined
  /** The path's variable part, still percent-encoded. */
  parameter = ''
  query: Query | undefined = undefined
  /** What is wrong with the query; answered once it is known that the client may know. */
  fault: string | undefined = undefined
  #isAnswered = false
  #caller: Claims | undefined = undefined

  constructor(req: IncomingMessage, res: ServerResponse, log: Log) {
    this.req = req as ApiRequest
    this.res = res
    this.#log = log
    requests += 1
    this.id = `${idPrefix}-${requests.toString(36)}`
  }

  get isAnswered(): boolean {
    return this.#isAnswered
  }

  /** Who asks; only for routes that need a session. */
  get caller(): Claims {
    if (this.#caller === undefined) throw new AssertionError('this route was not authenticated')
    return this.#caller
  }

  set caller(claims: Claims) {
    this.#caller = claims
  }

  /** `headers`: names and values in turn. */
  json(status: number, text: string, headers?: readonly string[]): void {
    this.#answer(status, 'application/json', text, headers)
  }

  /** An answer without a body (204, 304). */
  empty(status: number, headers: readonly string[]): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    this.res.writeHead(status, this.#headers([...headers]))
    this.res.end()
  }

  problem(name: ProblemName, details: ProblemDetails = {}, headers?: readonly string[]): void {
    this.#answer(problems[name].status, 'application/problem+json', problemText(name, details), headers)
  }

  /** Begins an answer that is written piece by piece by the caller. */
  stream(contentType: string, headers: readonly string[] = []): ServerResponse {
    if (this.#isAnswered) throw new AssertionError('answered twice')
    this.#isAnswered = true
    this.res.writeHead(200, this.#headers(['Content-Type', contentType, ...headers]))
    this.res.flushHeaders()
    return this.res
  }

  /** An operation that takes its time may fail then. */
  settle(running: void | Promise<void>): void {
    running?.then(undefined, (error: unknown) => this.broken(error))
  }

  /** Answers for an exception that nobody expected. */
  broken(error: unknown): void {
    if (error instanceof AssertionError) {
      queueMicrotask(() => {
        throw error
      })
      return
    }
    this.#log.error({ err: error, request: this.id, method: this.req.method }, 'request failed unexpectedly')
    if (this.#isAnswered) this.res.destroy()
    else this.problem('internal')
  }

  #answer(status: number, contentType: string, text: string, more: readonly string[] | undefined): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    const headers = ['Content-Type', contentType, 'Content-Length', String(Buffer.byteLength(text))]
    if (more !== undefined) headers.push(...more)
    this.res.writeHead(status, this.#headers(headers))
    this.res.end(text)
  }

  #headers(headers: string[]): string[] {
    headers.push('X-Request-Id', this.id)
    if (this.req.headers.origin !== undefined) {
      headers.push('Vary', 'Origin')
      if (this.allowedOrigin !== undefined) {
        headers.push('Access-Control-Allow-Origin', this.allowedOrigin, 'Access-Control-Expose-Headers', EXPOSED_HEADERS)
      }
    }
    return headers
  }
}
