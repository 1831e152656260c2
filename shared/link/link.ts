/**
 * One link: an open WebSocket between two processes, after both have said hello.
 *
 * Owns: the socket, what is to go with the next frame. Does not own: what messages mean, reconnection. I1. Messages
 * arrive in the order in which they were sent, or the link ends; none arrives after its end. I2. A frame carries what is
 * sent together: a busy link a frame for many messages, an idle one waits for nobody (`Pace`). I3. A link that does not
 * take what is sent to it is ended, not queued for without bound.
 *
 * Rejected: that who asks, where many answers came at once, waits for as many requests (1 to 3 ms at most). Fewer and
 * fuller frames took a third off a state process behind one busy link, but over three of them, as clients come to them
 * by chance, the waiting cost up to 15 % of the acknowledgements a second and saved at most 8 % of the CPU.
 */
import type { WebSocket } from 'ws'
import { limits } from '#shared/limits.ts'
import type { Hello, LinkMessage } from '#shared/link/messages.ts'

/** When what is sent goes out, as a frame. */
export type Pace =
  /** After a turn of the event loop, and a few more as long as each brings more. */
  | 'turns'
  /** As soon as who sends has returned: for the side that answers many at once. */
  | 'at-once'

/** With the pace 'turns' a frame waits for at most so many. */
const MOST_TURNS = 4
/** A frame waits for no more when it is as large as this. */
const ENOUGH_CHARACTERS = 64 * 1024

/** What a frame is made of: each message becomes a text that ends in a line feed. `decode` throws on what no version of ours sends. */
export type Codec<Message> = { encode(message: Message): string; decode(frame: string): Message[] }

export class Link<Message = LinkMessage> {
  readonly #codec: Codec<Message>
  readonly #socket: WebSocket
  readonly #pace: Pace
  readonly peer: Hello
  #lines = ''
  #flushing = false
  onMessage: (message: Message) => void = () => undefined
  onEnd: () => void = () => undefined
  #ended = false
  #alive = true
  readonly #pulse: NodeJS.Timeout

  constructor(socket: WebSocket, peer: Hello, codec: Codec<Message>, pace: Pace = 'turns') {
    this.#codec = codec
    this.#socket = socket
    this.#pace = pace
    this.peer = peer
    socket.on('message', (data: Buffer) => {
      if (this.#ended) return
      this.#alive = true
      let messages: Message[]
      try {
        messages = codec.decode(data.toString())
      } catch {
        return this.end()
      }
      for (const message of messages) {
        this.onMessage(message)
        if (this.#ended) return
      }
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
    switch (this.#pace) {
      case 'turns':
        return void setImmediate(() => this.#turn(1, 0))
      case 'at-once':
        return queueMicrotask(() => this.#flush())
    }
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
