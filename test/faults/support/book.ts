/**
 * What is known of one state from outside, and whether it can be true: the checker of these tests.
 *
 * Every patch appends a token of its own to `["active", "log"]`, so that the state tells its history: interaction 1 makes
 * the empty list, interaction n has left its token at n - 2. Whoever sees anything (an answer, a read, an event, a line of
 * history) tells the book; it compares with what anybody saw before.
 *
 * Owns: what was sent, what became of it, what was seen under which index. Does not own: connections.
 * Promises (state-process.md) that a fault names: P1 durable before visible, P2 one history, P3 no gaps, P4 acknowledged
 * is for ever, P6 exactly once, P7 strong reads are current.
 */
export type Outcome =
  /** Under way, or to be sent again. */
  | { readonly kind: 'open' }
  | { readonly kind: 'acknowledged'; readonly ii: number; readonly updated: number }
  /** Nobody knows, and nobody will send it again. */
  | { readonly kind: 'abandoned' }
  /** Certainly not in, and never to come: refused, or unknown and not found when the dust had settled. */
  | { readonly kind: 'out'; readonly why: string }

export type Acknowledgement = { readonly ii: number; readonly updated: number; readonly replayed: boolean }
/** The state as a read or an event showed it. */
export type Shown = { readonly ii: number; readonly log: readonly string[] }
export type HistoryLine = { readonly ii: number; readonly ts: number; readonly token: string }

/** The token of interaction 1. */
export const FIRST = '(first)'

const FAULTS_KEPT = 20
/** How much of a state's end a passing read compares; the last look compares all. */
const COMPARED_TAIL = 64

export class Book {
  readonly scope: string
  readonly faults: string[] = []
  #faultCount = 0
  readonly #outcomes = new Map<string, Outcome>()
  /** Tokens by index. */
  readonly #seen: (string | undefined)[] = []
  readonly #indexOf = new Map<string, number>()
  #floor = 0

  constructor(scope: string) {
    this.scope = scope
  }

  /** Everything up to this index has been seen by somebody: a strong read that starts now must show it. */
  get floor(): number {
    return this.#floor
  }

  count(kind: Outcome['kind']): number {
    let count = 0
    for (const outcome of this.#outcomes.values()) if (outcome.kind === kind) count += 1
    return count
  }

  outcome(token: string): Outcome | undefined {
    return this.#outcomes.get(token)
  }

  fault(text: string): void {
    this.#faultCount += 1
    if (this.faults.length < FAULTS_KEPT) this.faults.push(`${this.scope}: ${text}`)
    else this.faults[FAULTS_KEPT] = `${this.scope}: ... ${this.#faultCount} in all`
  }

  sending(token: string): void {
    if (this.#outcomes.has(token)) throw new Error(`token ${token} is used twice`)
    this.#outcomes.set(token, { kind: 'open' })
  }

  abandon(token: string): void {
    // Somebody may have seen it already: then it is in.
    this.#outcomes.set(token, { kind: 'abandoned' })
  }

  /** A certain no. */
  refused(token: string, why: string): void {
    const ii = this.#indexOf.get(token)
    if (ii !== undefined) this.fault(`P4: ${token} is interaction ${ii}, and was answered ${why}`)
    this.#outcomes.set(token, { kind: 'out', why })
  }

  /** `isRepeat`: this key was sent before, so that "replayed" is possible; `mustReplay`: and was acknowledged. */
  acknowledged(token: string, answer: Acknowledgement, how: { readonly isRepeat: boolean }): void {
    const before = this.#outcomes.get(token)
    if (before === undefined) return this.fault(`${token} was acknowledged, and never sent`)
    if (before.kind === 'acknowledged') {
      if (!answer.replayed) this.fault(`P6: ${token} sent again was not answered as a repeat`)
      if (before.ii !== answer.ii || before.updated !== answer.updated) {
        this.fault(`P6: ${token} was acknowledged as ${before.ii} at ${before.updated}, and when repeated as ${answer.ii} at ${answer.updated}`)
      }
      return
    }
    if (answer.replayed && !how.isRepeat) this.fault(`P6: ${token} was sent once, and answered as a repeat`)
    this.#place(answer.ii, token, 'acknowledgement')
    this.#outcomes.set(token, { kind: 'acknowledged', ii: answer.ii, updated: answer.updated })
  }

  /** An interaction as an event or a line of history showed it. */
  saw(ii: number, token: string, by: string): void {
    this.#place(ii, token, by)
  }

  /** An index that an answer named as the present one. */
  sawIndex(ii: number): void {
    if (ii > this.#floor) this.#floor = ii
  }

  /** A read; `floor`: what was seen before it started, 0 where it need not be current. */
  read(shown: Shown, options: { readonly floor: number; readonly by: string }): void {
    const { ii, log } = shown
    const { floor, by } = options
    if (ii < floor) this.fault(`P7: ${by} started after ${floor} had been seen, and shows ${ii}`)
    if (log.length !== Math.max(0, ii - 1)) return this.fault(`P3: ${by} shows ${log.length} tokens at ${ii}`)
    for (let at = Math.max(0, log.length - COMPARED_TAIL); at < log.length; at++) this.#place(at + 2, log[at]!, by)
    this.sawIndex(ii)
  }

  /**
   * The dust has settled: who had what was sent before is dead. What is unknown and not in this read stays out for ever.
   */
  settle(shown: Shown): void {
    const inside = new Set(shown.log)
    for (const [token, outcome] of this.#outcomes) {
      if (outcome.kind === 'abandoned' && !inside.has(token)) this.#outcomes.set(token, { kind: 'out', why: 'not found after a restart' })
    }
  }

  /** The end: everything against everything. */
  finish(present: Shown, history: readonly HistoryLine[]): void {
    const { ii, log } = present
    if (ii < this.#floor) this.fault(`P4: ${this.#floor} had been seen, and in the end there are ${ii}`)
    if (log.length !== ii - 1) this.fault(`P3: in the end ${log.length} tokens at ${ii}`)
    if (history.length !== ii) this.fault(`P3: ${history.length} lines of history at ${ii}`)
    let ts = 0
    for (const [at, line] of history.entries()) {
      if (line.ii !== at + 1) {
        this.fault(`P3: line ${at + 1} of the history is ${line.ii}`)
        break
      }
      if (line.ts < ts) this.fault(`the history goes back in time at ${line.ii}`)
      ts = line.ts
      this.#place(line.ii, line.token, 'history')
      if (at > 0 && log[at - 1] !== line.token) this.fault(`P2: interaction ${line.ii} is ${line.token} in the history, ${String(log[at - 1])} in the state`)
    }
    const times = new Map<string, number>()
    for (const token of log) times.set(token, (times.get(token) ?? 0) + 1)
    for (const [token, count] of times) if (count > 1) this.fault(`P6: ${token} is in the state ${count} times`)
    for (const [token, outcome] of this.#outcomes) {
      const isIn = times.has(token) || (token === FIRST && ii > 0)
      if (outcome.kind === 'acknowledged' && !isIn) this.fault(`P4: ${token} was acknowledged as ${outcome.ii}, and is lost`)
      if (outcome.kind === 'acknowledged' && isIn && token !== FIRST && log[outcome.ii - 2] !== token) this.fault(`P4: ${token} was acknowledged as ${outcome.ii}, and is not there`)
      if (outcome.kind === 'open') this.fault(`${token} has no outcome: the test did not wait for it`)
    }
    for (const [token] of times) if (!this.#outcomes.has(token)) this.fault(`${token} is in the state, and nobody sent it`)
    for (const [index, token] of this.#seen.entries()) {
      if (token !== undefined && index > 1 && log[index - 2] !== token) this.fault(`P1: ${token} was seen as ${index}, and is ${String(log[index - 2])} in the end`)
    }
  }

  #place(ii: number, token: string, by: string): void {
    const there = this.#seen[ii]
    if (there !== undefined && there !== token) return this.fault(`P2: interaction ${ii} was ${there}, and is ${token} to the ${by}`)
    if (there === undefined) {
      const elsewhere = this.#indexOf.get(token)
      if (elsewhere !== undefined) return this.fault(`P6: ${token} was interaction ${elsewhere}, and is ${ii} to the ${by}`)
      const outcome = this.#outcomes.get(token)
      if (outcome === undefined) return this.fault(`the ${by} shows ${token} as ${ii}, and nobody sent it`)
      if (outcome.kind === 'out') return this.fault(`P4: ${token} was out (${outcome.why}), and is interaction ${ii} to the ${by}`)
      if (outcome.kind === 'acknowledged') return this.fault(`P4: ${token} was acknowledged as ${outcome.ii}, and is ${ii} to the ${by}`)
      this.#seen[ii] = token
      this.#indexOf.set(token, ii)
    }
    this.sawIndex(ii)
  }
}

/**
 * One follower's events: every index once, in order, whatever became of its connections.
 *
 * A `state` event may come at any time: it must not go back, and from it on there is no gap either.
 */
export class Track {
  readonly #book: Book
  readonly #name: string
  /** The last index that it has; undefined: no event yet. */
  position: number | undefined
  patches = 0
  /** `state` events after the first. */
  restarts = 0

  constructor(book: Book, name: string) {
    this.#book = book
    this.#name = name
  }

  isOf(book: Book): boolean {
    return book === this.#book
  }

  state(shown: Shown): void {
    if (this.position !== undefined) {
      this.restarts += 1
      if (shown.ii < this.position) this.#book.fault(`P3: ${this.#name} had ${this.position}, and starts again at ${shown.ii}`)
    }
    this.#book.read(shown, { floor: 0, by: this.#name })
    this.position = shown.ii
  }

  patch(ii: number, token: string): void {
    if (this.position === undefined) this.#book.fault(`P3: ${this.#name} got interaction ${ii} before any state`)
    else if (ii !== this.position + 1) this.#book.fault(`P3: ${this.#name} had ${this.position}, and got ${ii}`)
    this.#book.saw(ii, token, this.#name)
    this.position = ii
    this.patches += 1
  }
}
