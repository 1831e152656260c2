/**
 * Following states by server-sent events.
 *
 * Owns: one following of the cluster per state, shared by all its streams; the latest patches of it, as the bytes
 * that go out; the streams and when they end. Does not own: who may follow (states.ts).
 * Talks to: the cluster (follow, history, read), open-sessions.
 *
 * I1. A stream's events are gapless: a `state` of index n is followed by patches n+1, n+2 ...; a stream that
 *     continues from n begins with patch n. Without this clients would have wrong copies for ever.
 * I2. An event is serialised once and its bytes go to every stream.
 * I3. What waits in a stream's socket is bounded: a client that does not read is cut off, and costs the others nothing.
 * I4. A stream ends when its session is closed, here or elsewhere, and when its bearer expires.
 * I5. Of a state that nobody had written when its stream was opened, nothing goes out before its owner is known: to the
 *     owner it goes, anybody else's stream ends, comes back, and is judged.
 * I6. A stream whose follower was judged by rules that have changed since is judged again.
 */
import type { ServerResponse } from 'node:http'
import { assert } from '#shared/assert.ts'
import type { Requested } from '#shared/domain/authorize.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Follower, Following, InteractionView, StateCluster, StateView } from '#shared/ports/state-cluster.ts'
import type { Claims } from '#shared/sessions/bearers.ts'
import type { OpenSessions } from '#shared/sessions/open-sessions.ts'
import { sessionRecordOf } from '#shared/sessions/session-record.ts'
import type { Verdict } from './authorizer.ts'
import type { Exchange } from './exchange.ts'
import { isOwner } from './party.ts'
import type { Party } from './party.ts'
import type { Log, WallClock } from './parts.ts'
import { patchEvent, stateEvent } from './state-json.ts'

/** Patches that a topic keeps for those who join. */
const RECENT_EVENTS = 1_024
const RECENT_BYTES = 1024 * 1024
/** A stream that continues from further back starts again with a `state`. */
const CATCH_UP_INTERACTIONS = 10_000
/** How long a stream that was cut off has to take what is in its socket. */
const LAST_WORDS_MS = 10_000

type PatchBytes = { readonly ii: number; readonly bytes: Buffer }
type Judge = (caller: Party, of: Requested) => Verdict | Promise<Verdict>
type StreamClaims = Pick<Claims, 'session' | 'user' | 'domain' | 'expiresMs'>

export type EventHubOptions = {
  readonly cluster: StateCluster
  readonly sessions: OpenSessions
  readonly clock: WallClock
  readonly log: Log
  /** A session has an open stream. */
  readonly onUse?: (of: StreamClaims) => void
  readonly keepAliveMs?: number
  readonly followerBufferBytes?: number
}

export class EventHub {
  readonly #cluster: StateCluster
  readonly #sessions: OpenSessions
  readonly #clock: WallClock
  readonly #log: Log
  readonly #onUse: (of: StreamClaims) => void
  readonly #keepAliveMs: number
  readonly #followerBufferBytes: number
  readonly #topics = new Map<StateId, Topic>()
  readonly #watches = new Map<string, SessionWatch>()
  readonly #streams = new Set<Stream>()
  /** Counts changes of rules; who judges by them now. */
  #rules = 0
  #may: Judge = () => 'allow'
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(options: EventHubOptions) {
    this.#cluster = options.cluster
    this.#sessions = options.sessions
    this.#clock = options.clock
    this.#log = options.log
    this.#onUse = options.onUse ?? (() => undefined)
    this.#keepAliveMs = options.keepAliveMs ?? limits.streamKeepAliveMs
    this.#followerBufferBytes = options.followerBufferBytes ?? limits.followerBufferBytes
  }

  /** Of the rules by which followers are judged now: to be had before one is, for `open`. */
  get rules(): number {
    return this.#rules
  }

  /** `view`: the state as it was just read. `from`: continue with this patch; undefined or out of reach: a `state` first. */
  open(x: Exchange, of: { claims: StreamClaims; id: StateId; view: StateView | undefined; from: number | undefined; rules: number }): void {
    const { claims, id, view, from, rules } = of
    const res = x.stream('text/event-stream', ['Cache-Control', 'no-store', 'X-Accel-Buffering', 'no'])
    const stream = new Stream(res, claims, this.#followerBufferBytes)
    if (view !== undefined) stream.of = { id, owner: view.owner, domain: view.domain }
    res.on('close', () => this.#remove(stream))
    this.#streams.add(stream)
    this.#watch(stream)
    this.#endInTime(stream)
    this.#timer ??= setInterval(() => this.#keepAlive(), this.#keepAliveMs).unref()
    const present = view?.ii ?? 0
    const continues = from !== undefined && from >= 1 && from <= present + 1 && present - from < CATCH_UP_INTERACTIONS
    if (continues) stream.next = from
    else stream.sendState(stateEvent(id, view), present)
    this.#join(stream, id).catch((error: unknown) => {
      x.broken(error)
    })
    if (rules !== this.#rules) this.#judge(stream)
  }

  /** Ends the streams of a session that was closed. */
  endSession(session: string): void {
    for (const stream of this.#watches.get(session)?.streams ?? []) stream.end()
  }

  /** The rules of a domain have changed: streams of its states end whose followers may not have them any more. */
  reauthorize(domain: string, may: Judge): void {
    this.#rules += 1
    this.#may = may
    for (const stream of this.#streams) if (stream.of?.domain === domain) this.#judge(stream)
  }

  close(): void {
    for (const stream of this.#streams) stream.end()
    for (const topic of this.#topics.values()) topic.stop()
    for (const watch of this.#watches.values()) watch.stop()
    this.#topics.clear()
    this.#watches.clear()
    this.#streams.clear()
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #judge(stream: Stream): void {
    const { of, claims } = stream
    if (of === undefined) return
    Promise.resolve(this.#may(claims, of)).then((verdict) => {
      // Unsure is no: a follower that still may comes back by itself.
      if (verdict !== 'allow') stream.end()
    }, (error: unknown) => {
      this.#log.error({ err: error, id: of.id }, 'a stream could not be judged again')
      stream.end()
    })
  }

  /** Brings a stream from `stream.next` up to its topic, then attaches it. */
  async #join(stream: Stream, id: StateId): Promise<void> {
    let topic = this.#topics.get(id)
    if (topic === undefined) {
      topic = new Topic(id, this.#cluster, (written) => this.#rejoin(written, id))
      this.#topics.set(id, topic)
    }
    topic.streams.add(stream)
    stream.topic = topic
    if (!topic.isLive) await topic.live
    if (topic.isWritten && stream.of === undefined) await this.#learnOwner(stream, id)
    while (!stream.isEnded && stream.next < topic.floor) await this.#catchUp(stream, topic)
    if (!stream.isEnded) topic.attach(stream)
  }

  /** I5. What it followed has been written. */
  #rejoin(stream: Stream, id: StateId): void {
    this.#join(stream, id).catch((error: unknown) => {
      this.#log.error({ err: error, id }, 'a stream could not go on')
      stream.end()
    })
  }

  async #learnOwner(stream: Stream, id: StateId): Promise<void> {
    const read = await this.#cluster.read({ id, mode: 'strong', minIi: undefined })
    if (read.kind === 'state' && isOwner(stream.claims, read.state)) stream.of = { id, owner: read.state.owner, domain: read.state.domain }
    else stream.end()
  }

  async #catchUp(stream: Stream, topic: Topic): Promise<void> {
    const { id } = topic
    const from = stream.next as InteractionIndex
    const answer = await this.#cluster.history({ id, from, to: (topic.floor - 1) as InteractionIndex })
    if (stream.isEnded) return
    if (answer.kind === 'unavailable') {
      // Without a gap it cannot go on: the client comes back by itself.
      stream.end()
      return
    }
    if (answer.interactions.length === 0) {
      const read = await this.#cluster.read({ id, mode: 'strong', minIi: undefined })
      if (read.kind === 'state') stream.sendState(stateEvent(id, read.state), read.state.ii)
      else stream.end()
      return
    }
    for (const interaction of answer.interactions) stream.sendPatch({ ii: interaction.ii, bytes: Buffer.from(patchEvent(id, interaction)) })
    await stream.drained()
  }

  #remove(stream: Stream): void {
    stream.end()
    this.#streams.delete(stream)
    const { topic } = stream
    if (topic !== undefined) {
      topic.detach(stream)
      if (topic.streams.size === 0 && this.#topics.get(topic.id) === topic) {
        topic.stop()
        this.#topics.delete(topic.id)
      }
    }
    const watch = this.#watches.get(stream.claims.session)
    if (watch?.streams.delete(stream) === true && watch.streams.size === 0) {
      watch.stop()
      this.#watches.delete(stream.claims.session)
    }
    if (this.#streams.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #watch(stream: Stream): void {
    const { claims } = stream
    let watch = this.#watches.get(claims.session)
    if (watch === undefined) {
      watch = new SessionWatch(claims, this.#cluster, this.#sessions, (error) => {
        this.#log.error({ err: error, session: claims.session }, 'watching a session failed')
      })
      this.#watches.set(claims.session, watch)
    }
    watch.streams.add(stream)
  }

  #keepAlive(): void {
    for (const { claims } of this.#streams) this.#onUse(claims)
    for (const stream of this.#streams) {
      stream.comment()
      this.#endInTime(stream)
    }
  }

  /** Timers cannot reach 30 days: one is set when the expiry comes before the next round. */
  #endInTime(stream: Stream): void {
    const leftMs = stream.claims.expiresMs - this.#clock.wallMs()
    if (leftMs <= this.#keepAliveMs) stream.endIn(Math.max(0, leftMs))
  }
}

/** One state that is followed. */
class Topic implements Follower {
  readonly id: StateId
  /** Attached streams and those that are catching up. */
  readonly streams = new Set<Stream>()
  /** Resolves with the cluster's first event. */
  readonly live: Promise<void>
  #attached = new Set<Stream>()
  #goLive: () => void = () => {}
  #last: number | undefined = undefined
  #recent: PatchBytes[] = []
  #recentBytes = 0
  #following: Following
  readonly #onWritten: (stream: Stream) => void

  /** `onWritten`: of streams that were attached while nobody had written the state. They are detached. */
  constructor(id: StateId, cluster: StateCluster, onWritten: (stream: Stream) => void) {
    this.id = id
    this.#onWritten = onWritten
    this.live = new Promise((resolve) => {
      this.#goLive = resolve
    })
    this.#following = cluster.follow({ id, from: undefined }, this)
  }

  get isLive(): boolean {
    return this.#last !== undefined
  }

  get isWritten(): boolean {
    return (this.#last ?? 0) > 0
  }

  /** The first index from which on the recent patches reach to the present. */
  get floor(): number {
    return this.#recent[0]?.ii ?? (this.#last ?? 0) + 1
  }

  /** Only for a stream whose next index is at or above the floor. */
  attach(stream: Stream): void {
    assert(stream.next >= this.floor, 'a stream was attached behind the recent patches')
    for (const event of this.#recent) stream.sendPatch(event)
    this.#attached.add(stream)
  }

  detach(stream: Stream): void {
    this.streams.delete(stream)
    this.#attached.delete(stream)
  }

  stop(): void {
    this.#following.stop()
    // Those who wait for the first event see that they have ended.
    this.#goLive()
  }

  state(view: StateView | undefined): void {
    const ii = view?.ii ?? 0
    const isFirst = this.#last === undefined
    this.#last = ii
    this.#recent = []
    this.#recentBytes = 0
    if (isFirst) {
      this.#goLive()
      return
    }
    const text = stateEvent(this.id, view)
    for (const stream of this.#attached) {
      if (stream.of === undefined && view !== undefined && !isOwner(stream.claims, view)) stream.end()
      // A stream that read its state itself may be ahead of what the cluster had for us: it waits for the patches.
      if (ii >= stream.next) stream.sendState(text, ii)
    }
  }

  patch(interaction: InteractionView): void {
    const { ii } = interaction
    assert(ii === (this.#last ?? 0) + 1, `event ${ii} of ${this.id} came after ${this.#last}`)
    this.#last = ii
    const unjudged = ii === 1 ? [...this.#attached].filter((stream) => stream.of === undefined) : []
    for (const stream of unjudged) this.#attached.delete(stream)
    const event: PatchBytes = { ii, bytes: Buffer.from(patchEvent(this.id, interaction)) }
    this.#recent.push(event)
    this.#recentBytes += event.bytes.length
    while (this.#recent.length > RECENT_EVENTS || this.#recentBytes > RECENT_BYTES) {
      this.#recentBytes -= this.#recent.shift()!.bytes.length
    }
    for (const stream of this.#attached) stream.sendPatch(event)
    for (const stream of unjudged) this.#onWritten(stream)
  }
}

/** One open response. */
class Stream {
  readonly claims: StreamClaims
  /** The index of the next patch that it has to get. */
  next = 0
  topic: Topic | undefined = undefined
  /** Whose state it is, once somebody has written it. */
  of: Requested | undefined = undefined
  #res: ServerResponse
  #isEnded = false
  #bufferBytes: number
  /** A state in the socket may be larger than what patches may pile up to. */
  #stateBytes = 0
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(res: ServerResponse, claims: StreamClaims, bufferBytes: number) {
    this.#res = res
    this.claims = claims
    this.#bufferBytes = bufferBytes
    res.on('drain', () => {
      this.#stateBytes = 0
    })
    res.on('error', () => this.end())
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  sendState(text: string, ii: number): void {
    this.next = ii + 1
    if (this.#isEnded) return
    this.#stateBytes = Buffer.byteLength(text)
    if (this.#res.write(text)) this.#stateBytes = 0
  }

  /** Ignores what the stream has already. */
  sendPatch(event: PatchBytes): void {
    if (event.ii < this.next || this.#isEnded) return
    assert(event.ii === this.next, 'a stream lost an event')
    if (this.#res.writableLength > this.#bufferBytes + this.#stateBytes) {
      this.end('event: lagged\ndata: {}\n\n')
      return
    }
    this.next += 1
    this.#res.write(event.bytes)
  }

  comment(): void {
    if (!this.#isEnded) this.#res.write(': keep-alive\n\n')
  }

  drained(): Promise<void> | undefined {
    if (!this.#res.writableNeedDrain || this.#isEnded) return undefined
    return new Promise((resolve) => {
      const done = (): void => {
        this.#res.removeListener('drain', done)
        this.#res.removeListener('close', done)
        resolve()
      }
      this.#res.on('drain', done)
      this.#res.on('close', done)
    })
  }

  endIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.end(), ms).unref()
  }

  end(lastWords = ''): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearTimeout(this.#timer)
    this.topic?.detach(this)
    const res = this.#res
    res.end(lastWords)
    const timer = setTimeout(() => res.destroy(), LAST_WORDS_MS).unref()
    res.on('close', () => clearTimeout(timer))
  }
}

/** Ends the streams of a session that is closed elsewhere: its record is followed while there are any. */
class SessionWatch implements Follower {
  readonly streams = new Set<Stream>()
  readonly #claims: StreamClaims
  readonly #sessions: OpenSessions
  readonly #onFailure: (error: unknown) => void
  readonly #following: Following

  constructor(claims: StreamClaims, cluster: StateCluster, sessions: OpenSessions, onFailure: (error: unknown) => void) {
    this.#claims = claims
    this.#sessions = sessions
    this.#onFailure = onFailure
    this.#following = cluster.follow({ id: claims.session as StateId, from: undefined }, this)
  }

  stop(): void {
    this.#following.stop()
  }

  state(view: StateView | undefined): void {
    if (view === undefined || sessionRecordOf(view)?.closed !== false) this.#end()
  }

  /** A record is patched once after its opening: when it is closed. */
  patch(): void {
    this.#sessions.reread(this.#claims).then((state) => {
      if (state === 'closed') this.#end()
    }, this.#onFailure)
  }

  #end(): void {
    for (const stream of this.streams) stream.end()
  }
}
