/** The door of published agents: one connection, whatever carries it. */

export type Transport = {
  /** Of the upgrade. */
  readonly origin: string | undefined
  readonly host: string | undefined
  /** What the browser is known by where its first message does not say. */
  readonly sid: string | undefined
  /** It may stay without a first message: clients of socket.io leave old ones so, and closing those makes them come back for ever. */
  readonly mayBeSilent: boolean
  /** JSON text of one message. */
  send(text: string): void
  heartbeat(): void
  /** What the client has not taken yet. */
  readonly bufferedBytes: number
  /** Ends it in order, after what was sent. */
  close(): void
  /** Ends it at once: the client finds it broken. */
  cut(): void
}

/** `clean`: the client ended it without a word. `broken`: nobody knows. `keepalive`: it will be back. */
export type Closing = 'clean' | 'broken' | 'keepalive'

export type TransportEvents = {
  /** `value` undefined: no JSON. */
  message(value: unknown): void
  closed(how: Closing): void
}

/** Called once a connection; what it returns hears what comes. Undefined: refused. */
export type AgentDoor = (transport: Transport) => TransportEvents | undefined
