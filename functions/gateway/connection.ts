/**
 * One connection of a published agent: from its first message to its end.
 *
 * Owns: the state of the connection. Does not own: its session, which may outlive it. Talks to: the transport.
 *
 * I1. Before the handshake nothing but its first message is heard, after it no second one.
 * I2. A connection whose session went over to another one is silent and left open: closing it would make the client come back.
 */
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { Log } from './log.ts'
import type { Link, Session } from './session.ts'
import type { Closing, Transport, TransportEvents } from '#shared/ports/agent-door.ts'

export type ConnectionParts = {
  readonly transport: Transport
  readonly nowMs: () => number
  readonly log: Log
  /** The first message. Resolves when it is answered, with its session, or refused: undefined. */
  readonly greet: (connection: Connection, message: JsonObject) => Promise<Session | undefined>
  readonly onClosed: (connection: Connection) => void
}

type State = 'new' | 'greeting' | 'open' | 'abandoned' | 'closed'

export class Connection implements Link, TransportEvents {
  readonly transport: Transport
  readonly openedMs: number
  readonly #parts: ConnectionParts
  #state: State = 'new'
  #session: Session | undefined = undefined
  #lastSentMs: number
  #keepsAlive = false
  /** What waited when it was looked at last, and since when the client has taken none of it. */
  #waiting = 0
  #stalledMs: number

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.transport = parts.transport
    this.openedMs = this.#lastSentMs = this.#stalledMs = parts.nowMs()
  }

  get host(): string | undefined {
    return this.transport.host
  }

  get bufferedBytes(): number {
    return this.transport.bufferedBytes
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  // --- What comes --------------------------------------------------------------------------------

  message(value: unknown): void {
    if (!isObject(value)) {
      if (this.#state === 'new' || this.#state === 'open') this.send('{"error":"Error Parsing Message"}')
      return
    }
    switch (this.#state) {
      case 'new':
        return this.#greet(value)
      case 'open':
        return this.#heard(value)
      case 'greeting':
      case 'abandoned':
      case 'closed':
        return
    }
  }

  #greet(message: JsonObject): void {
    this.#state = 'greeting'
    this.#parts.greet(this, message).then(
      (session) => {
        if (session !== undefined || this.#state !== 'greeting') return
        this.#state = 'abandoned'
        this.transport.close()
      },
      (error: unknown) => {
        this.#parts.log.error({ err: error }, 'the handshake of an agent failed unexpectedly')
        this.cut()
      },
    )
  }

  /** Called in the turn in which the session is attached: what the client sends next is for it. */
  opened(session: Session): void {
    this.#state = 'open'
    this.#session = session
  }

  #heard(message: JsonObject): void {
    if (message['type'] !== 'close') return this.#session!.receive(message)
    const info: Json = message['info'] ?? null
    this.#keepsAlive = isObject(info) && info['keepalive'] === true
    if (this.#keepsAlive) this.transport.close()
    else this.#session!.end(info)
  }

  closed(how: Closing): void {
    const wasOpen = this.#state === 'open'
    this.#state = 'closed'
    this.#parts.onClosed(this)
    if (!wasOpen) return
    if (how === 'clean' && !this.#keepsAlive) this.#session!.end(null)
    else this.#session!.detach(this, this.#parts.nowMs())
  }

  // --- What goes ---------------------------------------------------------------------------------

  send(text: string): void {
    if (this.#state === 'closed' || this.#state === 'abandoned') return
    if (this.transport.bufferedBytes > limits.followerBufferBytes) {
      // It comes back for what it has not taken, or does not.
      this.#parts.log.info({ session: this.#session?.of.session }, 'a slow agent was cut off')
      this.cut()
      return
    }
    this.#lastSentMs = this.#parts.nowMs()
    this.transport.send(text)
  }

  /** Every so often: a heartbeat if there was nothing else, the end of one that never said who it is, or takes nothing. */
  look(nowMs: number): void {
    const { bufferedBytes } = this.transport
    if (bufferedBytes === 0 || bufferedBytes < this.#waiting) this.#stalledMs = nowMs
    this.#waiting = bufferedBytes
    if (nowMs - this.#stalledMs >= limits.agentStallMs) return this.cut()
    if (this.#state === 'open' && nowMs - this.#lastSentMs >= limits.agentHeartbeatMs) {
      this.#lastSentMs = nowMs
      this.transport.heartbeat()
    }
    if (this.#state === 'new' && !this.transport.mayBeSilent && nowMs - this.openedMs >= limits.agentGreetingMs) this.cut()
  }

  abandon(): void {
    if (this.#state === 'open') this.#state = 'abandoned'
  }

  cut(): void {
    this.transport.cut()
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
