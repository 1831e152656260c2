/**
 * The agent of one domain: its script, wherever that runs, and what it hears of the domain's sessions.
 *
 * Owns: one life of the script after the other; its connections; which sessions it was told of; what waits until it is ready.
 * Does not own: sessions, the sandbox. Talks to: the domain worker, the door of published agents.
 *
 * I1. The script hears of a session: its `open`, then its interactions, then its `close`; in a new life again from `open` on.
 * I2. It is ready with the handshake of its connection to its own domain. What happens before waits, bounded; so does what
 *     happens before its top level is done, for a moment: there it may still be on its way to say what it listens to.
 * I3. It runs once, for one of the processes that know it: the others pass on to that one what it is to hear.
 * I4. One that ended is started again: at once when that was no fault of its own or it had been ready, else at the domain's
 *     next event; the pause before doubles every time.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentDoor } from '#shared/ports/agent-door.ts'
import type { AgentDomains, StoredInteraction } from '#shared/ports/agent-domains.ts'
import type { AgentSession, BeginAnswer, ResumeAnswer } from '#shared/ports/agent-ground.ts'
import type { AgentEnd, DomainModule, DomainWorker, RunningAgent } from '#shared/ports/domain-worker.ts'
import { parseDomain } from '#shared/sessions/domain.ts'
import { AgentConnection } from './agent-connection.ts'

export type DomainAgentParts = {
  readonly worker: DomainWorker
  readonly domains: AgentDomains
  readonly door: AgentDoor
  /** A greeting with this secret is of one of its connections; undefined again: of none. */
  readonly greets: (secret: string, agent: DomainAgent | undefined) => void
  /** Its sessions of one life: none of them goes on. */
  readonly forget: (sessions: Iterable<string>) => void
  /** The user of a running session of the domain; undefined: there is none of published agents. */
  readonly userOf: (session: string) => string | undefined
}

/** A script has no face. */
const NAMELESS = { name: null, picture: null } as const

type Life = {
  readonly running: RunningAgent
  readonly sinceMs: number
  readonly connections: Map<string, AgentConnection>
  /** By session: the domain that it is in. */
  readonly sessions: Map<string, AgentSession>
  /** The connection to its own domain, once its handshake is done. */
  main: AgentConnection | undefined
  /** It listens, as far as can be known. */
  isListening: boolean
  settling: NodeJS.Timeout | undefined
  /** It runs for another process: what it is to be told goes there. */
  isGuest: boolean
  /** By session, and by state: the last interaction of the session that it was told of. */
  readonly children: Map<string, LRUCache<StateId, number>>
  /** JSON of messages, without their connection, until it is ready and listens. */
  waiting: string[]
  waitingCharacters: number
}

export class DomainAgent {
  readonly module: DomainModule
  readonly #parts: DomainAgentParts
  #life: Life | undefined
  /** Of what happened while it was not running, in order. */
  #missed: (() => void)[] = []
  #restart: NodeJS.Timeout | undefined
  #restarts = 0
  #told: string | undefined
  #isEnded = false

  constructor(module: DomainModule, parts: DomainAgentParts) {
    this.module = module
    this.#parts = parts
  }

  // --- Its lives ---------------------------------------------------------------------------------

  /** Starts it, if it does not run and is not about to. */
  ensure(): void {
    if (this.#isEnded || this.#life !== undefined || this.#restart !== undefined) return
    if (this.#restarts === 0) this.#start()
    else this.#startLater()
  }

  end(): void {
    this.#isEnded = true
    clearTimeout(this.#restart)
    this.#missed = []
    const life = this.#life
    this.#life = undefined
    life?.running.end()
    if (life !== undefined) this.#endConnections(life)
  }

  #start(): void {
    this.#restart = undefined
    const { worker, domains } = this.#parts
    const { domain } = this.module
    let life: Life | undefined
    const running = worker.agent(this.module, {
      said: (connection, text) => this.#said(life!, connection, JSON.parse(text) as JsonObject),
      settled: (handlers) => {
        domains.exported(this.module, handlers)
        this.#listens(life!)
      },
      log: (lines) => domains.lines(domain, lines),
      joined: () => {
        life!.isGuest = true
        this.#tellWaiting(life!)
      },
      passed: (text) => this.#tell(life!, text),
      ended: (why) => this.#lifeEnded(life!, why),
    })
    life = { running, sinceMs: performance.now(), connections: new Map(), sessions: new Map(), main: undefined, isListening: false, settling: undefined, isGuest: false, children: new Map(), waiting: [], waitingCharacters: 0 }
    this.#life = life
    for (const again of this.#missed.splice(0)) again()
  }

  #startLater(): void {
    this.#startAfter(Math.min(limits.domainAgentRestartMaxMs, limits.domainAgentRestartFirstMs * 2 ** (this.#restarts - 1)))
  }

  #startAfter(pauseMs: number): void {
    if (this.#isEnded) return
    this.#restart ??= setTimeout(() => this.#start(), pauseMs).unref()
  }

  #lifeEnded(life: Life, why: AgentEnd): void {
    if (this.#life !== life) return
    this.#life = undefined
    this.#endConnections(life)
    const ranMs = performance.now() - life.sinceMs
    this.#restarts = ranMs > limits.domainAgentRestartMaxMs ? 1 : Math.min(this.#restarts + 1, 20)
    // By a newer module, of which this process is about to learn: then this one is ended. Or by an older one, for the last time.
    if (why.kind === 'replaced') return this.#startAfter(limits.domainAgentReplacedMs)
    if (why.kind === 'unavailable') return this.#startLater()
    this.#parts.domains.error(this.module.domain, `domain agent: ${textOf(why)}`)
    if (life.main === undefined) this.#tellStarted(`ERROR: ${textOf(why)}`)
    else this.#startLater()
  }

  #endConnections(life: Life): void {
    clearTimeout(life.settling)
    for (const connection of life.connections.values()) {
      this.#parts.greets(connection.sid, undefined)
      connection.end()
    }
    this.#parts.forget(life.sessions.keys())
  }

  #tellStarted(outcome: string): void {
    if (this.#told === outcome) return
    this.#told = outcome
    this.#parts.domains.started(this.module.domain, outcome)
  }

  // --- Its connections ---------------------------------------------------------------------------

  /** Whether a session is its own: of what it does itself it hears nothing. */
  isOwn(session: string): boolean {
    return this.#life?.sessions.get(session)?.domain === this.module.domain
  }

  /** The door asks who it is. */
  begin(domain: string): BeginAnswer {
    const life = this.#life
    if (life === undefined) return { kind: 'refused' }
    const session: AgentSession = { user: this.module.domain, provider: 'core', info: NAMELESS, domain, session: randomUUID() as StateId }
    life.sessions.set(session.session, session)
    return { kind: 'new', session, isSaved: false }
  }

  /** A session that it had before on another connection. Nothing of it is kept elsewhere. */
  resume(domain: string, id: string): ResumeAnswer {
    const session = this.#life?.sessions.get(id)
    if (session === undefined || session.domain !== domain) return { kind: 'over' }
    return { kind: 'resumed', session, kept: { version: 0, by: undefined, ack: -1, subscriptions: [], end: undefined } }
  }

  sessionEnded(session: string): void {
    this.#life?.sessions.delete(session)
  }

  #said(life: Life, name: string, message: JsonObject): void {
    if (this.#life !== life) return
    const isGreeting = Object.hasOwn(message, 'token')
    const known = life.connections.get(name)
    if (known !== undefined) {
      if (!isGreeting) known.message(message)
    } else if (isGreeting) this.#connect(life, name, message)
  }

  #connect(life: Life, name: string, { domain: asked, session }: JsonObject): void {
    if (life.connections.size >= limits.domainAgentConnections) return this.#fail(life, 'too many connections')
    const isMain = asked === null || asked === undefined
    const domain = isMain ? this.module.domain : typeof asked === 'string' ? parseDomain(asked) : undefined
    if (domain === undefined) return life.running.tell(JSON.stringify({ error: 'First Message Must Be A Valid Auth Message', connection: name }))
    const connection = new AgentConnection({
      name,
      origin: `https://${domain}`,
      ownDomain: isMain ? domain : undefined,
      secret: randomBytes(16).toString('hex'),
      tell: (text) => life.running.tell(text),
      onOpen: () => {
        this.#dropOlder(life, connection)
        if (isMain) this.#isReady(life, connection)
      },
      onRefused: () => {
        if (isMain) this.#fail(life, 'its connection was refused')
      },
      onCut: () => this.#fail(life, 'its connection was cut'),
    })
    life.connections.set(name, connection)
    this.#parts.greets(connection.sid, this)
    if (!connection.begin(this.#parts.door, typeof session === 'string' ? session : undefined)) this.#fail(life, 'too many connections')
  }

  /** A session that goes on over a new connection has left the one before. */
  #dropOlder(life: Life, { name, session }: AgentConnection): void {
    for (const older of life.connections.values()) {
      if (older.session !== session || older.name === name) continue
      life.connections.delete(older.name)
      this.#parts.greets(older.sid, undefined)
      older.end()
    }
  }

  #fail(life: Life, reason: string): void {
    if (this.#life !== life) return
    life.running.end()
    this.#lifeEnded(life, { kind: 'failed', message: `Error: ${reason}`, inPromise: false, line: undefined, column: undefined })
  }

  #isReady(life: Life, connection: AgentConnection): void {
    if (this.#life !== life) return
    life.main = connection
    life.settling ??= setTimeout(() => this.#listens(life), limits.domainAgentSettleMs).unref()
    this.#tellStarted('done')
    this.#tellWaiting(life)
  }

  #listens(life: Life): void {
    life.isListening = true
    this.#tellWaiting(life)
  }

  #tellWaiting(life: Life): void {
    if (this.#life !== life || !isReadyToHear(life)) return
    const { waiting } = life
    life.waiting = []
    life.waitingCharacters = 0
    for (const text of waiting) this.#tell(life, text)
  }

  // --- What it hears -----------------------------------------------------------------------------

  opened(session: string, user: string): void {
    this.#hear((life) => {
      if (this.#parts.userOf(session) !== undefined) this.#open(life, session, user)
    })
  }

  stored({ session, id, scope, patch, ii }: StoredInteraction): void {
    this.#hear((life) => {
      const user = this.#parts.userOf(session)
      if (user === undefined) return
      const told = this.#open(life, session, user)
      // A message that was sent again is stored once.
      if ((told.get(id) ?? 0) >= ii) return
      told.set(id, ii)
      this.#tell(life, `{"type":"mutate","session":${JSON.stringify(session)},"data":{"scope":${JSON.stringify(scope)},"patch":${patch},"ii":${ii}}}`)
    })
  }

  closed(session: string, info: Json): void {
    const life = this.#life
    if (life?.children.delete(session) === true) this.#tell(life, JSON.stringify({ type: 'close', session, data: info }))
  }

  #open(life: Life, session: string, user: string): LRUCache<StateId, number> {
    const known = life.children.get(session)
    if (known !== undefined) return known
    const told = new LRUCache<StateId, number>({ max: limits.domainAgentChildStates })
    life.children.set(session, told)
    this.#tell(life, JSON.stringify({ type: 'open', session, data: { user } }))
    return told
  }

  /** What happens while it is down is the first that its next life hears, as far as the sessions still run then. */
  #hear(event: (life: Life) => void): void {
    if (this.#isEnded) return
    if (this.#life !== undefined) return event(this.#life)
    if (this.#missed.length < limits.domainAgentMessagesWaiting) this.#missed.push(() => event(this.#life!))
    this.ensure()
  }

  #tell(life: Life, text: string): void {
    if (life.isGuest) return life.running.pass(text)
    if (isReadyToHear(life)) return life.running.tell(life.main!.addressed(text))
    life.waiting.push(text)
    life.waitingCharacters += text.length
    if (life.waiting.length <= limits.domainAgentMessagesWaiting && life.waitingCharacters <= limits.domainAgentCharactersWaiting) return
    this.#fail(life, 'it is not ready, and too much waits for it')
  }
}

function isReadyToHear({ main, isListening, isGuest }: Life): boolean {
  return isGuest || (main !== undefined && isListening)
}

/** As the report of a configuration says it. */
function textOf(why: Exclude<AgentEnd, { kind: 'replaced' | 'unavailable' }>): string {
  switch (why.kind) {
    case 'failed': {
      const place = why.line === undefined ? '' : `\nline: ${why.line}, column: ${why.column ?? 1}`
      return `Uncaught ${why.inPromise ? '(in promise) ' : ''}${why.message}${place}`
    }
    case 'exceeded':
      return `over its bound of ${why.what}`
    case 'exited':
      return `it has ended itself with ${why.code}`
  }
}
