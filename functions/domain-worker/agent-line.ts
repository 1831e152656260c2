/**
 * What goes between the script of a domain agent and the process that it runs for, as long as the script lives. Others may
 * join: what they have to tell goes through that one.
 *
 * Owns: messages that wait for the script, when it next has something to do, its heartbeat. Does not own: its sandbox, its
 * turns (tenant.ts). Talks to: who it runs for.
 *
 * I1. Nothing is told of it after `close`. I2. What waits for it is bounded: a script that does not keep up is ended.
 * I3. What it says goes on at a pace, and until it has gone it has no turn: nobody is flooded by it.
 */
import { limits } from '#shared/limits.ts'
import type { AgentEars, AgentEnd, JsonText, RunningAgent } from '#shared/ports/domain-worker.ts'
import { readAgentOut, type AgentRecord } from './agent-bridge.ts'

const BEAT = 'null'

type Said = Extract<AgentRecord, { kind: 'said' }>

export class AgentLine {
  readonly #ears: AgentEars
  readonly #guests = new Set<AgentEars>()
  readonly #wants: () => void
  readonly #over: (why: AgentEnd) => void
  readonly #beat: NodeJS.Timeout
  #inbox: JsonText[] = []
  #characters = 0
  /** What it has said, and has not gone on yet. */
  #outbox: Said[] = []
  #pace: NodeJS.Timeout | undefined
  /** Lines of the present second. */
  #logged = 0
  #loggedMs = 0
  #isDue = false
  /** What it was given last waits in its sandbox: it gets no more before that is heard. */
  #hasUnheard = false
  #timer: NodeJS.Timeout | undefined
  /** It has said something: from now on it answers heartbeats. */
  #hasSpoken = false
  #owesBeat = false
  #isSettled = false
  #isClosed = false

  /** `wants`: a turn. `over`: it must be ended. */
  constructor(options: { readonly ears: AgentEars; readonly wants: () => void; readonly over: (why: AgentEnd) => void }) {
    this.#ears = options.ears
    this.#wants = options.wants
    this.#over = options.over
    this.#beat = setInterval(() => this.#heartbeat(), limits.domainAgentBeatMs).unref()
  }

  get hasWork(): boolean {
    return this.#outbox.length === 0 && (this.#isDue || (this.#inbox.length > 0 && !this.#hasUnheard))
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  join(guest: AgentEars): RunningAgent {
    this.#guests.add(guest)
    guest.joined()
    return {
      tell: () => undefined,
      pass: (text) => {
        if (!this.#isClosed) this.#ears.passed(text)
      },
      end: () => void this.#guests.delete(guest),
    }
  }

  tell(text: JsonText): void {
    if (this.#isClosed) return
    this.#inbox.push(text)
    this.#characters += text.length
    if (this.#inbox.length > limits.domainAgentMessagesWaiting || this.#characters > limits.domainAgentCharactersWaiting) return this.#over({ kind: 'exceeded', what: 'messages-waiting' })
    this.#wants()
  }

  /** JSON: messages for its turn. */
  take(): JsonText {
    let characters = 0
    let count = 0
    for (const text of this.#hasUnheard ? [] : this.#inbox) {
      if (count > 0 && characters + text.length > limits.stepCharacters) break
      characters += text.length
      count += 1
    }
    const taken = this.#inbox.splice(0, count)
    this.#characters -= characters
    this.#due(undefined)
    if (taken.includes(BEAT)) this.#owesBeat = this.#hasSpoken
    return `[${taken.join(',')}]`
  }

  /** What came out of its sandbox; what it returns is the end of it. */
  took(text: string): AgentEnd | undefined {
    const out = readAgentOut(text)
    if (out === undefined) return { kind: 'failed', message: 'Error: the sandbox has broken', inPromise: false, line: undefined, column: undefined }
    this.#due(out.dueMs)
    this.#hasUnheard = out.hasUnheard
    const lines: string[] = []
    let end: AgentEnd | undefined
    for (const record of out.records) {
      if (record.kind === 'log') lines.push(record.line)
      else end ??= this.#record(record)
    }
    this.#log(lines)
    // The rest of what it said comes before its end.
    if (end === undefined) this.#sendOn()
    else this.#send(this.#outbox.splice(0, limits.domainAgentPaceMessages))
    return end
  }

  /** It has ended; `why` undefined: whoever runs it knows. */
  close(why: AgentEnd | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#beat)
    clearTimeout(this.#timer)
    clearTimeout(this.#pace)
    this.#inbox = []
    this.#outbox = []
    if (why !== undefined) this.#ears.ended(why)
    for (const guest of this.#guests) guest.ended(why?.kind === 'replaced' ? why : { kind: 'unavailable', reason: 'it has ended where it ran' })
  }

  #record(record: Exclude<AgentRecord, { kind: 'log' }>): AgentEnd | undefined {
    switch (record.kind) {
      case 'said':
        this.#hasSpoken = true
        this.#outbox.push(record)
        return undefined
      case 'beat':
        this.#owesBeat = false
        return undefined
      case 'settled':
        this.#isSettled = true
        this.#ears.settled(record.handlers)
        return undefined
      case 'failed':
        return record
      case 'memory':
        return { kind: 'exceeded', what: 'memory' }
      case 'too-large':
        return { kind: 'exceeded', what: 'message-size' }
      case 'exit':
        return { kind: 'exited', code: record.code }
    }
  }

  #sendOn(): void {
    let count = 0
    for (let characters = 0; count < this.#outbox.length && count < limits.domainAgentPaceMessages && characters < limits.domainAgentPaceCharacters; count++) characters += this.#outbox[count]!.text.length
    this.#send(this.#outbox.splice(0, count))
    if (this.#outbox.length > 0) this.#pace = setTimeout(() => this.#sendOn(), limits.domainAgentPaceMs).unref()
    else if (count > 0) this.#wants()
  }

  #send(said: readonly Said[]): void {
    for (const { connection, text } of said) this.#ears.said(connection, text)
  }

  /** Nobody sees more of them than a report takes in that time. */
  #log(lines: readonly string[]): void {
    const nowMs = performance.now()
    if (nowMs - this.#loggedMs > limits.domainLogMs) {
      this.#loggedMs = nowMs
      this.#logged = 0
    }
    const heard = lines.slice(0, Math.max(0, limits.domainLogLines - this.#logged))
    this.#logged += heard.length
    if (heard.length > 0) this.#ears.log(heard)
  }

  #due(ms: number | undefined): void {
    clearTimeout(this.#timer)
    this.#isDue = false
    this.#timer = ms === undefined ? undefined : setTimeout(() => this.#isNowDue(), Math.max(limits.domainAgentTimerMs, ms)).unref()
  }

  #isNowDue(): void {
    this.#isDue = true
    this.#wants()
  }

  #heartbeat(): void {
    if (this.#owesBeat) return this.#over({ kind: 'exceeded', what: 'heartbeat' })
    // One that waits has not been heard yet: time is what ends that.
    if (!this.#inbox.includes(BEAT)) this.tell(BEAT)
  }
}
