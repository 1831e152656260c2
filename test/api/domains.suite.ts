/** domains.md, "Claim and configure" and "Mirror": what a domain's admin does, and what the tables then hold. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { DOCUMENTED } from '../unit/shared/domain/documented.ts'
import { Client } from './client.ts'
import type { Body } from './client.ts'
import { shareServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'
import { Tenant, claim, ended, getConfig, putConfig, query, reported, rows, write } from './tenant.ts'

const SCORE = 'application/json;type=score'
const WRITERS = 64
const ROUNDS = 3

let server: TestServer
let alice: Client
let bob: Client
beforeAll(async () => {
  server = await shareServer()
  alice = await Client.open(server)
  bob = await Client.open(server)
})
afterAll(() => server.stop())

describe('claiming', () => {
  test('a local domain is claimed at once by whoever asks first; then it is taken: 409', async () => {
    const first = await claim(alice, 'claimed.localhost')
    expect(first).toMatchObject({ status: 200, body: { token: expect.any(String), report: expect.any(String) } })
    expect((await reported(alice, first.body.report, ({ success }) => success === true)).domain).toBe('claimed.localhost')
    for (const who of [bob, alice]) expect(await claim(who, 'CLAIMED.localhost')).toMatchObject({ status: 409, body: { type: 'urn:problem:domain-taken' } })
    // The report of a claim is its claimer's alone.
    expect((await bob.get(first.body.report)).status).toBe(403)
  })

  test('of many at once one gets it', async () => {
    const answers = await Promise.all([alice, bob, alice, bob].map((who) => claim(who, 'raced.localhost')))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409, 409])
  })

  test('a repeat with its key gets the same token and report, later too', async () => {
    const key = { 'Idempotency-Key': randomUUID() }
    const first = await claim(alice, 'repeated.localhost', key)
    await claim(alice, 'another.localhost')
    expect((await claim(alice, 'repeated.localhost', key)).body).toEqual(first.body)
    expect((await claim(alice, 'other.localhost', key)).body).toMatchObject({ type: 'urn:problem:key-reused' })
  })

  test("another's report is no proof: by patch, with the admin's report named", async () => {
    const { report } = (await claim(alice, 'mine.localhost')).body
    const answer = await write(bob, randomUUID(), 'application/json;type=domain-claim', { domain: 'mine.localhost', report })
    expect(answer).toMatchObject({ status: 200, body: { error: { code: 409 } } })
    expect(answer.body).not.toHaveProperty('token')
  })

  test('any other domain has to show the token; the report counts the looks', async () => {
    const { status, body } = await claim(alice, 'app.invalid')
    expect({ status, body }).toEqual({ status: 200, body: { token: expect.any(String), report: expect.any(String) } })
    const report = await reported(alice, body.report, ({ attempts }) => attempts > 0)
    expect(report).toMatchObject({ domain: 'app.invalid', attempts: 1 })
    expect(report.timeout).toBeGreaterThan(report.started)
    expect(report).not.toHaveProperty('success')
    // It is nobody's so far.
    expect((await getConfig(alice, 'app.invalid')).status).toBe(404)
    expect((await claim(bob, 'app.invalid')).status).toBe(200)
  })

  test('by the patch of its type, at any domain; what is no domain is told', async () => {
    const id = randomUUID()
    const answer = await write(alice, id, 'application/json;type=domain-claim', { domain: 'patched.localhost:8080' })
    expect(answer).toMatchObject({ status: 200, body: { id, token: expect.any(String), report: expect.any(String) } })
    expect((await claim(bob, 'patched.localhost:8080')).status).toBe(409)
    expect(await write(alice, randomUUID(), 'application/json;type=domain-claim', { domain: 'no/domain' })).toMatchObject({ status: 200, body: { error: { code: 400 } } })
    expect((await claim(alice, 'no/domain')).status).toBe(400)
  })
})

describe('configuring', () => {
  test('the YAML of the documentation, word for word', async () => {
    const tenant = await Tenant.claim(server, 'documented')
    const report = await tenant.configure(DOCUMENTED)
    expect(report).toMatchObject({
      domain: 'documented.localhost',
      start: expect.any(Number),
      end: expect.any(Number),
      tasks: { postgres: { prepare: ['Preparing', 'Done'], tables: { scores: ['Creating', 'Creating index by_points on points', 'Filling', 'Done'] }, functions: { fn_name: ['Creating', 'Done'] } } },
    })
    expect(report.end).toBeGreaterThanOrEqual(report.start)
    const player = await tenant.user()
    for (const [name, points] of [['ada', 3], ['bob', 7], ['cyd', 5]] as const) await write(player, randomUUID(), SCORE, { player: name, points, tags: ['x'] })
    expect(await rows(player, 'top-scores', [2])).toEqual([
      { id: expect.any(String), player: 'bob', points: 7 },
      { id: expect.any(String), player: 'cyd', points: 5 },
    ])
    expect(await query(player, 'shared-query')).toMatchObject({ status: 422, body: { sqlstate: '42601' } })
  })

  test('faults: all at once with line and column, by the route; the same list in the report by the patch', async () => {
    const tenant = await Tenant.claim(server, 'faulty')
    const yaml = 'authorize:\n  sameDomain: { postgres: nowhere }\npostgres:\n  tables:\n    scores:\n      type: x\n      columns: { points: NUMBER }\n      colour: red\n'
    const answer = await tenant.put(yaml)
    expect(answer).toMatchObject({ status: 422, body: { type: 'urn:problem:invalid-config' } })
    const { faults } = answer.body
    expect(faults.map(({ line, column, path }: Body) => [line, column, path])).toEqual([
      [2, 27, 'authorize.sameDomain.postgres'],
      [7, 26, 'postgres.tables.scores.columns.points'],
      [8, 7, 'postgres.tables.scores.colour'],
    ])
    const uploaded = await upload(tenant.admin, yaml)
    const patched = await write(tenant.admin, randomUUID(), 'application/json;type=domain-config', { config: uploaded })
    expect(patched).toMatchObject({ status: 200, body: { report: expect.any(String) } })
    expect(await ended(tenant.admin, patched.body.report)).toMatchObject({ config: uploaded, error: faults })
    expect((await tenant.put(Buffer.from([0x61, 0xff]) as unknown as string)).status).toBe(400)
    expect((await getConfig(tenant.admin, tenant.domain)).status).toBe(404)
  })

  test("by the patch: an upload, a report of the admin's choice; what is no upload, or has no content, is told", async () => {
    const tenant = await Tenant.claim(server, 'by-patch')
    const report = randomUUID()
    const config = await upload(tenant.admin, 'postgres: { queries: { one: SELECT 1 AS one } }')
    const id = randomUUID()
    expect(await write(tenant.admin, id, 'application/json;type=domain-config', { config, report, domain: tenant.domain })).toMatchObject({ status: 200, body: { id, report } })
    expect(await ended(tenant.admin, report)).toMatchObject({ config })
    expect(await rows(tenant.admin, 'one')).toEqual([{ one: 1 }])
    const empty = (await tenant.admin.call('POST', '/v1/uploads', { body: { type: 'application/yaml' } })).body.id
    for (const [wrong, code] of [[randomUUID(), 404], [empty, 404], ['x', 400]]) {
      expect(await write(tenant.admin, randomUUID(), 'application/json;type=domain-config', { config: wrong })).toMatchObject({ status: 200, body: { error: { code } } })
    }
    // A report that is somebody else's is refused before anything is done.
    const theirs = randomUUID()
    await bob.set(theirs, 'x', 1)
    expect(await write(tenant.admin, randomUUID(), 'application/json;type=domain-config', { config, report: theirs })).toMatchObject({ status: 200, body: { error: { code: 403 } } })
  })

  test("only its admin: a domain of nobody is 404, another's 403, for its own users too", async () => {
    const tenant = await Tenant.configured(server, 'private', 'postgres: { queries: { one: SELECT 1 AS one } }')
    const user = await tenant.user()
    for (const who of [alice, user]) {
      expect((await putConfig(who, tenant.domain, '{}')).status).toBe(403)
      expect((await getConfig(who, tenant.domain)).status).toBe(403)
    }
    expect((await putConfig(alice, 'nobodys.localhost', '{}')).body).toMatchObject({ status: 404, type: 'urn:problem:unknown-domain' })
    expect((await getConfig(alice, 'nobodys.localhost')).status).toBe(404)
    const config = await upload(user, '{}')
    expect(await write(user, randomUUID(), 'application/json;type=domain-config', { config })).toMatchObject({ status: 200, body: { error: { code: 403 } } })
    expect(await rows(user, 'one')).toEqual([{ one: 1 }])
  })

  test('the configuration in force, for its admin: the text, its report, since when', async () => {
    const tenant = await Tenant.claim(server, 'in-force')
    expect((await getConfig(tenant.admin, tenant.domain)).status).toBe(404)
    const yaml = '# mine\npostgres:\n  queries:\n    one: SELECT 1 AS one\n'
    const { body } = await tenant.put(yaml)
    await ended(tenant.admin, body.report)
    expect(await getConfig(tenant.admin, tenant.domain)).toMatchObject({ status: 200, body: { domain: tenant.domain, config: yaml, report: body.report, since: expect.stringMatching(/^\d{4}-.*Z$/) } })
  })

  test('a repeat with its key is the same configuration, and brings no old one back', async () => {
    const tenant = await Tenant.claim(server, 'repeat')
    const key = { 'Idempotency-Key': randomUUID() }
    const first = await tenant.put('postgres: { queries: { n: SELECT 1 AS n } }', key)
    await ended(tenant.admin, first.body.report)
    await tenant.configure('postgres: { queries: { n: SELECT 2 AS n } }')
    expect(await tenant.put('postgres: { queries: { n: SELECT 1 AS n } }', key)).toMatchObject({ status: 202, body: first.body })
    expect(await rows(tenant.admin, 'n')).toEqual([{ n: 2 }])
  })

  test('what fails in Postgres: its step and error in the report, the one before in force', async () => {
    const before = 'postgres: { tables: { scores: { type: "application/json;type=score", columns: { points: INTEGER } } }, queries: { all: SELECT points FROM scores } }'
    const tenant = await Tenant.configured(server, 'failing', before)
    await write(tenant.admin, randomUUID(), SCORE, { points: 1 })
    for (const [body, language, sqlstate] of [['BEGIN RETRN 1; END', 'PLpgSQL', '42601'], ['SELECT count(*) FROM missing', 'SQL', '42P01']]) {
      const yaml = `postgres: { tables: { added: { type: y, columns: { a: TEXT } } }, queries: { all: SELECT 1 }, functions: { broken: { language: ${language}, returns: INTEGER, body: "${body}" } } }`
      const report = await tenant.tryToConfigure(yaml)
      expect(report.error).toMatch(new RegExp(`^function broken: ${sqlstate}: `))
      expect(report.tasks.postgres.functions.broken.at(-1)).toMatch(new RegExp(`^Error: ${sqlstate}`))
      expect(report.end).toEqual(expect.any(Number))
    }
    expect(await rows(tenant.admin, 'all')).toEqual([{ points: 1 }])
    await write(tenant.admin, randomUUID(), SCORE, { points: 2 })
    expect(await rows(tenant.admin, 'all')).toHaveLength(2)
    expect((await getConfig(tenant.admin, tenant.domain)).body.config).toBe(before)
    // And the next one takes hold.
    await tenant.configure('postgres: { tables: { scores: { type: "application/json;type=score", columns: { points: INTEGER } } }, queries: { all: SELECT count(*) AS n FROM scores } }')
    expect(await rows(tenant.admin, 'all')).toEqual([{ n: 2 }])
  })

  test('reconfiguring: columns and tables added, a table removed, queries replaced, at once', async () => {
    const tenant = await Tenant.configured(
      server,
      'changing',
      `
postgres:
  tables:
    a: { type: application/json;type=score, columns: { points: INTEGER } }
    b: { type: application/json;type=score, columns: { points: INTEGER } }
  queries: { q: SELECT points FROM a, old: SELECT points FROM b }
`,
    )
    await write(tenant.admin, randomUUID(), SCORE, { points: 4, player: 'ada' })
    expect(await rows(tenant.admin, 'q')).toEqual([{ points: 4 }])
    await tenant.configure(`
postgres:
  tables:
    a: { type: application/json;type=score, columns: { points: TEXT, player: TEXT } }
    c: { type: application/json;type=score, columns: { player: TEXT } }
  queries: { q: SELECT points || player AS both FROM a, c: SELECT player FROM c, b: SELECT points FROM b }
`)
    expect(await rows(tenant.admin, 'q')).toEqual([{ both: '4ada' }])
    expect(await rows(tenant.admin, 'c')).toEqual([{ player: 'ada' }])
    expect(await query(tenant.admin, 'b')).toMatchObject({ status: 422, body: { sqlstate: '42P01' } })
    expect((await query(tenant.admin, 'old')).status).toBe(404)
  })
})

describe('the mirror', () => {
  const TABLE = `
postgres:
  tables:
    scores: { type: application/json;type=score, columns: { player: TEXT, points: INTEGER, tags: "TEXT[]", at: TIMESTAMP, big: BIGINT, more: JSONB } }
  queries:
    by-id: SELECT points FROM scores WHERE id = $1
    all: SELECT * FROM scores ORDER BY points
    count: SELECT count(*) AS n FROM scores
    metadata: SELECT active_type, owner, name, domain, ii FROM metadata WHERE id = $1
    sessions: SELECT user_id, provider FROM sessions
    subscriptions: SELECT scope FROM subscriptions
    asked: SELECT query FROM queries WHERE query = 'asked'
    tags: SELECT tag_type, target FROM tags
`
  test('states of before are mirrored by the first configuration, those of others are not', async () => {
    const tenant = await Tenant.claim(server, 'late')
    const users = await Promise.all(Array.from({ length: 3 }, () => tenant.user()))
    await Promise.all(users.flatMap((user, u) => Array.from({ length: 20 }, (_, n) => write(user, randomUUID(), SCORE, { points: u * 20 + n }))))
    await users[0]!.set('a name', 'points', 1)
    await users[1]!.set(randomUUID(), 'points', 1)
    await write(alice, randomUUID(), SCORE, { points: 1 })
    await tenant.configure(TABLE)
    expect((await rows(tenant.admin, 'all')).map(({ points }) => points)).toEqual(Array.from({ length: 60 }, (_, n) => n))
    const named = (await users[0]!.get('a name')).body
    expect(await rows(tenant.admin, 'metadata', [named.id])).toEqual([{ active_type: 'application/json', owner: users[0]!.user, name: 'a name', domain: tenant.domain, ii: 1 }])
  })

  test('every type of value, the default tables, names; what is removed or of another type goes', async () => {
    const tenant = await Tenant.configured(server, 'rows', TABLE)
    const id = randomUUID()
    const { admin } = tenant
    await write(admin, id, SCORE, { player: 'a\u00fc"\'\\', points: -1, tags: ['x,"{}', 'NULL'], at: 0, big: '9223372036854775807', more: { a: [1] } })
    expect(await rows(admin, 'all')).toEqual([{ id, player: 'a\u00fc"\'\\', points: -1, tags: ['x,"{}', 'NULL'], at: '1970-01-01T00:00:00.000Z', big: '9223372036854775807', more: { a: [1] } }])
    await admin.rename(id, 'renamed')
    expect((await rows(admin, 'metadata', [id]))[0]).toMatchObject({ name: 'renamed', ii: 2 })
    await write(admin, randomUUID(), 'application/json;type=tag', { tag_type: 't', target: id })
    await write(admin, randomUUID(), 'application/json;type=subscription', { scope: id })
    expect(await rows(admin, 'tags')).toEqual([{ tag_type: 't', target: id }])
    expect(await rows(admin, 'subscriptions')).toEqual([{ scope: id }])
    await rows(admin, 'asked')
    expect(await rows(admin, 'asked')).toEqual([{ query: 'asked' }])

    await admin.patch(id, [{ op: 'remove', path: ['active'] }])
    expect(await rows(admin, 'all')).toEqual([])
    await admin.set(id, 'points', 3)
    expect(await rows(admin, 'by-id', [id])).toEqual([{ points: 3 }])
    await admin.patch(id, [{ op: 'add', path: ['active_type'], value: 'text/plain' }])
    expect(await rows(admin, 'all')).toEqual([])
    expect((await rows(admin, 'metadata', [id]))[0]).toMatchObject({ active_type: 'text/plain' })
    await admin.patch(id, [{ op: 'add', path: ['active_type'], value: SCORE }])
    expect(await rows(admin, 'by-id', [id])).toEqual([{ points: 3 }])
  })

  test('values that do not fit are NULL, and counted and named in the report; the patch is stored', async () => {
    const tenant = await Tenant.claim(server, 'misfits')
    const { report } = (await tenant.put(TABLE)).body
    await ended(tenant.admin, report)
    const id = randomUUID()
    expect((await write(tenant.admin, id, SCORE, { player: 'a\0', points: 2 ** 31, tags: [['x']], at: 'never', big: 1.5, more: { a: '\0' } })).status).toBe(200)
    expect(await rows(tenant.admin, 'all')).toEqual([{ id, player: null, points: null, tags: null, at: null, big: null, more: null }])
    const { misfits } = await reported(tenant.admin, report, (active) => active.misfits !== undefined)
    expect(misfits['scores.points']).toEqual({ count: 1, reason: expect.any(String), state: id })
    expect(Object.keys(misfits).toSorted()).toEqual(['at', 'big', 'more', 'player', 'points', 'tags'].map((name) => `scores.${name}`))
  })

  test(`a query that starts after an acknowledgement sees it: ${WRITERS} writers at once`, async () => {
    const tenant = await Tenant.configured(server, 'writers', TABLE)
    const users = await Promise.all(Array.from({ length: 8 }, () => tenant.user()))
    const shared = Array.from({ length: 4 }, () => randomUUID())
    await Promise.all(shared.map((id, n) => write(users[n]!, id, SCORE, { points: 0 })))
    const floors = new Map<string, number>(shared.map((id) => [id, 1]))
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, n) => {
        // Some write a state of their own, some one of four that many write.
        const user = users[n % users.length]!
        const id = n % 8 < 4 ? shared[n % 8]! : randomUUID()
        const isShared = shared.includes(id)
        for (let round = 1; round <= ROUNDS; round++) {
          const answer = isShared ? await user.patch(id, [{ op: 'add', path: ['active', `w${n}`], value: round }]) : await write(user, id, SCORE, { points: round })
          expect(answer.status).toBe(200)
          floors.set(id, Math.max(floors.get(id) ?? 0, answer.body.ii))
          const floor = isShared ? floors.get(id)! : answer.body.ii
          const [seen] = isShared ? await rows(user, 'metadata', [id]) : await rows(user, 'by-id', [id])
          if (isShared) expect(seen.ii).toBeGreaterThanOrEqual(floor)
          else expect(seen).toEqual({ points: round })
        }
      }),
    )
    expect(await rows(tenant.admin, 'count')).toEqual([{ n: 32 + shared.length }])
  })

  test('states that are made while a table is added are in it when that is done, and later ones at once', async () => {
    const tenant = await Tenant.configured(server, 'growing', 'postgres: { queries: { one: SELECT 1 AS one } }')
    const users = await Promise.all(Array.from({ length: 4 }, () => tenant.user()))
    for (let round = 0; round < 3; round++) {
      const made: string[] = []
      let isOver = false
      const writers = Promise.all(
        Array.from({ length: 16 }, async (_, n) => {
          while (!isOver) {
            const id = randomUUID()
            expect((await write(users[n % users.length]!, id, `grown ${round}`, { n })).status).toBe(200)
            made.push(id)
          }
        }),
      )
      await tenant.configure(`postgres: { tables: { t${round}: { type: grown ${round}, columns: { n: INTEGER } } }, queries: { ids: SELECT id FROM t${round} } }`).finally(() => (isOver = true))
      const acknowledged = [...made]
      const [found] = await Promise.all([rows(users[0]!, 'ids'), writers])
      const ids = new Set(found.map(({ id }) => id))
      expect(acknowledged.length).toBeGreaterThan(20)
      expect(acknowledged.filter((id) => !ids.has(id))).toEqual([])
    }
  })

  test('sessions are rows', async () => {
    const tenant = await Tenant.configured(server, 'sessions', TABLE)
    const user = await tenant.user()
    await user.set(randomUUID(), 'x', 1)
    // Written behind the opening of a session.
    await expectSoon(async () => expect(await rows(tenant.admin, 'sessions')).toContainEqual({ user_id: user.user, provider: 'anonymous' }))
  })
})

/** What is written off any request's way cannot be awaited. */
async function expectSoon(check: () => Promise<void>, deadlineMs = 10_000): Promise<void> {
  for (const end = Date.now() + deadlineMs; ; ) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}

/** An upload with this content; its id. */
async function upload(client: Client, text: string): Promise<string> {
  const { body } = await client.call('POST', '/v1/uploads', { body: { type: 'application/yaml' } })
  const put = await fetch(body.url, { method: 'PUT', headers: body.headers, body: text })
  expect(put.ok).toBe(true)
  return body.id
}
