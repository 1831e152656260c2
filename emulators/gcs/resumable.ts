/**
 * Resumable uploads: sessions, and the ranges that have come.
 *
 * Owns: open sessions with the content so far; a restart forgets them (404: the client begins again).
 * Does not own: what becomes of whole content. Talks to: the store.
 *
 * I1. Content is in order and without gaps: what a range repeats is skipped, one behind a gap is refused.
 */
import { randomUUID } from 'node:crypto'
import type { Conditions } from './preconditions.ts'
import { invalid, Refusal, type Reply } from './reply.ts'
import type { GcsStore, Incoming } from './store.ts'

export type Session = { readonly bucket: string; readonly name: string; readonly fields: Readonly<Record<string, unknown>>; readonly conditions: Conditions; readonly incoming: Incoming }

export type RangeOutcome = { readonly kind: 'more'; readonly reply: Reply } | { readonly kind: 'whole'; readonly session: Session }

const SESSIONS = 1_000

export class Resumable {
  readonly #store: GcsStore
  readonly #sessions = new Map<string, Session>()

  constructor(store: GcsStore) {
    this.#store = store
  }

  async begin(of: Omit<Session, 'incoming'>): Promise<string> {
    if (this.#sessions.size >= SESSIONS) throw new Refusal({ status: 429, reason: 'rateLimitExceeded', code: 'SlowDown', message: 'Too many open uploads.' })
    const id = randomUUID()
    this.#sessions.set(id, { ...of, incoming: await this.#store.begin() })
    return id
  }

  /** `range`: Content-Range of the request; undefined: the whole of it comes at once. */
  async take(id: string, range: string | undefined, body: AsyncIterable<Uint8Array>): Promise<RangeOutcome> {
    const session = this.#sessions.get(id)
    if (session === undefined) throw new Refusal({ status: 404, reason: 'notFound', code: 'NoSuchUpload', message: 'No such upload session.' })
    const { first, last, total } = range === undefined ? { first: 0, last: '*', total: undefined } : contentRange(range)
    const { incoming } = session
    if (first !== undefined) {
      if (first > incoming.bytes) throw new Refusal({ status: 503, reason: 'backendError', code: 'ServiceUnavailable', message: 'The range does not follow what has come.' })
      let skip = incoming.bytes - first
      for await (const part of body) {
        const dropped = Math.min(skip, part.length)
        skip -= dropped
        await incoming.write(part.subarray(dropped))
      }
    }
    // `bytes 0-*/*` is a stream: its end is the end of the body.
    const isWhole = first === undefined ? total === incoming.bytes : total === undefined ? last === '*' : incoming.bytes >= total
    if (!isWhole) return { kind: 'more', reply: { status: 308, headers: incoming.bytes > 0 ? { Range: `bytes=0-${incoming.bytes - 1}` } : {}, body: undefined } }
    this.#sessions.delete(id)
    return { kind: 'whole', session }
  }

  async cancel(id: string): Promise<Reply> {
    const session = this.#sessions.get(id)
    this.#sessions.delete(id)
    await session?.incoming.discard()
    return { status: session === undefined ? 404 : 499, headers: {}, body: undefined }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map(({ incoming }) => incoming.discard()))
    this.#sessions.clear()
  }
}

/** `bytes 0-99/200`, `bytes 0-*` + `/*`, or `bytes *` + `/200`, which only asks. */
function contentRange(text: string): { readonly first: number | undefined; readonly last: string; readonly total: number | undefined } {
  const match = /^bytes (?:(\d{1,15})-(\d{1,15}|\*)|\*)\/(\d{1,15}|\*)$/.exec(text)
  if (match === null) throw invalid(`Invalid Content-Range: ${text}`)
  return { first: match[1] === undefined ? undefined : Number(match[1]), last: match[2] ?? '', total: match[3] === '*' ? undefined : Number(match[3]) }
}
