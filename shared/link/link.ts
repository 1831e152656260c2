/**
 * One link: an open WebSocket between two processes, after both have said hello.
 *
 * Owns: the socket, what is to go with the next frame. Does not own: what messages mean, reconnection. I1. Messages
 * arrive in the order in which they were sent, or the link ends. I2. What is sent in one turn of the event loop goes
 * in one frame, and so does what is sent in the turns after it, as long as each brings more: a busy link then carries
 * a frame for many requests, an idle one waits for nobody. I3. A link that does not take what is sent to it is ended, not queued for without bound.
 */
import type { WebSocket } from 'ws'
import { limits } from '#shared/limits.ts'
import type { Hello, LinkMessage } from '#shared/link/messages.ts'

/** A frame waits for at most so many turns of the event loop, and for no more when it is as large as this. */
const MOST_TURNS = 4
const ENOUGH_CHARACTERS = 64 * 1024

/** What a frame is made of: each message becomes a text that ends in a line feed. `decode` throws on what no version of ours sends. */
export type Codec<Message> = { encode(message: Message): string; decode(frame: string): Message[] }

export class Link<Message = LinkMessage> {
  readonly #codec: Codec<Message>
  readonly #socket: WebSocket
  readonly peer: Hello
  #lines = ''
  #flushing = false
  onMessage: (message: Message) => void = () => undefined
  onEnd: () => void = () => undefined
  #ended = false
  #alive = true
  readonly #pulse: NodeJS.Timeout

  constructor(socket: WebSocket, peer: Hello, codec: Codec<Message>) {
    this.#codec = codec
    this.#socket = socket
    this.peer = peer
    socket.on('message', (data: Buffer) => {
      this.#alive = true
      let messages: Message[]
      try {
        messages = codec.decode(data.toString())
      } catch {
        return this.end()
      }
      for (const message of messages) this.onMessage(message)
    })
    socket.on('pong', () => (this.#alive = true))
    socket.on('close', () => this.end())
    socket.on('error', () => this.end())
    // A peer that is frozen or cut off keeps its socket: it is given up after two silent pulses.
    this.#pulse = setInterval(() => {
      if (!this.#alive) return this.end()
      this.#alive = false
      socket.ping()
    }, limits.linkPulseMs).unref()
  }

  send(message: Message): void {
    if (this.#ended) return
    this.#lines += this.#codec.encode(message)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => this.#turn(1, 0))
  }

  /** `had`: characters that waited a turn ago. */
  #turn(turns: number, had: number): void {
    const { length } = this.#lines
    if (length === had || turns === MOST_TURNS || length > ENOUGH_CHARACTERS) return this.#flush()
    setImmediate(() => this.#turn(turns + 1, length))
  }

  #flush(): void {
    this.#flushing = false
    if (this.#ended || this.#lines === '') return
    const frame = this.#lines
    this.#lines = ''
    this.#socket.send(frame)
    if (this.#socket.bufferedAmount > limits.linkBufferBytes) this.end()
  }

  /** Sends what waits, then closes. */
  close(): void {
    this.#flush()
    this.#socket.close()
    this.end()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#pulse)
    this.#socket.terminate()
    this.onEnd()
  }
}
