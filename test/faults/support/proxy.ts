/**
 * A TCP proxy between one dialler and one listener: passes, cuts, or falls silent in one direction or both.
 *
 * Owns: its connections. I1. Bytes that pass keep their order; silence holds them back, and `pass` delivers them late.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'

export type Direction = 'there' | 'back'

export class Proxy {
  readonly #server: Server
  readonly #target: () => string | undefined
  #isCut = false
  #silent = new Set<Direction>()
  #pairs = new Set<{ readonly from: Socket; readonly to: Socket }>()

  /** `target`: host:port where the listener is at present. */
  constructor(target: () => string | undefined) {
    this.#target = target
    this.#server = createServer((from) => this.#accept(from))
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** All connections end, none comes to be. */
  cut(): void {
    this.#isCut = true
    for (const { from, to } of this.#pairs) {
      from.destroy()
      to.destroy()
    }
  }

  /** Connections stay, and nothing passes any more this way. */
  silence(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#silent.add(direction)
    for (const pair of this.#pairs) this.#apply(pair)
  }

  pass(): void {
    this.#isCut = false
    this.#silent.clear()
    for (const pair of this.#pairs) this.#apply(pair)
  }

  close(): void {
    this.cut()
    this.#server.close()
  }

  #accept(from: Socket): void {
    const target = this.#target()
    if (this.#isCut || target === undefined) return void from.destroy()
    const [host, port] = target.split(':')
    const to = connect(Number(port), host)
    const pair = { from, to }
    this.#pairs.add(pair)
    const end = (): void => {
      this.#pairs.delete(pair)
      from.destroy()
      to.destroy()
    }
    for (const socket of [from, to]) socket.setNoDelay(true).on('error', end).on('close', end)
    from.on('data', (bytes: Buffer) => to.write(bytes))
    to.on('data', (bytes: Buffer) => from.write(bytes))
    this.#apply(pair)
  }

  #apply({ from, to }: { readonly from: Socket; readonly to: Socket }): void {
    if (this.#silent.has('there')) from.pause()
    else from.resume()
    if (this.#silent.has('back')) to.pause()
    else to.resume()
  }
}
