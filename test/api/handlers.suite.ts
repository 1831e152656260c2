/** Handlers of domains, from outside: what each may do, what it may not, and what clients hear of it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Client } from './client.ts'
import { startServer, type TestServer } from './fixture.ts'
import { Tenant, reported, write } from './tenant.ts'

const TYPE = (name: string): string => `application/json;type=${name}`

const MODULE = `agent: |
  export async function prePersistence({ active_type, patch, state, ii, user, session, scope, id }, agent) {
    const what = active_type.split('=')[1]
    if (what === 'seen') return { patch: [...patch, { op: 'add', path: ['active', 'seen'], value: { state, ii, user, session, scope, id } }] }
    if (what === 'changed') return { patch: [{ op: 'add', path: ['active_type'], value: active_type }, { op: 'add', path: ['active'], value: { by: 'handler' } }] }
    if (what === 'rejected') throw reject('not with me')
    if (what === 'thrown') throw new Error('secret of the tenant')
    if (what === 'odd') return { patch: 'none' }
    if (what === 'unfit') return { patch: [{ op: 'remove', path: ['active', 'nothing'] }] }
    if (what === 'hung') await new Promise(() => undefined)
    if (what === 'burnt') for (;;) {}
    if (what === 'regex') /^(a+)+$/.test('a'.repeat(40) + 'b')
    if (what === 'full') { const all = []; for (;;) all.push('x'.repeat(1000) + all.length) }
    if (what === 'deep') { const down = () => down() + 1; down() }
    if (what === 'flood') for (let i = 0; i < 1000; i++) agent.state('x').catch(() => undefined)
    if (what === 'counter' && (state.n ?? 0) >= 5) throw reject('five are enough')
  }
  export async function postPersistence({ active_type, id, ii, patch }, agent) {
    const what = active_type.split('=')[1]
    if (what === 'agent') {
      const made = await agent.create({ active: { of: id }, active_type: 'application/json;type=made' })
      const patched = await agent.patch('tally', [{ op: 'add', path: ['active', id], value: ii }])
      return { made, patched, again: await agent.state('tally'), meta: (await agent.metadata(made)).owner, uuid: await agent.uuid() }
    }
    if (what === 'read') {
      const { n = 0 } = await agent.state('count')
      await agent.patch('count', [{ op: 'add', path: ['active', 'n'], value: n + 1 }])
      const { ii } = await agent.patch('counted', [{ op: 'add', path: ['active', id], value: 1 }])
      return { ii, n: (await agent.state('count')).n }
    }
    if (what === 'large') return 'x'.repeat(10 * 1024 * 1024)
    if (what === 'post-thrown') throw new Error('secret of the tenant')
    if (what === 'proto') return JSON.parse('{"__proto__": {"polluted": true}}')
    if (what === 'foreign') return agent.state(patch[1].value.scope, patch[1].value.user).then(() => 'read', (error) => error.message)
    if (what === 'escape') {
      const tries = [
        () => Function('return process')(), () => ({}).constructor.constructor('return this.process')(), () => globalThis.process ?? (() => { throw 1 })(),
        () => fetch('http://127.0.0.1'), () => require('fs'), () => setTimeout(() => undefined, 0), () => WebAssembly.compile, () => new Worker('x'),
      ]
      const got = []
      for (const [at, one] of tries.entries()) try { if (one() !== undefined) got.push(at) } catch {}
      try { await import('fs'); got.push('import') } catch {}
      try { await import('node:fs'); got.push('import node:') } catch {}
      return got
    }
    if (what === 'logged') { agent.log('a line', { of: 'log' }); console.log('another') }
  }
  export const closeScripts = {
    async bye(args, { session, user }, agent) { await agent.patch('byes', [{ op: 'add', path: ['active', session], value: args }]); return { args, user } },
    async bad() { throw new Error('secret of the tenant') },
  }
`

let server: TestServer
let tenant: Tenant
let alice: Client
beforeAll(async () => {
  server = await startServer()
  tenant = await Tenant.configured(server, 'handlers', MODULE)
  alice = await tenant.user()
})
afterAll(() => server.stop())

describe('before a patch is stored', () => {
  test('the handler sees the state before, the index that it will take, and who asks', async () => {
    const id = randomUUID()
    await write(alice, id, TYPE('plain'), { n: 1 })
    const answer = await write(alice, id, TYPE('seen'), { n: 2 })
    expect(answer.status).toBe(200)
    const { active } = (await alice.get(id)).body
    expect(active).toEqual({ n: 2, seen: { state: { n: 1 }, ii: 2, user: alice.user, session: alice.session, scope: id, id } })
  })

  test('its changed patch is what is stored and kept as history', async () => {
    const id = randomUUID()
    expect((await write(alice, id, TYPE('changed'), { mine: true })).status).toBe(200)
    expect((await alice.get(id)).body.active).toEqual({ by: 'handler' })
    expect((await alice.call('GET', `/v1/states/${id}/history`)).text).toContain('"by":"handler"')
  })

  test.each([
    ['rejected', 422, 'urn:problem:rejected'],
    ['thrown', 422, 'urn:problem:handler-error'],
    ['odd', 422, 'urn:problem:handler-error'],
    ['unfit', 422, 'urn:problem:handler-error'],
    ['deep', 422, 'urn:problem:handler-error'],
    ['flood', 422, 'urn:problem:handler-error'],
    ['hung', 504, 'urn:problem:handler'],
    ['burnt', 504, 'urn:problem:handler'],
    ['regex', 504, 'urn:problem:handler'],
    ['full', 504, 'urn:problem:handler'],
  ])('%s: %d, nothing stored, nothing of the tenant in the words', async (what, status, type) => {
    const id = randomUUID()
    const answer = await write(alice, id, TYPE(what), { n: 1 })
    expect({ status: answer.status, type: answer.body.type }).toEqual({ status, type })
    expect(answer.text).not.toContain('secret')
    if (what === 'rejected') expect(answer.body.reason).toBe('not with me')
    expect((await alice.get(id)).body.ii).toBe(0)
    expect((await write(alice, id, TYPE('plain'), { n: 1 })).status).toBe(200)
  })

  test('a rule cannot be raced: of many increments at once five are let through', async () => {
    const id = randomUUID()
    await write(alice, id, TYPE('counter'), { n: 0 })
    const results = await Promise.all(
      Array.from({ length: 12 }, async () => {
        for (;;) {
          const { body } = await alice.get(id)
          const answer = await alice.patch(id, [{ op: 'replace', path: ['active', 'n'], value: body.active.n + 1 }], { ii: body.ii + 1 })
          if (answer.status !== 409 && answer.status !== 412 && answer.status !== 503) return answer.status
        }
      }),
    )
    expect(results.filter((status) => status === 200)).toHaveLength(5)
    expect(results.filter((status) => status === 422)).toHaveLength(7)
    expect((await alice.get(id)).body.active.n).toBe(5)
  })

  test('others go on while one domain burns', async () => {
    const other = await Tenant.configured(server, 'handlers-neighbour', 'agent: |\n  export async function prePersistence() {}\n')
    const burning = Promise.all(Array.from({ length: 4 }, () => write(alice, randomUUID(), TYPE('burnt'), {})))
    const answers = await Promise.all(Array.from({ length: 20 }, () => write(other.admin, randomUUID(), TYPE('plain'), {})))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    await burning
  })
})

describe('after a patch was stored', () => {
  test('the agent acts as the domain, and a repeat does nothing twice', async () => {
    const id = randomUUID()
    const key = { 'Idempotency-Key': randomUUID() }
    const first = await write(alice, id, TYPE('agent'), {}, key)
    const { result } = first.body.handler
    expect(result).toEqual({ made: expect.any(String), patched: { id: expect.any(String), ii: expect.any(Number) }, again: expect.objectContaining({ [id]: 1 }), meta: tenant.domain, uuid: expect.any(String) })
    const again = await write(alice, id, TYPE('agent'), {}, key)
    expect(again.body).toMatchObject({ ii: 1, replayed: true, handler: { result: { made: result.made, patched: result.patched, uuid: result.uuid } } })
  })

  test('one that writes what it has read gets to its end again in a repeat, and does nothing twice', async () => {
    const id = randomUUID()
    const key = { 'Idempotency-Key': randomUUID() }
    const first = await write(alice, id, TYPE('read'), {}, key)
    expect(first.body.handler).toEqual({ result: { ii: 1, n: 1 } })
    expect((await write(alice, id, TYPE('read'), {}, key)).body).toEqual({ ...first.body, replayed: true })
  })

  test.each([['large'], ['post-thrown'], ['proto']])('%s: stored all the same, with an error of our own words', async (what) => {
    const id = randomUUID()
    const answer = await write(alice, id, TYPE(what), {})
    expect(answer.status).toBe(200)
    expect(answer.body.handler).toEqual({ error: expect.any(String) })
    expect(answer.text).not.toContain('secret')
    expect((await alice.get(id)).body.ii).toBe(1)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  test('there is no way out of the sandbox', async () => {
    const answer = await write(alice, randomUUID(), TYPE('escape'), {})
    expect(answer.body.handler).toEqual({ result: [] })
  })

  test("another domain's states are not for the agent", async () => {
    const other = await Tenant.claim(server, 'handlers-other')
    const id = randomUUID()
    await write(other.admin, id, TYPE('plain'), { hidden: true })
    const answer = await write(alice, randomUUID(), TYPE('foreign'), { scope: id })
    expect(answer.body.handler).toEqual({ result: 'this state is not for the domain' })
  })

  test("lines and errors are in the domain's report, for its admin", async () => {
    await write(alice, randomUUID(), TYPE('logged'), {})
    await write(alice, randomUUID(), TYPE('post-thrown'), {})
    const { report } = (await tenant.admin.call('GET', `/v1/domains/${encodeURIComponent(tenant.domain)}/config`)).body
    const active = await reported(tenant.admin, report, ({ log, errors }) => log?.includes('another') === true && errors?.some((each: string) => each.includes('secret of the tenant')) === true)
    expect(active.log).toContain('a line {"of":"log"}')
    expect((await alice.get(report)).status).toBe(403)
  })
})

describe('modules', () => {
  test.each([
    ['no JavaScript', 'agent: |\n  export function ( {}\n', 2],
    ['throws', 'agent: |\n  \n  throw new Error("at once")\n', 3],
    ['imports', 'agent: |\n  import fs from "fs"\n', 2],
    ['never ends', 'agent: |\n  for (;;) {}\n', 2],
  ])('one that does not load (%s) is a fault with its line, and leaves what is in force', async (_what, yaml, line) => {
    const strict = await Tenant.configured(server, `modules-${randomUUID()}`, 'agent: |\n  export async function prePersistence() { throw reject("as before") }\n')
    const answer = await strict.put(yaml)
    expect(answer.status).toBe(422)
    expect(answer.body.faults).toEqual([{ line: expect.any(Number), column: expect.any(Number), path: 'agent', message: expect.any(String) }])
    if (line === 3) expect(answer.body.faults[0].line).toBe(line)
    expect((await write(strict.admin, randomUUID(), TYPE('plain'), {})).body.reason).toBe('as before')
  })

  test('a new configuration replaces the handlers at once; `configure` runs once', async () => {
    const changing = await Tenant.configured(server, 'modules-changing', 'agent: |\n  export async function prePersistence() { throw reject("one") }\n')
    await changing.configure('agent: |\n  export async function configure({ domain }, agent) { await agent.patch("setup", [{ op: "add", path: ["active", "domain"], value: domain }]); agent.log("set up") }\n  export async function prePersistence() { throw reject("two") }\n')
    expect((await write(changing.admin, randomUUID(), TYPE('plain'), {})).body.reason).toBe('two')
    const { report } = (await changing.admin.call('GET', `/v1/domains/${encodeURIComponent(changing.domain)}/config`)).body
    expect((await reported(changing.admin, report, ({ log }) => log?.length > 0)).log).toEqual(['set up'])
  })

  test('the example in test/examples/quiz: the score is computed on the server, and cannot be forged', async () => {
    const quiz = await Tenant.configured(server, 'quiz', readFileSync(new URL('../examples/quiz/domain.yaml', import.meta.url), 'utf8'))
    const player = await quiz.user()
    const forged = await player.patch('game', [
      { op: 'add', path: ['active_type'], value: TYPE('quiz') },
      { op: 'add', path: ['active'], value: { answers: {}, score: 100 } },
    ])
    expect(forged.body.reason).toBe('the score is not yours to write')
    await player.patch('game', [{ op: 'add', path: ['active_type'], value: TYPE('quiz') }, { op: 'add', path: ['active'], value: { answers: {} } }])
    await player.patch('game', [{ op: 'add', path: ['active', 'answers', 'capital'], value: 'Paris' }])
    await player.patch('game', [{ op: 'add', path: ['active', 'answers', 'sum'], value: 5 }])
    const { active } = (await player.get('game')).body
    expect(active).toEqual({ answers: { capital: 'Paris', sum: 5 }, score: 1 })
    expect((await player.patch('game', [{ op: 'add', path: ['active', 'answers', 'capital'], value: 'Rome' }])).body.reason).toBe('an answer stands')
  })
})

describe('close scripts', () => {
  test('run once when the session is closed, with their results in the answer', async () => {
    const leaving = await tenant.user()
    const left = (script: string, args: object): Promise<{ status: number; body: { id: string } }> => leaving.call('POST', `/v1/sessions/${leaving.session}/close-scripts`, { body: { script, args } })
    const bye = (await left('bye', { n: 1 })).body.id
    const bad = (await left('bad', {})).body.id
    const gone = (await left('gone', {})).body.id
    const answer = await leaving.call('DELETE', `/v1/sessions/${leaving.session}`)
    expect(answer.status).toBe(200)
    expect(answer.body.scripts).toHaveLength(3)
    expect(answer.body.scripts).toEqual(expect.arrayContaining([
      { id: bye, name: 'bye', result: { args: { n: 1 }, user: leaving.user } },
      { id: bad, name: 'bad', error: 'the script failed' },
      { id: gone, name: 'gone', error: 'the domain has no such close script' },
    ]))
    expect((await leaving.call('DELETE', `/v1/sessions/${leaving.session}`)).status).toBe(401)
  })
})
