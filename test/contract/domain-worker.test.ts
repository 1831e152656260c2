/** The domain worker from outside: what handlers can do, and what each way of misbehaving comes to. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { JsonObject } from '#shared/json.ts'
import { Workshop, moduleOf, type Asked } from './domain-worker-fixture.ts'

let worker: Workshop
beforeAll(async () => {
  worker = await Workshop.open()
})
afterAll(() => worker.close())

/** Of calls that are about time, or lose their answer. */
const SHORT_MS = 200
const never = (): Promise<never> => new Promise(() => undefined)

const returned = (value: unknown): object => ({ kind: 'returned', value, log: [] })

describe('load', () => {
  test('says what the module exports', async () => {
    const source = 'export function postPersistence() {}; export const closeScripts = { async leave() {}, no: 1 }; export const other = 1; console.log("loading", { a: 1 })'
    expect(await worker.client.load(moduleOf(source))).toEqual({
      kind: 'loaded',
      handlers: { prePersistence: false, postPersistence: true, configure: false, closeScripts: ['leave'] },
      log: ['loading {"a":1}'],
    })
  })

  test.each([
    ['a syntax error, with its place', 'const a = 1\nconst b = = 2', { message: expect.stringContaining('SyntaxError'), line: 2 }],
    ['what it throws', 'export const a = 1\nthrow new TypeError("no good")', { message: expect.stringContaining('TypeError: no good'), line: 2 }],
    ['a handler that is no function', 'export const prePersistence = 7', { message: expect.stringContaining('prePersistence must be a function') }],
    ['an import that is not there', 'import fs from "fs"', { message: expect.stringContaining('there is no such module') }],
    ['a top level that never ends waiting', 'await new Promise(() => {})', { message: expect.stringContaining('awaits at its top level') }],
    ['one that fills its memory', 'const a = []; for (;;) a.push(new Array(1000).fill(1))', { message: expect.stringContaining('memory') }],
  ])('a module is faulty: %s', async (_, source, fault) => {
    expect(await worker.client.load(moduleOf(source))).toMatchObject({ kind: 'faulty', ...fault })
  })

  test('a module is faulty: a top level that never ends', async () => {
    const hasty = await Workshop.open({ callMs: 300 })
    try {
      expect(await hasty.client.load(moduleOf('for (;;) {}'))).toMatchObject({ kind: 'faulty', message: 'the module takes too long to load' })
    } finally {
      await hasty.close()
    }
  })

  test('calls of a faulty module throw; the version before goes on', async () => {
    const good = moduleOf('export const prePersistence = () => ({ version: 1 })', 'versions.test')
    const bad = moduleOf('this is no module', 'versions.test')
    expect(await worker.call(good, 'prePersistence')).toEqual(returned({ version: 1 }))
    expect(await worker.client.load(bad)).toMatchObject({ kind: 'faulty' })
    expect(await worker.call(bad, 'prePersistence')).toMatchObject({ kind: 'threw', message: expect.stringContaining('the module does not load') })
    expect(await worker.call(good, 'prePersistence')).toEqual(returned({ version: 1 }))
  })
})

describe('handlers', () => {
  test('accept by returning nothing', async () => expect(await worker.pre('')).toEqual(returned(undefined)))
  test('change by returning a patch', async () => {
    expect(await worker.pre('return { patch: [{ op: "add", path: ["active", "n"], value: change.n + 1 }] }')).toEqual(
      returned({ patch: [{ op: 'add', path: ['active', 'n'], value: 2 }] }),
    )
  })
  test('reject with a reason', async () => expect(await worker.pre('throw reject("not your turn")')).toEqual({ kind: 'rejected', reason: 'not your turn', log: [] }))
  test('reject is for prePersistence', async () => {
    const module = moduleOf('export function postPersistence() { throw reject("late") }')
    expect(await worker.call(module, 'postPersistence')).toMatchObject({ kind: 'threw', message: 'rejected: late' })
  })
  test('throw, with the place', async () => {
    expect(await worker.pre('change.no.where')).toMatchObject({ kind: 'threw', message: expect.stringMatching(/^TypeError: .*\(agent\.js:1/) })
  })
  test('are plain functions as well, and answer thenables', async () => {
    expect(await worker.call(moduleOf('export const prePersistence = ({ n }) => n'), 'prePersistence', { n: 7 })).toEqual(returned(7))
    expect(await worker.pre('return { then(resolve) { resolve(5) } }')).toEqual(returned(5))
  })
  test('are configure and close scripts too; one that is not there throws', async () => {
    const module = moduleOf('export async function configure({ domain }) { return domain }\nexport const closeScripts = { async leave(args, { user }, agent) { return [args.x, user, typeof agent.patch] } }')
    expect(await worker.call(module, 'configure', { domain: 'a' })).toEqual(returned('a'))
    expect(await worker.call(module, { closeScript: 'leave' }, [{ x: 1 }, { user: 'u', session: 's' }])).toEqual(returned([1, 'u', 'function']))
    expect(await worker.call(module, { closeScript: 'constructor' }, [{}, {}])).toMatchObject({ kind: 'threw', message: 'there is no such handler' })
    expect(await worker.call(module, 'prePersistence')).toMatchObject({ kind: 'threw' })
  })
  test('log, bounded', async () => {
    const outcome: object = await worker.pre('console.log("a", 1, { b: [2] }); agent.log(new Error("x")); for (let i = 0; i < 1000; i++) agent.log("y".repeat(5000))')
    expect(outcome).toMatchObject({ kind: 'returned', log: expect.arrayContaining(['a 1 {"b":[2]}', 'Error: x', 'more lines were left out']) })
    const { log } = outcome as { readonly log: readonly string[] }
    expect(log).toHaveLength(100)
    expect(Math.max(...log.map(({ length }) => length))).toBeLessThan(1_010)
  })
  test('many at once in one sandbox each get their own answer, also while others wait for the agent', async () => {
    const module = moduleOf('export async function prePersistence({ n }, agent) { return n % 2 ? n : (await agent.state("s")) + n }')
    const outcomes = await Promise.all(Array.from({ length: 300 }, (_, n) => worker.call(module, 'prePersistence', { n }, () => ({ ok: '1000' }))))
    expect(outcomes).toEqual(outcomes.map((_, n) => returned(n % 2 ? n : 1000 + n)))
  })
})

describe('the agent', () => {
  test('passes arguments on, numbered within the call, and answers', async () => {
    const asked: Asked[] = []
    const outcome = await worker.pre(
      'const id = await agent.uuid(); const made = await agent.create({ id, active: {} }); const [a, b] = await Promise.all([agent.state("x", "u"), agent.query("q", [1], "d")]); return [id, made, a, b]',
      (call) => {
        asked.push(call)
        return { ok: JSON.stringify(`answer ${call.number}`) }
      },
    )
    expect(outcome).toEqual(returned(['answer 0', 'answer 1', 'answer 2', 'answer 3']))
    expect(asked).toEqual([
      { method: 'uuid', args: [], number: 0 },
      { method: 'create', args: [{ id: 'answer 0', active: {} }], number: 1 },
      { method: 'state', args: ['x', 'u'], number: 2 },
      { method: 'query', args: ['q', [1], 'd'], number: 3 },
    ])
  })
  test('errors arrive as errors', async () => {
    expect(await worker.pre('try { await agent.patch("x", []) } catch (e) { return [e instanceof Error, e.message] }', () => ({ error: 'not allowed' }))).toEqual(returned([true, 'not allowed']))
  })
  test('too many calls, too many bytes there or back', async () => {
    let calls = 0
    const counting = (): { ok: string } => {
      calls += 1
      return { ok: 'null' }
    }
    expect(await worker.pre('for (;;) await agent.uuid()', counting)).toMatchObject({ kind: 'exceeded', what: 'calls' })
    expect(await worker.pre('const all = []; for (let i = 0; i < 100000; i++) all.push(agent.uuid()); await Promise.all(all)', counting)).toMatchObject({ kind: 'exceeded', what: 'calls' })
    expect(calls).toBeLessThanOrEqual(40)
    expect(await worker.pre('await agent.patch("x", "y".repeat(300000))')).toMatchObject({ kind: 'exceeded', what: 'bytes' })
    expect(await worker.pre('await agent.state("x")', () => ({ ok: JSON.stringify('y'.repeat(300_000)) }))).toMatchObject({ kind: 'exceeded', what: 'bytes' })
  })
  test('of a call that is over says so', async () => {
    const module = moduleOf('let kept; export async function prePersistence({ n }, agent) { if (n === 0) { kept = agent; return }; try { await kept.uuid() } catch (e) { return e.message } }')
    await worker.call(module, 'prePersistence', { n: 0 })
    expect(await worker.call(module, 'prePersistence', { n: 1 })).toEqual(returned('this call of the handler is over'))
  })
})

describe('bounds', () => {
  test.each([
    ['a promise that never resolves', 'await new Promise(() => {})', 'time'],
    ['an endless loop', 'for (;;) {}', 'time'],
    ['an endless chain of promises', 'const again = () => Promise.resolve().then(again); await again()', 'time'],
    ['a long regular expression', '/^(a+)+$/.test("a".repeat(40) + "!")', 'time'],
    ['a long sort', 'const a = []; for (let i = 0; i < 200000; i++) a.push(String(i % 977)); for (;;) { a.sort(); a.reverse() }', 'time'],
    ['a long join', 'const a = new Array(1e9); a.join("")', 'time'],
    ['an endless loop that catches all', 'for (;;) { try { for (;;) {} } catch {} }', 'time'],
    ['an endless getter in the result', 'return { get a() { for (;;) {} } }', 'time'],
    ['an agent call that is not answered', 'await agent.state("never")', 'time'],
    ['pushes for ever', 'const a = []; for (;;) a.push({ a: [1, 2, 3] })', 'memory'],
    ['one huge buffer', 'return new ArrayBuffer(1e9)', 'memory'],
    ['a result of 10 MB', 'return "x".repeat(10e6)', 'result-size'],
    ['a result of many bytes in few characters', 'return "\\u20ac".repeat(30000)', 'result-size'],
  ])('%s', async (_, body, what) => {
    const module = moduleOf(`export async function prePersistence({ n }, agent) { if (n === 0) return "well"; ${body} }`)
    expect(await worker.call(module, 'prePersistence', { n: 1 }, never, what === 'time' ? SHORT_MS : undefined)).toEqual({ kind: 'exceeded', what, log: [] })
    // The next call of the domain finds a sandbox that works.
    expect(await worker.call(module, 'prePersistence', { n: 0 })).toEqual(returned('well'))
  })

  test('what filled the memory is gone for the next call', async () => {
    const module = moduleOf('const kept = []; export const prePersistence = ({ n }) => { for (; n;) kept.push({ n }); return kept.length }')
    expect(await worker.call(module, 'prePersistence', { n: 1 })).toMatchObject({ what: 'memory' })
    expect(await worker.call(module, 'prePersistence', { n: 0 })).toEqual(returned(0))
  })
  test('deep recursion throws, and the sandbox goes on', async () => {
    expect(await worker.pre('const f = () => f() + 1; f()')).toMatchObject({ kind: 'threw', message: expect.stringContaining('InternalError') })
    expect(await worker.pre('try { const f = () => f() + 1; f() } catch { return "caught" }')).toEqual(returned('caught'))
  })
  test('a result nested too deeply throws', async () => {
    expect(await worker.pre('let a = []; for (let i = 0; i < 400; i++) a = [a]; return a')).toMatchObject({ kind: 'threw', message: 'the result is nested too deeply' })
    expect(await worker.pre('let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a')).toMatchObject({ kind: 'threw' })
  })
})

describe('a call that misbehaves, and the others', () => {
  test('of its domain: each has its own answer', async () => {
    const module = moduleOf('export async function prePersistence({ n }, agent) { if (n === 7) for (;;) {}; if (n === 3) await agent.uuid(); return n }')
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, n) => worker.call(module, 'prePersistence', { n }, undefined, n === 7 ? SHORT_MS : undefined)))
    expect(outcomes).toEqual(outcomes.map((_, n) => (n === 7 ? { kind: 'exceeded', what: 'time', log: [] } : returned(n))))
  })
  test('of its domain, run again: its agent calls have the numbers that they had', async () => {
    const module = moduleOf('export async function prePersistence({ n }, agent) { if (n === 1) for (;;) {}; await agent.uuid(); return agent.uuid() }')
    const numbers: number[] = []
    let release: (() => void) | undefined
    const first = worker.call(module, 'prePersistence', { n: 0 }, async ({ number }) => {
      numbers.push(number)
      if (numbers.length === 1) await new Promise<void>((resolve) => (release = resolve))
      return { ok: String(number) }
    })
    while (release === undefined) await new Promise(setImmediate)
    const second = await worker.call(module, 'prePersistence', { n: 1 }, never, SHORT_MS)
    release()
    expect(second).toMatchObject({ what: 'time' })
    expect(await first).toEqual(returned(1))
    expect(numbers).toEqual([0, 0, 1])
  })
  test('of other domains go on meanwhile: a stretch that others wait for is ended', async () => {
    const crowd = await Workshop.open({ sliceMs: 200 })
    try {
      const calm = moduleOf('export const prePersistence = ({ n }) => n')
      const wild = ['for (;;) {}', '/^(a+)+$/.test("a".repeat(40) + "!")', 'for (;;) { try { for (;;) {} } catch {} }'].map((body) => crowd.pre(body, never))
      for (let n = 0; n < 10; n++) expect(await crowd.call(calm, 'prePersistence', { n })).toEqual(returned(n))
      // Two burn on, on two cores, until somebody waits again.
      const others = Array.from({ length: 3 }, () => crowd.pre('return 1'))
      expect(await Promise.all(others)).toEqual(others.map(() => returned(1)))
      expect(await Promise.race([wild[0]!, wild[1]!])).toEqual({ kind: 'exceeded', what: 'time', log: [] })
    } finally {
      await crowd.close()
    }
  })
  test('its thread is gone, and there are no more than are allowed', async () => {
    const before = new Set(worker.sandboxes.threads)
    const module = moduleOf('export const prePersistence = ({ n }) => { if (n) for (;;) {} }')
    await worker.call(module, 'prePersistence')
    const [thread] = worker.sandboxes.threads.filter((id) => !before.has(id))
    await worker.call(module, 'prePersistence', { n: 1 }, never, SHORT_MS)
    expect(worker.sandboxes.threads).not.toContain(thread)
    await Promise.all(Array.from({ length: 20 }, () => worker.pre('return 1')))
    expect(worker.sandboxes.threads.length).toBeLessThanOrEqual(8)
  })
})

describe('a new version of a module', () => {
  test('takes the place of the one before, which drains', async () => {
    const source = (version: number): string => `let calls = 0; export async function prePersistence(_, agent) { calls += 1; await agent.uuid(); return [${version}, calls] }`
    const one = moduleOf(source(1), 'drains.test')
    const two = moduleOf(source(2), 'drains.test')
    let release: (() => void) | undefined
    const slow = worker.call(one, 'prePersistence', {}, () => new Promise((resolve) => (release = () => resolve({ ok: '1' }))))
    while (release === undefined) await new Promise(setImmediate)
    const threads = worker.sandboxes.threads.length
    expect(await worker.call(two, 'prePersistence')).toEqual(returned([2, 1]))
    release()
    expect(await slow).toEqual(returned([1, 1]))
    await worker.call(two, 'prePersistence')
    while (worker.sandboxes.threads.length > threads) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await worker.call(two, 'prePersistence')).toEqual(returned([2, 3]))
  })
})

describe('no way out', () => {
  test.each([
    ['constructor.constructor', 'return this?.constructor ?? (() => {}).constructor("return typeof process + typeof require + typeof fetch")()', 'undefinedundefinedundefined'],
    ['of an agent function', 'return agent.state.constructor("return typeof process")()', 'undefined'],
    ['of an error of the host', 'try { await agent.state("x") } catch (e) { return e.constructor.constructor("return typeof process")() }', 'undefined'],
    ['eval', 'return (0, eval)("typeof globalThis.process")', 'undefined'],
    ['import()', 'try { await import("fs"); return "in" } catch (e) { return "out" }', 'out'],
    ['import() of node:', 'try { await import("node:child_process"); return "in" } catch (e) { return "out" }', 'out'],
    ['import() of a path', 'try { await import("/etc/passwd"); return "in" } catch (e) { return "out" }', 'out'],
    [
      'what is global beside the language',
      'return Object.getOwnPropertyNames(globalThis).filter((name) => /^[a-z]/.test(name)).filter((name) => !/^(decodeURI|decodeURIComponent|encodeURI|encodeURIComponent|escape|unescape|eval|globalThis|isFinite|isNaN|parseFloat|parseInt|undefined)$/.test(name)).sort().join()',
      'console,reject',
    ],
  ])('%s', async (_, body, value) => {
    expect(await worker.pre(body, () => ({ error: 'no' }))).toEqual(returned(value))
  })

  test('a key "__proto__" does not leave', async () => {
    expect(await worker.pre('return JSON.parse(\'{"a":{"__proto__":{"polluted":1}}}\')')).toMatchObject({ kind: 'threw', message: 'the result has a key "__proto__"' })
    const asked: Asked[] = []
    const outcome = await worker.pre('await agent.patch("x", JSON.parse(\'[{"__proto__":{"polluted":1}}]\'))', (call) => {
      asked.push(call)
      return { ok: 'null' }
    })
    expect(outcome).toMatchObject({ kind: 'threw' })
    expect(asked).toEqual([])
    expect(({} as JsonObject)['polluted']).toBeUndefined()
  })
  test.each([
    ['records of calls that are not open', '999,"returned",{"a":1}],[-1'],
    ['agent calls of others', '999,"agent",1,"patch",["x",[]]],[998'],
    ['what is no record', '{"kind":"returned"},[0'],
    ['what is no JSON', '"}{'],
    ['a record of no kind', '0,"admin",1],[0'],
    ['an agent call of no method', '0,"agent",1,"constructor",[]],[0'],
    ['a bound of no name', '0,"exceeded","nothing"],[0'],
    ['a log that is none', '0,"returned",1,{"length":1e9}],[0'],
    ['endless nesting', `0,"returned",${'['.repeat(100_000)}${']'.repeat(100_000)}],[0`],
  ])('forged frames do nothing to others: %s', async (_, token) => {
    // What world.ts keeps of a call gets into the module's hands by a map that it has changed.
    const source = `const { set } = Map.prototype
      const stolen = []
      Map.prototype.set = function (key, value) { stolen.push(value); return set.call(this, key, value) }
      export async function prePersistence({ n }) { if (n === 1) for (const call of stolen) if (call?.token > 0) call.token = ${JSON.stringify(token)}; return n }`
    const asked: Asked[] = []
    const module = moduleOf(source)
    const calm = worker.pre('await null; return "calm"')
    const tell = (call: Asked): { ok: string } => {
      asked.push(call)
      return { ok: 'null' }
    }
    const outcome = await worker.call(module, 'prePersistence', { n: 1 }, tell, SHORT_MS)
    // Its own call may have lost its answer, and has nothing else.
    expect(outcome.kind === 'threw' || (outcome.kind === 'exceeded' && outcome.what === 'time')).toBe(true)
    expect(asked).toEqual([])
    expect(await calm).toEqual(returned('calm'))
    expect(await worker.call(module, 'prePersistence', { n: 2 })).toEqual(returned(2))
  })
  test('polluted prototypes inside stay inside', async () => {
    const module = moduleOf('Object.prototype.polluted = 1; Array.prototype.toJSON = () => "own"; export const prePersistence = () => ({ a: [1] })')
    expect(await worker.call(module, 'prePersistence')).toMatchObject({ kind: expect.any(String) })
    expect(({} as JsonObject)['polluted']).toBeUndefined()
    expect(await worker.pre('return ({}).polluted ?? "clean"')).toEqual(returned('clean'))
  })
  test.each([
    ['an object', 'throw { toString() { throw 1 }, get message() { throw 2 } }'],
    ['an error with getters', 'const e = new Error("x"); Object.defineProperty(e, "message", { get() { throw 1 } }); throw e'],
    ['a proxy', 'throw new Proxy({}, { get() { throw 1 }, ownKeys() { throw 2 } })'],
    ['nothing', 'throw undefined'],
    ['null', 'throw null'],
    ['a symbol', 'throw Symbol("x")'],
    ['a lone surrogate', 'throw new Error("\\ud800")'],
    ['a long message', 'throw new Error("x".repeat(1e6))'],
  ])('what is thrown is shown without asking it: %s', async (_, body) => {
    const outcome = await worker.pre(body)
    expect(outcome.kind).toBe('threw')
    const { message } = outcome as { message: string }
    expect(message.length).toBeLessThan(2_100)
    expect(message.isWellFormed()).toBe(true)
  })
  test('getters and toJSON of results run inside', async () => {
    expect(await worker.pre('return { get a() { return typeof process }, b: { toJSON: () => "own" } }')).toEqual(returned({ a: 'undefined', b: 'own' }))
    expect(await worker.pre('return { get a() { throw new Error("no") } }')).toMatchObject({ kind: 'threw' })
    expect(await worker.pre('const a = {}; a.a = a; return a')).toMatchObject({ kind: 'threw' })
    expect(await worker.pre('return 1n')).toMatchObject({ kind: 'threw' })
  })
})
