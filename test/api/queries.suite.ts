/** Queries of domains (rest-api.md, "Side effects"), and that their SQL, which is untrusted, gets out of nothing (domains.md, "Mirror"). */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { Client } from './client.ts'
import { shareServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'
import { Tenant, query, rows, write } from './tenant.ts'

const NOTE = 'application/json;type=note'
const ABROAD = 'friends.localhost'
const YAML = `
postgres:
  tables:
    notes: { type: ${NOTE}, columns: { text: TEXT, n: INTEGER, big: BIGINT, at: TIMESTAMP, ratio: DOUBLE PRECISION, more: JSONB } }
  queries:
    all: SELECT id, text FROM notes ORDER BY n
    mine: SELECT n.text FROM notes n JOIN metadata m ON m.id = n.id WHERE m.owner = $REQUESTER AND m.domain = $DOMAIN
    who: SELECT $REQUESTER AS requester, $DOMAIN AS domain, $2::text AS second, $1::integer AS first
    equal: SELECT n FROM notes WHERE text = $1
    like: SELECT n FROM notes WHERE text LIKE $1 || '%' AND more @> $2::jsonb
    values: SELECT big, at, ratio, 'NaN'::float8 AS nan, more FROM notes WHERE text = 'values'
    lent: { domains: [${ABROAD}], body: "SELECT count(*) AS n, $REQUESTER AS requester, $DOMAIN AS domain FROM notes" }
    "a name: with / and ü": SELECT 1 AS one
    broken: SELEC 1
    no-table: SELECT * FROM nothing
    zero: SELECT 1 / $1::integer AS x
    raising: SELECT raising()
  functions:
    raising: { language: PLpgSQL, returns: TEXT, arguments: [], body: "BEGIN RAISE EXCEPTION 'my own' USING ERRCODE = 'XX123'; END" }
`

let server: TestServer
let tenant: Tenant
let user: Client
let friend: Client
let stranger: Client
beforeAll(async () => {
  server = await shareServer()
  tenant = await Tenant.configured(server, 'asked', YAML)
  ;[user, friend, stranger] = await Promise.all([tenant.user(), Client.open(server, { domain: ABROAD }), Client.open(server)])
  await write(user, randomUUID(), NOTE, { text: 'a', n: 1, more: { x: 1 } })
  await write(tenant.admin, randomUUID(), NOTE, { text: "b'; DROP TABLE notes; --", n: 2, more: {} })
})
afterAll(() => server.stop())

describe('queries', () => {
  test('parameters by number, $REQUESTER and $DOMAIN, in any order', async () => {
    expect(await rows(user, 'mine')).toEqual([{ text: 'a' }])
    expect(await rows(user, 'who', [7, 'zwei'])).toEqual([{ requester: user.user, domain: tenant.domain, second: 'zwei', first: 7 }])
    expect(await rows(user, 'like', ['a', '{"x":1}'])).toEqual([{ n: 1 }])
    expect(await rows(user, 'a name: with / and ü')).toEqual([{ one: 1 }])
    expect(await query(user, 'who', [7])).toMatchObject({ status: 422, body: { sqlstate: '08P01' } })
    expect(await user.call('POST', '/v1/queries/all', { raw: '' })).toMatchObject({ status: 200 })
  })

  test('values: BIGINT a number where it is safe, else a string; times in ISO 8601; NaN is null', async () => {
    await write(user, randomUUID(), NOTE, { text: 'values', n: 3, big: '9007199254740993', at: '2026-01-02T03:04:05.678Z', ratio: 0.1, more: { deep: [null] } })
    expect(await rows(user, 'values')).toEqual([{ big: '9007199254740993', at: '2026-01-02T03:04:05.678Z', ratio: 0.1, nan: null, more: { deep: [null] } }])
  })

  test('for other domains: those that the query names, and no others; what there is not is the same as what is not for them', async () => {
    expect((await rows(friend, 'lent', [], tenant.domain))[0]).toMatchObject({ requester: friend.user, domain: tenant.domain })
    const refusals = await Promise.all([query(stranger, 'lent', [], tenant.domain), query(friend, 'all', [], tenant.domain), query(friend, 'nothing', [], tenant.domain), query(friend, 'lent', [], 'nobodys.example.com'), query(user, 'nothing'), query(friend, 'lent')])
    expect(new Set(refusals.map(({ status, body }) => JSON.stringify([status, body.type, body.detail]))).size).toBe(1)
    expect(refusals[0]!.status).toBe(404)
  })

  test.each([
    ['broken', [], '42601'],
    ['no-table', [], '42P01'],
    ['zero', [0], '22012'],
    ['zero', ['x'], '22P02'],
    ['raising', [], 'XX123'],
  ])('an SQL error is a 422 with its sqlstate, never a 5xx: %s %j', async (name, params, sqlstate) => {
    expect(await query(user, name, params)).toMatchObject({ status: 422, body: { type: 'urn:problem:query-failed', sqlstate } })
  })

  test('by the patch of its type: the same, `rows` or `error.code`', async () => {
    const ask = async (active: object, client = user): Promise<object> => (await write(client, randomUUID(), 'application/json;type=postgres-query', active)).body
    expect(await ask({ query: 'mine' })).toMatchObject({ ii: 1, rows: [{ text: 'a' }, { text: 'values' }] })
    expect(await ask({ query: 'who', params: [1, 'x'] })).toMatchObject({ rows: [{ requester: user.user }] })
    expect(await ask({ query: 'lent', domain: tenant.domain }, friend)).toMatchObject({ rows: [{ domain: tenant.domain }] })
    expect(await ask({ query: 'nothing' })).toMatchObject({ error: { code: 404 } })
    expect(await ask({ query: 'all', domain: tenant.domain }, stranger)).toMatchObject({ error: { code: 404 } })
    expect(await ask({ query: 'zero', params: [0] })).toMatchObject({ error: { code: '22012' } })
    for (const active of [{ query: 1 }, { query: 'all', params: 'x' }, { params: [] }, { query: 'all', domain: '/' }]) expect(await ask(active)).toMatchObject({ error: { code: 400 } })
  })

  test.each([{ params: 1 }, { params: {} }, { more: 1 }, { domain: 1 }, [], 'x', null])('a body that is none: %j', async (body) => {
    expect((await user.call('POST', '/v1/queries/all', { body })).status).toBe(400)
  })
})

describe('parameters are values', () => {
  const HOSTILE = ["' OR '1' = '1", "'; DROP TABLE notes; --", "b'; DROP TABLE notes; --", '$1', '$REQUESTER', '\\', "\\'", '\u0000', '%', '}', '{"a":1}', '"', '--', '/*', "E'\\x27'", '\ud800', 'a'.repeat(100_000)]

  test.each(HOSTILE)('%j', async (hostile) => {
    const answer = await query(user, 'equal', [hostile])
    const found = hostile.startsWith("b'") ? [{ n: 2 }] : []
    if (answer.status === 200) expect(answer.body.rows).toEqual(found)
    else expect(answer).toMatchObject({ status: 422, body: { sqlstate: '22021' } })
    expect((await query(user, hostile.slice(0, 200).toWellFormed())).status).toBeLessThan(500)
  })

  test.each([[[['a']]], [[{ a: 1 }]], [[null]], [[true]], [[1e300]], [[[[[]]]]], [Array.from({ length: 70_000 }, () => 1)]])('of every JSON type: a row or a 422', async (params) => {
    expect([200, 422]).toContain((await query(user, 'equal', params)).status)
  })
})

describe('attacks', () => {
  const SQL: readonly (readonly [name: string, sql: string, sqlstate: RegExp])[] = [
    ['second statement', 'SELECT 1; SELECT 2', /^42601$/],
    ['drop', 'SELECT 1; DROP TABLE notes', /^42601$/],
    ['commit', 'COMMIT', /^42601$/],
    ['role', 'SET ROLE postgres', /^42601$/],
    ['copy', 'COPY notes TO STDOUT', /^42601$/],
    ['copy program', "COPY notes TO PROGRAM 'id'", /^42601$/],
    ['writing', "WITH x AS (DELETE FROM notes RETURNING 1) SELECT * FROM x", /^0A000$/],
    ['locking', 'SELECT * FROM notes FOR UPDATE', /^25006$/],
    ['files', "SELECT pg_read_file('/etc/passwd')", /^42501$/],
    ['folders', "SELECT pg_ls_dir('/')", /^42501$/],
    ['large object', "SELECT lo_import('/etc/passwd')", /^42501$/],
    ['passwords', 'SELECT * FROM pg_authid', /^42501$/],
    ['set_config', "SELECT set_config('role', 'state_platform', true)", /^42501$/],
    ['session', "SELECT set_config('session_authorization', 'postgres', true)", /^42501$/],
    ['xml', "SELECT set_config('role', 'state_platform', true), query_to_xml('SELECT * FROM pg_authid', true, true, '')", /^42501$/],
    ['neighbour', 'SELECT * FROM hidden', /^42P01$/],
    ["neighbour's function", 'SELECT hidden_fn()', /^42883$/],
    ['dblink', "SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS t(a int)", /^42883$/],
    ['rows', 'SELECT generate_series(1, 10001)', /^54000$/],
    ['bytes', "SELECT repeat('x', 5000000)", /^54000$/],
    ['memory', "SELECT repeat('x', 1073741824)", /^54000$/],
    ['function that runs', "SELECT run('SET ROLE postgres')", /^42501$|^0A000$/],
    ['function that writes', "SELECT run('DELETE FROM notes')", /^25006$|^42501$|^0A000$/],
    ['function that commits', "SELECT run('COMMIT')", /^0A000$/],
    ['function that calls abroad', "SELECT run('SELECT hidden_fn()')", /^42883$/],
  ]
  const ENDLESS: readonly (readonly [name: string, sql: string])[] = [
    ['sleep', 'SELECT pg_sleep(60)'],
    ['cpu', 'SELECT spinning()'],
    ['stubborn', 'SELECT stubborn()'],
  ]
  let attacker: Tenant

  beforeAll(async () => {
    const victim = await Tenant.configured(server, 'victim', 'postgres: { tables: { hidden: { type: h, columns: { a: TEXT } } }, functions: { hidden_fn: { language: SQL, returns: TEXT, arguments: [], body: "SELECT current_user::text" } } }')
    await write(victim.admin, randomUUID(), 'h', { a: 'secretword' })
    const queries = [...SQL, ...ENDLESS, ['names', "SELECT count(*) AS n FROM pg_database WHERE datname ~ 'victim|hidden'"], ['spying', "SELECT string_agg(query, ' ') AS q FROM pg_stat_activity WHERE usename <> current_user"], ['leaving', "SELECT set_config('search_path', 'pg_catalog', false), set_config('statement_timeout', '0', false)"], ['left', "SELECT current_setting('search_path') AS path"], ['quick', 'SELECT 1 AS one']].map(([name, sql]) => `    ${JSON.stringify(name)}: ${JSON.stringify(sql)}`)
    attacker = await Tenant.configured(
      server,
      'attacker',
      `
postgres:
  tables: { notes: { type: ${NOTE}, columns: { text: TEXT } } }
  queries:
${queries.join('\n')}
  functions:
    run: { language: PLpgSQL, returns: TEXT, arguments: [{ name: statement, type: TEXT }], body: "BEGIN EXECUTE statement; RETURN 'done'; END" }
    spinning: { language: PLpgSQL, returns: TEXT, arguments: [], body: "BEGIN LOOP END LOOP; END" }
    stubborn: { language: PLpgSQL, returns: TEXT, arguments: [], body: "BEGIN LOOP BEGIN PERFORM pg_sleep(10); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END" }
`,
    )
    await write(attacker.admin, randomUUID(), NOTE, { text: 'mine' })
  })

  test.each(SQL)('%s is refused', async (name, _sql, sqlstate) => {
    const { status, body, text } = await query(attacker.admin, name)
    expect({ status, sqlstate: body.sqlstate ?? text }).toEqual({ status: 422, sqlstate: expect.stringMatching(sqlstate) })
    expect(text).not.toMatch(/secretword|root:/)
  })

  test('what burns time is ended, and holds up nobody else', async () => {
    const burning = ENDLESS.map(([name]) => query(attacker.admin, name))
    // Others go on meanwhile: another domain's query, and the attacker's own writes.
    expect(await rows(user, 'mine')).toContainEqual({ text: 'a' })
    expect((await write(attacker.admin, randomUUID(), NOTE, { text: 'too' })).status).toBe(200)
    for (const answer of await Promise.all(burning)) {
      if (answer.status === 422) expect(answer.body.sqlstate).toBe('57014')
      // One that caught its cancellation, ended with its connection.
      else expect(answer.status).toBe(503)
    }
    expect(await rows(attacker.admin, 'quick')).toEqual([{ one: 1 }])
  })

  test('the names and the work of others do not show; nothing that is set is left', async () => {
    expect(await rows(attacker.admin, 'names')).toEqual([{ n: 0 }])
    expect(JSON.stringify(await rows(attacker.admin, 'spying'))).not.toMatch(/hidden|secretword|notes/)
    await query(attacker.admin, 'leaving')
    for (let n = 0; n < 8; n++) expect(await rows(attacker.admin, 'left')).toEqual([{ path: expect.stringContaining('public') }])
  })

  test('names of tables, columns and queries that need quotes are names, or faults with their place', async () => {
    const odd = await Tenant.claim(server, 'odd')
    const config = (table: string, column: string): string => {
      const [t, c] = [JSON.stringify(table), JSON.stringify(column)]
      return `postgres: { tables: { ${t}: { type: odd, columns: { ${c}: TEXT }, indices: { ${c}: { column: ${c} } } } }, queries: { all: 'SELECT ${c} FROM ${t}' } }`
    }
    for (const wrong of ['a"; DROP TABLE metadata; --', "a'b", 'a.b', 'ä', '', '1a', 'a b', 'x'.repeat(64)]) {
      expect((await odd.put(config(wrong, 'a'))).status).toBe(422)
      expect((await odd.put(config('a', wrong))).status).toBe(422)
    }
    await odd.configure(config('select', 'table'))
    await write(odd.admin, randomUUID(), 'odd', { table: 'x' })
    expect(await rows(odd.admin, 'all')).toEqual([{ table: 'x' }])
    await odd.configure(config('Order', 'User'))
    expect(await rows(odd.admin, 'all')).toEqual([{ User: null }])
  })
})
