/** The databases of domains: what they keep and answer, and that tenants' SQL gets out of nothing. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import type { AdminConnection } from '#shared/adapters/postgres/admin-connection.ts'
import { openDomainDatabase, type DomainDatabaseOptions } from '#shared/adapters/postgres/domain-database.ts'
import { domainLogin } from '#shared/adapters/postgres/login.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { quoteIdentifier, type DomainDatabase, type QueryOutcome } from '#shared/ports/domain-database.ts'
import { eventually, silentLog, startTestPostgres, type TestPostgres } from '../support/postgres.ts'

const KEY = new Uint8Array(randomBytes(32))
const TENANT_MS = 400
const GRACE_MS = 200
const LIMITS = { tenantMs: TENANT_MS, tenantGraceMs: GRACE_MS, tenantLockMs: 100, tenantRows: 100, tenantBytes: 64 * 1024, transactLockMs: 1_500 }
const ATTACKER = 'attacker.example'
const VICTIM = 'victim.example'
/** Stands in the victim's rows, table, function and in its running query; written so that no query of ours shows it whole. */
const SECRET = ['sec', 'ret', 'word'].join('')
const SECRET_SQL = "'%sec' || 'retword%'"

let postgres: TestPostgres
let database: DomainDatabase
let opened: DomainDatabase[]

beforeAll(async () => {
  opened = []
  postgres = await startTestPostgres()
  database = open()
  opened = []
  await Promise.all([database.ensure(ATTACKER), database.ensure(VICTIM)])
  await transact(VICTIM, [`CREATE TABLE ${SECRET}_table (id TEXT PRIMARY KEY, ${SECRET}_column TEXT)`, `INSERT INTO ${SECRET}_table VALUES ('1', '${SECRET}')`])
  await define(VICTIM, `${SECRET}_fn`, '', 'text', `BEGIN RETURN '${SECRET}'; END`)
  await transact(ATTACKER, ['CREATE TABLE scores (id TEXT PRIMARY KEY, points INTEGER, player TEXT)', "INSERT INTO scores VALUES ('a', 1, 'p'), ('b', 2, 'q')"])
  await define(
    ATTACKER,
    'run',
    'sql text',
    'text',
    `DECLARE answer text; BEGIN EXECUTE sql; RETURN 'done'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END`,
  )
  await define(ATTACKER, 'ask', 'sql text', 'text', `DECLARE answer text; BEGIN EXECUTE sql INTO answer; RETURN answer; END`)
}, 60_000)
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()))
})
afterAll(async () => {
  await database.close()
  await postgres.stop()
})

function open(options: Partial<DomainDatabaseOptions> = {}): DomainDatabase {
  const each = openDomainDatabase({ admin: postgres.admin, key: KEY, log: silentLog, ...options, limits: { ...LIMITS, ...options.limits } })
  opened.push(each)
  return each
}

async function transact(domain: string, statements: readonly string[], db = database): Promise<void> {
  expect(await db.transact(domain, statements.map((sql) => ({ sql })))).toMatchObject({ kind: 'done' })
}

async function define(domain: string, name: string, parameters: string, returns: string, body: string, rest = ''): Promise<void> {
  const sql = `CREATE OR REPLACE FUNCTION "${name}"(${parameters}) RETURNS ${returns} LANGUAGE plpgsql ${rest} AS '${body.replaceAll("'", "''")}'`
  expect(await database.transact(domain, [{ as: 'tenant', sql }])).toMatchObject({ kind: 'done' })
}

function query(sql: string, params: readonly Json[] = [], { domain = ATTACKER, requester = 'user-1', db = database } = {}): Promise<QueryOutcome> {
  return db.tenantQuery(domain, { sql, params, requester })
}

async function rows(sql: string, params: readonly Json[] = [], options: Parameters<typeof query>[2] = {}): Promise<readonly JsonObject[]> {
  const outcome = await query(sql, params, options)
  if (outcome.kind !== 'rows') throw new Error(`${sql}: ${JSON.stringify(outcome)}`)
  return outcome.rows
}

const value = async (sql: string, params: readonly Json[] = [], options: Parameters<typeof query>[2] = {}): Promise<Json> => Object.values((await rows(sql, params, options))[0]!)[0]!

async function refusal(sql: string, params: readonly Json[] = [], options: Parameters<typeof query>[2] = {}): Promise<string> {
  const outcome = await query(sql, params, options)
  return outcome.kind === 'refused' ? outcome.error.sqlstate : `${outcome.kind} ${JSON.stringify(outcome)}`
}

/** As the server's owner, beside the adapter. */
async function asAdmin<T extends object>(sql: string, values: unknown[] = [], connection: Partial<AdminConnection> = {}): Promise<T[]> {
  const { server, user, password, database: name } = { ...postgres.admin, ...connection }
  const client = new Client({ ...server, user, password: String(password), database: name, options: '' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<T>(sql, values)).rows
  } finally {
    await client.end()
  }
}

/** The server's owner, in a domain's database. */
async function connectTo(domain: string): Promise<Client> {
  const { server, user, password } = postgres.admin
  const client = new Client({ ...server, user, password: String(password), database: domainLogin(KEY, domain).user, options: '' })
  await client.connect()
  return client
}

/** A query that is seen to run. */
async function longQuery(sql: string, domain: string): Promise<{ readonly answer: Promise<QueryOutcome> }> {
  const answer = query(sql, [], { domain, db: open({ limits: { tenantMs: 3_000, tenantLockMs: 2_000 } }) })
  await eventually(async () => expect(await busySessions(domain)).toBe(1))
  return { answer }
}

const busySessions = async (domain: string): Promise<number> =>
  (await asAdmin<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle'", [domainLogin(KEY, domain).user]))[0]!.n

describe('life of a database', () => {
  test('ensure makes it once, by however many processes at once; drop removes it; who asks then hears that it is missing', async () => {
    const domain = 'life.example:8080'
    const others = [open(), open(), open()]
    expect(await query('SELECT 1', [], { domain })).toEqual({ kind: 'missing' })
    expect(await database.write(domain, { sql: 'SELECT 1' })).toEqual({ kind: 'missing' })
    const outcomes = await Promise.all([...others, others[0]!].map((each) => each.ensure(domain)))
    expect(outcomes.map(({ kind }) => kind)).toEqual(['ready', 'ready', 'ready', 'ready'])
    expect(await database.ensure(domain)).toEqual({ kind: 'ready', created: false })
    expect(await value('SELECT 1', [], { domain })).toBe(1)
    expect(await others[0]!.drop(domain)).toEqual({ kind: 'dropped' })
    expect(await query('SELECT 1', [], { domain })).toEqual({ kind: 'missing' })
    expect(await asAdmin('SELECT 1 FROM pg_roles WHERE rolname = $1', [domainLogin(KEY, domain).user])).toEqual([])
    expect(await others[0]!.drop(domain)).toEqual({ kind: 'dropped' })
    expect(await database.ensure(domain)).toEqual({ kind: 'ready', created: true })
    expect(await database.drop(domain)).toEqual({ kind: 'dropped' })
  })

  test('what a crash left half made is finished; a role whose password is another one gets ours', async () => {
    const domain = 'half.example'
    const { user } = domainLogin(KEY, domain)
    await asAdmin(`CREATE ROLE ${user} LOGIN PASSWORD 'old'`)
    await asAdmin(`CREATE DATABASE ${user} TEMPLATE template0 ALLOW_CONNECTIONS false`)
    expect(await query('SELECT 1', [], { domain })).toEqual({ kind: 'missing' })
    expect(await database.ensure(domain)).toMatchObject({ kind: 'ready' })
    expect(await value('SELECT 1', [], { domain })).toBe(1)
    expect(await asAdmin("SELECT 1 FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT')")).toEqual([])
    await database.drop(domain)
  })

  test('another key has other databases, and the names tell nothing', async () => {
    const [one, other] = [domainLogin(KEY, VICTIM), domainLogin(new Uint8Array(32), VICTIM)]
    expect(one.user).toMatch(/^domain_[0-9a-f]{32}$/)
    expect(one.user).not.toBe(other.user)
    expect(one.password).not.toBe(other.password)
  })

  test('transact does all or nothing, and says which statement failed', async () => {
    const outcome = await database.transact(ATTACKER, [{ sql: 'CREATE TABLE one (id TEXT)' }, { sql: 'CREATE TABLE scores (id TEXT)' }, { sql: 'CREATE TABLE two (id TEXT)' }])
    expect(outcome).toMatchObject({ kind: 'refused', at: 1, error: { sqlstate: '42P07' } })
    expect(await refusal('SELECT * FROM one')).toBe('42P01')
    expect(await database.transact(ATTACKER, [{ sql: 'CREATE TABLE one (id TEXT); DROP TABLE scores' }])).toMatchObject({ kind: 'refused', error: { sqlstate: '42601' } })
    expect(await database.transact(ATTACKER, [{ sql: 'SELECT 1 AS a', values: [] }, { sql: 'SELECT $1::int + 1 AS b', values: [1] }])).toEqual({
      kind: 'done',
      results: [
        { rows: [{ a: 1 }], count: 1 },
        { rows: [{ b: 2 }], count: 1 },
      ],
    })
  })

  test('write: counts and rows, refusals, deadlocks tried again, prepared statements that outlive a change of the table', async () => {
    await transact(VICTIM, ['CREATE TABLE w (id TEXT PRIMARY KEY, n INTEGER)', "INSERT INTO w VALUES ('a', 0), ('b', 0)"])
    expect(await database.write(VICTIM, { sql: 'UPDATE w SET n = n + 1' })).toEqual({ kind: 'done', rows: [], count: 2 })
    expect(await database.write(VICTIM, { sql: 'INSERT INTO w SELECT * FROM unnest($1::text[], $2::int[]) RETURNING id', values: [['c', 'd'], [1, 2]] })).toEqual({ kind: 'done', rows: [{ id: 'c' }, { id: 'd' }], count: 2 })
    expect(await database.write(VICTIM, { sql: 'INSERT INTO w VALUES ($1, 1)', values: ['a'] })).toMatchObject({ kind: 'refused', error: { sqlstate: '23505' } })
    expect(await database.write(VICTIM, { sql: 'INSERT INTO w VALUES ($1, 1)', values: ['x\0'] })).toMatchObject({ kind: 'refused', error: { sqlstate: '22021' } })
    const all = { sql: 'SELECT * FROM w WHERE id = $1', values: ['c'], name: 'all of w' }
    for (let n = 0; n < 3; n++) expect(await database.write(VICTIM, all)).toMatchObject({ kind: 'done', count: 1 })
    await transact(VICTIM, ['ALTER TABLE w ADD COLUMN more TEXT'])
    expect(await database.write(VICTIM, all)).toEqual({ kind: 'done', rows: [{ id: 'c', n: 1, more: null }], count: 1 })
    const inOrder = (first: string, second: string): string =>
      `WITH one AS (UPDATE w SET n = n + 1 WHERE id = '${first}' RETURNING pg_sleep(0.05)), first AS (SELECT count(*) FROM one) UPDATE w SET n = n + 1 FROM first WHERE id = '${second}'`
    const outcomes = await Promise.all(Array.from({ length: 4 }, (_, at) => database.write(VICTIM, { sql: at % 2 === 0 ? inOrder('a', 'b') : inOrder('b', 'a') })))
    expect(outcomes.every(({ kind }) => kind === 'done' || kind === 'unavailable')).toBe(true)
    await transact(VICTIM, ['DROP TABLE w'])
  })
})

describe('values', () => {
  test('of every column type, as JSON', async () => {
    const sql = `SELECT 'é'::text AS text, ARRAY['a', 'b"{},\\', NULL, 'NULL', ''] AS texts, 5 AS integer, 9007199254740991 AS safe, 9007199254740993 AS big, -9007199254740993 AS low,
      count(*) AS count, sum(2) AS sum, true AS yes, NULL::boolean AS nothing, 1.5::float8 AS double, 'NaN'::float8 AS nan, '-Infinity'::float8 AS infinite, 'NaN'::numeric AS numeric_nan,
      12.50::numeric AS numeric, '2024-02-29 12:34:56.789123'::timestamp AS at, '0044-03-15 00:00:00 BC'::timestamp AS ides, 'infinity'::timestamp AS never,
      '2024-02-29 12:34:56+02'::timestamptz AS zoned, '2024-02-29'::date AS date, '{"a": [1, null, "x"]}'::json AS json, '{"b":{}}'::jsonb AS jsonb, 'null'::jsonb AS json_null,
      ARRAY[1,2] AS integers, ARRAY[[1,2],[3,4]]::bigint[] AS nested, ARRAY['2024-01-01'::timestamp] AS times, ARRAY['{"a":1}'::jsonb] AS objects, '\\x01ff'::bytea AS bytes, '1 day'::interval AS interval,
      1 AS "__proto__", ROW(1, 'x') AS record`
    const [row] = await rows(sql)
    expect(Object.entries(row!)).toEqual(
      Object.entries({
        text: 'é', texts: ['a', 'b"{},\\', null, 'NULL', ''], integer: 5, safe: 9007199254740991, big: '9007199254740993', low: '-9007199254740993',
        count: 1, sum: 2, yes: true, nothing: null, double: 1.5, nan: null, infinite: null, numeric_nan: null,
        numeric: '12.50', at: '2024-02-29T12:34:56.789Z', ides: '-000043-03-15T00:00:00.000Z', never: null,
        zoned: '2024-02-29T10:34:56.000Z', date: '2024-02-29', json: { a: [1, null, 'x'] }, jsonb: { b: {} }, json_null: null,
        integers: [1, 2], nested: [[1, 2], [3, 4]], times: ['2024-01-01T00:00:00.000Z'], objects: [{ a: 1 }], bytes: '\\x01ff', interval: '1 day',
        ['__proto__']: 1, record: '(1,x)',
      }),
    )
  })

  test('a tenant that writes dates its own way gets text, JSON too deep for Node is text, nothing throws', async () => {
    expect(await value("SELECT set_config('datestyle', 'German', true), now()::timestamp AS t").then(() => rows("SELECT t FROM (SELECT set_config('datestyle', 'German', true), '2024-02-29'::timestamp AS t) x WHERE set_config IS NOT NULL"))).toEqual([
      { t: '29.02.2024 00:00:00' },
    ])
    expect(await value("SELECT (repeat('[', 3000) || repeat(']', 3000))::json")).toBe('['.repeat(3000) + ']'.repeat(3000))
    expect(await refusal("SELECT set_config('client_encoding', 'LATIN1', true), 'é'").then((sqlstate) => typeof sqlstate)).toBe('string')
  })

  test('parameters by number and by name; as many as the query has', async () => {
    expect(await rows('SELECT $1::int + 1 AS a, $REQUESTER AS r, $DOMAIN AS d, $2::text AS b', [1, 'x'], { requester: "o'brien" })).toEqual([{ a: 2, r: "o'brien", d: ATTACKER, b: 'x' }])
    expect(await rows("SELECT '$DOMAIN' AS a, E'\\'$REQUESTER' AS b, $$ $DOMAIN $$ AS c, $x$$1$x$ AS d, /* $DOMAIN /* $1 */ */ json_build_object('by', $REQUESTER) AS e -- $REQUESTER $7")).toEqual([
      { a: '$DOMAIN', b: "'$REQUESTER", c: ' $DOMAIN ', d: '$1', e: { by: 'user-1' } },
    ])
    for (const params of [[], [1, 2]]) expect(await refusal('SELECT $1::int', params)).toBe('08P01')
    // Not the requester, whose number follows.
    expect(await refusal('SELECT $1::text, $2::text, $REQUESTER', ['a'])).toBe('08P01')
    expect(await rows('SELECT $1::text[] AS a, $2::jsonb AS b, $3::boolean AS c, $4::float8 AS d, $5::text AS e', [['x', 'y"'], { k: [1] }, true, 1.5, null])).toEqual([{ a: ['x', 'y"'], b: { k: [1] }, c: true, d: 1.5, e: null }])
    expect(await rows('SELECT id FROM scores ORDER BY points DESC LIMIT $1;', [1])).toEqual([{ id: 'b' }])
  })

  test('SQL in every parameter is a value', async () => {
    const hostile = ["'; DROP TABLE scores; --", '"; DROP TABLE scores; --', '$1', '$REQUESTER', '\\', "\\'; SELECT 1", '$$; DROP TABLE scores; $$', '/*', '--', "E'\\''", '{', '{"a', 'NULL', '\u2028', '', '💥', '\ud800']
    for (const text of hostile) {
      const seen = text.toWellFormed()
      expect(await rows('SELECT $1::text AS a, $REQUESTER AS r, $2::text[] AS l', [text, [text]], { requester: text })).toEqual([{ a: seen, r: seen, l: [seen] }])
      expect(await rows('SELECT id FROM scores WHERE player = $1 OR id = $REQUESTER', [text], { requester: text })).toEqual([])
      expect(await database.tenantFunction(ATTACKER, 'run', [text])).toEqual({ kind: 'answer', value: false })
      expect(await database.tenantFunction(ATTACKER, text, ['x'])).toMatchObject({ kind: 'refused', error: { sqlstate: '42883' } })
    }
    for (const params of [['a\0b'], [['\0']]]) expect(await refusal('SELECT $1::text', params)).toMatch(/^22/)
    expect(await refusal('SELECT 1\0; DROP TABLE scores')).toBe('42601')
    expect(await value('SELECT count(*) FROM scores')).toBe(2)
  })

  test('names that need quotes', async () => {
    for (const name of ['select', 'We"ird', "it's; DROP TABLE scores; --", 'a b', '$DOMAIN', 'ü'.repeat(31), '__proto__']) {
      const quoted = quoteIdentifier(name)!
      await transact(ATTACKER, [`CREATE TABLE ${quoted} (${quoted} TEXT)`, `INSERT INTO ${quoted} VALUES ('x')`, `CREATE INDEX ON ${quoted} (${quoted})`])
      expect(await rows(`SELECT ${quoted} FROM ${quoted}`)).toEqual([Object.fromEntries([[name, 'x']])])
      await define(ATTACKER, name.replaceAll('"', '""'), 'a text', 'boolean', 'BEGIN RETURN true; END')
      expect(await database.tenantFunction(ATTACKER, name, ['x'])).toEqual({ kind: 'answer', value: true })
      await transact(ATTACKER, [`DROP TABLE ${quoted}`])
    }
    expect([quoteIdentifier(''), quoteIdentifier('a\0'), quoteIdentifier('ü'.repeat(32)), quoteIdentifier('\ud800')]).toEqual([undefined, undefined, undefined, undefined])
  })

  test('functions that authorize: true only by TRUE', async () => {
    await define(ATTACKER, 'may', 'requester text, scope text', 'boolean', "BEGIN RETURN CASE scope WHEN 'null' THEN NULL WHEN 'raise' THEN 1 / length(replace(scope, 'raise', '')) = 1 ELSE requester = 'me' END; END")
    await define(ATTACKER, 'yes_text', 'a text', 'text', "BEGIN RETURN 't'; END")
    await define(ATTACKER, 'many', 'a text', 'SETOF boolean', 'BEGIN RETURN NEXT true; RETURN NEXT true; END')
    await define(ATTACKER, 'Upper', 'a text', 'boolean', 'BEGIN RETURN true; END')
    const may = (name: string, ...args: string[]): ReturnType<DomainDatabase['tenantFunction']> => database.tenantFunction(ATTACKER, name, args)
    expect(await may('may', 'me', 'x')).toEqual({ kind: 'answer', value: true })
    for (const args of [['you', 'x'], ['me', 'null']]) expect(await may('may', ...args)).toEqual({ kind: 'answer', value: false })
    expect(await may('may', 'me', 'raise')).toMatchObject({ kind: 'refused', error: { sqlstate: '22012' } })
    for (const name of ['yes_text', 'many']) expect(await may(name, 'x')).toEqual({ kind: 'answer', value: false })
    expect(await may('Upper', 'x')).toEqual({ kind: 'answer', value: true })
    // Postgres's own are none.
    for (const name of ['upper', 'pg_sleep', 'pg_catalog.upper']) expect(await may(name, 'x')).toMatchObject({ kind: 'refused', error: { sqlstate: '42883' } })
  })
})

describe('one SELECT, and nothing but that', () => {
  test.each([
    ['SELECT 1; SELECT 2', '42601'],
    ['SELECT 1; DROP TABLE scores', '42601'],
    ['COMMIT', '42601'],
    ['ROLLBACK', '42601'],
    ["DO 'BEGIN END'", '42601'],
    ['SET ROLE postgres', '42601'],
    ['SET statement_timeout = 0', '42601'],
    ['SET TRANSACTION READ WRITE', '42601'],
    ['BEGIN', '42601'],
    ['LISTEN x', '42601'],
    ['NOTIFY x', '42601'],
    ['PREPARE x AS SELECT 1', '42601'],
    ['DISCARD ALL', '42601'],
    ['CALL f()', '42601'],
    ['EXPLAIN ANALYZE SELECT 1', '42601'],
    ["COPY scores TO '/tmp/x'", '42601'],
    ['COPY scores TO STDOUT', '42601'],
    ['COPY scores FROM STDIN', '42601'],
    ['LOCK TABLE scores', '42601'],
    ['CREATE TABLE t (a int)', '42601'],
    ['INSERT INTO scores VALUES (1)', '42601'],
    ['FETCH 1 FROM tenant', '42601'],
    ['', '42601'],
    [';', '42601'],
    ['-- nothing', '42601'],
    ['SELECT 1 INTO t', '42601'],
    ['SELECT * FROM scores FOR UPDATE', '25006'],
    ["WITH x AS (INSERT INTO scores VALUES ('z') RETURNING 1) SELECT * FROM x", '0A000'],
    ["WITH x AS (DELETE FROM scores RETURNING 1) SELECT * FROM x", '0A000'],
  ])('%s', async (sql, sqlstate) => {
    expect(await refusal(sql)).toBe(sqlstate)
    expect(await value('SELECT count(*) FROM scores')).toBe(2)
  })

  test.each(['VALUES (1), (2)', 'TABLE scores', '(SELECT 1) UNION SELECT 2', 'WITH x AS (SELECT 1 AS a UNION SELECT 2) SELECT * FROM x', '/* a */ SELECT id FROM scores -- b'])('%s is one', async (sql) => {
    expect(await rows(sql)).toHaveLength(2)
  })

  /** What a function's EXECUTE gets: the SQLSTATE that it caught. */
  test.each([
    ['COMMIT', '0A000'],
    ['ROLLBACK', '0A000'],
    ['SET TRANSACTION READ WRITE', '25001'],
    ['SET transaction_read_only = off', '25001'],
    ["DO 'BEGIN PERFORM set_config(''transaction_read_only'', ''off'', true); END'", '25001'],
    ['SET ROLE postgres', '42501'],
    ['SET ROLE state_platform', '42501'],
    ['SET SESSION AUTHORIZATION postgres', '42501'],
    ["SELECT set_config('role', 'state_platform', true)", '42501'],
    ["SELECT set_config('session_authorization', 'postgres', false)", '42501'],
    ['CREATE TABLE t (a int)', '25006'],
    ['CREATE TEMP TABLE t (a int)', '42501'],
    ['CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT 1$$', '25006'],
    ['CREATE SCHEMA s', '25006'],
    ['CREATE ROLE r', '25006'],
    ['CREATE DATABASE d', '25006'],
    ['CREATE EXTENSION dblink', '25006'],
    ['CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()', '25006'],
    ['CREATE VIEW v AS SELECT 1', '25006'],
    ['CREATE SEQUENCE q', '25006'],
    ['CREATE TABLE t AS SELECT 1', '25006'],
    ['ALTER ROLE CURRENT_USER SET statement_timeout = 0', '25006'],
    ["ALTER ROLE CURRENT_USER PASSWORD 'mine'", '25006'],
    ['ALTER ROLE CURRENT_USER CONNECTION LIMIT -1', '25006'],
    ['ALTER FUNCTION run(text) SECURITY DEFINER', '25006'],
    ['GRANT ALL ON FUNCTION run(text) TO PUBLIC', '25006'],
    ["SECURITY LABEL ON FUNCTION run(text) IS 'x'", '25006'],
    ["COMMENT ON FUNCTION run(text) IS 'x'", '25006'],
    ['INSERT INTO scores VALUES (1)', '42501'],
    ['UPDATE scores SET points = 0', '42501'],
    ['DELETE FROM scores', '42501'],
    ['TRUNCATE scores', '25006'],
    ['DROP TABLE scores', '25006'],
    ['LOCK TABLE scores IN ACCESS EXCLUSIVE MODE', '25006'],
    ['LOCK TABLE scores IN ROW EXCLUSIVE MODE', '42501'],
    ["COPY scores TO '/tmp/x'", '42501'],
    ["COPY scores TO PROGRAM 'id'", '42501'],
    ["COPY (SELECT 1) TO STDOUT", '0A000'],
    ["COPY scores FROM '/etc/passwd'", '42501'],
    ["SELECT pg_read_file('/etc/passwd')", '42501'],
    ["SELECT pg_read_binary_file('PG_VERSION')", '42501'],
    ["SELECT pg_ls_dir('.')", '42501'],
    ["SELECT pg_stat_file('PG_VERSION')", '42501'],
    ["SELECT pg_ls_logdir()", '42501'],
    ["SELECT lo_import('/etc/passwd')", '42501'],
    // Until Postgres 16 they are made, and rolled back.
    ['SELECT lo_create(0)', 'done'],
    ["SELECT lo_from_bytea(0, 'x')", 'done'],
    ["LOAD '/tmp/x.so'", '42501'],
    ["SELECT dblink('x', 'y')", '42883'],
    ['SELECT * FROM pg_authid', '42501'],
    ['SELECT * FROM pg_hba_file_rules', '42501'],
    ['SELECT * FROM pg_user_mapping', '42501'],
    ["SELECT current_setting('data_directory')", '42501'],
    ['ALTER SYSTEM SET fsync = off', '25001'],
    ['SELECT pg_reload_conf()', '42501'],
    ["SELECT pg_rotate_logfile()", '42501'],
    ["SELECT pg_create_restore_point('x')", '42501'],
    ["SELECT pg_create_logical_replication_slot('x', 'test_decoding')", '42501'],
    ["SELECT pg_promote()", '42501'],
    ["SELECT pg_stat_reset()", '42501'],
    ["SELECT pg_log_backend_memory_contexts(pg_backend_pid())", '42501'],
    ['SET log_min_messages = debug5', '42501'],
    ['SET session_replication_role = replica', '42501'],
    ['SET temp_file_limit = -1', '42501'],
    ['CLUSTER', '25006'],
    ['VACUUM', '25001'],
    ['CHECKPOINT', '42501'],
  ])('inside a function: %s', async (sql, sqlstate) => {
    expect([sqlstate, '25006', '42501', '25001']).toContain(await value('SELECT run($1)', [sql]))
    expect(await value('SELECT count(*) FROM pg_largeobject_metadata')).toBe(0)
  })
})

describe('other tenants', () => {
  test('no catalog of the whole server names a domain, or shows another database', async () => {
    const running = await longQuery(`SELECT pg_sleep(2), '${SECRET}'`, VICTIM)
    const views = (await asAdmin<{ name: string }>("SELECT c.relname AS name FROM pg_class c WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')")).map(({ name }) => name)
    expect(views.length).toBeGreaterThan(120)
    const patient = open({ limits: { tenantMs: 5_000 } })
    let read = 0
    for (const view of views) {
      for (const pattern of [SECRET_SQL, "'%vic' || 'tim%'", "'%attacker' || '.example%'"]) {
        const outcome = await query(`SELECT count(*) AS n FROM ${view} x WHERE x::text ILIKE ${pattern}`, [], { db: patient })
        if (outcome.kind === 'rows') {
          read++
          expect({ view, pattern, n: outcome.rows[0]!.n }).toEqual({ view, pattern, n: 0 })
        } else expect({ view, outcome }).toMatchObject({ outcome: { kind: 'refused', error: { sqlstate: '42501' } } })
      }
    }
    expect(read).toBeGreaterThan(300)
    expect(await running.answer).toMatchObject({ kind: 'rows' })
    expect(await value("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname !~ '^domain_[0-9a-f]{32}$'")).toBe('postgres template0 template1')
    expect(await value("SELECT count(*) FROM pg_stat_activity WHERE usename <> current_user AND query NOT IN ('<insufficient privilege>', '')")).toBe(0)
  })

  test('the role connects to its own database only, and to that over this platform alone', async () => {
    const { user, password } = domainLogin(KEY, ATTACKER)
    const others = (await asAdmin<{ name: string }>('SELECT datname AS name FROM pg_database WHERE datallowconn AND datname <> $1', [user])).map(({ name }) => name)
    expect(others).toEqual(expect.arrayContaining(['postgres', 'template1', domainLogin(KEY, VICTIM).user]))
    for (const name of others) await expect(asAdmin('SELECT 1', [], { user, password, database: name })).rejects.toMatchObject({ code: '42501' })
    await expect(asAdmin('SELECT 1', [], { user: domainLogin(KEY, VICTIM).user, password, database: user })).rejects.toMatchObject({ code: '28P01' })
    expect(await rows('SELECT r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls AS power, (SELECT count(*) FROM pg_auth_members m WHERE m.member = r.oid) AS memberships FROM pg_roles r WHERE rolname = current_user')).toEqual([{ power: false, memberships: 0 }])
    expect(await value('SELECT session_user')).toBe(user)
  })

  test('their tables and functions are not there, by no name', async () => {
    for (const sql of [`SELECT * FROM ${SECRET}_table`, `SELECT * FROM public.${SECRET}_table`, `SELECT * FROM ${domainLogin(KEY, VICTIM).user}.public.${SECRET}_table`, `SELECT ${SECRET}_fn()`, `SELECT functions.${SECRET}_fn()`]) {
      expect(await refusal(sql)).toMatch(/^42P01$|^0A000$|^42883$/)
    }
    expect(await value("SELECT query_to_xml('SELECT current_user', true, true, '')::text")).toContain(domainLogin(KEY, ATTACKER).user)
    expect(await refusal(`SELECT query_to_xml('SELECT * FROM ${SECRET}_table', true, true, '')`)).toBe('42P01')
    expect(await refusal(`SELECT set_config('role', 'state_platform', true), query_to_xml('SELECT * FROM pg_authid', true, true, '')`)).toBe('42501')
    expect(await database.tenantFunction(ATTACKER, `${SECRET}_fn`, [])).toMatchObject({ kind: 'refused', error: { sqlstate: '42883' } })
  })

  test('their sessions cannot be ended', async () => {
    const running = await longQuery('SELECT pg_sleep(1)', VICTIM)
    for (const name of ['pg_terminate_backend', 'pg_cancel_backend']) {
      expect(await refusal(`SELECT ${name}(pid) FROM pg_stat_activity WHERE usename = '${domainLogin(KEY, VICTIM).user}'`)).toBe('42501')
      expect(await refusal(`SELECT ${name}(pid) FROM pg_stat_activity WHERE usename = 'state_platform'`)).toBe('42501')
    }
    expect(await running.answer).toMatchObject({ kind: 'rows' })
  })

  test("a tenant's SECURITY DEFINER, and a function that shadows one of Postgres's, win nothing", async () => {
    await define(ATTACKER, 'definer', 'sql text', 'text', 'DECLARE a text; BEGIN EXECUTE sql INTO a; RETURN a; END', 'SECURITY DEFINER')
    expect(await value("SELECT definer('SELECT current_user')")).toBe(domainLogin(KEY, ATTACKER).user)
    expect(await refusal("SELECT definer('INSERT INTO scores VALUES (1) RETURNING id')")).toMatch(/^42501$|^25006$/)
    expect(await database.transact(ATTACKER, [{ as: 'tenant', sql: "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT 1::text'" }])).toMatchObject({ kind: 'refused', error: { sqlstate: '42501' } })
    await define(ATTACKER, 'lower', 'a int', 'text', "BEGIN RAISE EXCEPTION 'ran with the rights of %', current_user; END")
    expect(await database.write(ATTACKER, { sql: 'SELECT lower(1::text) AS a' })).toMatchObject({ kind: 'done' })
    expect(await database.write(ATTACKER, { sql: 'SELECT lower(1)' })).toMatchObject({ kind: 'refused', error: { sqlstate: '42883' } })
    // Nor does a statement of the tenant's that is no CREATE FUNCTION have more than the tenant's rights.
    for (const sql of ['DROP TABLE scores', 'CREATE TABLE public.t (a int)', 'CREATE ROLE x', 'SELECT * FROM pg_authid']) {
      expect(await database.transact(ATTACKER, [{ as: 'tenant', sql }])).toMatchObject({ kind: 'refused', error: { sqlstate: '42501' } })
    }
  })
})

describe('nothing outlives a query', () => {
  let one: DomainDatabase
  const again = (sql: string, params: readonly Json[] = []): Promise<Json> => value(sql, params, { db: one })

  test('settings, seeds, prepared statements, cursors, locks, channels: on one connection, used again', async () => {
    one = open({ limits: { tenantConnectionsPerDomain: 1 } })
    const pid = await again('SELECT pg_backend_pid()')
    // Loads plpgsql, whose settings then exist.
    await again('SELECT run($1)', ['SELECT 1'])
    const settings = "SELECT json_object_agg(name, setting) FROM pg_settings WHERE name <> 'transaction_deferrable'"
    const before = await again(settings)
    for (const [name, text] of [['work_mem', '1GB'], ['statement_timeout', '0'], ['transaction_timeout', '0'], ['lock_timeout', '0'], ['search_path', 'x'], ['default_transaction_read_only', 'off'], ['timezone', 'Asia/Tokyo'], ['datestyle', 'German'], ['client_min_messages', 'debug5'], ['application_name', 'x'], ['standard_conforming_strings', 'off'], ['client_encoding', 'LATIN1'], ['my.own', 'x'], ['plpgsql.extra_errors', 'all'], ['session_preload_libraries', 'x']]) {
      for (const local of [true, false]) await query('SELECT set_config($1, $2, $3::boolean)', [name!, text!, local], { db: one })
    }
    await query('SELECT run($1)', ['SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE'], { db: one })
    const changed = Object.entries((await again(settings)) as JsonObject).filter(([name, setting]) => (before as JsonObject)[name] !== setting)
    expect(changed).toEqual([])
    expect(await again("SELECT coalesce(current_setting('my.own', true), '')")).toBe('')

    await again('SELECT run($1)', ['PREPARE mine AS SELECT 1'])
    await again('SELECT run($1)', ['DECLARE mine CURSOR WITH HOLD FOR SELECT 1'])
    await again('SELECT run($1)', ['LISTEN mine'])
    await again("SELECT pg_advisory_lock(7), pg_advisory_lock_shared(8)")
    expect(await again('SELECT count(*) FROM pg_prepared_statements')).toBe(0)
    // Ours alone.
    expect(await again('SELECT count(*) FROM pg_cursors')).toBe(1)
    expect(await again('SELECT count(*) FROM pg_listening_channels()')).toBe(0)
    expect(await again("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).toBe(0)
    expect(await asAdmin("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'")).toEqual([])

    const seeded = async (): Promise<Json> => {
      await again('SELECT setseed(0.5)')
      return again('SELECT random()')
    }
    expect(await seeded()).not.toBe(await seeded())
    expect(await again('SELECT pg_backend_pid()')).toBe(pid)
  })

  test('notifications are not sent', async () => {
    const client = await connectTo(ATTACKER)
    let heard = 0
    client.on('notification', () => heard++)
    await client.query('LISTEN mine')
    await value("SELECT pg_notify('mine', 'x')")
    await value('SELECT run($1)', ["NOTIFY mine, 'x'"])
    await client.query('SELECT 1')
    expect(heard).toBe(0)
    await client.end()
  })

  test("advisory locks are one domain's, and nobody waits long for one", async () => {
    const client = await connectTo(ATTACKER)
    await client.query('SELECT pg_advisory_lock(1)')
    expect(await value('SELECT pg_try_advisory_lock(1)', [], { domain: VICTIM })).toBe(true)
    expect(await value('SELECT pg_try_advisory_lock(1)')).toBe(false)
    expect(await refusal('SELECT pg_advisory_lock(1)')).toBe('55P03')
    await client.end()
  })
})

describe('bounds', () => {
  const BOUND_MS = TENANT_MS + GRACE_MS
  const SLACK_MS = 1_500

  async function ends(sql: string, sqlstate = '57014'): Promise<void> {
    const begin = performance.now()
    expect(await refusal(sql)).toBe(sqlstate)
    expect(performance.now() - begin).toBeLessThan(BOUND_MS + SLACK_MS)
    await eventually(async () => expect(await busySessions(ATTACKER)).toBe(0), 5_000)
  }

  test.each(['SELECT pg_sleep(60)', 'SELECT count(*) FROM generate_series(1, 1000000000000)', 'WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT max(a) FROM r'])('time: %s', (sql) => ends(sql))

  test('time: a function that burns CPU, that catches its cancellation, that undoes every time-out', async () => {
    await define(ATTACKER, 'burn', '', 'int', 'DECLARE i int := 0; BEGIN LOOP i := (i + 1) % 1000; END LOOP; END')
    await ends('SELECT burn()')
    const stubborn = `BEGIN
      PERFORM set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'client_connection_check_interval');
      LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN NULL; END; END LOOP; END`
    await define(ATTACKER, 'stubborn', '', 'int', stubborn)
    await ends('SELECT stubborn()')
    // Run while the query is planned, before its cursor is there.
    await define(ATTACKER, 'planned', '', 'int', stubborn, 'IMMUTABLE')
    await ends('SELECT planned()')
    await ends('SELECT 1 WHERE planned() = 1')
    expect(await database.tenantFunction(ATTACKER, 'stubborn', [])).toMatchObject({ kind: 'refused', error: { sqlstate: '57014' } })
    await eventually(async () => expect(await busySessions(ATTACKER)).toBe(0))
  })

  test('time: many at once hold up neither writes nor other domains', async () => {
    const burning = Array.from({ length: 12 }, () => query('SELECT stubborn()'))
    await eventually(async () => expect(await busySessions(ATTACKER)).toBeGreaterThan(2))
    const begin = performance.now()
    expect(await database.write(ATTACKER, { sql: 'UPDATE scores SET points = points' })).toMatchObject({ kind: 'done' })
    expect(await value('SELECT 1', [], { domain: VICTIM })).toBe(1)
    expect(performance.now() - begin).toBeLessThan(1_000)
    for (const outcome of await Promise.all(burning)) expect(['refused', 'unavailable']).toContain(outcome.kind)
    await eventually(async () => expect(await busySessions(ATTACKER)).toBe(0))
    expect(await value('SELECT 1')).toBe(1)
  })

  test('rows', async () => {
    expect(await rows('SELECT generate_series(1, 100)')).toHaveLength(100)
    expect(await refusal('SELECT generate_series(1, 101)')).toBe('54000')
    expect(await refusal('SELECT generate_series(1, 1000000000)')).toBe('54000')
    expect(await value('SELECT 1')).toBe(1)
  })

  test('bytes: long values, values of 30 MB, many columns of nothing, notices, errors', async () => {
    expect(String(await value("SELECT repeat('x', 60000)"))).toHaveLength(60_000)
    const { arrayBuffers: before } = process.memoryUsage()
    let most = 0
    const watching = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers - before)), 1)
    const patient = open({ limits: { tenantMs: 5_000 } })
    for (const sql of ["SELECT repeat('x', 70000)", "SELECT repeat('x', 1000) FROM generate_series(1, 80)", "SELECT repeat(repeat('x', 100000), 300)"]) expect(await refusal(sql, [], { db: patient })).toBe('54000')
    // Gathered first: the time, or the room for temporary files, may end before.
    expect(['54000', '57014', '53400']).toContain(await refusal("SELECT repeat(repeat('x', 100000), 100) FROM generate_series(1, 100)"))
    clearInterval(watching)
    // What has arrived of a value is kept in buffers that double.
    expect(most).toBeLessThan(4 * 1024 * 1024)
    const names = Array.from({ length: 1_000 }, (_, at) => `NULL AS "${`column ${at} `.padEnd(60, 'x')}"`).join(', ')
    expect(await refusal(`SELECT ${names} FROM generate_series(1, 90)`)).toBe('54000')
    await define(ATTACKER, 'shout', '', 'int', "BEGIN PERFORM set_config('client_min_messages', 'notice', true); FOR i IN 1..1000 LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP; RETURN 1; END")
    expect(await refusal('SELECT shout()')).toBe('54000')
    await define(ATTACKER, 'cry', '', 'int', "BEGIN RAISE EXCEPTION USING MESSAGE = repeat('x', 10000), ERRCODE = '57P01'; END")
    const outcome = await query('SELECT cry()')
    expect(outcome).toMatchObject({ kind: 'refused', error: { sqlstate: '57P01' } })
    expect(outcome.kind === 'refused' && outcome.error.message.length).toBeLessThanOrEqual(500)
    expect(await value('SELECT 1')).toBe(1)
  })

  test('locks: a reader holds up a change of its table for its own time at most, and never a write', async () => {
    const reader = await longQuery('SELECT pg_sleep(60) FROM scores', ATTACKER)
    const patient = open({ limits: { transactLockMs: 10_000 } })
    expect(await database.write(ATTACKER, { sql: "UPDATE scores SET points = 5 WHERE id = 'a'" })).toMatchObject({ kind: 'done', count: 1 })
    expect(await patient.transact(ATTACKER, [{ sql: 'ALTER TABLE scores ADD COLUMN more TEXT' }, { sql: 'ALTER TABLE scores DROP COLUMN more' }])).toMatchObject({ kind: 'done' })
    expect(await reader.answer).toMatchObject({ kind: 'refused', error: { sqlstate: '57014' } })
  })

  test('locks: a query waits for one shorter than for its end; a change gives up and has changed nothing', async () => {
    const client = await connectTo(ATTACKER)
    await client.query('BEGIN; LOCK TABLE scores IN ACCESS EXCLUSIVE MODE')
    expect(await refusal('SELECT * FROM scores')).toBe('55P03')
    expect(await open({ limits: { transactLockMs: 100 } }).transact(ATTACKER, [{ sql: 'ALTER TABLE scores ADD COLUMN more TEXT' }])).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('55P03') })
    await client.query('ROLLBACK')
    await client.end()
    expect(await value('SELECT count(*) FROM scores')).toBe(2)
  })

  test('recursion and depth are errors', async () => {
    await define(ATTACKER, 'deep', 'n int', 'int', 'BEGIN RETURN deep(n + 1); END')
    // Its message tells every level, until it is cut off.
    expect(['54000', '54001', '57014']).toContain(await refusal('SELECT deep(1)'))
    expect(await refusal(`SELECT ${'('.repeat(20_000)}1${')'.repeat(20_000)}`)).toMatch(/^54001$|^42601$/)
    expect(await value('SELECT 1')).toBe(1)
  })

  test('a session that ends itself costs that query only', async () => {
    expect((await query('SELECT pg_terminate_backend(pg_backend_pid())')).kind).toBe('unavailable')
    expect(await value('SELECT 1')).toBe(1)
  })

  test('statements of a process that was killed are ended by the next one', async () => {
    const { user, password } = domainLogin(KEY, ATTACKER)
    const client = new Client({ ...postgres.admin.server, user, password, database: user, options: '' })
    client.on('error', () => undefined)
    await client.connect()
    const runaway = client.query('SELECT functions.stubborn()').catch((error: unknown) => error)
    await eventually(async () => expect(await busySessions(ATTACKER)).toBe(1))
    const next = open({ limits: { leaseMs: 200, sweepMs: 300 } })
    for (const end = Date.now() + 10_000; (await busySessions(ATTACKER)) > 0 && Date.now() < end; ) {
      await query('SELECT 1', [], { db: next })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(await busySessions(ATTACKER)).toBe(0)
    expect(await runaway).toMatchObject({ code: '57P01' })
  })
})

describe('connections', () => {
  const DOMAINS = Array.from({ length: 5 }, (_, at) => `many-${at}.example`)
  const ours = async (): Promise<{ all: number; tenants: number }> => {
    const [counts] = await asAdmin<{ all: number; tenants: number }>(
      "SELECT count(*)::int AS all, count(*) FILTER (WHERE usename <> 'state_platform')::int AS tenants FROM pg_stat_activity WHERE application_name = 'state-platform' AND pid <> ALL ($1)",
      [others],
    )
    return counts!
  }
  let others: number[]

  beforeAll(async () => {
    for (const domain of DOMAINS) await database.ensure(domain)
  })

  test('one cap for all pools; the least recently used make room; idle ones are closed', async () => {
    others = (await asAdmin<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name = 'state-platform'")).map(({ pid }) => pid)
    const few = open({ limits: { connections: 7, tenantConnections: 3, tenantConnectionsPerDomain: 2, ownerConnectionsPerDomain: 2, leaseMs: 5_000, idleMs: 200 } })
    let most = { all: 0, tenants: 0 }
    let over = false
    const watching = (async () => {
      while (!over) {
        const now = await ours()
        most = { all: Math.max(most.all, now.all), tenants: Math.max(most.tenants, now.tenants) }
      }
    })()
    const work = Array.from({ length: 60 }, (_, at) => {
      const domain = DOMAINS[at % DOMAINS.length]!
      return at % 2 === 0 ? query('SELECT pg_sleep(0.01)', [], { domain, db: few }) : few.write(domain, { sql: 'SELECT pg_sleep(0.01)' })
    })
    const kinds = (await Promise.all(work)).map(({ kind }) => kind)
    over = true
    await watching
    expect(new Set(kinds)).toEqual(new Set(['rows', 'done']))
    expect(most.all).toBeLessThanOrEqual(7)
    expect(most.tenants).toBeLessThanOrEqual(3)
    expect(most.tenants).toBeGreaterThan(1)
    await eventually(async () => expect(await ours()).toEqual({ all: 0, tenants: 0 }), 3_000)
    await few.close()
    expect(await ours()).toEqual({ all: 0, tenants: 0 })
  })

  test('waiting has a deadline', async () => {
    const few = open({ limits: { connections: 6, tenantConnections: 2, tenantConnectionsPerDomain: 1, leaseMs: 100, tenantMs: 5_000 } })
    const holders = DOMAINS.slice(0, 2).map((domain) => query('SELECT pg_sleep(1)', [], { domain, db: few }))
    const begin = performance.now()
    expect(await query('SELECT 1', [], { domain: DOMAINS[2]!, db: few })).toEqual({ kind: 'unavailable', reason: 'no connection became free in time' })
    expect(performance.now() - begin).toBeLessThan(900)
    expect((await Promise.all(holders)).map(({ kind }) => kind)).toEqual(['rows', 'rows'])
  })

  test('a server that is not there, not there yet, or gives other answers: unavailable, soon; and well again when it is back', async () => {
    const nobody = open({ admin: { ...postgres.admin, server: { host: '127.0.0.1', port: 1, ssl: false } } })
    expect(await nobody.ensure('a.example')).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining('ECONNREFUSED') })
    expect(await nobody.write('a.example', { sql: 'SELECT 1' })).toMatchObject({ kind: 'unavailable' })
    const wrong = open({ admin: { ...postgres.admin, password: 'wrong' } })
    expect(await query('SELECT 1', [], { db: wrong })).toMatchObject({ kind: 'unavailable' })
    expect(await query('SELECT 1', [], { db: open({ admin: Promise.reject(new Error('no Postgres found')) }) })).toEqual({ kind: 'unavailable', reason: 'no Postgres found' })
    const { promise, resolve } = Promise.withResolvers<AdminConnection>()
    const later = open({ admin: promise, limits: { leaseMs: 50 } })
    expect(await query('SELECT 1', [], { db: later })).toEqual({ kind: 'unavailable', reason: 'Postgres is not ready yet' })
    resolve(postgres.admin)
    await eventually(async () => expect(await value('SELECT 1', [], { db: later })).toBe(1))
  })

  test('idle connections that broke are replaced without a word', async () => {
    const db = open()
    expect(await value('SELECT 1', [], { db })).toBe(1)
    expect(await db.write(ATTACKER, { sql: 'SELECT 1' })).toMatchObject({ kind: 'done' })
    await asAdmin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", [domainLogin(KEY, ATTACKER).user])
    expect(await value('SELECT 1', [], { db })).toBe(1)
    expect(await db.write(ATTACKER, { sql: 'SELECT 1' })).toMatchObject({ kind: 'done' })
  })

  test('a server that stands still holds up nobody for longer than the deadlines', async () => {
    const db = open({ limits: { writeMs: 300, connectMs: 300, leaseMs: 300, ensureMs: 300 } })
    expect(await value('SELECT 1', [], { db })).toBe(1)
    expect(await db.write(ATTACKER, { sql: 'SELECT 1' })).toMatchObject({ kind: 'done' })
    const sessions = (await asAdmin<{ pid: number }>('SELECT pid FROM pg_stat_activity WHERE backend_type = $1 AND pid <> pg_backend_pid()', ['client backend'])).map(({ pid }) => pid)
    const all = [...sessions, postgres.pid]
    for (const pid of all) process.kill(pid, 'SIGSTOP')
    try {
      const begin = performance.now()
      const outcomes = await Promise.all([query('SELECT 1', [], { db }), db.write(ATTACKER, { sql: 'SELECT 1' }), query('SELECT 1', [], { domain: VICTIM, db }), db.ensure('new.example')])
      expect(outcomes.map(({ kind }) => kind)).toEqual(['unavailable', 'unavailable', 'unavailable', 'unavailable'])
      expect(performance.now() - begin).toBeLessThan(5_000)
    } finally {
      for (const pid of all) process.kill(pid, 'SIGCONT')
    }
    await eventually(async () => expect(await value('SELECT 1', [], { db })).toBe(1))
  })
})
