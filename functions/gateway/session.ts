/**
 * One session of a published agent: outlives the connections that carry it.
 *
 * Owns: which messages it has received, answers that are not acknowledged, its subscriptions, the order of its messages.
 * Does not own: connections, what messages do (interaction.ts). Talks to: the connection that it has now.
 *
 * I1. A message is performed once, by its index; messages of one scope in their order, each after the effects of the one before.
 * I2. Every message gets one answer, which is kept until the client has acknowledged it or a later one.
 * I3. An answer comes after the update of its own interaction, after a break too.
 * I4. A failure of one message does not keep back the next.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { AgentGround, AgentSession } from '#shared/ports/agent-ground.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { errorText, interactionOf, perform } from './interaction.ts'
import type { Asker, Interaction } from './interaction.ts'
import type { Log } from './log.ts'
import { Subscription } from './subscription.ts'
import type { Outlet } from './subscription.ts'
import type { Topics } from './topic.ts'
import type { Writes } from './writes.ts'

/** The connection, as its session uses it. */
export type Link = {
  readonly host: string | undefined
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
  /** It has ended. */
  readonly onEnd: (session: Session) => void
}

type Answer = { readonly si: number; readonly text: string; readonly epoch: number }

export class Session implements Outlet {
  readonly of: AgentSession
  readonly isSaved: boolean
  /** When its connection ended; undefined: it has one. */
  detachedMs: number | undefined = undefined
  readonly #parts: SessionParts
  #link: Link | undefined = undefined
  /** Where the last connection reached us. */
  #host: string | undefined = undefined
  #lastSi = -1
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

  constructor(of: AgentSession, isSaved: boolean, parts: SessionParts) {
    this.of = of
    this.isSaved = isSaved
    this.#parts = parts
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get isOpen(): boolean {
    return this.#link !== undefined
  }

  get epoch(): number {
    return this.#epoch
  }

  // --- Connections -------------------------------------------------------------------------------

  /** `reply`: the handshake's, made of the highest index that was received. False: the session cannot go on. */
  attach(link: Link, reply: (ack: number) => string): boolean {
    this.#link?.abandon()
    this.#release()
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.rewind()) continue
      this.fail('the client has missed too much')
      return false
    }
    this.#link = link
    this.#host = link.host
    this.detachedMs = undefined
    this.#sent = 0
    this.#isReplaying = true
    link.send(reply(this.#lastSi))
    this.#replay(link).catch(() => this.fail('what was sent could not be sent again'))
    return true
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
    const done = (this.#chains.get(key) ?? Promise.resolve())
      .then(() => perform(this.#asker(), interaction, earlier))
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error, session: this.of.session, si }, "an agent's message failed unexpectedly")
        return errorText(si)
      })
      .then((text) => {
        this.#open -= 1
        if (this.#chains.get(key) === done) this.#chains.delete(key)
        this.#answer(si, text)
      })
    this.#chains.set(key, done)
    writes.note([key, user], done)
  }

  /** What a read waits for: writes of the scope, or for a query, all of the user's. */
  #earlier({ ask }: Interaction, user: string): Promise<unknown> | undefined {
    if (ask === undefined) return undefined
    return this.#parts.writes.before(ask.kind === 'subscription' ? ask.scope.key : user)
  }

  #asker(): Asker {
    const { ground, log } = this.#parts
    return {
      ground,
      session: this.of,
      host: this.#link?.host ?? this.#host,
      echoed: (id, ii) => this.#echoed(id, ii),
      follow: (label, id, view) => this.#follow(label, id, view),
      log: (reason, si) => log.info({ session: this.of.session, si, reason }, "an agent's message was refused"),
    }
  }

  async #echoed(id: StateId, ii: InteractionIndex): Promise<void> {
    for (const subscription of this.#subscriptions.values()) if (subscription.of.id === id) await subscription.reached(ii)
  }

  #follow(label: string, id: StateId, view: StateView | undefined): boolean {
    const key = `${id} ${label}`
    if (this.#isEnded || this.#subscriptions.has(key)) return true
    if (this.#subscriptions.size >= limits.agentSubscriptions) return false
    const of = { id, label, owner: view?.owner ?? this.of.user, domain: view?.domain ?? this.of.domain, ii: view?.ii ?? 0 }
    const subscription = new Subscription(of, this.#parts.topics, this)
    this.#subscriptions.set(key, subscription)
    subscription.pump()
    return true
  }

  /** The rules of a domain have changed: what may not be followed any more ends. */
  async reauthorize(domain: string): Promise<void> {
    for (const [key, subscription] of this.#subscriptions) {
      if (subscription.of.domain !== domain) continue
      if (await this.#parts.ground.mayRead(this.of, subscription.of)) continue
      subscription.end()
      this.#subscriptions.delete(key)
    }
  }

  // --- Answers -----------------------------------------------------------------------------------

  send(text: string): void {
    this.#link?.send(text)
  }

  #answer(si: number, text: string): void {
    if (this.#isEnded) return
    this.#answers.push({ si, text, epoch: this.#epoch })
    this.#epoch += 1
    this.#answerBytes += text.length
    if (this.#answerBytes > limits.agentAnswerBytes) return this.fail('too many answers without an acknowledgement')
    this.#flush()
  }

  #flush(): void {
    while (this.#link !== undefined && !this.#isReplaying && this.#sent < this.#answers.length) {
      this.#sent += 1
      this.#link.send(this.#answers[this.#sent - 1]!.text)
    }
  }

  #acknowledge(si: number): void {
    const at = this.#answers.findIndex((answer) => answer.si === si)
    if (at === -1) return
    const { epoch } = this.#answers[at]!
    for (const { text } of this.#answers.splice(0, at + 1)) this.#answerBytes -= text.length
    this.#sent = Math.max(0, this.#sent - at - 1)
    for (const subscription of this.#subscriptions.values()) subscription.acknowledge(epoch)
  }

  // --- The end -----------------------------------------------------------------------------------

  fail(reason: string): void {
    if (this.#isEnded) return
    this.#parts.log.warn({ session: this.of.session, reason }, 'the session of an agent was ended')
    const link = this.#link
    this.end(null)
    link?.cut()
  }

  end(info: Json): void {
    if (this.#isEnded) return
    this.stop()
    this.#parts.onEnd(this)
    this.#parts.ground.end(this.of, info).catch((error: unknown) => {
      this.#parts.log.error({ err: error, session: this.of.session }, "an agent's session could not be ended")
    })
  }

  /** Of this process only: another may resume it. */
  stop(): void {
    this.#isEnded = true
    this.#link?.abandon()
    this.#link = undefined
    for (const subscription of this.#subscriptions.values()) subscription.end()
    this.#subscriptions.clear()
    this.#answers = []
    this.#answerBytes = 0
  }
}
