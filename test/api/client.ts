/** A client of the api for tests: sessions, requests, raw sockets, event streams. */
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import type { TestServer } from './fixture.ts'

// Answers are looked at from outside: their shape is what the tests are about.
// oxlint-disable-next-line no-explicit-any
export type Body = any
export type Answer = { readonly status: number; readonly headers: Headers; readonly body: Body; readonly text: string }
export type Headings = { readonly [name: string]: string }

export async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { redirect: 'manual', ...init })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true && !response.headers.get('content-type')!.includes('ndjson')
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined }
}

export function openSession(server: TestServer, body: object, headers: Headings = {}): Promise<Answer> {
  return call(`${server.url}/v1/sessions`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) })
}

export class Client {
  readonly server: TestServer
  readonly session: string
  readonly user: string
  readonly domain: string
  readonly token: string

  private constructor(server: TestServer, opened: Body) {
    this.server = server
    this.session = opened.session
    this.user = opened.user
    this.domain = opened.domain
    this.token = opened.token
  }

  static async open(server: TestServer, options: { token?: string; domain?: string } = {}): Promise<Client> {
    const answer = await openSession(server, { token: options.token ?? 'anonymous', domain: options.domain ?? 'localhost' })
    if (answer.status !== 201) throw new Error(`no session: ${answer.status} ${answer.text}`)
    return new Client(server, answer.body)
  }

  call(method: string, path: string, options: { body?: unknown; raw?: string | Uint8Array; headers?: Headings } = {}): Promise<Answer> {
    const { body, raw, headers } = options
    const content = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    return call(`${this.server.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, ...(content === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
      ...(content === undefined ? {} : { body: content as string }),
    })
  }

  get(scope: string, query = '', headers: Headings = {}): Promise<Answer> {
    return this.call('GET', `/v1/states/${encodeURIComponent(scope)}${query}`, { headers })
  }

  patch(scope: string, patch: unknown, more: object = {}, headers: Headings = {}): Promise<Answer> {
    return this.call('PATCH', `/v1/states/${encodeURIComponent(scope)}`, { body: { patch, ...more }, headers })
  }

  set(scope: string, key: string, value: unknown): Promise<Answer> {
    return this.patch(scope, [{ op: 'add', path: ['active', key], value }])
  }

  rename(scope: string, name: string, headers: Headings = {}): Promise<Answer> {
    return this.patch(scope, [{ op: 'add', path: ['name'], value: name }], {}, headers)
  }

  follow(scope: string, options: { query?: string; headers?: Headings } = {}): Promise<EventReader> {
    const path = `/v1/states/${encodeURIComponent(scope)}${options.query ?? ''}`
    return EventReader.open(this.server.url + path, { Authorization: `Bearer ${this.token}`, Accept: 'text/event-stream', ...options.headers })
  }
}

export type Event = { readonly event: string; readonly id: string | undefined; readonly data: Body }

/** Reads server-sent events; `next` waits for one, with a deadline. */
export class EventReader {
  readonly response: IncomingMessage
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>
  #text = ''
  #events: Event[] = []
  #comments = 0
  #wake: () => void = () => {}
  #isOver = false

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      this.#text += chunk
      let end = this.#text.indexOf('\n\n')
      while (end !== -1) {
        this.#take(this.#text.slice(0, end))
        this.#text = this.#text.slice(end + 2)
        end = this.#text.indexOf('\n\n')
      }
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      const over = (): void => {
        this.#isOver = true
        this.#wake()
        resolve()
      }
      response.on('close', over)
      response.on('end', over)
      response.on('error', over)
    })
  }

  static open(url: string, headers: Headings): Promise<EventReader> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(url, { headers, agent: false }, (response) => {
        if (response.statusCode === 200) return resolve(new EventReader(response))
        response.resume()
        reject(new Error(`the stream was refused: ${response.statusCode}`))
      })
      request.on('error', reject)
      request.end()
    })
  }

  get comments(): number {
    return this.#comments
  }

  async next(): Promise<Event> {
    const event = await this.nextOrEnd()
    if (event === undefined) throw new Error('the stream has ended')
    return event
  }

  async nextOrEnd(deadlineMs = 10_000): Promise<Event | undefined> {
    await this.#until(() => this.#events.length > 0 || this.#isOver, deadlineMs)
    return this.#events.shift()
  }

  async comment(deadlineMs = 10_000): Promise<void> {
    await this.#until(() => this.#comments > 0 || this.#isOver, deadlineMs)
  }

  async take(count: number): Promise<Event[]> {
    const events: Event[] = []
    while (events.length < count) events.push(await this.next())
    return events
  }

  close(): void {
    this.response.destroy()
  }

  #take(block: string): void {
    if (block.startsWith(':')) {
      this.#comments += 1
      return
    }
    const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)] as const))
    this.#events.push({ event: fields.get('event') ?? 'message', id: fields.get('id'), data: JSON.parse(fields.get('data') ?? 'null') })
  }

  async #until(condition: () => boolean, deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs
    while (!condition()) {
      const left = deadline - Date.now()
      if (left <= 0) throw new Error('no event came in time')
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

/** Sends bytes as they are and gives what came back until the server closed, or `isWhole` said that it was enough. */
export function exchangeRaw(port: number, bytes: string | Uint8Array, isWhole: (text: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const done = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.setTimeout(15_000, () => {
      socket.destroy()
      reject(new Error(`no whole answer came: ${text}`))
    })
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (isWhole(text)) done()
    })
    socket.on('end', done)
    socket.on('error', (error) => (text === '' ? reject(error) : done()))
    socket.write(bytes)
  })
}
