import { describe, expect, test } from '@jest/globals'
import { COLUMN_TYPES } from '#shared/domain/column-types.ts'
import { parseDomainConfig, type DomainConfig } from '#shared/domain/config.ts'
import { DEFAULT_TABLES } from '#shared/domain/default-tables.ts'
import { mirrorPlan, type MirrorPlan, type Step } from '#shared/domain/mirror-plan.ts'
import { inFunctions, inPublic } from '#shared/domain/sql-text.ts'
import { schemas } from '#shared/ports/domain-database.ts'
import { DOCUMENTED } from './documented.ts'

function configOf(text: string): DomainConfig {
  const answer = parseDomainConfig(text)
  if (answer.kind === 'faults') throw new Error(JSON.stringify(answer.faults))
  return answer.config
}
const tables = (text: string): DomainConfig => configOf(`postgres: { tables: { ${text} } }`)
const functions = (text: string): DomainConfig => configOf(`postgres: { functions: { ${text} } }`)
const planOf = (from: DomainConfig | undefined, to: DomainConfig): MirrorPlan => mirrorPlan({ from, to })
const nameOf = ({ task }: Step): string => (task.kind === 'prepare' ? task.kind : `${task.kind} ${task.name}`)
const sqlOf = ({ statements }: Step): string[] => statements.map(({ sql }) => sql)
/** What comes after the preparation: `table t: Altering` and its statements. */
const stepsOf = (from: DomainConfig | undefined, to: DomainConfig): [string, ...string[]][] =>
  planOf(from, to).steps.slice(1).map((step) => [`${nameOf(step)}: ${step.title}`, ...sqlOf(step)])

describe('a first configuration', () => {
  test('prepares the default tables, so that doing it again changes nothing', () => {
    const [step] = planOf(undefined, configOf('{}')).steps
    expect(step!.task).toEqual({ kind: 'prepare' })
    const statements = sqlOf(step!)
    expect(statements.slice(0, 6)).toEqual([
      'CREATE TABLE IF NOT EXISTS public."metadata" ("id" pg_catalog.text CONSTRAINT "metadata." PRIMARY KEY, "active_type" pg_catalog.text, "domain" pg_catalog.text, "name" pg_catalog.text, "owner" pg_catalog.text, ' +
        '"updated" pg_catalog.timestamp, "created" pg_catalog.timestamp, "ii" pg_catalog.int4, "active_size" pg_catalog.int4, "storage_size" pg_catalog.int4) WITH (fillfactor=85)',
      'CREATE INDEX IF NOT EXISTS "metadata.updated" ON public."metadata" USING brin ("updated")',
      ...['created', 'owner', 'name', 'domain'].map((column) => `CREATE INDEX IF NOT EXISTS "metadata.${column}" ON public."metadata" USING btree ("${column}")`),
    ])
    for (const statement of statements) expect(statement).toMatch(/^CREATE (?:TABLE|INDEX) IF NOT EXISTS /)
    const made = statements.flatMap((statement) => /^CREATE TABLE IF NOT EXISTS public\."(\w+)" \("id" pg_catalog\.text CONSTRAINT "\w+\." PRIMARY KEY, (.*)\) WITH \(fillfactor=85\)$/.exec(statement)?.slice(1, 3) ?? [])
    expect(made.slice(2)).toEqual([
      'sessions', '"session_credential" pg_catalog.text, "sid_encrypted_info" pg_catalog.text, "user_id" pg_catalog.text, "provider" pg_catalog.text, "loaded" pg_catalog.int8, "connected" pg_catalog.int8, "authenticated" pg_catalog.int8',
      'subscriptions', '"scope" pg_catalog.text, "initialized" pg_catalog.int8, "synced" pg_catalog.int8',
      'queries', '"query" pg_catalog.text, "domain" pg_catalog.text, "requested" pg_catalog.int8, "responded" pg_catalog.int8, "core_latency" pg_catalog.int4',
      'tags', '"context" pg_catalog.text[], "tag_type" pg_catalog.text, "target" pg_catalog.text',
    ])
  })

  test('the example of domains.md', () => {
    const body = '$body0$BEGIN ... END;$body0$'
    expect(stepsOf(undefined, configOf(DOCUMENTED))).toEqual([
      [
        'table scores: Creating',
        'DROP TABLE IF EXISTS public."scores"',
        'CREATE TABLE public."scores" ("id" pg_catalog.text CONSTRAINT "scores." PRIMARY KEY, "player" pg_catalog.text, "points" pg_catalog.int4, "tags" pg_catalog.text[]) WITH (fillfactor=85)',
      ],
      ['table scores: Creating index by_points on points', 'CREATE INDEX IF NOT EXISTS "scores.by_points" ON public."scores" USING btree ("points")'],
      [
        'function fn_name: Creating',
        'SET LOCAL check_function_bodies = off',
        'DROP FUNCTION IF EXISTS functions."fn_name"',
        `CREATE OR REPLACE FUNCTION functions."fn_name"("x" pg_catalog.text) RETURNS pg_catalog.bool LANGUAGE plpgsql STABLE SECURITY INVOKER AS ${body}`,
      ],
      // Three dots are no body to be checked.
    ])
    const { fill, tasks } = planOf(undefined, configOf(DOCUMENTED))
    expect(tasks).toEqual({ tables: ['scores'], functions: ['fn_name'] })
    expect(fill.map(({ table, type }) => [table, type])).toEqual([...DEFAULT_TABLES.map(({ name, type }) => [name, type]), ['scores', 'application/json;type=score']])
    expect(fill.at(-1)!.sweep).toBe(`DELETE FROM public."scores" AS t WHERE NOT EXISTS (SELECT FROM public.metadata AS m WHERE m.id = t.id AND m.active_type = 'application/json;type=score')`)
  })

  test('names that need quotes have them everywhere; texts of the domain are literals', () => {
    const all = planOf(undefined, tables('select: { type: "it\'s \\\\", columns: { user: TEXT, MixedCase: TEXT, order: "TEXT[]" }, indices: { group: { column: user }, j: { column: order } } }'))
    const statements = all.steps.slice(1).flatMap(sqlOf)
    expect(statements).toContain('CREATE TABLE public."select" ("id" pg_catalog.text CONSTRAINT "select." PRIMARY KEY, "user" pg_catalog.text, "MixedCase" pg_catalog.text, "order" pg_catalog.text[]) WITH (fillfactor=85)')
    expect(statements).toContain('CREATE INDEX IF NOT EXISTS "select.group" ON public."select" USING btree ("user")')
    expect(statements).toContain('CREATE INDEX IF NOT EXISTS "select.j" ON public."select" USING gin ("order")')
    expect(all.fill.at(-1)!.sweep).toContain(`m.active_type = E'it''s \\\\')`)
  })
})

describe('a change of tables', () => {
  const before = tables('t: { type: x, columns: { a: TEXT, b: INTEGER }, indices: { i: { column: b } } }, gone: { type: y }')

  test('nothing changed: nothing but the preparation, nothing to fill', () => {
    expect(stepsOf(before, before)).toEqual([])
    expect(planOf(before, before)).toMatchObject({ fill: [], tasks: { tables: ['gone', 't'] } })
  })

  test('tables that are not named are dropped', () => {
    const plan = planOf(before, configOf('{}'))
    expect(plan.steps.slice(1).map((step) => [nameOf(step), step.title, ...sqlOf(step)])).toEqual([
      ['table gone', 'Removing', 'DROP TABLE IF EXISTS public."gone"'],
      ['table t', 'Removing', 'DROP TABLE IF EXISTS public."t"'],
    ])
    expect(plan).toMatchObject({ fill: [], tasks: { tables: ['gone', 't'] } })
  })

  test('columns are added and cast, none dropped; indices on them are made anew; the table is filled', () => {
    const to = tables('t: { type: x, columns: { b: BIGINT, c: JSONB }, indices: { i: { column: b } } }, gone: { type: y }')
    expect(stepsOf(before, to)).toEqual([
      ['table t: Removing index i', 'DROP INDEX IF EXISTS public."t.i"'],
      [
        'table t: Altering',
        // One that an earlier configuration had may be there still, with another type.
        'ALTER TABLE public."t" DROP COLUMN IF EXISTS "c"',
        'ALTER TABLE public."t" ADD COLUMN "c" pg_catalog.jsonb, ALTER COLUMN "b" TYPE pg_catalog.int8 USING "b"::pg_catalog.int8',
      ],
      ['table t: Creating index i on b', 'DROP INDEX IF EXISTS public."t.i"', 'CREATE INDEX IF NOT EXISTS "t.i" ON public."t" USING btree ("b")'],
    ])
    expect(planOf(before, to).fill.map(({ table }) => table)).toEqual(['t'])
  })

  test('an index on a column that was there: what it has no room for becomes NULL first; without the index it comes back', () => {
    const plain = tables('t: { type: x, columns: { a: TEXT, l: "TEXT[]" } }')
    const indexed = tables('t: { type: x, columns: { a: TEXT, l: "TEXT[]" }, indices: { i: { column: a }, j: { column: l } } }')
    expect(stepsOf(plain, indexed).map(([, first]) => first)).toEqual([
      'UPDATE public."t" SET "a" = NULL WHERE pg_catalog.octet_length("a") > 2600',
      'UPDATE public."t" SET "l" = NULL WHERE EXISTS (SELECT FROM pg_catalog.unnest("l") AS item WHERE pg_catalog.octet_length(item) > 2600)',
    ])
    expect(stepsOf(indexed, plain).map(([title]) => title)).toEqual(['table t: Removing index i', 'table t: Removing index j'])
    for (const [from, to] of [[plain, indexed], [indexed, plain]] as const) expect(planOf(from, to).fill.map(({ table }) => table)).toEqual(['t'])
  })

  test('an index that moved to another column', () => {
    expect(stepsOf(before, tables('t: { type: x, columns: { a: TEXT, b: INTEGER }, indices: { i: { column: a } } }, gone: { type: y }')).map(([title]) => title)).toEqual(['table t: Removing index i', 'table t: Creating index i on a'])
  })

  test('another type: its states are others', () => {
    const to = tables('t: { type: z, columns: { a: TEXT, b: INTEGER }, indices: { i: { column: b } } }, gone: { type: y }')
    expect(stepsOf(before, to)).toEqual([['table t: Emptying: its type is now z', 'TRUNCATE public."t"']])
    expect(planOf(before, to).fill).toEqual([expect.objectContaining({ table: 't', type: 'z' })])
  })

  test('a cast has an answer for every pair of types, guarded where it could fail', () => {
    const cast = (from: string, to: string): string => stepsOf(tables(`t: { type: x, columns: { v: "${from}" } }`), tables(`t: { type: x, columns: { v: "${to}" } }`))[0]![1]!.split(' USING ')[1]!
    /** What Postgres casts whatever the value. */
    const total: Record<string, string[]> = { TEXT: ['INTEGER', 'BIGINT', 'BOOLEAN', 'DOUBLE PRECISION'], BIGINT: ['INTEGER'], 'DOUBLE PRECISION': ['INTEGER', 'BIGINT'], JSON: ['JSONB'] }
    for (const from of COLUMN_TYPES) {
      for (const to of COLUMN_TYPES) {
        if (from === to) continue
        const plain = /^"v"::pg_catalog\.[a-z0-9[\]]+$/.test(cast(from, to))
        expect([from, to, plain]).toEqual([from, to, total[to]?.includes(from) ?? false])
        if (!plain) expect(cast(from, to)).toMatch(/^(?:NULL::pg_catalog\.\S+|CASE WHEN .+ THEN "v"::pg_catalog\.\S+ END)$/)
      }
    }
    expect(cast('TEXT', 'INTEGER')).toBe(`CASE WHEN "v" ~ '^-?[0-9]{1,9}$' THEN "v"::pg_catalog.int4 END`)
    expect(cast('BIGINT', 'INTEGER')).toBe('CASE WHEN "v" BETWEEN -2147483648 AND 2147483647 THEN "v"::pg_catalog.int4 END')
  })
})

describe('functions', () => {
  const one = (name: string, body: string, more = 'returns: TEXT'): string => `${name}: { language: SQL, ${more}, body: "${body}" }`

  test('all are made before one is checked: they may call each other', () => {
    const steps = stepsOf(undefined, functions(`${one('b', 'SELECT a()')}, ${one('A', 'SELECT 1')}`))
    expect(steps.map(([title]) => title)).toEqual(['function a: Creating', 'function b: Creating', 'function a: Checking', 'function b: Checking'])
    expect(steps[3]!.slice(1)).toEqual(['SET LOCAL check_function_bodies = on', steps[1]![3]])
  })

  test('changed ones are replaced, unnamed ones dropped, others left alone', () => {
    const from = functions(`${one('same', 'SELECT 1')}, ${one('other', 'SELECT 1')}, ${one('gone', 'SELECT 1')}`)
    const to = functions(`${one('same', 'SELECT 1')}, ${one('other', 'SELECT 1', 'returns: BIGINT, arguments: [{ name: order, type: TEXT }]')}`)
    const steps = stepsOf(from, to)
    expect(steps.map(([title]) => title)).toEqual(['function gone: Deleting', 'function other: Creating', 'function other: Checking'])
    expect(steps[0]!.slice(1)).toEqual(['DROP FUNCTION IF EXISTS functions."gone"'])
    // By name: Postgres would keep one with other arguments beside the new one.
    expect(steps[1]!.slice(2, 4)).toEqual(['DROP FUNCTION IF EXISTS functions."other"', expect.stringContaining('FUNCTION functions."other"("order" pg_catalog.text) RETURNS pg_catalog.int8 LANGUAGE sql STABLE SECURITY INVOKER ')])
    expect(planOf(from, to).tasks.functions).toEqual(['gone', 'other', 'same'])
  })

  test('returned rows are a table; a body cannot end its quotes', () => {
    const [step] = stepsOf(undefined, functions('f: { language: plpgsql, returns: { order: TEXT, n: BIGINT }, body: "BEGIN $body0$; DROP TABLE x; END" }'))
    expect(step![3]).toBe('CREATE OR REPLACE FUNCTION functions."f"() RETURNS TABLE ("order" pg_catalog.text, "n" pg_catalog.int8) LANGUAGE plpgsql STABLE SECURITY INVOKER AS $body1$BEGIN $body0$; DROP TABLE x; END$body1$')
  })

  test('what a tenant wrote runs as the tenant, all else as the platform; each in its schema', () => {
    const to = configOf('postgres: { tables: { t: { type: x, columns: { a: TEXT } } }, functions: { f: { language: SQL, returns: TEXT, body: SELECT 1 } } }')
    for (const [from, next] of [[undefined, to], [to, configOf('{}')]] as const) {
      for (const { task, statements } of planOf(from, next).steps) {
        expect(statements.map(({ as }) => as ?? 'owner')).toEqual(statements.map(() => (task.kind === 'function' ? 'tenant' : 'owner')))
        for (const { sql } of statements) expect(sql).not.toContain('DEFINER')
      }
    }
    expect([inPublic('a'), inFunctions('a')]).toEqual([`${schemas.tables}."a"`, `${schemas.functions}."a"`])
  })
})
