/**
 * A scene: state processes on one scripted storage, and a trace of everything that goes into them and comes out.
 *
 * A script says who asks for what; `run` then carries out what is pending, in order, except what the script holds
 * back. Time stands still until `pass`. The trace is compared with the text file next to the script;
 * `UPDATE_TRACES=1` writes it anew (read what changed before you commit it).
 */
import { expect } from '@jest/globals'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { assert } from '#shared/assert.ts'
import type { Incarnation, InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { FanOutMessage } from '#shared/ports/fan-out.ts'
import type { PatchRequest } from '#shared/ports/state-cluster.ts'
import type { Tuning } from '#shared/protocol/context.ts'
import { Core } from '#shared/protocol/core.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import type { Answer, Effect } from '#shared/protocol/effects.ts'
import type { ClockReading, Event } from '#shared/protocol/events.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import { decodeBundle, decodeSegment, type Bundle } from '#shared/records/bundle.ts'
import { unwrap } from '#shared/records/envelope.ts'
import { decodeSmall } from '#shared/records/fence.ts'
import { decodeIdFileHistory } from '#shared/records/id-file.ts'
import { ScriptedStorage, type Outcome, type StorageEffect, type StorageEvent } from './scripted-storage.ts'

/** States that scripts speak of; `x` and `y` lie in different slots. */
export const IDS = {
  x: '11111111-1111-4111-8111-111111111111' as StateId,
  y: '22222222-2222-4222-8222-222222222222' as StateId,
  z: '33333333-3333-4333-8333-333333333333' as StateId,
} as const
export type StateName = keyof typeof IDS

const WALL_MS = 1_700_000_000_000

export class Scene {
  readonly storage = new ScriptedStorage()
  readonly tuning: Partial<Tuning>
  /** Processes know of each other; each life has a name of its own. */
  readonly clustered: boolean
  nowMs = 0
  #lines: string[] = []
  #actors: Actor[] = []
  #mistaken: { readonly by: Actor; readonly life: Actor; readonly earlier: Actor } | undefined

  constructor(tuning: Partial<Tuning> = {}, options: { readonly clustered?: boolean } = {}) {
    this.tuning = tuning
    this.clustered = options.clustered ?? false
  }

  /** Two processes that have booted and know each other, past the wait behind a boot. */
  static ofTwo(): { readonly scene: Scene; readonly a: Actor; readonly b: Actor } {
    const scene = new Scene({}, { clustered: true })
    const a = scene.boot('a')
    const b = scene.boot('b')
    scene.members(a, b)
    scene.link(a, b)
    scene.run()
    scene.pass(1_000)
    return { scene, a, b }
  }

  get now(): ClockReading {
    return { wallMs: WALL_MS + this.nowMs, monotonicMs: this.nowMs }
  }

  /** A line of explanation in the trace. */
  say(text: string): void {
    this.#lines.push(`${this.#lines.length > 0 ? '\n' : ''}# ${text}`)
  }

  line(text: string): void {
    this.#lines.push(text)
  }

  /** A process begins a life. */
  boot(incarnation: string, options: { readonly previous?: string } = {}): Actor {
    const actor = new Actor(this, incarnation as Incarnation, options.previous as Incarnation | undefined)
    this.#actors.push(actor)
    return actor
  }

  /** The directory tells everybody who there is. */
  members(...actors: readonly Actor[]): void {
    this.line(`-- the directory: ${actors.map(({ incarnation }) => incarnation).join(', ')}`)
    const members = actors.map(({ incarnation }) => ({ name: incarnation, incarnation, address: '', pid: undefined, state: 'active', heartbeat: this.nowMs }) as const)
    for (const actor of actors) actor.step({ kind: 'members', members })
  }

  /** A link between two comes up. */
  link(a: Actor, b: Actor): void {
    this.line(`-- link ${a.incarnation} ${b.incarnation}`)
    a.step({ kind: 'link-up', peer: b.incarnation, name: b.incarnation })
    b.step({ kind: 'link-up', peer: a.incarnation, name: a.incarnation })
  }

  /** The same, but `by` takes `life` for `earlier`, another life of its process. */
  mistake(by: Actor, life: Actor, earlier: Actor): void {
    this.line(`-- link ${by.incarnation} ${life.incarnation}, which ${by.incarnation} takes for ${earlier.incarnation}`)
    this.#mistaken = { by, life, earlier }
    life.step({ kind: 'link-up', peer: by.incarnation, name: by.incarnation })
    by.step({ kind: 'link-up', peer: earlier.incarnation, name: life.incarnation })
  }

  /** `from` asks `to` to take over the slot of a state. */
  invite(from: Actor, to: Actor, state: StateName): void {
    this.deliver(from, { kind: 'send', to: to.incarnation, message: { kind: 'take-over', slot: slotOf(IDS[state]) } })
  }

  deliver(from: Actor, { to, message }: Extract<Effect, { kind: 'send' }>): void {
    if (message.kind !== 'heartbeat') this.line(`${from.incarnation}  => ${to} ${messageText(message)}`)
    const { by, life, earlier } = this.#mistaken ?? {}
    const receiver = from === by && to === earlier?.incarnation ? life : this.#actors.find((actor) => actor.incarnation === to)
    const sender = from === life && receiver === by ? earlier! : from
    receiver?.step({ kind: 'message', from: sender.incarnation, message })
  }

  /** Carries out everything that is pending and not held, and what follows from it. */
  run(): void {
    for (let steps = 0; this.#actors.some((actor) => actor.performNext()); steps++) assert(steps < 10_000, 'the scene does not come to rest')
  }

  /** Time passes; timers that become due fire in order, each followed by `run`. */
  pass(ms: number): void {
    const until = this.nowMs + ms
    this.line(`-- ${ms} ms pass`)
    for (;;) {
      const due = this.#actors.flatMap((actor) => actor.timers.map((timer) => ({ actor, timer }))).filter(({ timer }) => timer.atMs <= until)
      const next = due.sort((a, b) => a.timer.atMs - b.timer.atMs)[0]
      if (next === undefined) break
      this.nowMs = Math.max(this.nowMs, next.timer.atMs)
      next.actor.fire(next.timer)
      this.run()
    }
    this.nowMs = until
  }

  /** Compares the trace with `<script>.txt`; `script` is `import.meta.url`. */
  compare(script: string): void {
    const trace = `${this.#lines.join('\n')}\n`
    const file = new URL(script.replace(/\.test\.ts$/, '.txt'))
    if (process.env['UPDATE_TRACES'] === '1') writeFileSync(file, trace)
    expect(existsSync(file) ? trace.split('\n') : [`${file.pathname} is missing: UPDATE_TRACES=1 writes it`]).toEqual(existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [])
  }
}

type Timer = { readonly atMs: number; readonly token: number }
type Held = { readonly effect: StorageEffect; /** It has taken effect; nobody has heard. */ landed: StorageEvent | undefined }

export class Actor {
  readonly incarnation: Incarnation
  readonly core: Core
  timers: Timer[] = []
  alive = true
  readonly answers = new Map<string, Answer>()
  /** Names of the objects that it has read, in order. */
  readonly reads: string[] = []
  /** What the fan-out has taken, in order. */
  readonly published: FanOutMessage[] = []
  #refused: Extract<Effect, { kind: 'publish' }>[] | undefined
  readonly #scene: Scene
  #pending: (StorageEffect | Extract<Effect, { kind: 'turn' | 'send' | 'publish' }>)[] = []
  #held: Held[] = []
  #holding: RegExp[] = []
  #labels = new Map<number, string>()
  #nextToken = 1

  constructor(scene: Scene, incarnation: Incarnation, previous: Incarnation | undefined) {
    this.#scene = scene
    this.incarnation = incarnation
    this.#line(`begins${previous === undefined ? '' : `, after ${previous}`}`)
    const name = scene.clustered ? incarnation : 'p'
    this.core = new Core({ name, incarnation, previous, clustered: scene.clustered, publish: true, tuning: scene.tuning }, scene.now)
    this.#take(this.core.start())
  }

  #line(text: string): void {
    this.#scene.line(`${this.incarnation}  ${text}`)
  }

  #token(label: string): number {
    const token = this.#nextToken++
    this.#labels.set(token, label)
    return token
  }

  step(event: Event): void {
    if (this.alive) this.#take(this.core.step(event, this.#scene.now))
  }

  // What a script says.

  /** Adds `member` to the state's `active`. */
  patch(label: string, state: StateName, member: string, options: Partial<PatchRequest> = {}): void {
    const ops: Op[] = [{ op: 'add', path: ['active', member], value: label }]
    const key = options.key ?? `key of ${label}`
    const request: PatchRequest = {
      id: IDS[state],
      ops,
      text: JSON.stringify(ops),
      user: 'alice',
      domain: 'localhost',
      authority: 'owner',
      creation: { name: null, reserved: false },
      bodyDigest: '',
      expected: undefined,
      returnState: false,
      lenient: false,
      ...options,
      key: key.padEnd(16, '.').slice(0, 16),
    }
    this.#line(`< patch ${label} of ${state}: ${member}${options.key === undefined ? '' : `, ${options.key}`}${options.expected === undefined ? '' : `, as ${options.expected}`}`)
    this.step({ kind: 'patch', token: this.#token(label), request })
  }

  read(label: string, state: StateName): void {
    this.#line(`< strong read ${label} of ${state}`)
    this.step({ kind: 'read', token: this.#token(label), request: { id: IDS[state], mode: 'strong', minIi: undefined } })
  }

  stateAt(label: string, state: StateName, ii: number): void {
    this.#line(`< state ${label} of ${state} at ${ii}`)
    this.step({ kind: 'state-at', token: this.#token(label), request: { id: IDS[state], ii: ii as InteractionIndex } })
  }

  create(label: string, state: StateName, name: string): void {
    this.#line(`< create ${label} of ${state}: name ${name}`)
    const request = { id: IDS[state], user: 'alice', domain: 'localhost', creation: { name, reserved: false } }
    this.step({ kind: 'create', token: this.#token(label), request })
  }

  follow(label: string, state: StateName, from?: number): number {
    this.#line(`< follow ${label} of ${state}${from === undefined ? '' : ` from ${from}`}`)
    const token = this.#token(label)
    this.step({ kind: 'follow', token, id: IDS[state], from: from as InteractionIndex | undefined })
    return token
  }

  unfollow(token: number): void {
    this.#line(`< unfollow ${this.#labels.get(token)}`)
    this.step({ kind: 'unfollow', token })
  }

  stop(): void {
    this.#line('< stop')
    this.step({ kind: 'stop' })
  }

  /** Storage operations on names like this wait for `finish`. */
  hold(names: RegExp): void {
    this.#holding.push(names)
  }

  /** From now on nothing is held back; what was held runs with the next `run`, in its old order. */
  letGo(): void {
    this.#holding = []
    this.#pending.unshift(...this.#held.splice(0).map(({ effect }) => effect))
  }

  /** Ends the first held operation on a name like this. */
  finish(name: RegExp, outcome: Outcome = 'done'): void {
    const held = this.#heldLike(name)
    this.#held = this.#held.filter((other) => other !== held)
    if (held.landed === undefined) return this.#performStorage(held.effect, outcome, 'held ')
    this.#line(`  answer of ${this.#describe(held.effect)} -> ${outcomeText(held.landed)}`)
    this.step(held.landed)
  }

  /** The first held operation on a name like this takes effect; its answer waits for `finish`. */
  land(name: RegExp): void {
    const held = this.#heldLike(name)
    held.landed = this.#scene.storage.perform(held.effect)
    this.#line(`  held ${this.#describe(held.effect)} takes effect`)
  }

  /** From now on the fan-out takes nothing from this process; `takeAll` ends that. */
  refuseMessages(): void {
    this.#line('  the fan-out takes nothing')
    this.#refused = []
  }

  takeAll(): void {
    const refused = this.#refused ?? []
    this.#line('  the fan-out takes what was refused')
    this.#refused = undefined
    for (const effect of refused) this.#publish(effect)
  }

  #publish(effect: Extract<Effect, { kind: 'publish' }>): void {
    if (this.#refused !== undefined) return void this.#refused.push(effect)
    this.published.push(effect.message)
    this.step({ kind: 'published', messages: 1, characters: effect.message.patch.length })
  }

  #heldLike(name: RegExp): Held {
    const held = this.#held.find(({ effect }) => name.test(objectOf(effect)))
    assert(held, `nothing held is like ${name}: ${this.held().join(', ')}`)
    return held
  }

  held(): string[] {
    return this.#held.map(({ effect }) => `${effect.kind} ${objectOf(effect)}`)
  }

  crash(): void {
    this.#line('crashes')
    this.alive = false
    this.timers = []
    this.#pending = []
  }

  // What a scene does.

  performNext(): boolean {
    const effect = this.#pending.shift()
    if (effect === undefined) return false
    if (effect.kind === 'turn') {
      this.#line('< turn')
      this.step({ kind: 'turn' })
    } else if (effect.kind === 'publish') this.#publish(effect)
    else if (effect.kind === 'send') this.#scene.deliver(this, effect)
    else if (this.#holding.some((names) => names.test(objectOf(effect)))) {
      this.#line(`  ${this.#describe(effect)} ... held`)
      this.#held.push({ effect, landed: undefined })
    } else this.#performStorage(effect, 'done', '')
    return true
  }

  #performStorage(effect: StorageEffect, outcome: Outcome, prefix: string): void {
    const description = this.#describe(effect)
    const event = this.#scene.storage.perform(effect, outcome)
    if (effect.kind === 'get') this.reads.push(effect.name)
    this.#line(`  ${prefix}${description} -> ${outcomeText(event)}${outcome === 'done' || effect.kind !== 'put' ? '' : ` (${outcome})`}${this.alive ? '' : ', nobody hears it'}`)
    this.step(event)
  }

  fire(timer: Timer): void {
    this.timers = this.timers.filter((other) => other !== timer)
    this.#line(`< timer`)
    this.step({ kind: 'timer', token: timer.token })
  }

  #take(effects: readonly Effect[]): void {
    for (const effect of effects) this.#takeOne(effect)
  }

  #takeOne(effect: Effect): void {
    switch (effect.kind) {
      case 'put':
      case 'get':
      case 'list':
      case 'delete':
      case 'turn':
      case 'send':
        this.#pending.push(effect)
        return
      case 'timer':
        this.timers.push({ atMs: this.#scene.nowMs + effect.ms, token: effect.token })
        return
      case 'answer': {
        const label = this.#labels.get(effect.token)!
        this.answers.set(label, effect.answer)
        return this.#line(`> answer ${label}: ${answerText(effect.answer)}`)
      }
      case 'follow-state':
        return this.#line(`> ${this.#labels.get(effect.token)} sees ${effect.state ? `${effect.state.active} at ${effect.state.ii}` : 'unwritten'}`)
      case 'follow-patch':
        return this.#line(`> ${effect.tokens.map((token) => this.#labels.get(token)).join(', ')} sees ${effect.interaction.ii}`)
      case 'follow-end':
        return this.#line(`> ${this.#labels.get(effect.token)} ends`)
      case 'publish':
        this.#line(`> publish ${stateName(effect.message.id)}/${effect.message.ii}`)
        this.#pending.push(effect)
        return
      case 'log':
        return this.#line(`> log ${effect.level}: ${effect.message} ${named(JSON.stringify(effect.fields))}`)
      case 'fenced':
      case 'stopped':
        this.alive = false
        this.timers = []
        return this.#line(`> ${effect.kind}`)
    }
  }

  #describe(effect: StorageEffect): string {
    const object = named(objectOf(effect))
    if (effect.kind === 'list') return `list ${object}${effect.after === undefined ? '' : ` after ${named(effect.after)}`}`
    return `${effect.kind} ${object}${effect.kind === 'put' ? ` [${contentText(effect.name, effect.bytes)}]` : ''}`
  }
}

const objectOf = (effect: StorageEffect): string => (effect.kind === 'list' ? effect.prefix : effect.name)

const stateName = (id: StateId): string => Object.entries(IDS).find(([, known]) => known === id)![0]
const named = (text: string): string => Object.entries(IDS).reduce((result, [name, id]) => result.replaceAll(id, `<${name}>`), text)

function messageText(message: PeerMessage): string {
  const { kind, ...rest } = message
  return `${kind} ${JSON.stringify(rest)}`
}

function answerText(answer: Answer): string {
  if (answer.kind === 'not-leader') return `not leader${answer.leader === undefined ? '' : `, ${answer.leader} is`}${answer.ignoreMe ? ', ignore me' : ''}`
  if (answer.kind === 'state') return `${answer.state.active} at ${answer.state.ii}`
  if (answer.kind === 'created') return `${answer.made ? 'made' : 'was there'}, at ${answer.state.ii}`
  if (answer.kind === 'stored') return `stored as ${answer.ii}${answer.replayed ? ', a repeat' : ''}`
  const { kind, ...rest } = answer
  return Object.keys(rest).length === 0 ? kind : `${kind} ${JSON.stringify(rest)}`
}

function outcomeText(event: StorageEvent): string {
  const { outcome } = event
  return outcome.kind === 'names' ? (outcome.names.length === 0 ? 'nothing' : outcome.names.map((name) => named(name).split('/').slice(2).join('/')).join(' ')) : outcome.kind
}

/** What a record says, in one line. */
export function contentText(name: string, bytes: Uint8Array): string {
  const parts = name.split('/')
  const { type } = unwrap(bytes)
  const entries = ({ entries: of }: Bundle): string => of.map(({ id, ii, cycle }) => `${stateName(id)}/${ii} of cycle ${cycle}`).join(', ')
  switch (type) {
    case 'bundle': {
      const bundle = decodeBundle(bytes, parts[1] as Incarnation, Number(parts[2]) as Seq)
      return `bundle, low ${bundle.header.low}: ${entries(bundle)}`
    }
    case 'segment': {
      const [from, to] = parts[3]!.split('-').map(Number) as [Seq, Seq]
      return `segment: ${decodeSegment(bytes, parts[1] as Incarnation, from, to).map(entries).join(' | ')}`
    }
    case 'seal': {
      const { by, waited, low } = decodeSmall('seal', bytes)
      return `seal by ${by}${waited ? ', waited' : ''}${low === undefined ? '' : `, low ${low}`}`
    }
    case 'end':
      return `end: ${decodeSmall('end', bytes).seal}`
    case 'epoch': {
      const { leader, first, predecessor } = decodeSmall('epoch', bytes)
      return `epoch: ${leader} from ${first}${predecessor ? `, ${predecessor.incarnation} up to ${predecessor.last}` : ''}`
    }
    case 'checkpoint': {
      const { cycle, seq, published } = decodeSmall('checkpoint', bytes)
      return `checkpoint: cycle ${cycle} up to ${seq}${published ? `, published: cycle ${published.cycle} up to ${published.seq}` : ''}`
    }
    default: {
      const { header, history } = decodeIdFileHistory(bytes, parts[1] as StateId, Number(parts[2]) as InteractionIndex)
      return `ID file at ${header.ii}, history ${header.from}..${header.ii}: ${history.length}`
    }
  }
}
