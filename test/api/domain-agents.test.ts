/** Domain agents: unmodified scripts of the original's format, and the published client, against the real `npm start`. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { readdirSync, readFileSync } from 'node:fs'
import { loadClients, wireTo } from '../support/agents.ts'
import type { Clients, TestAgent, Version } from '../support/agents.ts'
import { startLocalServer } from '../support/local-server.ts'
import { eventually, startTestPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import type { TestServer } from './fixture.ts'

let server: TestServer
let postgres: TestPostgres
let clients: Clients
let admin: TestAgent

beforeAll(async () => {
  postgres = await startTestPostgres()
  server = await startLocalServer({ DATABASE_URL: postgres.url, AUTHORIZE_DEFAULT: 'allow', SANDBOXES_RUNNING: '1' })
  clients = await loadClients()
  admin = clients.open('0.9.155', { port: server.port })
})
afterAll(async () => {
  await clients?.close()
  await server?.stop()
  await postgres?.stop()
})

type ReportState = { tasks?: { agent?: string[] }; end?: number; error?: unknown; errors?: string[]; log?: string[] }

const IMPORT = "import Agent, { getAgent } from 'npm:@knowlearning/agents/deno.js'\n"

/** The YAML of a configuration with an agent. */
function yamlOf(script: string, rest = ''): string {
  return `agent: |\n${(IMPORT + script).replace(/^/gm, '  ')}\n${rest}`
}

/** Claims a domain, and configures it. The report goes on being looked at by what is returned. */
async function configure(domain: string, yaml: string): Promise<() => ReportState> {
  await admin.agent.claim(domain)
  const config = await admin.agent.upload({ type: 'text/yaml', data: yaml })
  const report = admin.agent.uuid()
  admin.agent.create({ active_type: 'application/json;type=domain-config', active: { config, report, domain } })
  let present: ReportState = {}
  admin.agent.watch(report, ({ state }: { state: ReportState }) => {
    present = JSON.parse(JSON.stringify(state)) as ReportState
  })
  await eventually(() => expect(present.error ?? present.end).toBeDefined())
  return () => present
}

async function running(domain: string, script: string, rest = ''): Promise<() => ReportState> {
  const report = await configure(domain, yamlOf(script, rest))
  expect(report()).not.toHaveProperty('error')
  await eventually(() => expect(report().tasks?.agent).toEqual(['initializing', 'done']))
  return report
}

/** A state of the domain's own user, as somebody of the domain sees it. */
async function follow(agent: TestAgent, domain: string, name: string): Promise<() => unknown> {
  let present: unknown
  agent.agent.watch(name, ({ state }: { state: unknown }) => (present = JSON.parse(JSON.stringify(state))), domain)
  await eventually(() => expect(present).toBeDefined())
  return () => present
}

const enter = (domain: string, version: Version = '0.9.155'): TestAgent => clients.open(version, { port: server.port, domain })

describe('a domain agent', () => {
  test('hears of sessions, of what they do, and of their end; what it writes they follow', async () => {
    const domain = 'children.localhost:5112'
    await running(domain, `
      const seen = await Agent.state('seen')
      Agent.on('child', (child) => {
        const { user } = child.environment
        seen[user] = { did: [], closed: 'no' }
        child.on('mutate', ({ scope, patch, ii }) => {
          if (scope !== 'sessions') seen[user].did.push({ scope, patch, ii })
        })
        child.on('close', (info) => { seen[user].closed = info })
      })
    `)
    const wire = await wireTo(server.port, `http://${domain}`)
    wire.send({ token: null })
    const { auth } = await wire.next()
    const watcher = enter(domain)
    const seen = await follow(watcher, domain, 'seen')
    wire.send({ si: 0, scope: 'notes', patch: [{ op: 'add', path: ['active', 'a'], value: 1 }] })
    wire.send({ si: 1, scope: 'notes', patch: [{ op: 'add', path: ['active', 'list'], value: ['x', 'y'] }] })
    wire.send({ si: 2, scope: 'notes', patch: [{ op: 'move', from: ['list', 0], path: ['active', 'list', 1] }] })
    const did = [
      { scope: 'notes', patch: [{ op: 'add', path: ['a'], value: 1 }], ii: 1 },
      { scope: 'notes', patch: [{ op: 'add', path: ['list'], value: ['x', 'y'] }], ii: 2 },
      { scope: 'notes', patch: [{ op: 'move', from: ['list', 0], path: ['list', 1] }], ii: 3 },
    ]
    await eventually(() => expect(seen()).toMatchObject({ [auth.user]: { did, closed: 'no' } }))
    wire.send({ type: 'close', info: { done: true } })
    await eventually(() => expect(seen()).toMatchObject({ [auth.user]: { did, closed: { done: true } } }))
    wire.cut()
    watcher.leave()
  })

  test('mirrors what users do into states of its own, and goes on where it was after it has ended', async () => {
    const domain = 'mirror.localhost:5112'
    const report = await running(domain, `
      import { standardJSONPatch } from 'npm:@knowlearning/patch-proxy'
      import fastJSONPatch from 'npm:fast-json-patch'
      const mirrored = {}
      async function mirror(user) {
        if (mirrored[user]) return
        mirrored[user] = true
        let copy = null
        Agent.watch('notes', async ({ state, patch }) => {
          if (patch === null) copy = JSON.parse(JSON.stringify(state))
          else copy = fastJSONPatch.applyPatch(copy, standardJSONPatch(patch)).newDocument
          await Agent.interact('mirror/' + user, [{ op: 'add', path: ['active'], value: copy }])
        }, user)
      }
      Agent.on('child', (child) => {
        mirror(child.environment.user)
        child.on('mutate', ({ scope, patch }) => {
          if (scope === 'notes' && patch.some(({ value }) => value === 'end yourself')) Deno.exit(3)
        })
      })
    `)
    const user = enter(domain, '0.9.193')
    const { auth } = await user.agent.environment()
    const mirror = await follow(user, domain, `mirror/${auth.user}`)
    const notes = await user.agent.state('notes')
    notes.list = ['b', 'a']
    notes.deep = { er: { still: 1 } }
    await eventually(() => expect(mirror()).toEqual({ list: ['b', 'a'], deep: { er: { still: 1 } } }))
    notes.list.sort()
    notes.list.push('c')
    delete notes.deep.er
    await eventually(() => expect(mirror()).toEqual({ list: ['a', 'b', 'c'], deep: {} }))
    notes.word = 'end yourself'
    await eventually(() => expect(report().errors).toEqual(['domain agent: it has ended itself with 3']))
    notes.word = 'go on'
    await eventually(() => expect(mirror()).toEqual({ list: ['a', 'b', 'c'], deep: {}, word: 'go on' }))
    user.leave()
  })

  test('is a child of the agent of another domain that it connects to', async () => {
    const host = 'host.localhost:5112'
    const guest = 'guest.localhost:5112'
    await running(host, `
      Agent.on('child', (child) => child.on('mutate', ({ scope, patch }) => {
        if (scope === 'hello') Agent.interact('guests', [{ op: 'add', path: ['active', child.environment.user], value: patch[0].value }], false)
      }))
    `)
    const watcher = enter(host)
    const guests = await follow(watcher, host, 'guests')
    await running(guest, `
      const there = getAgent('${host}')
      const { auth, domain } = await there.environment()
      there.interact('hello', [{ op: 'add', path: ['active', 'from'], value: [auth, domain] }], false)
    `)
    await eventually(() => expect(guests()).toEqual({ [guest]: [{ user: guest, provider: 'core', info: { name: null, picture: null } }, host] }))
    watcher.leave()
  })

  test('queries the tables of its domain, makes states, and is asked by watching', async () => {
    const domain = 'tables.localhost:5112'
    await running(domain, `
      const answer = await Agent.state('answer')
      Agent.on('child', async ({ environment: { user } }) => {
        Agent.watch('question', async ({ state }) => {
          if (!state.points) return
          const id = Agent.create({ active_type: 'application/json;type=score', active: { player: user, points: state.points } })
          await Agent.state(id)
          answer.top = await Agent.query('top', [10])
        }, user)
      })
    `, SCORES)
    const user = enter(domain)
    const { auth } = await user.agent.environment()
    const answer = await follow(user, domain, 'answer')
    const question = await user.agent.state('question')
    question.points = 5
    await eventually(() => expect(answer()).toEqual({ top: [{ player: auth.user, points: 5 }] }))
    user.leave()
  })
})

describe('the script of a domain agent', () => {
  test('that fails before it is ready is told in the report, with its place', async () => {
    const report = await configure('fails.localhost:5112', yamlOf("\nconst a = 1\nthrow new Error('no luck')"))
    await eventually(() => expect(report().tasks?.agent).toEqual(['initializing', expect.stringMatching(/^ERROR: Uncaught \(in promise\) Error: no luck\nline: 4, column: \d+$/)]))
  })

  test.each([
    ['that is no JavaScript', 'const = 1'],
    ['that imports what there is not', "import fs from 'node:fs'"],
  ])('%s keeps its configuration from taking effect', async (_, script) => {
    const report = await configure('faulty.localhost:5112', yamlOf(script))
    expect(report().error).toEqual([expect.objectContaining({ path: 'agent' })])
  })

  test('has no more of the machine than it is given, and its errors end it', async () => {
    const domain = 'bare.localhost:5112'
    const report = await running(domain, `
      const found = await Agent.state('found')
      const names = ['process', 'require', 'Buffer', 'WebAssembly', 'XMLHttpRequest', 'WebSocket', 'Worker']
      found.globals = names.filter((name) => name in globalThis)
      found.env = [Deno.env.get('PATH') ?? null, Deno.env.get('HOME') ?? null, typeof Deno.env.get('AGENT_TOKEN')]
      found.fetched = await fetch('http://127.0.0.1').then(() => 'yes', (error) => error.message)
      found.imported = await import('node:fs').then(() => 'yes', () => 'no')
      found.prelude = await import('agents:/deno.js').then(() => 'yes', () => 'no')
      found.uuid = /^[0-9a-f-]{36}$/.test(crypto.randomUUID())
      Agent.on('child', async () => { throw new TypeError('not with me') })
    `)
    const user = enter(domain)
    const found = await follow(user, domain, 'found')
    await eventually(() => expect(found()).toEqual({ globals: [], env: [null, null, 'string'], fetched: 'there is no network here', imported: 'no', prelude: 'no', uuid: true }))
    await eventually(() => expect(report().errors).toContainEqual(expect.stringContaining('TypeError: not with me\nline:')))
    user.leave()
  })

  test('that never comes to an end holds up nobody, and is ended', async () => {
    const domain = 'endless.localhost:5112'
    const report = await running(domain, `
      Agent.on('child', (child) => child.on('mutate', ({ scope }) => { if (scope === 'trap') for (;;) {} }))
    `)
    await running('waits.localhost:5112', '')
    const neighbour = enter('waits.localhost:5112')
    const user = enter(domain)
    await user.agent.interact('trap', [{ op: 'add', path: ['active', 'n'], value: 0 }], false)
    for (let n = 1; n <= 20; n++) await user.agent.interact('free', [{ op: 'add', path: ['active', 'n'], value: n }], false)
    expect(await user.agent.state('free')).toEqual({ n: 20 })
    // Whose agent waits for a turn.
    await neighbour.agent.interact('notes', [{ op: 'add', path: ['active', 'n'], value: 0 }], false)
    await eventually(() => expect(report().errors).toContain('domain agent: over its bound of time'))
    neighbour.leave()
    user.leave()
  })

  test('is replaced by that of a new configuration, and gone with one that has none', async () => {
    const domain = 'replaced.localhost:5112'
    const script = (version: number): string => `Agent.on('child', ({ environment: { user } }) => Agent.interact('greeted', [{ op: 'add', path: ['active', user], value: ${version} }], false))`
    const greeted = async (): Promise<unknown> => {
      const user = enter(domain)
      const { auth } = await user.agent.environment()
      const by = await follow(user, domain, 'greeted')
      await eventually(() => expect(by()).toHaveProperty(auth.user))
      user.leave()
      return (by() as Record<string, unknown>)[auth.user]
    }
    await running(domain, script(1))
    expect(await greeted()).toBe(1)
    await running(domain, script(2))
    expect(await greeted()).toBe(2)
    await configure(domain, SCORES)
    const user = enter(domain)
    const { auth } = await user.agent.environment()
    await user.agent.interact('quiet', [{ op: 'add', path: ['active', 'n'], value: 1 }], false)
    const by = await follow(user, domain, 'greeted')
    expect(by()).not.toHaveProperty(auth.user)
    user.leave()
  })
})

describe('the process that scripts run in', () => {
  test('is killed: scripts are started again, and catch up with what they follow', async () => {
    const domain = 'killed.localhost:5112'
    const other = enter('localhost:5112')
    const { id } = await other.agent.metadata('followed')
    await running(domain, `
      Agent.watch('${id}', ({ state }) => Agent.interact('copy', [{ op: 'add', path: ['active'], value: JSON.parse(JSON.stringify(state)) }], false))
    `)
    const user = enter(domain)
    const copy = await follow(user, domain, 'copy')
    await other.agent.interact('followed', [{ op: 'add', path: ['active', 'n'], value: 1 }], false)
    await eventually(() => expect(copy()).toEqual({ n: 1 }))
    process.kill(domainWorkerOf(), 'SIGKILL')
    await other.agent.interact('followed', [{ op: 'add', path: ['active', 'n'], value: 2 }], false)
    // Nothing happens in its domain: it is started for what it follows.
    await eventually(() => expect(copy()).toEqual({ n: 2 }))
    user.leave()
    other.leave()
  })
})

describe('a module with an agent and handlers', () => {
  test('has both: handlers judge what users do and not what the agent does, and share its variables', async () => {
    const domain = 'both.localhost:5112'
    await running(domain, `
      const banned = new Set()
      Agent.watch('banned', ({ state }) => { for (const word of Object.keys(state)) banned.add(word) })
      export async function prePersistence({ patch }) {
        for (const { value } of patch) if (banned.has(value)) throw reject('banned')
      }
      Agent.on('child', (child) => child.on('mutate', ({ scope, patch }) => {
        if (scope === 'quote') Agent.interact('quoted', [{ op: 'add', path: ['active', 'word'], value: [...banned][0] }], false)
        if (scope === 'ban') Agent.interact('banned', [{ op: 'add', path: ['active', patch[0].value], value: patch[0].value }], false)
      }))
    `)
    const user = enter(domain)
    const banned = await follow(user, domain, 'banned')
    const say = (scope: string, value: string): Promise<unknown> => user.agent.interact(scope, [{ op: 'add', path: ['active', 'word'], value }], false)
    await say('notes', 'fiddlesticks')
    await say('ban', 'fiddlesticks')
    await eventually(() => expect(banned()).toEqual({ fiddlesticks: 'fiddlesticks' }))
    await eventually(async () => expect(await say('notes', 'fiddlesticks').catch(({ error }: { error: string }) => error)).toBe('ERROR PROCESSING MESSAGE'))
    const quoted = await follow(user, domain, 'quoted')
    await say('quote', 'please')
    await eventually(() => expect(quoted()).toEqual({ word: 'fiddlesticks' }))
    user.leave()
  })
})

/** Of the server that this test has started. */
function domainWorkerOf(): number {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => processOf(Number(name)) ?? [])
  const servers = all.filter(({ parent, command }) => parent === process.pid && command.includes('functions/local/index.ts')).map(({ pid }) => pid)
  return all.find(({ parent, command }) => servers.includes(parent) && command.includes('functions/domain-worker/index.ts'))!.pid
}

function processOf(pid: number): { readonly pid: number; readonly parent: number; readonly command: string } | undefined {
  try {
    const parent = Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')[1])
    return { pid, parent, command: readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ') }
  } catch {
    // It has ended meanwhile.
    return undefined
  }
}

const SCORES = `postgres:
  tables:
    scores:
      type: application/json;type=score
      columns: { player: TEXT, points: INTEGER }
  queries:
    top: SELECT player, points FROM scores ORDER BY points DESC LIMIT $1
`
