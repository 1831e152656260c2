/**
 * One connection of a domain agent's script, as the door of published agents takes it.
 *
 * Owns: whether its handshake has come. Does not own: the script, the session. I1. What is sent reaches the script under the
 * name that it gave the connection. I2. After `end` nothing is sent, and the door has heard of the end.
 */
import type { JsonObject } from '#shared/json.ts'
import type { AgentDoor, Transport, TransportEvents } from '#shared/ports/agent-door.ts'

export type AgentConnectionOptions = {
  /** The script's own name for it. */
  readonly name: string
  /** `https://` and the domain whose session it carries. */
  readonly origin: string
  /** Of the script's own domain, where that is what it connects to without naming it. */
  readonly ownDomain: string | undefined
  /** Known to nobody but this process: by it the door's greeting finds the agent. */
  readonly secret: string
  readonly tell: (text: string) => void
  readonly onOpen: (connection: AgentConnection) => void
  readonly onRefused: () => void
  /** The door has cut it: its session has failed. */
  readonly onCut: () => void
}

export class AgentConnection implements Transport {
  readonly host = undefined
  readonly mayBeSilent = true
  /** What waits for a script is bounded where it runs. */
  readonly bufferedBytes = 0
  readonly #options: AgentConnectionOptions
  readonly #suffix: string
  /** How an update of its own domain's states begins. */
  readonly #ownUpdate: string
  #events: TransportEvents | undefined
  /** Of the handshake. */
  #session: string | undefined
  #isOpen = false
  #isOver = false

  constructor(options: AgentConnectionOptions) {
    this.#options = options
    this.#ownUpdate = `{"domain":${JSON.stringify(options.ownDomain ?? null)},"user":`
    this.#suffix = `,"connection":${JSON.stringify(options.name)}}`
  }

  get name(): string {
    return this.#options.name
  }

  /** Undefined: its handshake is not done. */
  get session(): string | undefined {
    return this.#session
  }

  get origin(): string {
    return this.#options.origin
  }

  get sid(): string {
    return this.#options.secret
  }

  /** `session`: one that the script had before. False: refused. */
  begin(door: AgentDoor, session: string | undefined): boolean {
    this.#events = door(this)
    this.#events?.message({ token: null, sid: this.#options.secret, session: session ?? null })
    return this.#events !== undefined
  }

  message(message: JsonObject): void {
    if (!this.#isOver) this.#events?.message(message)
  }

  send(text: string): void {
    if (this.#isOver) return
    this.#options.tell(this.addressed(this.#isOpen ? this.#asItCallsItself(text) : text))
    if (this.#isOpen) return
    this.#isOpen = true
    const { session } = JSON.parse(text) as { readonly session?: string }
    this.#session = session
    if (session === undefined) this.#options.onRefused()
    else this.#options.onOpen(this)
  }

  /** The script's agent does not know its own domain by name: by it, it would miss updates of what it follows by name. */
  #asItCallsItself(text: string): string {
    return this.#options.ownDomain !== undefined && text.startsWith(this.#ownUpdate) ? `{"domain":null${text.slice(this.#ownUpdate.length - ',"user":'.length)}` : text
  }

  /** An object's text, for this connection of the script. */
  addressed(text: string): string {
    return `${text.slice(0, -1)}${this.#suffix}`
  }

  heartbeat(): void {
    // The script gets its own where it runs.
  }

  close(): void {
    this.end()
  }

  cut(): void {
    if (this.#isOver) return
    this.end()
    this.#options.onCut()
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#events?.closed('clean')
  }
}
