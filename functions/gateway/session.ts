/**
 * One session of a published agent: outlives the connections that carry it.
 *
 * Owns: which messages it has received, answers that are not acknowledged, its subscriptions, the order of its messages.
 * Does not own: connections, what messages do (interaction.ts), what other processes know of it (keeping.ts).
 * Talks to: the connection that it has now.
 *
 * I1. A message is performed once, by its index; messages of one scope in their order, each after the effects of the one before.
 * I2. Every message gets one answer, which is kept until the client has acknowledged it or a later one.
 * I3. An answer comes after the update of its own interaction, after a break too.
 * I4. A failure of one message does not keep back the next.
 * I5. Another process that goes on with it has every subscription that was answered, from an update on that the client may
 *     lack, and is sent again every message whose answer the client may lack: those find themselves by their keys.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentGround, AgentSession, Kept, KeptSubscription } from '#shared/ports/agent-ground.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { subscriptionKey } from '#shared/sessions/agent-records.ts'
import { errorText, interactionOf, perform } from './interaction.ts'
import type { Asker, Interaction } from './interaction.ts'
import { Keeping } from './keeping.ts'
import type { Log } from './log.ts'
import { patiently } from './patience.ts'
import { Subscription } from './subscription.ts'
import type { Outlet } from './subscription.ts'
import type { Topics } from './topic.ts'
import type { Writes } from './writes.ts'

/** The connection, as its session uses it. */
export type Link = {
  readonly host: string | undefined
  /** What its client has not taken yet. */
  readonly bufferedBytes: number
  send(text: string): void
  /** Another has taken its place: nothing more is sent over it, and nothing taken from it. */
  abandon(): void
  cut(): void
}

export type SessionParts = {
  readonly ground: AgentGround
  readonly topics: Topics
  readonly writes: Writes
  readonly log: Log
  /** What other processes know this one by. */
  readonly process: string
  /** It has ended here. */
  readonly onEnd: (session: Session) => void
}

/** `kept`: as this process has it now. */
export type SessionOf = { readonly session: AgentSession; readonly isSaved: boolean; readonly kept: Pick<Kept, 'version' | 'ack' | 'subscriptions'> }

/** `begins`: what is followed from this answer on. */
type Answer = { readonly si: number; readonly text: string; readonly epoch: number; readonly begins: Subscription | undefined }

export class Session implements Outlet {
  readonly of: AgentSession
  readonly isSaved: boolean
  /** When its connection ended; undefined: it has one. */
  detachedMs: number | undefined = undefined
  readonly #parts: SessionParts
  readonly #keeping: Keeping
  #link: Link | undefined = undefined
  /** Where the last connection reached us. */
  #host: string | undefined = undefined
  #lastSi: number
  /** Messages whose answers the client has not acknowledged, in order of their index. */
  readonly #outstanding = new Set<number>()
  #keptAck: number
  #keptMs: number
  #open = 0
  #answers: Answer[] = []
  #answerBytes = 0
  /** Of `#answers`, how many this connection has got. */
  #sent = 0
  #epoch = 0
  #isReplaying = false
  #isEnded = false
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #chains = new Map<string, Promise<void>>()

  constructor({ session, isSaved, kept }: SessionOf, nowMs: number, parts: SessionParts) {
    this.of = session
    this.isSaved = isSaved
    this.#parts = parts
    this.#lastSi = this.#keptAck = kept.ack
    this.#keptMs = nowMs
    this.#keeping = new Keeping({
      process: parts.process,
      version: kept.version,
      keep: (version, change) => (isSaved ? parts.ground.keep(session, version, change) : Promise.resolve({ kind: 'kept', version })),
      onTaken: () => {
        parts.log.info({ session: session.session }, 'another process has the session of an agent')
        this.#leave(undefined)
      },
    })
    for (const each of kept.subscriptions) {
      const subscription = new Subscription(each, parts.topics, this)
      this.#subscriptions.set(subscriptionKey(each), subscription)
      // Others begin when the client has sent their message again, and is answered.
      if (each.si <= kept.ack) void subscription.begin()
    }
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get isOpen(): boolean {
    return this.#link !== undefined
  }

  get isFull(): boolean {
    return this.#link !== undefined && this.#link.bufferedBytes > limits.agentReplayBytes
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Whether its client can be sent what it may have missed. */
  get isWithinReach(): boolean {
    return [...this.#subscriptions.values()].every(({ isWithinReach }) => isWithinReach)
  }

  // --- Connections -------------------------------------------------------------------------------

  /** `reply`: the handshake's, made of the highest index that was received. */
  attach(link: Link, reply: (ack: number) => string): void {
    this.#link?.abandon()
    this.#release()
    for (const subscription of this.#subscriptions.values()) subscription.rewind()
    for (const { begins } of this.#answers) begins?.hold()
    this.#link = link
    this.#host = link.host
    this.detachedMs = undefined
    this.#sent = 0
    this.#isReplaying = true
    link.send(reply(this.#lastSi))
    this.#replay(link).catch(() => this.fail('what was sent could not be sent again'))
  }

  detach(link: Link, nowMs: number): void {
    if (this.#link !== link) return
    this.#link = undefined
    this.detachedMs = nowMs
    this.#release()
  }

  async #replay(link: Link): Promise<void> {
    await Promise.all([...this.#subscriptions.values()].map((each) => each.caughtUp()))
    if (this.#link !== link) return
    this.#isReplaying = false
    this.#flush()
  }

  #release(): void {
    for (const subscription of this.#subscriptions.values()) subscription.release()
  }

  // --- Messages ----------------------------------------------------------------------------------

  receive(message: JsonObject): void {
    const { ack, si } = message
    if (typeof ack === 'number') this.#acknowledge(ack)
    else if (typeof si === 'number' && Number.isSafeInteger(si) && si > this.#lastSi) {
      this.#lastSi = si
      this.#outstanding.add(si)
      this.#take(si, message)
    }
  }

  #take(si: number, message: JsonObject): void {
    if (this.#open >= limits.agentMessagesOpen) return this.fail('too many messages without an answer')
    const { ground, writes } = this.#parts
    const interaction = interactionOf(message, ground, this.of)
    if (interaction === undefined) return this.#answer(si, errorText(si))
    const user = `user ${this.of.domain} ${this.of.user}`
    const earlier = this.#earlier(interaction, user)
    this.#open += 1
    const { key } = interaction.scope
    let begins: Subscription | undefined
    const follow = async (label: string, id: StateId, view: StateView | undefined): Promise<boolean> => {
      begins = await this.#follow(si, label, id, view)
      return begins !== undefined
    }
    const done = (this.#chains.get(key) ?? Promise.resolve())
      .then(() => perform({ ...this.#asker(), follow }, interaction, earlier))
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error, session: this.of.session, si }, "an agent's message failed unexpectedly")
        return errorText(si)
      })
      .then((text) => {
        this.#open -= 1
        if (this.#chains.get(key) === done) this.#chains.delete(key)
        this.#answer(si, text, begins)
      })
    this.#chains.set(key, done)
    writes.note([key, user], done)
  }

  /** What a read waits for: writes of the scope, or for a query, all of the user's. */
  #earlier({ ask }: Interaction, user: string): Promise<unknown> | undefined {
    if (ask === undefined) return undefined
    return this.#parts.writes.before(ask.kind === 'subscription' ? ask.scope.key : user)
  }

  #asker(): Omit<Asker, 'follow'> {
    const { ground, log } = this.#parts
    return {
      ground,
      session: this.of,
      host: this.#link?.host ?? this.#host,
      isOver: () => this.#isEnded,
      echoed: (id, ii) => this.#echoed(id, ii),
      log: (reason, si) => log.info({ session: this.of.session, si, reason }, "an agent's message was refused"),
    }
  }

  async #echoed(id: StateId, ii: InteractionIndex): Promise<void> {
    for (const subscription of this.#subscriptions.values()) if (subscription.of.id === id) await subscription.reached(ii)
  }

  /** Undefined: there are too many. */
  async #follow(si: number, label: string, id: StateId, view: StateView | undefined): Promise<Subscription | undefined> {
    const of: KeptSubscription = { id, label, owner: view?.owner ?? this.of.user, domain: view?.domain ?? this.of.domain, ii: view?.ii ?? 0, si }
    const key = subscriptionKey(of)
    const present = this.#subscriptions.get(key)
    if (present !== undefined) return present
    if (this.#subscriptions.size >= limits.agentSubscriptions) return undefined
    const subscription = new Subscription(of, this.#parts.topics, this)
    if (this.#isEnded) {
      subscription.end()
      return subscription
    }
    this.#subscriptions.set(key, subscription)
    if ((await this.#keeping.write({ subscriptions: [of] })) !== 'full') return subscription
    subscription.end()
    this.#subscriptions.delete(key)
    return undefined
  }

  /** The rules of a domain have changed: what may not be followed any more ends. */
  async reauthorize(domain: string): Promise<void> {
    for (const subscription of this.#subscriptions.values()) if (subscription.of.domain === domain) await this.#judge(subscription)
  }

  async #judge(subscription: Subscription): Promise<void> {
    const { of } = subscription
    const ask = async (): Promise<{ readonly kind: string }> => ({ kind: await this.#parts.ground.mayRead(this.of, of) })
    const { kind } = await patiently(ask, () => this.#isEnded)
    if (this.#isEnded || kind === 'allow') return
    if (kind !== 'deny') return this.fail('nobody can say what it may follow')
    subscription.end()
    if (this.#subscriptions.delete(subscriptionKey(of))) void this.#keeping.write({ dropped: [of] })
  }

  // --- Answers -----------------------------------------------------------------------------------

  send(text: string): void {
    this.#link?.send(text)
  }

  #answer(si: number, text: string, begins?: Subscription): void {
    if (this.#isEnded) return
    this.#answers.push({ si, text, epoch: this.#epoch, begins })
    this.#epoch += 1
    this.#answerBytes += text.length
    if (this.#answerBytes > limits.agentAnswerBytes) return this.fail('too many answers without an acknowledgement')
    this.#flush()
  }

  #flush(): void {
    const link = this.#link
    while (link !== undefined && this.#link === link && !this.#isReplaying && this.#sent < this.#answers.length) {
      const { text, begins } = this.#answers[this.#sent]!
      this.#sent += 1
      link.send(text)
      const caughtUp = begins?.begin()
      if (caughtUp !== undefined) this.#flushAfter(caughtUp, link)
    }
  }

  /** Answers that come next may be of interactions whose updates have not been sent yet. */
  #flushAfter(caughtUp: Promise<void>, link: Link): void {
    this.#isReplaying = true
    void caughtUp.then(() => {
      if (this.#link !== link) return
      this.#isReplaying = false
      this.#flush()
    })
  }

  #acknowledge(si: number): void {
    const at = this.#answers.findIndex((answer) => answer.si === si)
    if (at === -1) return
    const { epoch } = this.#answers[at]!
    for (const answer of this.#answers.splice(0, at + 1)) {
      this.#answerBytes -= answer.text.length
      this.#outstanding.delete(answer.si)
    }
    this.#sent = Math.max(0, this.#sent - at - 1)
    for (const subscription of this.#subscriptions.values()) subscription.acknowledge(epoch)
    if (this.#taken() - this.#keptAck >= limits.agentKeepMessages) this.#keep()
  }

  // --- What others know --------------------------------------------------------------------------

  /** Every so often. */
  look(nowMs: number): void {
    if (this.detachedMs !== undefined && nowMs - this.detachedMs >= limits.agentResumeMs) return this.end(null)
    if (nowMs - this.#keptMs < limits.agentKeepMs) return
    this.#keptMs = nowMs
    this.#keep()
  }

  /** The client has the answers to all messages up to this one. */
  #taken(): number {
    for (const first of this.#outstanding) return first - 1
    return this.#lastSi
  }

  #keep(): void {
    if (!this.isSaved) return
    const ack = this.#taken()
    const moved: KeptSubscription[] = []
    for (const subscription of this.#subscriptions.values()) {
      const each = moved.length < limits.agentKeepStates ? subscription.moved() : undefined
      if (each !== undefined) moved.push(each)
    }
    if (ack === this.#keptAck && moved.length === 0) return
    this.#keptAck = ack
    void this.#keeping.write({ ack, subscriptions: moved })
  }

  // --- The end -----------------------------------------------------------------------------------

  fail(reason: string): void {
    void this.lose(reason)
  }

  /** It cannot go on: its client has to begin anew, and learns that from whichever process it comes to. Resolves when all know. */
  async lose(reason: string): Promise<void> {
    if (this.#isEnded) return
    const known = this.#keeping.write({ end: 'lost' })
    this.#leave(reason)?.cut()
    await known
    this.#keeping.stop()
  }

  end(info: Json): void {
    if (this.#isEnded) return
    void this.#finish(info).catch((error: unknown) => {
      this.#parts.log.error({ err: error, session: this.of.session }, "an agent's session could not be ended")
    })
    this.#leave(undefined)
  }

  /** Unless another process has it. */
  async #finish(info: Json): Promise<void> {
    if ((await this.#keeping.write({ end: 'over' })) === 'kept') await this.#parts.ground.end(this.of, info)
    this.#keeping.stop()
  }

  /** This process has nothing to do with it any more; another may. */
  stop(): void {
    this.#leave(undefined)
    this.#keeping.stop()
  }

  /** Its connection, which is silent from now on. */
  #leave(reason: string | undefined): Link | undefined {
    if (this.#isEnded) return undefined
    if (reason !== undefined) this.#parts.log.warn({ session: this.of.session, reason }, 'the session of an agent is left')
    this.#isEnded = true
    const link = this.#link
    link?.abandon()
    this.#link = undefined
    for (const subscription of this.#subscriptions.values()) subscription.end()
    this.#subscriptions.clear()
    this.#answers = []
    this.#answerBytes = 0
    this.#parts.onEnd(this)
    return link
  }
}
