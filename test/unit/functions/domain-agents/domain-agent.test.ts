/** A domain agent from life to life: what its script hears, and when. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { Transport, TransportEvents } from '#shared/ports/agent-door.ts'
import type { AgentEars, AgentEnd, DomainModule, DomainWorker } from '#shared/ports/domain-worker.ts'
import { DomainAgent } from '#functions/domain-agents/domain-agent.ts'

const MODULE: DomainModule = { domain: 'a.test', key: 'k', source: '' }
const NO_HANDLERS = { prePersistence: false, postPersistence: false, configure: false, closeScripts: [] }
const ID = '11111111-1111-4111-8111-111111111111' as StateId
const GONE: AgentEnd = { kind: 'unavailable', reason: 'gone' }
const FAILED: AgentEnd = { kind: 'failed', message: 'Error: no', inPromise: true, line: 3, column: 7 }

/** One life of a script, as the worker is asked for it. */
type Life = { readonly ears: AgentEars; readonly told: JsonObject[]; readonly passed: JsonObject[]; isEnded: boolean }

class Stage {
  readonly lives: Life[] = []
  readonly outcomes: string[] = []
  readonly errors: string[] = []
  readonly users = new Map<string, string>([['s', 'ann']])
  readonly transports: { readonly transport: Transport; readonly heard: Json[]; readonly closed: string[] }[] = []
  readonly agent: DomainAgent

  constructor() {
    const worker: Pick<DomainWorker, 'agent'> = {
      agent: (_, ears) => {
        const life: Life = { ears, told: [], passed: [], isEnded: false }
        this.lives.push(life)
        return { tell: (text) => void life.told.push(JSON.parse(text) as JsonObject), pass: (text) => void life.passed.push(JSON.parse(text) as JsonObject), end: () => (life.isEnded = true) }
      },
    }
    this.agent = new DomainAgent(MODULE, {
      worker: worker as DomainWorker,
      domains: { moduleOf: () => MODULE, attach: () => undefined, started: (_, outcome) => this.outcomes.push(outcome), lines: () => undefined, error: (_, message) => this.errors.push(message), exported: () => undefined },
      door: (transport) => this.#opened(transport),
      greets: () => undefined,
      forget: () => undefined,
      userOf: (session) => this.users.get(session),
    })
  }

  get life(): Life {
    return this.lives.at(-1)!
  }

  /** The script's connection to its own domain, with its handshake. */
  ready(): void {
    this.greet({ token: 'x', domain: null }, 'main')
    this.life.ears.settled(NO_HANDLERS)
  }

  greet(message: JsonObject, connection: string): void {
    this.life.ears.said(connection, JSON.stringify(message))
    this.transports.at(-1)!.transport.send(JSON.stringify({ domain: 'a.test', server: 's', session: message['session'] ?? `of ${connection}` }))
  }

  stored(ii: number, session = 's'): void {
    this.agent.stored({ session, id: ID, scope: 'notes', patch: '[]', ii: ii as InteractionIndex })
  }

  /** What the script has heard of sessions. */
  get heard(): string[] {
    return this.life.told.filter(({ type }) => type !== undefined).map(({ type, session, data }) => `${String(type)} ${String(session)} ${type === 'mutate' ? String((data as JsonObject)['ii']) : JSON.stringify(data)}`)
  }

  #opened(transport: Transport): TransportEvents {
    const opened = { transport, heard: [] as Json[], closed: [] as string[] }
    this.transports.push(opened)
    return { message: (message) => void opened.heard.push(message as Json), closed: (how) => void opened.closed.push(how) }
  }
}

let stage: Stage
beforeEach(() => {
  jest.useFakeTimers()
  stage = new Stage()
})
afterEach(() => {
  stage.agent.end()
  jest.useRealTimers()
})

describe('what a script hears', () => {
  test('waits until it is ready and its top level is done', () => {
    stage.agent.opened('s', 'ann')
    stage.stored(1)
    stage.greet({ token: 'x', domain: null }, 'main')
    expect([stage.heard, stage.outcomes]).toEqual([[], ['done']])
    stage.life.ears.settled(NO_HANDLERS)
    expect(stage.heard).toEqual(['open s {"user":"ann"}', 'mutate s 1'])
    expect(stage.life.told.every(({ connection }) => connection === 'main')).toBe(true)
  })
  test('does not wait for a top level that is not done in time', () => {
    stage.agent.opened('s', 'ann')
    stage.greet({ token: 'x', domain: null }, 'main')
    jest.advanceTimersByTime(limits.domainAgentSettleMs)
    expect(stage.heard).toEqual(['open s {"user":"ann"}'])
  })
  test('begins with the opening of a session, whatever came first', () => {
    stage.agent.ensure()
    stage.ready()
    stage.stored(4)
    stage.agent.closed('s', null)
    stage.agent.closed('s', null)
    expect(stage.heard).toEqual(['open s {"user":"ann"}', 'mutate s 4', 'close s null'])
  })
  test('is each interaction once, though its message is sent again', () => {
    stage.agent.ensure()
    stage.ready()
    for (const ii of [1, 2, 2, 1, 3]) stage.stored(ii)
    expect(stage.heard.slice(1)).toEqual(['mutate s 1', 'mutate s 2', 'mutate s 3'])
  })
  test('is nothing of a session that has ended meanwhile', () => {
    stage.agent.ensure()
    stage.ready()
    stage.users.delete('s')
    stage.stored(1)
    expect(stage.heard).toEqual([])
  })
  test('is bounded while it is not ready: it is ended', () => {
    stage.agent.ensure()
    for (let ii = 1; ii <= limits.domainAgentMessagesWaiting + 1; ii++) stage.stored(ii)
    expect(stage.life.isEnded).toBe(true)
    expect(stage.outcomes).toEqual(['ERROR: Uncaught Error: it is not ready, and too much waits for it'])
  })
})

describe('connections of a script', () => {
  test('go to the domain that they name, and say nothing of who they are but by their secret', () => {
    stage.agent.ensure()
    stage.ready()
    stage.greet({ token: 'x', domain: 'B.test', sid: 'forged', user: 'root' }, 'there')
    const [own, other] = stage.transports
    expect([own!.transport.origin, other!.transport.origin]).toEqual(['https://a.test', 'https://b.test'])
    expect(other!.heard).toEqual([{ token: null, sid: other!.transport.sid, session: null }])
    expect(other!.transport.sid).not.toBe(own!.transport.sid)
    stage.life.ears.said('there', '{"scope":"x","si":0}')
    stage.life.ears.said('there', '{"token":"again"}')
    stage.life.ears.said('nowhere', '{"scope":"x","si":0}')
    expect(other!.heard.slice(1)).toEqual([{ scope: 'x', si: 0 }])
  })
  test('updates of its own domain come without its name, on the connection that does not name it', () => {
    stage.agent.ensure()
    stage.ready()
    const update = '{"domain":"a.test","user":"u","scope":"x","patch":[],"ii":1}'
    stage.transports[0]!.transport.send(update)
    stage.transports[0]!.transport.send(update.replace('a.test', 'b.test'))
    expect(stage.life.told.slice(-2).map(({ domain }) => domain)).toEqual([null, 'b.test'])
  })
  test('one that goes on with the session of another takes its place', () => {
    stage.agent.ensure()
    stage.ready()
    stage.greet({ token: 'x', domain: null, session: 'of main' }, 'again')
    expect(stage.transports[1]!.heard).toEqual([{ token: null, sid: stage.transports[1]!.transport.sid, session: 'of main' }])
    expect(stage.transports.map(({ closed }) => closed)).toEqual([['clean'], []])
    stage.stored(1)
    expect(stage.life.told.filter(({ type }) => type !== undefined).map(({ connection }) => connection)).toEqual(['again', 'again'])
  })
  test('one to its own domain that is refused ends the script', () => {
    stage.agent.ensure()
    stage.life.ears.said('main', '{"token":"x","domain":null}')
    stage.transports[0]!.transport.send('{"error":"First Message Must Be A Valid Auth Message"}')
    expect([stage.life.isEnded, stage.outcomes]).toEqual([true, ['ERROR: Uncaught Error: its connection was refused']])
  })
  test('are bounded in number', () => {
    stage.agent.ensure()
    stage.ready()
    for (let n = 0; n < limits.domainAgentConnections; n++) stage.life.ears.said(`c${n}`, '{"token":"x","domain":"b.test"}')
    expect(stage.lives[0]!.isEnded).toBe(true)
    expect(stage.transports.every(({ closed }) => closed.length === 1)).toBe(true)
  })
  test('one that is cut ends the script, which begins anew', () => {
    stage.agent.ensure()
    stage.ready()
    stage.transports[0]!.transport.cut()
    expect(stage.lives[0]!.isEnded).toBe(true)
    jest.advanceTimersByTime(limits.domainAgentRestartFirstMs)
    expect(stage.lives).toHaveLength(2)
  })
})

describe('a script that has ended', () => {
  test('through no fault of its own is started again, and hears of sessions that run', () => {
    stage.agent.ensure()
    stage.ready()
    stage.stored(1)
    stage.life.ears.ended(GONE)
    stage.stored(2)
    expect(stage.lives).toHaveLength(1)
    jest.advanceTimersByTime(limits.domainAgentRestartFirstMs)
    stage.ready()
    expect(stage.heard).toEqual(['open s {"user":"ann"}', 'mutate s 2'])
    expect(stage.errors).toEqual([])
    expect(stage.transports[0]!.closed).toEqual(['clean'])
  })
  test('by its own fault is told of, and started again after pauses that grow', () => {
    stage.agent.ensure()
    stage.ready()
    for (let lives = 1; lives <= 5; lives++) {
      stage.life.ears.ended(FAILED)
      jest.advanceTimersByTime(limits.domainAgentRestartFirstMs * 2 ** (lives - 1) - 1)
      expect(stage.lives).toHaveLength(lives)
      jest.advanceTimersByTime(1)
      expect(stage.lives).toHaveLength(lives + 1)
      stage.ready()
    }
    expect(stage.errors[0]).toBe('domain agent: Uncaught (in promise) Error: no\nline: 3, column: 7')
    expect(stage.outcomes).toEqual(['done'])
  })
  test('before it was ready waits for the next event of its domain', () => {
    stage.agent.ensure()
    stage.life.ears.ended(FAILED)
    jest.advanceTimersByTime(10 * limits.domainAgentRestartMaxMs)
    expect([stage.lives.length, stage.outcomes]).toEqual([1, ['ERROR: Uncaught (in promise) Error: no\nline: 3, column: 7']])
    stage.stored(1)
    jest.advanceTimersByTime(limits.domainAgentRestartFirstMs)
    stage.ready()
    expect(stage.heard).toEqual(['open s {"user":"ann"}', 'mutate s 1'])
  })
  test('is not heard any more, and one that was ended is not started again', () => {
    stage.agent.ensure()
    stage.ready()
    const [first] = stage.lives
    first!.ears.ended(GONE)
    stage.agent.end()
    first!.ears.said('late', '{"token":"x","domain":"b.test"}')
    first!.ears.ended(FAILED)
    jest.advanceTimersByTime(10 * limits.domainAgentRestartMaxMs)
    stage.stored(1)
    expect([stage.lives.length, stage.transports.length, stage.errors]).toEqual([1, 1, []])
  })
})

describe('a script that runs for another process', () => {
  test('hears through that one', () => {
    stage.agent.opened('s', 'ann')
    stage.life.ears.joined()
    stage.stored(1)
    expect(stage.life.passed.map(({ type }) => type)).toEqual(['open', 'mutate'])
    expect(stage.life.told).toEqual([])
  })
  test('what another process passes on it hears like the rest', () => {
    stage.agent.ensure()
    stage.life.ears.passed('{"type":"open","session":"t","data":{"user":"bob"}}')
    stage.ready()
    expect(stage.heard).toEqual(['open t {"user":"bob"}'])
  })
})

test('its own sessions are its own, in its own domain only, and are resumed by itself', () => {
  stage.agent.ensure()
  const own = stage.agent.begin('a.test')
  const there = stage.agent.begin('b.test')
  if (own.kind !== 'new' || there.kind !== 'new') throw new Error('not begun')
  expect(own.session).toMatchObject({ user: 'a.test', provider: 'core', domain: 'a.test' })
  expect(there.session).toMatchObject({ user: 'a.test', provider: 'core', domain: 'b.test' })
  expect([stage.agent.isOwn(own.session.session), stage.agent.isOwn(there.session.session), stage.agent.isOwn('s')]).toEqual([true, false, false])
  expect(stage.agent.resume('a.test', own.session.session)).toMatchObject({ kind: 'resumed', session: own.session })
  expect(stage.agent.resume('a.test', there.session.session)).toEqual({ kind: 'over' })
  stage.agent.sessionEnded(own.session.session)
  expect(stage.agent.resume('a.test', own.session.session)).toEqual({ kind: 'over' })
})
