/**
 * One link: an open WebSocket between two processes, after both have said hello.
 *
 * Owns: the socket, what is to go with the next frame. Does not own: what messages mean, reconnection. I1. Messages
 * arrive in the order in which they were sent, or the link ends. I2. What is sent in one turn of the event loop goes
 * in one frame. I3. A link that does not take what is sent to it is ended, not queued for without bound.
 */
import type { WebSocket } from 'ws'
import { limits } from '#shared/limits.ts'
import { decodeFrame, encodeMessage, type Hello, type LinkMessage } from '#shared/link/messages.ts'

export class Link {
  readonly #socket: WebSocket
  readonly peer: Hello
  #lines = ''
  #flushing = false
  onMessage: (message: LinkMessage) => void = () => undefined
  onEnd: () => void = () => undefined
  #ended = false
  #alive = true
  readonly #pulse: NodeJS.Timeout

  constructor(socket: WebSocket, peer: Hello) {
    this.#socket = socket
    this.peer = peer
    socket.on('message', (data: Buffer) => {
      this.#alive = true
      let messages: LinkMessage[]
      try {
        messages = decodeFrame(data.toString())
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

  send(message: LinkMessage): void {
    if (this.#ended) return
    this.#lines += encodeMessage(message)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => this.#flush())
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
