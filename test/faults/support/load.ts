/**
 * Clients on some states: writers with keys, strong and tracked readers, followers. They go on through whatever happens to
 * the server, and tell the books what they were told.
 *
 * Owns: what clients do after each kind of answer. Does not own: the server; what can be true (book.ts).
 * I1. A connection that is cut means that the server has ended: a cut by a living server is a fault (`target.after` waits for
 *     another start in vain).
 * I2. `end` returns when every writer's last patch has an outcome and every follower has every interaction.
 */
import { Bell } from './bell.ts'
import { Book, FIRST, Track, type HistoryLine, type Shown } from './book.ts'
import type { Chance } from './chance.ts'
import { begin, Connection, once, openSession, type Answer, type Call, type Cut, type Session } from './client.ts'
import type { ServerProcess } from './server-process.ts'
import { Target } from './target.ts'

/** What follows a 503: clients obey `Retry-After`, in tenths, so that a test is not all waiting. */
const RETRY_AFTER_UNIT_MS = 100
const CATCH_UP_DEADLINE_MS = 20_000
/** Acknowledged patches of a state that may be repeated: well inside the key window of 1,024. */
const REPEATABLE = 200

export type LoadedState = { readonly book: Book; readonly session: Session; readonly repeatable: Sent[] }
type Sent = { readonly token: string; readonly body: object }

export type WriterKind =
  | 'plain'
  /** Names the index that it expects. */
  | 'conditional'
  /** A large value beside the token, so that checkpoints come soon. */
  | 'heavy'

export type LoadOptions = {
  readonly chance: Chance
  /** Of cut connections and 503s: how many patches are never sent again. */
  readonly abandoned?: number
  /** Of acknowledged patches: how many are followed by a repeat of an earlier one. */
  readonly repeated?: number
}

/** How long a test that has failed waits for the last words of a server that has ended. */
const LAST_WORDS_MS = 1_000

const HEAVY_CHARACTERS = 192 * 1024

export class Load {
  readonly target = new Target()
  readonly states: LoadedState[] = []
  readonly tracks: Track[] = []
  /** Rings whenever a writer or a follower has got on. */
  readonly bell = new Bell()
  acknowledged = 0
  cuts = 0
  unavailable = 0
  /** Patches that were answered 503 without a word on whether they are stored. */
  uncertain = 0
  replays = 0
  reads = 0
  resumed = 0
  lagged = 0
  readonly #options: Required<LoadOptions>
  readonly #writers: Promise<void>[] = []
  readonly #readers: Promise<void>[] = []
  readonly #followers: Promise<void>[] = []
  #tokens = 0
  #isEnding = false
  #areFollowersDone = false
  #isOver = false
  #server: ServerProcess | undefined
  /** The first thing that a client could not live with. */
  #failure: unknown

  constructor(options: LoadOptions) {
    this.#options = { abandoned: 0.3, repeated: 0.05, ...options }
  }

  /** Clients go on at this server. One that ends by itself is the end of the test. */
  serve(server: ServerProcess): void {
    this.#server = server
    this.target.up(server.port)
    void server.fallen().then((lastWords) => this.#fail(new Error(lastWords)))
  }

  /** Runs the test's own part; when that fails, nothing goes on, and a server that fell is told first. */
  async conduct(part: () => Promise<void>): Promise<void> {
    try {
      await part()
    } catch (error) {
      const lastWords = await Promise.race([this.#server?.fallen(), pause(LAST_WORDS_MS)])
      throw lastWords === undefined ? error : new Error(lastWords, { cause: error })
    } finally {
      this.#abort()
    }
  }

  /** Makes a state; by name: the user's own name, else a UUID. */
  async addState(scope: string, session?: Session): Promise<LoadedState> {
    const state: LoadedState = { book: new Book(scope), session: session ?? (await openSession(this.target.port)), repeatable: [] }
    const { book } = state
    book.sending(FIRST)
    const answer = await once(this.target.port, patchCall(state, { token: FIRST, body: { patch: [{ op: 'add', path: ['active', 'log'], value: [] }] } }))
    if (answer.status !== 200) throw new Error(`the first patch of ${scope}: ${answer.status} ${answer.text}`)
    book.acknowledged(FIRST, answer.body, { isRepeat: false })
    if (answer.body.replayed === true) book.fault('P6: the first patch was answered as a repeat')
    this.states.push(state)
    return state
  }

  addWriter(state: LoadedState, kind: WriterKind = 'plain'): void {
    this.#writers.push(this.#guarded(this.#write(state, kind, this.#options.chance.branch())))
  }

  addReader(state: LoadedState, mode: 'strong' | 'tracked' = 'strong'): void {
    this.#readers.push(this.#guarded(this.#read(state, mode)))
  }

  addFollower(state: LoadedState): Track {
    const track = new Track(state.book, `follower ${this.tracks.length}`)
    this.tracks.push(track)
    this.#followers.push(this.#guarded(this.#follow(state, track)))
    return track
  }

  /** Resolves when `count` more patches have been acknowledged. */
  async progress(count: number, deadlineMs = 30_000): Promise<void> {
    const goal = this.acknowledged + count
    await this.until(() => this.acknowledged >= goal, `${count} more acknowledgements`, deadlineMs)
  }

  async until(condition: () => boolean, what: string, deadlineMs = 30_000): Promise<void> {
    await this.bell.until(() => condition() || this.#failure !== undefined, { what: () => `${what} (${this.summary()})`, deadlineMs })
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Writers and readers stop, followers catch up and stop, and every state is looked at as a whole. */
  async end(): Promise<void> {
    await this.endWriting()
    for (const { book, session } of this.states) {
      const present = await this.present(book, session)
      const behind = (): Track[] => this.tracks.filter((track) => track.isOf(book) && track.position !== present.ii)
      await this.until(() => behind().length === 0, `followers of ${book.scope} at ${present.ii}`, CATCH_UP_DEADLINE_MS)
      book.finish(present, await this.history(book, session))
    }
    this.#areFollowersDone = true
    for (const stop of this.#streams) stop()
    await Promise.all(this.#followers)
    if (this.#failure !== undefined) throw this.#failure
  }

  async endWriting(): Promise<void> {
    this.#isEnding = true
    await Promise.all([...this.#writers, ...this.#readers])
    if (this.#failure !== undefined) throw this.#failure
  }

  #abort(): void {
    this.#isOver = true
    this.#isEnding = true
    this.#areFollowersDone = true
    this.target.close()
    for (const stop of this.#streams) stop()
  }

  get faults(): string[] {
    return this.states.flatMap(({ book }) => book.faults)
  }

  summary(): string {
    const abandoned = this.states.reduce((sum, { book }) => sum + book.count('abandoned') + book.count('out'), 0)
    const restarts = this.tracks.reduce((sum, track) => sum + track.restarts, 0)
    return (
      `${this.acknowledged} acknowledged, ${abandoned} given up, ${this.replays} repeats, ${this.reads} reads, ${this.cuts} cuts, ` +
      `${this.unavailable} x 503, ${this.resumed} streams resumed, ${restarts} started again, ${this.lagged} lagged`
    )
  }

  async present(book: Book, session: Session): Promise<Shown> {
    const floor = book.floor
    const answer = await once(this.target.port, { path: scopePath(book), bearer: session.bearer })
    if (answer.status !== 200) throw new Error(`reading ${book.scope}: ${answer.status} ${answer.text}`)
    const shown = shownOf(answer.body)
    book.read(shown, { floor, by: 'last reader' })
    return shown
  }

  async history(book: Book, session: Session): Promise<HistoryLine[]> {
    const answer = await once(this.target.port, { path: `${scopePath(book)}/history`, bearer: session.bearer })
    if (answer.status !== 200) throw new Error(`history of ${book.scope}: ${answer.status} ${answer.text}`)
    return historyOf(answer.text)
  }

  /** After a restart, with everything quiet: unknown outcomes that are not in stay out. */
  async settle(): Promise<void> {
    for (const { book, session } of this.states) {
      const answer = await once(this.target.port, { path: scopePath(book), bearer: session.bearer })
      if (answer.status !== 200) throw new Error(`reading ${book.scope}: ${answer.status} ${answer.text}`)
      book.settle(shownOf(answer.body))
    }
  }

  /** Sends earlier acknowledged patches of every state again. */
  async repeatSome(count: number): Promise<void> {
    const connection = new Connection()
    try {
      for (const state of this.states) {
        for (let n = 0; n < count && state.repeatable.length > 0; n++) await this.#repeat(state, connection, this.#options.chance)
      }
    } finally {
      connection.close()
    }
  }

  // Clients.

  readonly #streams = new Set<() => void>()

  /** The test hears of it at its next wait, and the other clients stop. */
  async #guarded(client: Promise<void>): Promise<void> {
    try {
      await client
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#failure ??= error
    this.#abort()
    this.bell.ring()
  }

  async #write(state: LoadedState, kind: WriterKind, chance: Chance): Promise<void> {
    const connection = new Connection()
    while (!this.#isEnding) {
      const token = `${(this.#tokens += 1).toString(36)}`
      state.book.sending(token)
      const expected = kind === 'conditional' ? { ii: state.book.floor + 1 } : {}
      const sent: Sent = { token, body: { patch: opsOf(token, kind), ...expected } }
      if (await this.#deliver(state, sent, { connection, chance, isConditional: kind === 'conditional' })) {
        this.acknowledged += 1
        state.repeatable.push(sent)
        if (state.repeatable.length > REPEATABLE) state.repeatable.shift()
        this.bell.ring()
        if (chance.isTrue(this.#options.repeated)) await this.#repeat(state, connection, chance)
      }
    }
    connection.close()
  }

  /** True: acknowledged. */
  async #deliver(state: LoadedState, sent: Sent, how: { connection: Connection; chance: Chance; isConditional: boolean }): Promise<boolean> {
    const { book } = state
    const { token } = sent
    const { connection, chance, isConditional } = how
    const call = patchCall(state, sent)
    for (let attempt = 1; ; attempt++) {
      const { answer, life } = await this.#call(connection, call)
      if (answer.kind === 'cut') {
        this.cuts += 1
        if (chance.isTrue(this.#options.abandoned)) {
          book.abandon(token)
          return false
        }
        await this.target.after(life)
        continue
      }
      const { status, body } = answer
      if (status === 200) {
        book.acknowledged(token, { ii: body.ii, updated: body.updated, replayed: body.replayed === true }, { isRepeat: attempt > 1 })
        return true
      }
      if (status === 503) {
        this.#checkUnavailable(book, answer)
        if (body.stored === undefined) this.uncertain += 1
        if (chance.isTrue(this.#options.abandoned)) {
          // Certain only where no attempt before it can have been taken.
          if (body.stored === false && attempt === 1) book.refused(token, '503 stored: false')
          else book.abandon(token)
          return false
        }
        await this.#retryAfter(answer)
        continue
      }
      if (isConditional && (status === 409 || status === 412)) {
        const present = status === 412 ? body.ii : body.expected - 1
        if (Number.isInteger(present)) book.sawIndex(present)
        else book.fault(`a ${status} without its index: ${answer.text}`)
        book.refused(token, String(status))
        return false
      }
      book.fault(`${token} was answered ${status} ${answer.text}`)
      book.refused(token, String(status))
      return false
    }
  }

  async #repeat(state: LoadedState, connection: Connection, chance: Chance): Promise<void> {
    const { book } = state
    const sent = chance.one(state.repeatable)
    const before = book.outcome(sent.token)
    for (;;) {
      const { answer, life } = await this.#call(connection, patchCall(state, sent))
      if (answer.kind === 'cut') {
        this.cuts += 1
        if (this.#isEnding) return
        await this.target.after(life)
      } else if (answer.status === 503) {
        this.#checkUnavailable(book, answer)
        if (this.#isEnding) return
        await this.#retryAfter(answer)
      } else {
        if (answer.status !== 200) book.fault(`P6: ${sent.token} (${JSON.stringify(before)}) sent again was answered ${answer.status} ${answer.text}`)
        else book.acknowledged(sent.token, { ii: answer.body.ii, updated: answer.body.updated, replayed: answer.body.replayed === true }, { isRepeat: true })
        this.replays += 1
        return
      }
    }
  }

  async #read(state: LoadedState, mode: 'strong' | 'tracked'): Promise<void> {
    const { book, session } = state
    const connection = new Connection()
    while (!this.#isEnding) {
      const floor = mode === 'strong' ? book.floor : 0
      const { answer, life } = await this.#call(connection, { path: `${scopePath(book)}?read=${mode}`, bearer: session.bearer })
      if (answer.kind === 'cut') await this.target.after(life)
      else if (answer.status === 503) {
        this.#checkUnavailable(book, answer)
        await this.#retryAfter(answer)
      } else if (answer.status !== 200) {
        book.fault(`a read was answered ${answer.status} ${answer.text}`)
        return
      } else {
        this.reads += 1
        if (answer.headers.etag !== `"${answer.body.ii}"`) book.fault(`ETag ${String(answer.headers.etag)} at ${answer.body.ii}`)
        book.read(shownOf(answer.body), { floor, by: `${mode} reader` })
      }
    }
    connection.close()
  }

  async #follow(state: LoadedState, track: Track): Promise<void> {
    const { book, session } = state
    let life = this.target.life - 1
    while (!this.#areFollowersDone) {
      const port = await this.target.after(life)
      life = this.target.life
      const headers = { Accept: 'text/event-stream', ...(track.position === undefined ? {} : { 'Last-Event-ID': String(track.position) }) }
      const end = await this.#stream(port, { path: scopePath(book), bearer: session.bearer, headers }, track)
      if (this.#areFollowersDone) return
      if (end === 'lagged') {
        this.lagged += 1
        life -= 1
      } else if (end === 'unavailable') {
        this.unavailable += 1
        await pause(RETRY_AFTER_UNIT_MS)
        life -= 1
      } else if (end !== 'cut') {
        book.fault(`a stream was answered ${end}`)
        return
      }
    }
  }

  #stream(port: number, call: Call, track: Track): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = begin(port, call, false)
      const stop = (): void => void request.destroy()
      let isLagged = false
      let isFirst = true
      const done = (how: string): void => {
        this.#streams.delete(stop)
        this.bell.ring()
        resolve(how)
      }
      this.#streams.add(stop)
      if (this.#areFollowersDone) stop()
      request.on('error', () => done('cut'))
      request.on('response', (response) => {
        if (response.statusCode !== 200) {
          response.resume()
          return done(response.statusCode === 503 ? 'unavailable' : String(response.statusCode))
        }
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          text += part
          const end = text.lastIndexOf('\n\n')
          if (end === -1) return
          const whole = text.slice(0, end)
          text = text.slice(end + 2)
          try {
            for (const block of whole.split('\n\n')) {
              if (block.startsWith(':')) continue
              const event = parseEvent(block)
              if (event.kind === 'lagged') isLagged = true
              else if (event.kind === 'state') track.state(event)
              else track.patch(event.ii, event.token)
              if (isFirst && event.kind === 'patch') this.resumed += 1
              isFirst = false
            }
          } catch (error) {
            reject(error)
            stop()
          }
          this.bell.ring()
        })
        response.on('error', () => done(isLagged ? 'lagged' : 'cut'))
        response.on('close', () => done(isLagged ? 'lagged' : 'cut'))
      })
    })
  }

  async #call(connection: Connection, call: Call): Promise<{ answer: Answer | Cut; life: number }> {
    // While it is down there is nobody to ask: a client that meets a closed port knows as much.
    await this.target.after(0)
    const { life } = this.target
    return { answer: await connection.call(this.target.port, call), life }
  }

  #checkUnavailable(book: Book, answer: Answer): void {
    this.unavailable += 1
    this.bell.ring()
    if (answer.headers['retry-after'] === undefined) book.fault('a 503 without Retry-After')
    if (answer.body?.stored === true) book.fault('a 503 that says "stored" where there is no mirror')
  }

  async #retryAfter(answer: Answer): Promise<void> {
    await pause(Number(answer.headers['retry-after'] ?? 1) * RETRY_AFTER_UNIT_MS)
  }
}

/** What a client was asked to wait for; a test never waits by it. */
function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms, undefined))
}

export function scopePath(book: Book): string {
  return `/v1/states/${encodeURIComponent(book.scope)}`
}

function patchCall(state: LoadedState, sent: Sent): Call {
  return { method: 'PATCH', path: scopePath(state.book), bearer: state.session.bearer, body: sent.body, headers: { 'Idempotency-Key': `key-${sent.token}` } }
}

function opsOf(token: string, kind: WriterKind): object[] {
  const append = { op: 'add', path: ['active', 'log', '-'], value: token }
  if (kind !== 'heavy') return [append]
  return [append, { op: 'add', path: ['active', 'ballast'], value: token.repeat(Math.ceil(HEAVY_CHARACTERS / token.length)) }]
}

export function shownOf(body: Answer['body']): Shown {
  return { ii: body.ii, log: body.active?.log ?? [] }
}

/** The token that a patch, as sent, leaves. */
function tokenOf(patch: readonly { readonly path: readonly unknown[]; readonly value?: unknown }[]): string {
  const { path, value } = patch[0]!
  return path.length === 2 ? FIRST : String(value)
}

export function historyOf(text: string): HistoryLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { ii, ts, patch } = JSON.parse(line)
      return { ii, ts, token: tokenOf(patch) }
    })
}

type StreamEvent = ({ readonly kind: 'state' } & Shown) | { readonly kind: 'patch'; readonly ii: number; readonly token: string } | { readonly kind: 'lagged' }

function parseEvent(block: string): StreamEvent {
  let kind = ''
  let id = ''
  let data = ''
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) kind = line.slice(7)
    else if (line.startsWith('id: ')) id = line.slice(4)
    else if (line.startsWith('data: ')) data = line.slice(6)
  }
  if (kind === 'lagged') return { kind }
  const body = JSON.parse(data)
  if (String(body.ii) !== id) throw new Error(`an event with id ${id} and ii ${body.ii}`)
  if (kind === 'state') return { kind, ...shownOf(body) }
  if (kind === 'patch') return { kind, ii: body.ii, token: tokenOf(body.patch) }
  throw new Error(`an event of no known kind: ${block.slice(0, 200)}`)
}
