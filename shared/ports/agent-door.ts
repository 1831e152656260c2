/** The door of published agents, for connections that do not come over the network. */

/** What carries one connection. */
export type DoorTransport = {
  readonly origin: string | undefined
  readonly host: string | undefined
  readonly sid: string | undefined
  readonly mayBeSilent: boolean
  /** JSON text of one message. */
  send(text: string): void
  heartbeat(): void
  readonly bufferedBytes: number
  /** In order, after what was sent. */
  close(): void
  /** At once. */
  cut(): void
}

export type DoorEvents = {
  message(value: unknown): void
  closed(how: 'clean' | 'broken' | 'keepalive'): void
}

/** Undefined: refused. */
export type AgentDoor = (transport: DoorTransport) => DoorEvents | undefined
