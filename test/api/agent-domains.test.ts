/** Claims, configurations, their reports and queries, as published agents know them (agent-protocol.md, sections 9 to 11). */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { loadClients } from '../support/agents.ts'
import type { Clients, TestAgent, Version } from '../support/agents.ts'
import { startLocalServer } from '../support/local-server.ts'
import { eventually, startTestPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import type { TestServer } from './fixture.ts'

const ADMIN = 'admin.localhost:5112'

let server: TestServer
let postgres: TestPostgres
let clients: Clients

beforeAll(async () => {
  postgres = await startTestPostgres()
  server = await startLocalServer({ DATABASE_URL: postgres.url, AUTHORIZE_DEFAULT: 'allow', ADMIN_DOMAIN: ADMIN })
  clients = await loadClients()
})
afterAll(async () => {
  await clients?.close()
  await server?.stop()
  await postgres?.stop()
})

describe.each<Version>(['0.9.155', '0.9.193'])('agents %s', (version) => {
  const open = (domain: string): TestAgent => clients.open(version, { port: server.port, domain })
  const own = (name: string): string => `${name}${version.replaceAll('.', '')}.localhost:5112`

  test('a report says when what was begun and done; rows of all states that there are come into new tables', async () => {
    const domain = own('report')
    const user = open(domain)
    const id = user.agent.create({ active_type: 'application/json;type=typed', active: { yes: true, text: 'a', texts: ['b', 'c'], at: 1_700_000_000_000, small: 7, big: 9_007_199_254_740_991, json: { deep: [1] } } })
    await user.agent.state(id)
    const admin = open('localhost:5112')
    const { token, report: claimed } = await admin.agent.claim(domain)
    expect(token).toEqual(expect.any(String))
    await eventually(async () => expect(await stateOf(admin, claimed)).toMatchObject({ success: true }))
    const report = await configure(admin, domain, TYPED)
    expect(report).toEqual({
      domain,
      config: expect.any(String),
      start: expect.any(Number),
      end: expect.any(Number),
      tasks: { postgres: { prepare: expect.any(Array), tables: { typed: expect.arrayContaining(['Creating', 'Done']) }, functions: { twice: expect.arrayContaining(['Creating', 'Done']) } } },
    })
    expect(report.end).toBeGreaterThanOrEqual(report.start)
    const columns = { id, yes: true, text: 'a', texts: ['b', 'c'], at: '2023-11-14T22:13:20.000Z', small: 7, big: 9_007_199_254_740_991, json: { deep: [1] } }
    expect(await user.agent.query('all-typed')).toEqual([columns])
    expect(await user.agent.query('counted', [20])).toEqual([{ count: 1, doubled: 40 }])
    const { auth } = await user.agent.environment()
    expect(await user.agent.query('who')).toEqual([{ user: auth.user, domain }])
    // Kept current by what comes later, and gone with `active`.
    await user.agent.interact(id, [{ op: 'add', path: ['active', 'small'], value: 'no number' }])
    expect(await user.agent.query('all-typed')).toEqual([{ ...columns, small: null }])
    await user.agent.reset(id)
    expect(await user.agent.query('all-typed')).toEqual([])
    expect(await user.agent.query('described', [id])).toEqual([{ active_type: 'application/json;type=typed', owner: auth.user, domain, ii: 3 }])
    user.leave()
    admin.leave()
  })

  test('a configuration that is none is told in the report, and leaves the domain as it was', async () => {
    const domain = own('broken')
    const admin = open('localhost:5112')
    await admin.agent.claim(domain)
    await configure(admin, domain, TYPED)
    expect(await configure(admin, domain, 'postgres: { tables: { "no-name": { type: t, columns: {} } } }')).toMatchObject({ error: [{ path: 'postgres.tables.no-name', line: 1, message: expect.stringContaining('invalid name') }] })
    for (const text of ['just text', '- a list', '{']) expect(await configure(admin, domain, text)).toHaveProperty('error')
    const user = open(domain)
    expect(await user.agent.query('counted', [1])).toEqual([{ count: 0, doubled: 2 }])
    user.leave()
    admin.leave()
  })

  test('who may not configure a domain is answered, and changes nothing', async () => {
    const domain = own('foreign')
    const admin = open('localhost:5112')
    await admin.agent.claim(domain)
    await configure(admin, domain, TYPED)
    const other = open(own('stranger'))
    const config = await other.agent.upload({ type: 'text/yaml', data: 'postgres: { queries: { counted: SELECT 0 AS count } }' })
    const answer = await other.agent.interact(other.agent.uuid(), [
      { op: 'add', path: ['active_type'], value: 'application/json;type=domain-config' },
      { op: 'add', path: ['active'], value: { config, report: other.agent.uuid(), domain } },
    ])
    expect(answer).toEqual({ ii: 1 })
    const user = open(domain)
    expect(await user.agent.query('counted', [1])).toEqual([{ count: 0, doubled: 2 }])
    for (const each of [admin, other, user]) each.leave()
  })

  test("another domain's query is for the domains that it names; SQL itself is for the admin domain", async () => {
    const domain = own('asked')
    const admin = open('localhost:5112')
    await admin.agent.claim(domain)
    const { config, report } = await configureAs(admin, domain, TYPED)
    const friend = open(own('friend'))
    const asks = (of: TestAgent, query: string, params: unknown[], about: string): Promise<unknown> => answerOf(of, { query, params, domain: about })
    expect(await asks(friend, 'shared', [], domain)).toEqual([{ shared: version }])
    expect(await asks(friend, 'counted', [1], domain)).toBe(`INVALID QUERY 'counted' FOR '${domain}'`)
    expect(await asks(friend, 'SELECT 1 AS one', [], domain)).toBe(`INVALID QUERY 'SELECT 1 AS one' FOR '${domain}'`)
    const console = open(ADMIN)
    expect(await asks(console, 'SELECT $1::text AS given, count(*) FROM typed', ['x'], domain)).toEqual([{ given: 'x', count: 0 }])
    expect(await asks(console, 'SELECT * FROM nowhere', [], domain)).toBe('42P01')
    expect(await asks(console, 'DROP TABLE typed', [], domain)).toMatch(/^[0-9A-Z]{5}$/)
    expect(await asks(console, 'SELECT 1', [], own('unclaimed'))).toBe(`INVALID QUERY 'SELECT 1' FOR '${own('unclaimed')}'`)
    expect(await asks(console, 'current-config', [domain], ADMIN)).toEqual([{ domain, config, report }])
    expect(await console.agent.query('current-config', [own('unclaimed')])).toEqual([])
    for (const each of [admin, friend, console]) each.leave()
  })
})

test('users are recorded in the admin domain, once, for the tables that it has', async () => {
  const admin = clients.open('0.9.155', { port: server.port, domain: 'localhost:5112' })
  await admin.agent.claim(ADMIN)
  await configure(admin, ADMIN, USERS)
  const token = await server.tokenOf('somebody')
  const users: string[] = []
  for (const sid of ['one browser', 'another browser']) {
    const user = clients.open('0.9.155', { port: server.port, sid, token })
    users.push((await user.agent.environment()).auth.user)
    user.leave()
  }
  expect(users[0]).toBe(users[1])
  const console = clients.open('0.9.155', { port: server.port, domain: ADMIN })
  const { auth } = await console.agent.environment()
  const of = async (id: string): Promise<unknown> => console.agent.query('users-of', [id])
  await eventually(async () => expect(await of(users[0]!)).toEqual([{ id: users[0], provider: 'local', provider_id: 'somebody', owner: 'users', ii: 1 }]))
  await eventually(async () => expect(await of(auth.user)).toEqual([{ id: auth.user, provider: 'anonymous', provider_id: auth.user, owner: 'users', ii: 1 }]))
  admin.leave()
  console.leave()
})

const USERS = `
postgres:
  tables:
    users: { type: application/json;type=user, columns: { provider: TEXT, provider_id: TEXT } }
  queries:
    users-of: SELECT u.id, provider, provider_id, owner, ii FROM users u JOIN metadata m ON m.id = u.id WHERE u.id = $1
`

const TYPED = `
postgres:
  tables:
    typed:
      type: application/json;type=typed
      columns: { yes: BOOLEAN, text: TEXT, texts: "TEXT[]", at: TIMESTAMP, small: INTEGER, big: BIGINT, json: JSON }
      indices: { by_text: { column: text } }
  functions:
    twice: { returns: INTEGER, language: PLpgSQL, arguments: [{ name: n, type: INTEGER }], body: "BEGIN RETURN n * 2; END;" }
  queries:
    all-typed: SELECT id, yes, text, texts, at, small, big, json FROM typed
    counted: SELECT count(*), twice($1) AS doubled FROM typed
    who: SELECT $REQUESTER AS user, $DOMAIN AS domain
    described: SELECT active_type, owner, domain, ii FROM metadata WHERE id = $1
    shared: { domains: [FRIEND], body: "SELECT 'VERSION' AS shared" }
  scopes: {}
authorize: {}
`

type Report = { readonly start: number; readonly end?: number; readonly error?: unknown }

async function configure(by: TestAgent, domain: string, text: string): Promise<Report> {
  return (await configureAs(by, domain, text)).state
}

/** Resolves with the report when it has ended, or failed. */
async function configureAs({ agent }: TestAgent, domain: string, text: string): Promise<{ readonly config: string; readonly report: string; readonly state: Report }> {
  const version = /0[0-9]+(?=\.localhost)/.exec(domain)?.[0]
  const data = text.replace('FRIEND', `friend${String(version)}.localhost:5112`).replace('VERSION', version === '09155' ? '0.9.155' : '0.9.193')
  const config = await agent.upload({ type: 'text/yaml', data })
  const report = agent.uuid()
  agent.create({ active_type: 'application/json;type=domain-config', active: { config, report, domain } })
  let state: Report = { start: 0 }
  agent.watch(report, ({ state: present }: { state: Report }) => (state = JSON.parse(JSON.stringify(present)) as Report))
  await eventually(() => expect([state.end, state.error].some((each) => each !== undefined)).toBe(true))
  return { config, report, state }
}

async function stateOf({ agent }: TestAgent, id: string): Promise<unknown> {
  const other = clients.open('0.9.155', { port: server.port, domain: (await agent.environment()).domain })
  const state = JSON.parse(JSON.stringify(await other.agent.state(id))) as unknown
  other.leave()
  return state
}

/** As the clients' own `query` asks, which leaves rejections unhandled: rows, or the error. */
async function answerOf({ agent, heard }: TestAgent, value: object): Promise<unknown> {
  const { session } = await agent.environment()
  // In a message of its own.
  await new Promise((resolve) => setTimeout(resolve))
  const before = heard.length
  await agent.interact('sessions', [{ op: 'add', path: ['active', session, 'queries', agent.uuid()], value }], false).catch(() => undefined)
  const answer = heard.slice(before).find((message) => message.rows !== undefined || message.error !== undefined)
  return answer.error ?? answer.rows
}
