/**
 * A keep-alive HTTP/1.1 connection that sends one prepared PATCH after the other: id, value and key are
 * written into the same bytes, and of an answer only status, length, id and ii are looked at. A client
 * library costs two to four times the CPU, and the generator must never be what limits a subject.
 */
import { Buffer } from 'node:buffer'
import { connect, type Socket } from 'node:net'
import { type Channel, type ChannelOptions, KEY_LENGTH, type OnAnswer, VALUE_LEAST } from './channel.ts'

export type HttpTarget = { readonly kind: 'http'; readonly port: number; readonly bearer: string }

const ID_LENGTH = 36
const READ_BYTES = 16 * 1024

/** The request in latin1, and where in it the parts begin that change; `keyAt` is -1 without a key. */
type Prepared = { readonly bytes: Buffer; readonly idAt: number; readonly valueAt: number; readonly keyAt: number }

function prepare(target: HttpTarget, options: ChannelOptions): Prepared {
  const body = `{"patch":[{"op":"${options.op}","path":["active","counter"],"value":${VALUE_LEAST}}]}`
  const key = options.keyed ? `Idempotency-Key: ${'k'.repeat(KEY_LENGTH)}\r\n` : ''
  const head =
    `PATCH /v1/states/${'0'.repeat(ID_LENGTH)} HTTP/1.1\r\n` +
    `Host: 127.0.0.1:${target.port}\r\nAuthorization: Bearer ${target.bearer}\r\n` +
    `Content-Type: application/json\r\n${key}Content-Length: ${body.length}\r\n\r\n`
  return {
    bytes: Buffer.from(head + body, 'latin1'),
    idAt: 'PATCH /v1/states/'.length,
    valueAt: head.length + body.indexOf(String(VALUE_LEAST)),
    keyAt: options.keyed ? head.indexOf('Idempotency-Key: ') + 'Idempotency-Key: '.length : -1,
  }
}

export function openHttpChannel(target: HttpTarget, options: ChannelOptions): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const channel = new HttpChannel(target, options, () => resolve(channel), reject)
  })
}

class HttpChannel implements Channel {
  readonly #prepared: Prepared
  readonly #socket: Socket
  #id = ''
  #onAnswer: OnAnswer | undefined
  /** What has arrived of an answer that is not whole yet. */
  #part: Buffer | undefined
  #cut = false

  constructor(target: HttpTarget, options: ChannelOptions, onOpen: () => void, onRefused: (error: Error) => void) {
    this.#prepared = prepare(target, options)
    this.#socket = connect({
      host: '127.0.0.1',
      port: target.port,
      noDelay: true,
      // One buffer for all reads of this connection.
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (length, buffer) => {
          this.#receive(buffer as Buffer, length)
          return true
        },
      },
    })
    this.#socket.on('connect', onOpen)
    this.#socket.on('error', onRefused)
    this.#socket.on('close', () => {
      this.#cut = true
      this.#answer(0, 0)
    })
  }

  patch(id: string, value: number, key: string, onAnswer: OnAnswer): void {
    this.#onAnswer = onAnswer
    if (this.#cut) {
      setImmediate(() => this.#answer(0, 0))
      return
    }
    this.#id = id
    const { bytes, idAt, valueAt, keyAt } = this.#prepared
    // The same bytes again are safe: the answer to the last request shows that they have been read.
    bytes.write(id, idAt, 'latin1')
    bytes.write(String(value), valueAt, 'latin1')
    if (keyAt !== -1) bytes.write(key, keyAt, 'latin1')
    this.#socket.write(bytes)
  }

  close(): void {
    this.#socket.destroy()
  }

  #answer(status: number, ii: number): void {
    const onAnswer = this.#onAnswer
    this.#onAnswer = undefined
    onAnswer?.(status, ii)
  }

  #receive(buffer: Buffer, length: number): void {
    const arrived = buffer.subarray(0, length)
    const bytes = this.#part === undefined ? arrived : Buffer.concat([this.#part, arrived])
    const body = wholeBody(bytes)
    if (body === undefined) {
      this.#part = this.#part === undefined ? Buffer.from(arrived) : bytes
      return
    }
    this.#part = undefined
    const status = Number(bytes.toString('latin1', 9, 12))
    this.#answer(status, status === 200 && body.includes(this.#id) ? interactionIndex(body) : 0)
  }
}

/** The body of the one answer in `bytes`, undefined while some of it is missing. Content-Length or chunked. */
function wholeBody(bytes: Buffer): string | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  const bodyAt = headEnd + 4
  if (length !== null) {
    const bodyEnd = bodyAt + Number(length[1])
    return bytes.length < bodyEnd ? undefined : bytes.toString('latin1', bodyAt, bodyEnd)
  }
  const rest = bytes.toString('latin1', bodyAt)
  if (rest !== '0\r\n\r\n' && !rest.endsWith('\r\n0\r\n\r\n')) return undefined
  return rest
}

function interactionIndex(body: string): number {
  const at = body.indexOf('"ii":')
  return at === -1 ? 0 : Number.parseInt(body.slice(at + 5, at + 20), 10)
}
