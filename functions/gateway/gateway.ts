/**
 * The door of published KnowLearning agents: WebSocket for clients up to 0.9.155, socket.io for 0.9.182 and later, on the
 * port of the api.
 *
 * Owns: connections and sessions of this process, their timer. Does not own: users, states, what is kept of sessions
 * (AgentGround). Talks to: the ground.
 *
 * I1. A session that is resumed goes on here if this process still has it, else from what is kept of it, once that says that
 *     this process has it.
 * I2. Processes that can go on with each other's sessions answer with one `server`. By another one clients know that they
 *     have to begin anew: where what they miss cannot be had.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentGround, AgentGreeting, AgentSession, Kept, KeptSubscription } from '#shared/ports/agent-ground.ts'
import { Connection } from './connection.ts'
import type { Log } from './log.ts'
import { Session } from './session.ts'
import type { SessionOf } from './session.ts'
import { answerSidCheck, isForAgents, isSid, mintSid } from './sid.ts'
import { attachSocketIo, SOCKET_IO_PATH } from './socket-io.ts'
import { Topics } from './topic.ts'
import type { Transport, TransportEvents } from '#shared/ports/agent-door.ts'
import { WebSockets } from './web-socket.ts'
import { Writes } from './writes.ts'

type Handler = (req: IncomingMessage, res: ServerResponse) => void

const BAD_GREETING = '{"error":"First Message Must Be A Valid Auth Message"}'
const OVER = '{"error":"Session reconnection failed"}'

export class Gateway {
  readonly #ground: AgentGround
  readonly #nowMs: () => number
  readonly #log: Log
  /** What other processes know this one by. */
  readonly #process = randomUUID()
  readonly #topics: Topics
  readonly #writes = new Writes()
  readonly #sessions = new Map<string, Session>()
  /** Handshakes of sessions that are being resumed, one after the other for each. */
  readonly #resuming = new Map<string, Promise<unknown>>()
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

  /** A connection that does not come over the network. Undefined: refused. */
  open(transport: Transport): TransportEvents | undefined {
    return this.#opened(transport)
  }

  /** Cuts every connection. Sessions are not ended: their clients look for them elsewhere. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const session of [...this.#sessions.values()]) session.stop()
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
    const greeting = { domain, sid: secret }
    const resumed = textOf(session)
    if (resumed === undefined) return this.#beginNew(connection, greeting, textOf(token))
    return this.#inTurn(resumed, () => this.#resume(connection, greeting, resumed))
  }

  async #beginNew(connection: Connection, greeting: AgentGreeting, token: string | undefined): Promise<Session | undefined> {
    const begun = await this.#ground.begin(greeting, token)
    if (connection.isClosed || this.#isClosed) return undefined
    switch (begun.kind) {
      case 'new': {
        const { session, isSaved } = begun
        return this.#begin(connection, this.#newSession({ session, isSaved, kept: { version: 0, ack: -1, subscriptions: [] } }), this.#ground.deployment)
      }
      case 'refused':
        return this.#refuse(connection, BAD_GREETING, 'its token is not valid here')
      case 'unavailable':
        return this.#later(connection)
    }
  }

  async #inTurn<T>(session: string, run: () => Promise<T>): Promise<T> {
    const turn = (this.#resuming.get(session) ?? Promise.resolve()).then(run, run)
    this.#resuming.set(session, turn)
    try {
      return await turn
    } finally {
      if (this.#resuming.get(session) === turn) this.#resuming.delete(session)
    }
  }

  async #resume(connection: Connection, greeting: AgentGreeting, session: string): Promise<Session | undefined> {
    for (let attempt = 0; attempt < limits.agentTries; attempt++) {
      const found = await this.#ground.resume(greeting, session)
      if (connection.isClosed || this.#isClosed) return undefined
      if (found.kind === 'over') return this.#refuse(connection, OVER, 'its session is over')
      if (found.kind === 'unavailable') break
      const went = await this.#goOn(connection, found.session, found.kept)
      // Another process changed what is kept at the same time: looked at again.
      if (went !== 'raced') return went
    }
    return this.#later(connection)
  }

  async #goOn(connection: Connection, session: AgentSession, kept: Kept): Promise<Session | undefined | 'raced'> {
    const present = this.#sessions.get(session.session)
    const isOurs = kept.end === undefined && (kept.by === undefined || kept.by === this.#process)
    if (present !== undefined && isOurs) {
      if (present.isWithinReach) return this.#begin(connection, present, this.#ground.deployment)
      await present.lose('the client has missed too much')
      return 'raced'
    }
    present?.stop()
    const dropped = await this.#unreadable(session, kept)
    if (dropped === 'unavailable') return this.#later(connection)
    const taken = await this.#ground.keep(session, kept.version, { by: this.#process, dropped })
    if (taken.kind === 'taken') return 'raced'
    if (taken.kind !== 'kept') return this.#later(connection)
    if (connection.isClosed || this.#isClosed) return undefined
    const subscriptions = kept.end === 'lost' ? [] : kept.subscriptions.filter((each) => !dropped.includes(each))
    const server = kept.end === 'lost' ? randomUUID() : this.#ground.deployment
    return this.#begin(connection, this.#newSession({ session, isSaved: true, kept: { version: taken.version, ack: kept.ack, subscriptions } }), server)
  }

  /** Rules may have changed while no process had the session. */
  async #unreadable(session: AgentSession, { subscriptions }: Kept): Promise<KeptSubscription[] | 'unavailable'> {
    const verdicts = await Promise.all(subscriptions.map((each) => this.#ground.mayRead(session, each)))
    return verdicts.includes('unavailable') ? 'unavailable' : subscriptions.filter((_, at) => verdicts[at] === 'deny')
  }

  /** It tries again by itself, and must not be sent to log in. */
  #later(connection: Connection): undefined {
    connection.cut()
    return undefined
  }

  #begin(connection: Connection, session: Session | undefined, server: string): Session | undefined {
    if (session === undefined) return this.#later(connection)
    connection.opened(session)
    session.attach(connection, (ack) => this.#reply(session.of, server, ack))
    return session
  }

  /** Undefined: there are too many. */
  #newSession(of: SessionOf): Session | undefined {
    if (this.#sessions.size >= limits.agentSessions) {
      this.#log.warn({ sessions: this.#sessions.size }, 'too many sessions of agents')
      return undefined
    }
    const { session: id } = of.session
    const made: Session = new Session(of, this.#nowMs(), {
      ground: this.#ground,
      topics: this.#topics,
      writes: this.#writes,
      log: this.#log,
      process: this.#process,
      onEnd: (ended) => {
        if (this.#sessions.get(id) === ended) this.#sessions.delete(id)
      },
    })
    this.#sessions.set(id, made)
    return made
  }

  #reply({ domain, session, user, provider, info }: AgentSession, server: string, ack: number): string {
    return JSON.stringify({ domain, server, session, auth: { user, provider, info }, ack })
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
    for (const session of this.#sessions.values()) session.look(nowMs)
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
