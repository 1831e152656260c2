/** Published KnowLearning agents, unmodified, against the real `npm start`. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { cutWires, loadClients, wireTo } from '../support/agents.ts'
import type { Clients, TestAgent, Version, Wire } from '../support/agents.ts'
import { startLocalServer } from '../support/local-server.ts'
import { eventually, startTestPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import type { TestServer } from './fixture.ts'

/** `settings`: of `npm start`. */
export function agentsSuite(settings: Readonly<Record<string, string>>, start = startLocalServer): void {
  let server: TestServer
  let postgres: TestPostgres
  let clients: Clients

  beforeAll(async () => {
    postgres = await startTestPostgres()
    server = await start({ DATABASE_URL: postgres.url, AUTHORIZE_DEFAULT: 'allow', ...settings })
    clients = await loadClients()
  })
  afterEach(cutWires)
  afterAll(async () => {
    await clients?.close()
    await server?.stop()
    await postgres?.stop()
  })

  describe.each<Version>(['0.9.155', '0.9.193'])('agents %s', (version) => {
    const open = (options: { readonly domain?: string; readonly sid?: string; readonly token?: string | null } = {}): TestAgent => clients.open(version, { port: server.port, ...options })

    test('a named state keeps what its proxy is assigned, for the next page of the same browser', async () => {
      const sid = `${version} browser`
      const first = open({ sid })
      const state = await first.agent.state('notes')
      state.title = 'one'
      state.list = [1]
      await first.agent.interact('notes', [{ op: 'add', path: ['active', 'more'], value: { deep: true } }])
      const { auth } = await first.agent.environment()
      expect(auth).toMatchObject({ provider: 'anonymous', info: { name: 'anonymous', picture: null } })
      const second = open({ sid })
      expect((await second.agent.environment()).auth.user).toBe(auth.user)
      expect(await second.agent.state('notes')).toEqual({ title: 'one', list: [1], more: { deep: true } })
      first.leave()
      second.leave()
    })

    test('what is read right after it was sent is there', async () => {
      const { agent, leave } = open()
      const id = agent.create({ active_type: 'application/json;type=thing', active: { a: 1 } })
      expect(await agent.state(id)).toEqual({ a: 1 })
      const { agent: other, leave: leaveOther } = open()
      await other.environment()
      const later = agent.create({ active: { b: 2 } })
      expect(await agent.state(later)).toEqual({ b: 2 })
      expect(await other.state(later)).toEqual({ b: 2 })
      leave()
      leaveOther()
    })

    test('metadata says whose a state is, and renames it', async () => {
      const { agent, leave } = open()
      const { auth, domain } = await agent.environment()
      const id = agent.create({ active_type: 'application/json;type=thing', active: { a: 1 } })
      await agent.synced()
      const metadata = await agent.metadata(id)
      expect(metadata).toMatchObject({ id, owner: auth.user, domain, name: id, active_type: 'application/json;type=thing', ii: 1 })
      metadata.name = 'my-thing'
      await agent.interact(id, [{ op: 'add', path: ['active', 'b'], value: 2 }])
      expect((await agent.metadata('my-thing')).id).toBe(id)
      leave()
    })

    test('watchers see arrays inserted into, removed from and sorted as the writer does', async () => {
      const { agent, leave } = open()
      const { agent: watcher, leave: leaveWatcher } = open()
      const { auth } = await agent.environment()
      const seen: unknown[] = []
      const state = await agent.state('array')
      watcher.watch('array', ({ state: present }: { state: { list?: unknown } }) => seen.push(copied(present.list)), auth.user)
      await eventually(() => expect(seen).toHaveLength(1))
      state.list = ['c', 'a']
      await eventually(() => expect(seen.at(-1)).toEqual(['c', 'a']))
      state.list.push('b', 'd')
      await eventually(() => expect(seen.at(-1)).toEqual(['c', 'a', 'b', 'd']))
      state.list.splice(1, 2, 'x')
      await eventually(() => expect(seen.at(-1)).toEqual(['c', 'x', 'd']))
      state.list.sort()
      await eventually(() => expect(seen.at(-1)).toEqual(['c', 'd', 'x']))
      state.list.unshift('0')
      await eventually(() => expect(seen.at(-1)).toEqual(['0', 'c', 'd', 'x']))
      leave()
      leaveWatcher()
    })

    test('a writer who watches has its own update before its answer', async () => {
      const { agent, heard, leave } = open()
      await agent.state('echo')
      for (let i = 0; i < 20; i++) {
        const { ii } = await agent.interact('echo', [{ op: 'add', path: ['active', `k${i}`], value: i }])
        expect(heard.some((message) => message.scope === 'echo' && message.patch !== undefined && message.ii === ii)).toBe(true)
      }
      const of = heard.filter((message) => message.scope === 'echo' && message.patch !== undefined).map(({ ii }) => ii as number)
      expect(of).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
      leave()
    })

    test('resetting a state leaves an empty one', async () => {
      const { agent, leave } = open()
      const seen: unknown[] = []
      agent.watch('reset-me', ({ state }: { state: unknown }) => seen.push(copied(state)))
      await eventually(() => expect(seen).toEqual([{}]))
      await agent.interact('reset-me', [{ op: 'add', path: ['active', 'a'], value: 1 }])
      await agent.reset('reset-me')
      await agent.interact('reset-me', [{ op: 'add', path: ['active', 'b'], value: 2 }])
      await eventually(() => expect(seen.at(-1)).toEqual({ b: 2 }))
      leave()
    })

    test("another user's state can be read, and not written", async () => {
      const { agent, leave } = open()
      const { agent: other, leave: leaveOther } = open()
      const id = agent.create({ active: { a: 1 } })
      await agent.state(id)
      await expect(other.interact(id, [{ op: 'add', path: ['active', 'a'], value: 2 }])).rejects.toMatchObject({ error: 'ERROR PROCESSING MESSAGE' })
      expect(await other.state(id)).toEqual({ a: 1 })
      expect((await other.metadata(id)).ii).toBe(1)
      leave()
      leaveOther()
    })

    test('a name that is watched before its owner uses it is the owner\'s', async () => {
      const { agent, leave } = open()
      const { agent: other, leave: leaveOther } = open()
      const { auth } = await agent.environment()
      expect(await other.state('early', auth.user)).toEqual({})
      const { id } = await other.metadata('early', auth.user)
      await agent.interact('early', [{ op: 'add', path: ['active', 'a'], value: 1 }])
      expect(await agent.metadata('early')).toMatchObject({ id, owner: auth.user })
      leave()
      leaveOther()
    })

    test('files are uploaded, downloaded by anybody, and replaced under their id', async () => {
      const { agent, leave } = open()
      const { agent: other, leave: leaveOther } = open()
      const id = await agent.upload({ name: 'a.txt', type: 'text/plain', data: 'first' })
      expect(await (await other.download(id)).text()).toBe('first')
      expect(await agent.metadata(id)).toMatchObject({ active_type: 'text/plain', name: 'a.txt' })
      await agent.upload({ id, name: 'a.txt', type: 'text/plain', data: 'second' })
      const response = await other.download(id)
      expect(await response.text()).toBe('second')
      expect(response.headers.get('content-type')).toContain('text/plain')
      const twin = await agent.upload({ name: 'a.txt', type: 'text/plain', data: 'another' })
      expect(await (await agent.download(twin)).text()).toBe('another')
      leave()
      leaveOther()
    })

    test('a domain is claimed, configured and queried, with SQLSTATE errors', async () => {
      const domain = `a${version.replaceAll('.', '')}.localhost:5112`
      const { agent, leave } = open({ domain: 'localhost:5112' })
      expect(await agent.claim(domain)).toMatchObject({ token: expect.any(String), report: expect.any(String) })
      const config = await agent.upload({ type: 'text/yaml', data: CONFIG })
      const report = agent.uuid()
      agent.create({ active_type: 'application/json;type=domain-config', active: { config, report, domain } })
      let done: { end?: number; error?: unknown } = {}
      agent.watch(report, ({ state }: { state: typeof done }) => {
        done = copied(state)
      })
      await eventually(() => expect(done.error ?? done.end).toEqual(expect.any(Number)))
      const user = open({ domain })
      const { session } = await user.agent.environment()
      expect(session).toEqual(expect.any(String))
      user.agent.create({ active_type: 'application/json;type=score', active: { player: 'ann', points: 7 } })
      await user.agent.synced()
      expect(await user.agent.query('top', [10])).toEqual([{ player: 'ann', points: 7 }])
      // As the client's own `query` sends it, which leaves rejections unhandled.
      const failed = (query: string, params: unknown[]): Promise<unknown> =>
        user.agent.interact('sessions', [{ op: 'add', path: ['active', session, 'queries', user.agent.uuid()], value: { query, params } }], false).catch(({ error }: { error: string }) => error)
      expect(await failed('top', ['x'])).toBe('22P02')
      expect(await failed('none', [])).toBe(`INVALID QUERY 'none' FOR '${domain}'`)
      leave()
      user.leave()
    })

    test('a lost connection loses no update, doubles none, and the session goes on', async () => {
      const { agent, heard, breakConnection, connections, rebooted, leave } = open()
      const writer = open()
      const { auth } = await writer.agent.environment()
      const seen: number[] = []
      agent.watch('counted', ({ state }: { state: { n?: number } }) => seen.push(state.n ?? 0), auth.user)
      await eventually(() => expect(seen).toEqual([0]))
      for (let n = 1; n <= 30; n++) {
        if (n === 5 || n === 15) breakConnection()
        if (n === 20) writer.breakConnection()
        writer.agent.interact('counted', [{ op: 'add', path: ['active', 'n'], value: n }]).catch(() => undefined)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await eventually(() => expect(seen.at(-1)).toBe(30))
      expect(seen).toEqual(seen.toSorted((a, b) => a - b))
      expect(connections()).toBeGreaterThan(1)
      expect(rebooted()).toBe(0)
      expect(heard.filter(({ error }) => error !== undefined)).toEqual([])
      // Messages of one turn go as one: each interaction was applied once.
      const history = (await writer.agent.metadata('counted')) as { id: string }
      const updates = heard.filter(({ scope, patch }) => scope === 'counted' && patch !== undefined).map(({ ii }) => ii as number)
      expect(history.id).toEqual(expect.any(String))
      expect(seen).toHaveLength(1 + new Set(updates).size)
      leave()
      writer.leave()
    })

    test('a client of REST and an agent see one order', async () => {
      const { agent, leave } = open()
      const token = await server.tokenOf(`rest ${version}`)
      const opened = await fetch(`${server.url}/v1/sessions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token, domain: 'localhost:5112' }) })
      const rest = (await opened.json()) as { token: string; user: string }
      const same = open({ token })
      expect((await same.agent.environment()).auth.user).toBe(rest.user)
      const seen: unknown[] = []
      agent.watch('shared', ({ patch, ii }: { patch: unknown; ii: number }) => seen.push([ii, patch]), rest.user)
      await eventually(() => expect(seen).toHaveLength(1))
      const byRest = async (n: number): Promise<void> => {
        const response = await fetch(`${server.url}/v1/states/shared`, {
          method: 'PATCH',
          headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${rest.token}` },
          body: JSON.stringify({ patch: [{ op: 'add', path: ['active', `rest${n}`], value: n }] }),
        })
        expect(response.status).toBe(200)
      }
      await Promise.all(Array.from({ length: 10 }, (_, n) => [byRest(n), same.agent.interact('shared', [{ op: 'add', path: ['active', `agent${n}`], value: n }])]).flat())
      const lines = await (await fetch(`${server.url}/v1/states/shared/history`, { headers: { Authorization: `Bearer ${rest.token}` } })).text()
      const history = lines.trim().split('\n').map((line) => JSON.parse(line) as { ii: number; patch: { path: string[] }[] })
      const expected = history.map(({ ii, patch }) => [ii, patch.map((op) => ({ ...op, path: op.path.slice(1) }))])
      await eventually(() => expect(seen.slice(1)).toEqual(expected))
      leave()
      same.leave()
    })
  })

  describe('the wire', () => {
    const open = async (origin = 'http://localhost:5112'): Promise<Wire> => wireTo(server.port, origin)
    const ADD = (n: number): object[] => [{ op: 'add', path: ['active', `k${n}`], value: n }]

    test('a first message that is none, a token that nobody issued and a foreign Origin are refused', async () => {
      for (const [origin, first] of [
        ['http://localhost:5112', { hello: 1 }],
        ['http://localhost:5112', { token: 'a'.repeat(64) }],
        ['https://unclaimed.example.com', { token: null }],
      ] as const) {
        const wire = await open(origin)
        wire.send(first)
        expect(await wire.next()).toEqual({ error: 'First Message Must Be A Valid Auth Message' })
        await wire.closed
      }
    })

    test('text that is no JSON is answered, and the connection kept', async () => {
      const wire = await open()
      wire.sendText('{')
      expect(await wire.next()).toEqual({ error: 'Error Parsing Message' })
      wire.send({ token: null })
      expect(await wire.next()).toMatchObject({ domain: 'localhost:5112', ack: -1, auth: { provider: 'anonymous' } })
      wire.cut()
    })

    test('a session is resumed with what was not acknowledged, by its own browser only', async () => {
      const first = await open()
      first.send({ token: null, sid: 'mine' })
      const greeting = await first.next()
      const { session } = greeting
      first.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session], value: { queries: {}, subscriptions: {} } }], si: 0 })
      expect(await first.next()).toEqual({ si: 0, ii: 1 })
      first.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session, 'subscriptions', 'a'], value: { scope: 'resumed', ii: null } }], si: 1 })
      expect(await first.next()).toMatchObject({ si: 1, ii: 0, name: 'resumed', owner: greeting.auth.user })
      first.send({ ack: 1 })
      first.send({ scope: 'resumed', patch: ADD(1), si: 2 })
      const update = await first.next()
      expect(update).toEqual({ domain: 'localhost:5112', user: greeting.auth.user, scope: 'resumed', patch: ADD(1), ii: 1 })
      expect(await first.next()).toEqual({ si: 2, ii: 1 })
      first.cut()

      const stranger = await open()
      stranger.send({ token: null, sid: 'not mine', session })
      expect(await stranger.next()).toEqual({ error: 'Session reconnection failed' })

      const second = await open()
      second.send({ token: null, sid: 'mine', session })
      expect(await second.next()).toEqual({ ...greeting, ack: 2 })
      expect(await second.next()).toEqual(update)
      expect(await second.next()).toEqual({ si: 2, ii: 1 })
      // Received before: not applied again.
      second.send({ scope: 'resumed', patch: ADD(1), si: 2 })
      second.send({ scope: 'resumed', patch: ADD(2), si: 3 })
      expect(await second.next()).toMatchObject({ scope: 'resumed', ii: 2 })
      expect(await second.next()).toEqual({ si: 3, ii: 2 })
      second.cut()
    })

    test('nothing of what is followed comes before its answer, nor an answer before its own update, after a break neither', async () => {
      const first = await open()
      first.send({ token: null, sid: 'in order' })
      const { session } = await first.next()
      first.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session], value: { queries: {}, subscriptions: {} } }], si: 0 })
      first.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session, 'subscriptions', 'a'], value: { scope: 'ordered', ii: null } }], si: 1 })
      const answers = [await first.next(), await first.next()]
      expect(answers).toMatchObject([{ si: 0, ii: 1 }, { si: 1, ii: 0 }])
      for (let si = 2; si < 6; si++) first.send({ scope: 'ordered', patch: ADD(si), si })
      const rest: unknown[] = []
      for (let si = 2; si < 6; si++) rest.push(await first.next(), await first.next())
      first.cut()
      const second = await open()
      second.send({ token: null, sid: 'in order', session })
      expect(await second.next()).toMatchObject({ session, ack: 5 })
      const again: { si?: number; ii: number }[] = []
      for (let n = 0; n < 10; n++) again.push(await second.next())
      expect(again.slice(0, 2)).toEqual(answers)
      const key = (message: unknown): string => JSON.stringify(message)
      expect(again.slice(2).map(key).toSorted()).toEqual(rest.map(key).toSorted())
      const at = (isIt: (message: { si?: number; ii: number }) => boolean): number => again.findIndex(isIt)
      for (let si = 2; si < 6; si++) expect(at((each) => each.si === undefined && each.ii === si - 1)).toBeLessThan(at((each) => each.si === si))
      second.cut()
    })

    test('a handshake for a session takes it over from a connection that is still open, which is left alone', async () => {
      const first = await open()
      first.send({ token: null, sid: 'taken' })
      const { session } = await first.next()
      const second = await open()
      second.send({ token: null, sid: 'taken', session })
      expect(await second.next()).toMatchObject({ session, ack: -1 })
      first.send({ scope: 'x', patch: ADD(1), si: 0 })
      second.send({ scope: 'x', patch: ADD(2), si: 0 })
      expect(await second.next()).toEqual({ si: 0, ii: 1 })
      expect(first.isOpen()).toBe(true)
      first.cut()
      second.send({ scope: 'x', patch: ADD(3), si: 1 })
      expect(await second.next()).toEqual({ si: 1, ii: 2 })
      second.cut()
    })

    test('a session ends with its close message, and cannot be resumed; with keepalive it can', async () => {
      for (const keepalive of [false, true]) {
        const first = await open()
        first.send({ token: null, sid: 'leaving' })
        const { session } = await first.next()
        first.send({ type: 'close', ...(keepalive ? { info: { keepalive } } : {}) })
        first.end()
        await first.closed
        await eventually(async () => {
          const second = await open()
          second.send({ token: null, sid: 'leaving', session })
          const answer = await second.next()
          second.cut()
          expect(answer).toMatchObject(keepalive ? { session } : { error: 'Session reconnection failed' })
        })
      }
    })

    test('a message that fails does not keep back the next, and answers of one scope come in order', async () => {
      const wire = await open()
      wire.send({ token: 'anonymous' })
      await wire.next()
      wire.send({ scope: 'order', patch: 'none', si: 0 })
      wire.send({ scope: 'order', patch: [{ op: 'add', path: ['owner'], value: 'me' }], si: 1 })
      for (let si = 2; si < 20; si++) wire.send({ scope: 'order', patch: ADD(si), si })
      expect(await wire.next()).toEqual({ si: 0, error: 'ERROR PROCESSING MESSAGE' })
      expect(await wire.next()).toEqual({ si: 1, error: 'ERROR PROCESSING MESSAGE' })
      for (let si = 2; si < 20; si++) expect(await wire.next()).toEqual({ si, ii: si - 1 })
      wire.cut()
    })

    test("older clients' subscriptions and queries are answered, and followed, after a break too", async () => {
      const first = await open()
      first.send({ token: null, sid: 'older' })
      const { session, auth } = await first.next()
      const made = (si: number, type: string, active: object): object => ({
        scope: `33333333-3333-4333-8333-${String(si).padStart(12, '0')}`.replace(/^3{8}/, session.slice(0, 8)),
        patch: [{ op: 'add', path: ['active_type'], value: `application/json;type=${type}` }, { op: 'add', path: ['active'], value: active }],
        si,
      })
      first.send(made(0, 'subscription', { scope: 'old ways', user: auth.user, domain: 'localhost:5112' }))
      expect(await first.next()).toMatchObject({ si: 0, ii: 0, name: 'old ways', owner: auth.user })
      first.send(made(1, 'postgres-query', { query: 'none', params: [] }))
      expect(await first.next()).toEqual({ si: 1, ii: 1, error: `INVALID QUERY 'none' FOR 'localhost:5112'` })
      first.send({ ack: 1 })
      first.cut()
      const second = await open()
      second.send({ token: null, sid: 'older', session })
      expect(await second.next()).toMatchObject({ session, ack: 1 })
      second.send({ scope: 'old ways', patch: ADD(1), si: 2 })
      expect(await second.next()).toMatchObject({ scope: 'old ways', ii: 1 })
      expect(await second.next()).toEqual({ si: 2, ii: 1 })
      second.cut()
    })

    test('a name and its UUID are followed apart, metadata by both, and what is sent there twice comes once', async () => {
      const wire = await open()
      wire.send({ token: null, sid: 'both ways' })
      const { session } = await wire.next()
      const sub = (si: number, scope: string): object => ({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session, 'subscriptions', `s${si}`], value: { scope, ii: null } }], si })
      wire.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session], value: { queries: {}, subscriptions: {} } }], si: 0 })
      wire.send(sub(1, 'twice'))
      await wire.next()
      const { id } = await wire.next()
      wire.send(sub(2, id))
      wire.send(sub(3, 'twice'))
      expect([await wire.next(), await wire.next()]).toMatchObject([{ si: 2, id }, { si: 3, id }])
      wire.send({ scope: id, patch: [{ op: 'replace', path: ['active_type'], value: 'application/json;type=other' }, { op: 'add', path: ['active', 'a'], value: 1 }], si: 4 })
      const came = [await wire.next(), await wire.next(), await wire.next()]
      expect(came.slice(0, 2).map(({ scope, ii }) => [scope, ii]).toSorted()).toEqual([[id, 1], ['twice', 1]].toSorted())
      expect(came[2]).toEqual({ si: 4, ii: 1 })
      wire.cut()
    })

    test('a UUID of another version than 1 to 5 is a name, of everybody their own', async () => {
      const name = '018f0000-0000-7000-8000-000000000000'
      const ids = new Set<string>()
      for (const sid of ['seven', 'eleven']) {
        const wire = await open()
        wire.send({ token: null, sid })
        const { session } = await wire.next()
        wire.send({ scope: name, patch: ADD(1), si: 0 })
        expect(await wire.next()).toEqual({ si: 0, ii: 1 })
        wire.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session], value: { subscriptions: {} } }], si: 1 })
        await wire.next()
        wire.send({ scope: 'sessions', patch: [{ op: 'add', path: ['active', session, 'subscriptions', 'a'], value: { scope: name, ii: null } }], si: 2 })
        const answer = await wire.next()
        expect(answer).toMatchObject({ si: 2, name, active: { k1: 1 } })
        ids.add(answer.id as string)
        wire.cut()
      }
      expect(ids.size).toBe(2)
    })

    test('_sid-check makes a secret for a browser without a cookie, and finds that of one with it', async () => {
      const made = await fetch(`${server.url}/_sid-check`, { headers: { Origin: 'http://localhost:5112' } })
      const sid = await made.text()
      expect(made.status).toBe(201)
      expect(sid).toMatch(/^[0-9a-f]{32}$/)
      expect(made.headers.get('set-cookie')).toContain(`sid=${sid}; Secure; HttpOnly; SameSite=None; Expires=`)
      expect(made.headers.get('access-control-allow-origin')).toBe('http://localhost:5112')
      const found = await fetch(`${server.url}/_sid-check`, { headers: { Cookie: `sid=${sid}` } })
      expect([found.status, await found.text(), found.headers.get('set-cookie')]).toEqual([200, 'WebSocket API Available', null])
    })
  })
}

/** What watchers are first called with is a proxy. */
function copied<T>(value: T): T {
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T)
}

const CONFIG = `
postgres:
  tables:
    scores:
      type: application/json;type=score
      columns: { player: TEXT, points: INTEGER }
  queries:
    top: SELECT player, points FROM scores ORDER BY points DESC LIMIT $1
`
