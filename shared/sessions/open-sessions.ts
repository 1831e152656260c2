/**
 * Which sessions are open, from copies of their records.
 *
 * Owns: one copy per session, at most `limits.sessionCopyMs` old when it is used. Does not own: the records.
 * Talks to: the cluster, by strong reads, one at a time per session, begun early enough that a session in
 * use does not wait for them.
 *
 * I1. `open` is answered only from a record read at most `limits.sessionCopyMs` before.
 * I2. Closed is for ever: a read that was begun before the closing changes nothing.
 */
import { LRUCache } from 'lru-cache'
import { AssertionError } from '#shared/assert.ts'
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Claims } from './bearers.ts'
import { sessionRecordOf } from './session-record.ts'

/** `unavailable`: the record could not be read now. */
export type SessionState = 'open' | 'closed' | 'unavailable'

type Copy = { state: 'open' | 'closed' | undefined; isFinal: boolean; readMs: number; refresh: Promise<void> | undefined }
type Owner = Pick<Claims, 'session' | 'user' | 'domain'>

/** A failure in the background shows when the copy has become too old and somebody waits for the read. */
function showLater(error: unknown): void {
  if (error instanceof AssertionError) throw error
}

const COPIES = 50_000
const REFRESH_AFTER_MS = limits.sessionCopyMs / 2

export class OpenSessions {
  readonly #cluster: StateCluster
  readonly #clock: { wallMs(): number }
  readonly #copies = new LRUCache<string, Copy>({ max: COPIES })

  constructor(options: { cluster: StateCluster; clock: { wallMs(): number } }) {
    this.#cluster = options.cluster
    this.#clock = options.clock
  }

  /** Answers at once while the copy is young; refreshes it in the background when it is half as old as it may be. */
  state(of: Owner): SessionState | Promise<SessionState> {
    const copy = this.#copyOf(of.session)
    if (copy.isFinal) return 'closed'
    if (copy.state !== undefined) {
      const ageMs = this.#clock.wallMs() - copy.readMs
      if (ageMs >= 0 && ageMs <= limits.sessionCopyMs) {
        if (ageMs > REFRESH_AFTER_MS) this.#refresh(of, copy).catch(showLater)
        return copy.state
      }
    }
    return this.#stateRead(of, copy)
  }

  /** Reads the record anew, whatever the copy says. */
  async reread(of: Owner): Promise<SessionState> {
    const copy = this.#copyOf(of.session)
    if (copy.refresh !== undefined) await copy.refresh
    return this.#stateRead(of, copy)
  }

  noteOpened(session: string): void {
    const copy = this.#copyOf(session)
    copy.state = 'open'
    copy.readMs = this.#clock.wallMs()
  }

  noteClosed(session: string): void {
    const copy = this.#copyOf(session)
    copy.state = 'closed'
    copy.isFinal = true
  }

  #copyOf(session: string): Copy {
    let copy = this.#copies.get(session)
    if (copy === undefined) {
      copy = { state: undefined, isFinal: false, readMs: 0, refresh: undefined }
      this.#copies.set(session, copy)
    }
    return copy
  }

  async #stateRead(of: Owner, copy: Copy): Promise<SessionState> {
    const startedMs = this.#clock.wallMs()
    await this.#refresh(of, copy)
    if (copy.isFinal) return 'closed'
    // A refresh that was under way may have begun before this call, but never earlier than a copy's age allows.
    return copy.state !== undefined && copy.readMs >= startedMs - limits.sessionCopyMs ? copy.state : 'unavailable'
  }

  #refresh(of: Owner, copy: Copy): Promise<void> {
    copy.refresh ??= this.#read(of, copy).finally(() => {
      copy.refresh = undefined
    })
    return copy.refresh
  }

  async #read(of: Owner, copy: Copy): Promise<void> {
    const startedMs = this.#clock.wallMs()
    const answer = await this.#cluster.read({ id: of.session as StateId, mode: 'strong', minIi: undefined })
    if (copy.isFinal || answer.kind === 'unavailable' || answer.kind === 'behind') return
    copy.readMs = startedMs
    const record = answer.kind === 'unwritten' ? undefined : sessionRecordOf(answer.state)
    const isOpen = record !== undefined && !record.closed && record.user === of.user && record.domain === of.domain
    copy.state = isOpen ? 'open' : 'closed'
    if (record !== undefined && record.closed) copy.isFinal = true
  }
}
