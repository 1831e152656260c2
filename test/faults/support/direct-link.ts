/**
 * A client on a link of its own to one state process, past the api: it hears what that very process says, however late.
 *
 * Owns: the socket (which nobody gives up for being silent), requests without an answer. I1. Every patch sent has an
 * outcome in its book once `close` has been called.
 */
import { once as emitted } from 'node:events'
import { WebSocket } from 'ws'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import type { InteractionIndex, Incarnation, StateId } from '#shared/ids.ts'
import { decodeFrame, encodeMessage, LINK_VERSION, type LinkMessage } from '#shared/link/messages.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import { Bell } from './bell.ts'
import type { Book } from './book.ts'
import { shownOf, type LoadedState } from './load.ts'

const DOMAIN = 'localhost'
const ANSWERS_DEADLINE_MS = 20_000

export class DirectLink {
  readonly #socket: WebSocket
  readonly #bell = new Bell()
  #tokens = 0
  #waiting = new Map<number, (answer: Answer | undefined) => void>()
  #isOver = false
  /** How patches and strong reads were answered. */
  readonly answers: Record<string, number> = {}

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data: Buffer) => {
      for (const message of decodeFrame(data.toString())) this.#received(message)
    })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => this.#lost())
  }

  static async open(dataDir: string, address: string): Promise<DirectLink> {
    const authorization = await sharedSecret(secret(dataDir, 'link.key', 32)).header('')
    const socket = new WebSocket(`ws://${address}`, { headers: { authorization } })
    await emitted(socket, 'open')
    const link = new DirectLink(socket)
    link.#send({ kind: 'hello', version: LINK_VERSION, role: 'api', name: 'test', incarnation: '' as Incarnation })
    return link
  }

  /** Whether it serves the state: the process leads it. */
  async leads(state: LoadedState): Promise<boolean> {
    const answer = await this.#strongRead(state.book)
    return answer?.kind === 'state'
  }

  /** Sends a patch and a strong read; what comes back, and when, is for the book. */
  sendBoth(state: LoadedState, token: string): void {
    const { book } = state
    book.sending(token)
    void this.#patch(state, token).then((answer) => {
      this.#count('patch', answer)
      if (answer?.kind === 'stored') book.acknowledged(token, answer, { isRepeat: false })
      // "Not leader" is a certain no, and so is this.
      else if (answer?.kind === 'not-leader' || (answer?.kind === 'unavailable' && answer.stored === false)) book.refused(token, answer.kind)
      else if (answer === undefined || answer.kind === 'unavailable') book.abandon(token)
      else book.fault(`${token} was answered ${JSON.stringify(answer)}`)
      this.#bell.ring()
    })
    const { floor } = book
    void this.#strongRead(book).then((answer) => {
      this.#count('read', answer)
      if (answer?.kind === 'state') book.read(shownOf({ ii: answer.state.ii, active: JSON.parse(answer.state.active) }), { floor, by: 'reader at the leader itself' })
    })
  }

  /** Resolves when nothing is without an answer. */
  async answered(): Promise<void> {
    await this.#bell.until(() => this.#waiting.size === 0, { what: () => `${this.#waiting.size} answers of the leader itself`, deadlineMs: ANSWERS_DEADLINE_MS })
  }

  close(): void {
    this.#socket.terminate()
    this.#lost()
  }

  #patch(state: LoadedState, token: string): Promise<Answer | undefined> {
    const ops: Op[] = [{ op: 'add', path: ['active', 'log', '-'], value: token }]
    const { user } = state.session
    return this.#ask({
      kind: 'patch',
      request: {
        id: state.book.scope as StateId,
        ops,
        text: JSON.stringify(ops),
        user,
        domain: DOMAIN,
        authority: 'owner',
        creation: undefined,
        key: `direct-${token}`.padEnd(16, '.').slice(-16),
        bodyDigest: '',
        expected: undefined,
        returnState: false,
        lenient: false,
      },
    })
  }

  #strongRead(book: Book): Promise<Answer | undefined> {
    return this.#ask({ kind: 'read', request: { id: book.scope as StateId, mode: 'strong', minIi: undefined as InteractionIndex | undefined } })
  }

  #ask(submission: Extract<LinkMessage, { kind: 'submit' }>['submission']): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      if (this.#isOver) return resolve(undefined)
      const token = (this.#tokens += 1)
      this.#waiting.set(token, resolve)
      this.#send({ kind: 'submit', token, submission })
    })
  }

  #send(message: LinkMessage): void {
    this.#socket.send(encodeMessage(message))
  }

  #received(message: LinkMessage): void {
    if (message.kind !== 'answer') return
    const then = this.#waiting.get(message.token)
    this.#waiting.delete(message.token)
    then?.(message.answer)
    this.#bell.ring()
  }

  #lost(): void {
    this.#isOver = true
    for (const then of this.#waiting.values()) then(undefined)
    this.#waiting.clear()
    this.#bell.ring()
  }

  #count(what: string, answer: Answer | undefined): void {
    const kind = `${what} ${answer?.kind ?? 'lost'}`
    this.answers[kind] = (this.answers[kind] ?? 0) + 1
  }
}
