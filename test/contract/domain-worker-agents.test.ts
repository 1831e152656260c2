/** Domain agents in the domain worker: the published agent in the sandbox, what a script may and what it may not. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { DomainWorkerClient } from '#shared/link/domain-worker-client.ts'
import type { AgentEnd, DomainModule, ModuleHandlers, RunningAgent } from '#shared/ports/domain-worker.ts'
import { CREDENTIALS, Workshop, moduleOf } from './domain-worker-fixture.ts'

let worker: Workshop
beforeAll(async () => {
  worker = await Workshop.open()
  // An agent is started on a link that is there.
  await worker.pre('')
})
afterAll(() => worker.close())

const IMPORT = "import Agent, { getAgent } from 'npm:@knowlearning/agents/deno.js';"
const SESSION = '11111111-1111-4111-8111-111111111111'

/** Who a script runs for: answers handshakes and messages as a server does, and keeps what it heard. */
class Runner {
  readonly said: JsonObject[] = []
  readonly lines: string[] = []
  readonly passed: Json[] = []
  readonly ended: Promise<AgentEnd>
  isJoined = false
  handlers: ModuleHandlers | undefined
  main: string | undefined
  readonly #running: RunningAgent
  readonly #waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = []

  constructor(module: DomainModule, client: DomainWorkerClient = worker.client) {
    const ended = Promise.withResolvers<AgentEnd>()
    this.ended = ended.promise
    this.#running = client.agent(module, {
      said: (connection, text) => this.#heard(() => this.#said(connection, JSON.parse(text) as JsonObject)),
      settled: (handlers) => this.#heard(() => (this.handlers = handlers)),
      log: (lines) => this.#heard(() => this.lines.push(...lines)),
      joined: () => this.#heard(() => (this.isJoined = true)),
      passed: (text) => this.#heard(() => this.passed.push(JSON.parse(text) as Json)),
      ended: ended.resolve,
    })
  }

  tell(message: JsonObject): void {
    this.#running.tell(JSON.stringify({ ...message, connection: this.main ?? '' }))
  }

  pass(message: JsonObject): void {
    this.#running.pass(JSON.stringify(message))
  }

  end(): void {
    this.#running.end()
  }

  /** Resolves when it holds; fails when the script has ended before. */
  async until(holds: () => boolean): Promise<void> {
    const end = await Promise.race([new Promise<undefined>((resolve) => (holds() ? resolve(undefined) : this.#waiting.push({ holds, resolve: () => resolve(undefined) }))), this.ended])
    if (end !== undefined && !holds()) throw new Error(`it has ended: ${JSON.stringify(end)}`)
  }

  /** What the script logs as the first line that begins with this word. */
  async logged(word: string): Promise<string> {
    await this.until(() => this.lines.some((line) => line.startsWith(`${word} `)))
    return this.lines.find((line) => line.startsWith(`${word} `))!.slice(word.length + 1)
  }

  #said(connection: string, message: JsonObject): void {
    this.said.push(message)
    if (Object.hasOwn(message, 'token')) {
      if (message['domain'] === null) this.main = connection
      this.#running.tell(JSON.stringify({ connection, domain: message['domain'] ?? 'own', server: 's', session: SESSION, auth: { user: 'own', provider: 'core', info: {} }, ack: -1 }))
    } else if (message['si'] !== undefined) this.#running.tell(JSON.stringify({ connection, si: message['si'], ii: 1 }))
  }

  #heard(note: () => void): void {
    note()
    for (const { holds, resolve } of this.#waiting) if (holds()) resolve()
  }
}

const run = (script: string, domain?: string): Runner => new Runner(moduleOf(IMPORT + script, domain))
/** What a script logs of a value. */
async function valueOf(script: string): Promise<Json> {
  const runner = run(`${script}; console.log('value', JSON.stringify(await (async () => { return value })()))`)
  const text = await runner.logged('value')
  runner.end()
  return JSON.parse(text) as Json
}

describe('a look at a module that imports the agent', () => {
  test('says what it exports, and runs nothing of it', async () => {
    const source = `${IMPORT} export async function prePersistence() {}; export const closeScripts = {}; for (;;) {}`
    expect(await worker.client.load(moduleOf(source))).toEqual({
      kind: 'loaded',
      handlers: { prePersistence: true, postPersistence: false, configure: false, closeScripts: [] },
      log: [],
      isAgent: true,
    })
  })
  test.each([
    ['with a version', "import Agent from 'npm:@knowlearning/agents@0.9.155/deno.js'"],
    ['later', "const { default: Agent } = await import('npm:@knowlearning/agents/deno.js')"],
  ])('knows it %s', async (_, source) => expect(await worker.client.load(moduleOf(source))).toMatchObject({ kind: 'loaded', isAgent: true }))
  test('finds what is wrong with it', async () => {
    expect(await worker.client.load(moduleOf(`${IMPORT}\nconst a = = 1`))).toMatchObject({ kind: 'faulty', line: 2 })
    expect(await worker.client.load(moduleOf(`${IMPORT}\nimport x from 'npm:left-pad'`))).toMatchObject({ kind: 'faulty', message: expect.stringContaining('there is no such module') })
  })
  test('its handlers are not called before it runs', async () => {
    const module = moduleOf(`${IMPORT} export const prePersistence = () => 1`)
    expect(await worker.call(module, 'prePersistence')).toEqual({ kind: 'unavailable', reason: "the domain's agent does not run" })
    const runner = new Runner(module)
    await runner.until(() => runner.handlers !== undefined)
    expect(await worker.call(module, 'prePersistence')).toEqual({ kind: 'returned', value: 1, log: [] })
    runner.end()
  })
  test('modules without it import the two others, and no file', async () => {
    expect(await worker.pre(`const { standardJSONPatch } = await import('npm:@knowlearning/patch-proxy'); return standardJSONPatch([{ path: ['a', 0] }])`)).toMatchObject({ value: [{ path: '/a/0' }] })
    for (const name of ['agents:/deno.js', 'uuid', 'domain-agent:/index.js', 'agent.js', 'fast-json-patch:/package.json', 'npm:fast-json-patch/../../package.json']) {
      expect(await worker.pre(`return import(${JSON.stringify(name)}).then(() => 'in', () => 'out')`)).toMatchObject({ value: 'out' })
    }
  })
})

describe('a script', () => {
  test('has the published agent, which speaks to its domain', async () => {
    const runner = run("const { auth, domain } = await Agent.environment(); console.log('env', auth.user, domain); Agent.interact('notes', [{ op: 'add', path: ['active', 'a'], value: 1 }], false)")
    expect(await runner.logged('env')).toBe('own own')
    await runner.until(() => runner.said.some(({ scope }) => scope === 'notes'))
    expect(runner.said[0]).toEqual({ token: 'domain-agent', domain: null })
    expect(runner.said.find(({ scope }) => scope === 'notes')).toMatchObject({ patch: [{ op: 'add', path: ['active', 'a'], value: 1 }], si: expect.any(Number), ts: expect.any(Number) })
    runner.end()
  })

  test('hears of children, and connects to other domains', async () => {
    const runner = run(`
      Agent.on('child', (child) => {
        console.log('child', child.environment.user)
        child.on('mutate', ({ scope, patch, ii }) => console.log('mutate', scope, patch, ii))
        child.on('close', (info) => console.log('close', info))
      })
      getAgent('other.test').environment().then(({ domain }) => console.log('there', domain))`)
    expect(await runner.logged('there')).toBe('other.test')
    runner.tell({ type: 'open', session: 'A', data: { user: 'ann' } })
    runner.tell({ type: 'mutate', session: 'A', data: { scope: 'x', patch: [{ op: 'remove', path: ['active', 'a'] }, { op: 'add', path: ['name'], value: 'n' }], ii: 4 } })
    runner.tell({ type: 'close', session: 'A', data: null })
    expect(await runner.logged('child')).toBe('ann')
    expect(await runner.logged('mutate')).toBe('x [{"op":"remove","path":["a"]}] 4')
    expect(await runner.logged('close')).toBe('null')
    runner.end()
  })

  test('has timers that ring in order, once or again, or not at all', async () => {
    const value = await valueOf(`
      const rung = []
      const ring = (name) => (...args) => rung.push(name + args.join(''))
      setTimeout(ring('c'), 20); setTimeout(ring('a'), 5, 1, 2); setTimeout(ring('b'), 5); clearTimeout(setTimeout(ring('never'), 1))
      for (let n = 0; n < 500; n++) clearTimeout(setTimeout(ring('never'), 10 + n))
      const done = Promise.withResolvers()
      let times = 0
      const every = setInterval(() => { rung.push('e'); if ((times += 1) < 3) return; clearInterval(every); setTimeout(done.resolve, 60) }, 30)
      queueMicrotask(ring('micro'))
      await done.promise
      const value = rung`)
    expect(value).toEqual(['micro', 'a12', 'b', 'c', 'e', 'e', 'e'])
  })

  test('that hears more than it can take at once hears all of it, and its timers ring meanwhile', async () => {
    const runner = run(`
      let heard = 0, rung = 0
      setInterval(() => { rung += 1 }, 5)
      addEventListener('message', ({ data }) => {
        if (data?.n === undefined) return
        heard += 1
        if (data.n === 0) rung = 0
        for (const until = Date.now() + 1; Date.now() < until;);
        if (heard === 200) console.log('heard', heard, data.n, rung > 5)
      })`)
    await runner.until(() => runner.handlers !== undefined)
    for (let n = 0; n < 200; n++) runner.tell({ n })
    expect(await runner.logged('heard')).toBe('200 199 true')
    runner.end()
  })

  test('clones as structured clones do', async () => {
    const value = await valueOf(`
      const made = { d: new Date(7), m: new Map([[1, { a: 1 }]]), s: new Set([2]), b: new Uint8Array([1, 2]), e: new TypeError('t'), n: null, u: undefined, l: [, 1], __proto__: null, ['__proto__']: 1 }
      made.self = made
      const copy = structuredClone(made)
      const value = [copy !== made, copy.self === copy, copy.d.getTime(), copy.m.get(1).a, copy.s.has(2), [...copy.b], copy.e.name + copy.e.message, 'u' in copy, 0 in copy.l, Object.hasOwn(copy, '__proto__')]
      for (const bad of [() => 1, Symbol('x'), Promise.resolve(), { a: () => 1 }]) try { structuredClone(bad); value.push('cloned') } catch { value.push('no') }`)
    expect(value).toEqual([true, true, 7, 1, true, [1, 2], 'TypeErrort', true, false, true, 'no', 'no', 'no', 'no'])
  })

  test('has random numbers that do not repeat', async () => {
    const value = await valueOf(`
      const ids = [...Array(2000)].map(() => crypto.randomUUID())
      const bytes = crypto.getRandomValues(new Uint16Array(1000))
      const value = [new Set(ids).size, ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)), new Set(bytes).size > 900]`)
    expect(value).toEqual([2000, true, true])
  })

  test.each([
    ['at its top level', "throw new Error('no')", { message: 'Error: no', inPromise: true, line: 1 }],
    ['at its top level, later', "await Agent.environment()\nthrow new TypeError('no')", { message: 'TypeError: no', inPromise: true, line: 2 }],
    ['in a timer', "setTimeout(() => { throw new Error('no') }, 1)", { message: 'Error: no', inPromise: false }],
    ['in a timer, later', "setTimeout(async () => { await null; throw new Error('no') }, 1)", { message: 'Error: no', inPromise: true }],
    ['in a listener', "addEventListener('message', () => { throw new Error('no') })", { message: 'Error: no' }],
    ['in a reaction, later', "Agent.watch('x', async () => { throw new Error('no') })", { message: 'Error: no' }],
    ['what cannot be shown', 'throw { toString() { throw 1 }, toJSON() { throw 2 } }', { message: 'something that cannot be shown' }],
    ['null', 'throw null', undefined],
  ])('that throws what nobody catches %s has ended', async (_, script, failed) => {
    const end = await run(script).ended
    if (failed === undefined) expect(end).toEqual({ kind: 'exceeded', what: 'memory' })
    else expect(end).toMatchObject({ kind: 'failed', ...failed })
  })

  test('ends itself, and says nothing after that', async () => {
    const runner = run("try { Deno.exit(4) } catch {} console.log('after that'); postMessage({ connection: 'x', token: 'late' })")
    expect(await runner.ended).toEqual({ kind: 'exited', code: 4 })
    expect([runner.lines, runner.said.some(({ token }) => token === 'late')]).toEqual([[], false])
  })

  test('that is ended leaves no thread', async () => {
    const before = new Set(worker.sandboxes.threads)
    const runner = run('')
    await runner.until(() => runner.main !== undefined)
    const [thread] = worker.sandboxes.threads.filter((id) => !before.has(id))
    expect(thread).toBeDefined()
    runner.end()
    await run("Deno.exit(0)").ended
    expect(worker.sandboxes.threads).not.toContain(thread)
  })
})

describe('bounds of a script', () => {
  test.each([
    ['fills its memory', 'const a = []; for (;;) a.push({ a: [1, 2, 3] })', 'memory'],
    ['fills its memory in a timer', 'setTimeout(() => { const a = []; for (;;) a.push({ a: [1, 2, 3] }) }, 1)', 'memory'],
    ['says too much at once', "for (let n = 0; n < 200; n++) postMessage({ connection: 'x', text: 'y'.repeat(100_000) })", 'message-size'],
    ['says something too large', "postMessage({ connection: 'x', text: 'y'.repeat(1_100_000) })", 'message-size'],
  ])('%s', async (_, script, what) => expect(await run(script).ended).toEqual({ kind: 'exceeded', what }))

  test('that computes for ever is ended, at once where others wait for a turn', async () => {
    const narrow = await Workshop.open({ running: 1 })
    try {
      await narrow.pre('')
      const wild = new Runner(moduleOf(`${IMPORT} Agent.on('child', () => { for (;;) {} })`), narrow.client)
      await wild.until(() => wild.said.some(({ si }) => si !== undefined))
      wild.tell({ type: 'open', session: 'A', data: { user: 'ann' } })
      // A call waits for its turn for 2 s; on a machine that is that slow, the next one does.
      let calm = await narrow.pre('return 1')
      while (calm.kind === 'unavailable') calm = await narrow.pre('return 1')
      expect(calm).toEqual({ kind: 'returned', value: 1, log: [] })
      expect(await wild.ended).toEqual({ kind: 'exceeded', what: 'time' })
    } finally {
      await narrow.close()
    }
  })

  test('timers are counted', async () => {
    expect(await valueOf(`let value; try { for (;;) setTimeout(() => 1, 1e6) } catch (error) { value = error.message }`)).toBe('too many timers')
  })

  test('what it says goes on at a pace, all of it and in order', async () => {
    const count = 3 * limits.domainAgentPaceMessages
    const runner = run(`for (let n = 0; n < ${count}; n++) postMessage({ connection: 'x', n })`)
    await runner.until(() => runner.said.filter(({ n }) => n !== undefined).length === count)
    expect(runner.said.filter(({ n }) => n !== undefined).map(({ n }) => n)).toEqual(Array.from({ length: count }, (_, n) => n))
    runner.end()
  })

  test('a domain agent too many is refused, and the others live', async () => {
    const small = await Workshop.open({ living: 2 })
    try {
      await small.pre('')
      const [a, b] = [1, 2].map(() => new Runner(moduleOf(IMPORT), small.client))
      await a!.until(() => a!.main !== undefined)
      expect(await new Runner(moduleOf(IMPORT), small.client).ended).toEqual({ kind: 'unavailable', reason: 'too many domain agents run' })
      await b!.until(() => b!.main !== undefined)
      // Handlers of other domains have sandboxes of their own.
      expect(await small.pre('return 1')).toMatchObject({ value: 1 })
    } finally {
      await small.close()
    }
  })
})

describe('no way out of a script', () => {
  test('what is global beside the language', async () => {
    const value = await valueOf("const value = Object.getOwnPropertyNames(globalThis).filter((name) => /^[a-z]/.test(name)).sort()")
    const language = ['decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent', 'escape', 'eval', 'globalThis', 'isFinite', 'isNaN', 'parseFloat', 'parseInt', 'undefined', 'unescape']
    const given = ['addEventListener', 'clearInterval', 'clearTimeout', 'console', 'crypto', 'fetch', 'performance', 'postMessage', 'queueMicrotask', 'reject', 'removeEventListener', 'reportError', 'self', 'setInterval', 'setTimeout', 'structuredClone']
    expect((value as string[]).filter((name) => !language.includes(name))).toEqual(given)
  })

  test.each([
    ['nested too deeply', 'let a = []; for (let i = 0; i < 400; i++) a = [a]; postMessage({ connection: "x", a })'],
    ['with a key "__proto__"', 'postMessage(JSON.parse(\'{"connection":"x","a":{"__proto__":{"polluted":1}}}\'))'],
    ['without a connection', 'postMessage({ a: 1 })'],
    ['with a connection that is none', 'postMessage({ connection: "x".repeat(1000) })'],
  ])('a message %s ends it', async (_, script) => {
    const runner = run(script)
    expect(await runner.ended).toMatchObject({ kind: 'failed' })
    expect(runner.said.filter(({ token }) => token === undefined)).toEqual([])
    expect(({} as JsonObject)['polluted']).toBeUndefined()
  })

  test.each([
    ['what is no record', '{"kind":"said"}'],
    ['what is no JSON', '"}{'],
    ['a record of no kind', '["admin",1]'],
    ['what is no message', '["said",7]'],
    ['endless nesting', `["said",${'['.repeat(100_000)}${']'.repeat(100_000)}]`],
    ['an end that is none', '["failed",{"length":1}]'],
    ['handlers that are none', '["settled",{"length":1}]'],
  ])('forged frames end it, and nothing else: %s', async (_, record) => {
    // agent-world.ts looks for the place of an error by an expression whose working the script has changed.
    const runner = run(`RegExp.prototype.exec = () => ['', ${JSON.stringify(`0,0],${record},["beat"`)}, '0']; throw new Error('forged')`)
    expect(await runner.ended).toEqual({ kind: 'failed', message: 'Error: the sandbox has broken', inPromise: false })
    expect(await worker.pre('return "calm"')).toMatchObject({ value: 'calm' })
  })

  test('a domain agent that takes its world apart harms its own', async () => {
    const calm = run("console.log('calm', 1)")
    const wild = run("Map.prototype.get = Map.prototype.set = Set.prototype.add = Array.prototype.push = Array.prototype.pop = () => { throw 1 }; Promise.prototype.then = () => 1; setTimeout(() => 1, 1)")
    await calm.logged('calm')
    expect((await wild.ended).kind).toBe('failed')
    calm.end()
  })
})

describe('who a script runs for', () => {
  test('a new module takes the place of the one before', async () => {
    const one = run('', 'versions.agents.test')
    await one.until(() => one.main !== undefined)
    const two = run('', 'versions.agents.test')
    expect(await one.ended).toEqual({ kind: 'replaced' })
    await two.until(() => two.main !== undefined)
    two.end()
  })

  test('of two processes that start one module the second joins, passes on, and is told when the first has gone', async () => {
    const other = new DomainWorkerClient({ credentials: CREDENTIALS, name: 'other' })
    other.at(`127.0.0.1:${worker.port}`)
    await other.load(moduleOf(''))
    const module = moduleOf(IMPORT)
    const first = new Runner(module, other)
    await first.until(() => first.main !== undefined)
    const second = new Runner(module)
    await second.until(() => second.isJoined)
    second.pass({ type: 'open', session: 'B', data: { user: 'bob' } })
    await first.until(() => first.passed.length > 0)
    expect([first.passed, second.said]).toEqual([[{ type: 'open', session: 'B', data: { user: 'bob' } }], []])
    await other.close()
    expect(await second.ended).toMatchObject({ kind: 'unavailable' })
    const third = new Runner(module)
    await third.until(() => third.main !== undefined)
    expect(third.isJoined).toBe(false)
    third.end()
  })

  test('without a link it is unavailable', async () => {
    const lonely = new DomainWorkerClient({ credentials: CREDENTIALS, name: 'lonely' })
    expect(await new Runner(moduleOf(IMPORT), lonely).ended).toMatchObject({ kind: 'unavailable' })
    await lonely.close()
  })
})
