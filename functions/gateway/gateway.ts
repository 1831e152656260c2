/**
 * The door of published KnowLearning agents: WebSocket for clients up to 0.9.155, socket.io for 0.9.182 and later, on the
 * port of the api.
 *
 * Owns: connections and sessions of this process, their timer. Does not own: users, states (AgentGround).
 * Talks to: the ground.
 *
 * I1. A session is in one process at a time as far as that process knows: another one that has none of it answers with its
 *     own `server`, by which the client knows that it has to begin anew.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentGround, AgentSession, BeginAnswer } from '#shared/ports/agent-ground.ts'
import { Connection } from './connection.ts'
import type { Log } from './log.ts'
import { Session } from './session.ts'
import { answerSidCheck, isForAgents, isSid, mintSid } from './sid.ts'
import { attachSocketIo, SOCKET_IO_PATH } from './socket-io.ts'
import { Topics } from './topic.ts'
import type { Transport, TransportEvents } from './transport.ts'
import { WebSockets } from './web-socket.ts'
import { Writes } from './writes.ts'

type Handler = (req: IncomingMessage, res: ServerResponse) => void

const BAD_GREETING = '{"error":"First Message Must Be A Valid Auth Message"}'
const OVER = '{"error":"Session reconnection failed"}'

export class Gateway {
  readonly #ground: AgentGround
  readonly #nowMs: () => number
  readonly #log: Log
  /** New at every start: by it clients know that sessions which this process never had are lost. */
  readonly #server = randomUUID()
  readonly #topics: Topics
  readonly #writes = new Writes()
  readonly #sessions = new Map<string, Session>()
  readonly #connections = new Set<Connection>()
  readonly #socketIo: { close(): void }[] = []
  readonly #webSockets = new WebSockets((transport) => this.#opened(transport))
  readonly #timer: NodeJS.Timeout
  #usedMs = 0
  #isClosed = false

  constructor({ ground, clock, log }: { readonly ground: AgentGround; readonly clock: { wallMs(): number }; readonly log: Log }) {
    this.#ground = ground
    this.#nowMs = () => clock.wallMs()
    this.#log = log
    this.#topics = new Topics(ground.cluster)
    this.#timer = setInterval(() => this.#look(), limits.agentLookMs).unref()
    ground.onRules((domain) => this.#reauthorize(domain))
  }

  /** Answers what is for agents by itself, and leaves the rest to `handler`. */
  before(handler: Handler): Handler {
    return (req, res) => {
      if (!isForAgents(req)) return handler(req, res)
      const { origin } = req.headers
      answerSidCheck(req, res, { allows: origin !== undefined && this.#ground.domainOf(origin) !== undefined, nowMs: this.#nowMs() })
    }
  }

  /** Takes the upgrades of a server, which has its request listener already. */
  attach(server: Server): void {
    this.#socketIo.push(attachSocketIo(server, (transport) => this.#opened(transport), (origin) => this.#ground.domainOf(origin) !== undefined))
    server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (!req.url!.startsWith(SOCKET_IO_PATH)) this.#webSockets.upgrade(req, socket, head)
    })
  }

  /** Cuts every connection. Sessions are not ended: their clients look for them elsewhere. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const session of this.#sessions.values()) session.stop()
    for (const connection of this.#connections) connection.cut()
    for (const socketIo of this.#socketIo) socketIo.close()
    this.#sessions.clear()
    this.#topics.close()
  }

  // --- Connections -------------------------------------------------------------------------------

  #opened(transport: Transport): TransportEvents | undefined {
    if (this.#isClosed || this.#connections.size >= limits.agentConnections) return undefined
    const connection = new Connection({
      transport,
      nowMs: this.#nowMs,
      log: this.#log,
      greet: (greeted, message) => this.#greet(greeted, message),
      onClosed: (closed) => this.#connections.delete(closed),
    })
    this.#connections.add(connection)
    return connection
  }

  async #greet(connection: Connection, message: JsonObject): Promise<Session | undefined> {
    const { transport } = connection
    const domain = this.#ground.domainOf(transport.origin)
    const { token, sid, session } = message
    const isGreeting = 'token' in message && [token, sid, session].every((each) => each === undefined || each === null || typeof each === 'string')
    if (domain === undefined || !isGreeting) return this.#refuse(connection, BAD_GREETING, domain === undefined ? 'its Origin is no domain here' : 'no auth message')
    const secret = typeof sid === 'string' && isSid(sid) ? sid : (transport.sid ?? mintSid())
    const begun = await this.#ground.begin({ domain, sid: secret, token: textOf(token), session: textOf(session) })
    if (connection.isClosed || this.#isClosed) return undefined
    switch (begun.kind) {
      case 'new':
      case 'resumed':
        return this.#begin(connection, begun)
      case 'over':
        return this.#refuse(connection, OVER, 'its session is over')
      case 'refused':
        return this.#refuse(connection, BAD_GREETING, 'its token is not valid here')
      case 'unavailable':
        // It tries again by itself, and must not be sent to log in.
        connection.cut()
        return undefined
    }
  }

  #begin(connection: Connection, begun: BeginAnswer & { readonly kind: 'new' | 'resumed' }): Session | undefined {
    const present = this.#sessions.get(begun.session.session)
    if (present === undefined && this.#sessions.size >= limits.agentSessions) {
      this.#log.warn({ sessions: this.#sessions.size }, 'too many sessions of agents')
      connection.cut()
      return undefined
    }
    const session = present ?? this.#newSession(begun.session, begun.kind === 'resumed' || begun.isSaved)
    connection.opened(session)
    const reply = (ack: number): string => this.#reply(session.of, ack)
    if (session.attach(connection, reply)) return session
    connection.send(OVER)
    return undefined
  }

  #newSession(of: AgentSession, isSaved: boolean): Session {
    const { session } = of
    const made = new Session(of, isSaved, {
      ground: this.#ground,
      topics: this.#topics,
      writes: this.#writes,
      log: this.#log,
      onEnd: () => this.#sessions.delete(session),
    })
    this.#sessions.set(session, made)
    return made
  }

  #reply({ domain, session, user, provider }: AgentSession, ack: number): string {
    const info = { name: provider === 'anonymous' ? 'anonymous' : null, picture: null }
    return JSON.stringify({ domain, server: this.#server, session, auth: { user, provider, info }, ack })
  }

  #refuse(connection: Connection, text: string, reason: string): undefined {
    this.#log.info({ reason }, 'an agent was refused')
    connection.send(text)
    return undefined
  }

  // --- Time --------------------------------------------------------------------------------------

  #look(): void {
    const nowMs = this.#nowMs()
    for (const connection of this.#connections) connection.look(nowMs)
    for (const session of this.#sessions.values()) {
      if (session.detachedMs !== undefined && nowMs - session.detachedMs >= limits.agentResumeMs) session.end(null)
    }
    if (nowMs - this.#usedMs < limits.sessionUseMs) return
    this.#usedMs = nowMs
    for (const session of this.#sessions.values()) if (session.isSaved) this.#ground.used(session.of)
  }

  #reauthorize(domain: string): void {
    for (const session of this.#sessions.values()) {
      session.reauthorize(domain).catch((error: unknown) => this.#log.error({ err: error }, 'subscriptions of an agent could not be judged again'))
    }
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
