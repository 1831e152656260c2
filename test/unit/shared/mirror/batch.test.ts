import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { domainBounds } from '#shared/domain/bounds.ts'
import { parseDomainConfig, type DomainConfig } from '#shared/domain/config.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { mirrorStatements, newest, statementTexts, type MirrorStatement } from '#shared/mirror/batch.ts'
import { mirrorTables, rowsOf, type StateRows } from '#shared/mirror/rows.ts'

function configOf(text: string): DomainConfig {
  const answer = parseDomainConfig(text)
  if (answer.kind === 'faults') throw new Error(JSON.stringify(answer.faults))
  return answer.config
}
const config = configOf('postgres: { tables: { order: { type: "it\'s", columns: { user: TEXT, n: INTEGER } }, twin: { type: "it\'s", columns: {} }, other: { type: o, columns: { d: JSON } } } }')
const tables = mirrorTables(config)

type Write = { id?: string; ii?: number; type?: string; active?: string; name?: string | null }
const write = ({ id = 'a', ii = 1, type = 'none', active = '{}', name = null }: Write = {}): StateRows =>
  rowsOf({ id: id as StateId, ii: ii as InteractionIndex, domain: 'd', owner: 'o', name, activeType: type, active, created: 0, updated: 1, activeSize: 2, storageSize: 3 }, tables)
const statementsOf = (writes: readonly StateRows[], repeat = false): MirrorStatement[] => mirrorStatements({ texts: statementTexts(tables), writes, repeat })

describe('statements', () => {
  test('of a type with tables', () => {
    const [statement] = statementsOf([write({ type: "it's", active: '{"user":"u","n":5}' })])
    expect(statement!.sql.split('\n')).toEqual([
      'WITH sent AS (SELECT * FROM unnest($1::pg_catalog.text[], $2::pg_catalog.int4[], $3::pg_catalog.bool[], $6::pg_catalog.text[], $7::pg_catalog.text[], $8::pg_catalog.text[], $9::pg_catalog.text[], $10::pg_catalog.text[], $11::pg_catalog.text[], $12::pg_catalog.text[], $13::pg_catalog.text[], $14::pg_catalog.text[]) AS s(id, ii, here, m0, m1, m2, m3, m4, m5, m6, c0, c1)),',
      'before AS (SELECT m.id, m.active_type FROM public.metadata AS m WHERE m.id = ANY ($1::pg_catalog.text[])),',
      'kept AS (INSERT INTO public.metadata AS m (id, "active_type", "ii", "domain", "name", "owner", "updated", "created", "active_size", "storage_size") SELECT s.id, $4::pg_catalog.text, s.ii, s.m0::pg_catalog.text, s.m1::pg_catalog.text, s.m2::pg_catalog.text, s.m3::pg_catalog.timestamp, s.m4::pg_catalog.timestamp, s.m5::pg_catalog.int4, s.m6::pg_catalog.int4 FROM sent AS s ORDER BY s.id ON CONFLICT (id) DO UPDATE SET "active_type" = excluded."active_type", "ii" = excluded."ii", "domain" = excluded."domain", "name" = excluded."name", "owner" = excluded."owner", "updated" = excluded."updated", "created" = excluded."created", "active_size" = excluded."active_size", "storage_size" = excluded."storage_size" WHERE excluded.ii > m.ii OR m.ii IS NULL OR ($5::pg_catalog.bool AND excluded.ii = m.ii) RETURNING m.id),',
      't0 AS (INSERT INTO public."order" AS t (id, "user", "n") SELECT s.id, s.c0::pg_catalog.text, s.c1::pg_catalog.int4 FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE s.here ORDER BY s.id ON CONFLICT (id) DO UPDATE SET "user" = excluded."user", "n" = excluded."n"),',
      't1 AS (INSERT INTO public."twin" AS t (id) SELECT s.id FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE s.here ORDER BY s.id ON CONFLICT (id) DO NOTHING),',
      'g0 AS (DELETE FROM public."order" AS t WHERE t.id = ANY (ARRAY(SELECT s.id FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE NOT s.here))),',
      'g1 AS (DELETE FROM public."twin" AS t WHERE t.id = ANY (ARRAY(SELECT s.id FROM sent AS s JOIN kept AS k ON k.id = s.id WHERE NOT s.here))),',
      'parted AS (SELECT b.id, b.active_type FROM before AS b JOIN kept AS k ON k.id = b.id WHERE b.active_type IS DISTINCT FROM $4::pg_catalog.text),',
      ...['sessions', 'subscriptions', 'queries', 'tags'].map((name, i) => `p${i} AS (DELETE FROM public."${name}" AS t WHERE t.id = ANY (ARRAY(SELECT p.id FROM parted AS p WHERE p.active_type = 'application/json;type=${['session', 'subscription', 'postgres-query', 'tag'][i]}'))),`),
      `p4 AS (DELETE FROM public."other" AS t WHERE t.id = ANY (ARRAY(SELECT p.id FROM parted AS p WHERE p.active_type = 'o')))`,
      'SELECT pg_catalog.count(*)::pg_catalog.int4 AS kept FROM kept',
    ])
    expect(statement!.values).toEqual([
      ['a'], ['1'], [true], "it's", false,
      ['d'], [null], ['o'], ['1970-01-01 00:00:00.001'], ['1970-01-01 00:00:00.000'], ['2'], ['3'],
      ['u'], ['5'],
    ])
  })

  test('of a type with tables, interactions after the first: by one that is shorter, and says whether the whole one has to follow', () => {
    const [statement, ...others] = statementsOf([write({ ii: 2, type: "it's", active: '{"user":"u","n":5}' })])
    expect(others).toEqual([])
    expect(statement!.sql.split('\n')).toEqual([
      'WITH kept AS (UPDATE public.metadata AS m SET "ii" = s.ii, "name" = s.m0::pg_catalog.text, "updated" = s.m1::pg_catalog.timestamp, "active_size" = s.m2::pg_catalog.int4, "storage_size" = s.m3::pg_catalog.int4 ' +
        'FROM unnest($1::pg_catalog.text[], $2::pg_catalog.int4[], $4::pg_catalog.text[], $5::pg_catalog.text[], $6::pg_catalog.text[], $7::pg_catalog.text[], $8::pg_catalog.text[], $9::pg_catalog.text[]) AS s(id, ii, m0, m1, m2, m3, c0, c1) ' +
        'WHERE m.id = s.id AND s.ii > m.ii AND m.active_type = $3::pg_catalog.text RETURNING s.id, s.c0, s.c1),',
      't0 AS (INSERT INTO public."order" AS t (id, "user", "n") SELECT k.id, k.c0::pg_catalog.text, k.c1::pg_catalog.int4 FROM kept AS k ON CONFLICT (id) DO UPDATE SET "user" = excluded."user", "n" = excluded."n"),',
      't1 AS (INSERT INTO public."twin" AS t (id) SELECT k.id FROM kept AS k ON CONFLICT (id) DO NOTHING)',
      'SELECT pg_catalog.count(*)::pg_catalog.int4 AS kept FROM kept',
    ])
    expect(statement!.values).toEqual([['a'], ['2'], "it's", [null], ['1970-01-01 00:00:00.001'], ['2'], ['3'], ['u'], ['5']])
    const whole = statement!.otherwise!()
    expect(whole.sql).toBe(statementsOf([write({ type: "it's" })])[0]!.sql)
    expect(whole.values.slice(0, 5)).toEqual([['a'], ['2'], [true], "it's", false])
    expect(whole.otherwise).toBeUndefined()
  })

  test('the whole one for what cannot have a row of its type already: made just now, removed, written again', () => {
    const made = write({ id: 'a', ii: 1, type: 'o' })
    const removed = write({ id: 'b', ii: 3, type: 'o', active: 'null' })
    const next = write({ id: 'c', ii: 2, type: 'o' })
    expect(statementsOf([made, removed, next]).map(({ values, otherwise }) => [values[0], otherwise !== undefined])).toEqual([[['a', 'b'], false], [['c'], true]])
    expect(statementsOf([made, removed, next], true).map(({ values, otherwise }) => [values[0], otherwise !== undefined])).toEqual([[['a', 'b', 'c'], false]])
    expect(statementsOf([write({ ii: 2, type: 'x\0' })])[0]!.otherwise).toBeUndefined()
  })

  test('of types without tables: one text, all of metadata, and rows of a type before go', () => {
    const [first, second] = statementsOf([write({ id: 'a', type: 'p' }), write({ id: 'b', type: 'q' })])
    expect(second!.sql).toBe(first!.sql)
    expect([first!.values[3], second!.values[3]]).toEqual(['p', 'q'])
    expect(first!.sql.match(/DELETE FROM public\."\w+"/g)).toHaveLength(tables.all.length)
    expect(first!.sql).not.toContain('INSERT INTO public."')
  })

  test('one a type; its text and name depend on nothing else', () => {
    const texts = statementTexts(tables)
    const of = (...writes: StateRows[]): MirrorStatement[] => mirrorStatements({ texts, writes, repeat: false })
    const one = of(write({ type: 'o' }))
    const many = of(write({ id: 'b', type: 'o', active: '{"d":"\'; DROP TABLE x"}' }), write({ id: 'c', type: 'o', active: 'null', name: '"' }), write({ id: 'd', type: "it's" }))
    expect(many.map(({ states }) => states)).toEqual([2, 1])
    expect([many[0]!.name, many[0]!.sql]).toEqual([one[0]!.name, one[0]!.sql])
    expect(many[1]!.name).not.toBe(one[0]!.name)
    expect(texts.made.size).toBe(2)
    expect(one[0]!.name).toMatch(/^mirror_[0-9a-f]{32}$/)
    expect(mirrorStatements({ texts: statementTexts(mirrorTables(undefined)), writes: [write({ type: 'o' })], repeat: false })[0]!.name).not.toBe(one[0]!.name)
  })

  test('active removed: no row goes in, the flag says so', () => {
    const [statement] = statementsOf([write({ id: 'a', type: 'o', active: 'null' }), write({ id: 'b', type: 'o', active: '{"d":1}' })], true)
    expect(statement!.values.slice(0, 5)).toEqual([['a', 'b'], ['1', '1'], [false, true], 'o', true])
    expect(statement!.values.at(-1)).toEqual([null, '1'])
  })

  test('nothing to write, no statement', () => expect(statementsOf([])).toEqual([]))

  test('as many values as places, lists of one length, ids going up', () => {
    const writes = fc.array(fc.record({ id: fc.stringMatching(/^[0-9a-f]{1,3}$/), ii: fc.nat(20), type: fc.constantFrom("it's", 'o', 'p', 'application/json;type=tag', 'x\0'), active: fc.constantFrom('{}', 'null', '{"n":1,"d":[],"user":"x"}') }), { maxLength: 30 })
    fc.assert(
      fc.property(writes, (all) => {
        const sent = new Set<string>()
        for (const { sql, values, states, otherwise } of statementsOf(all.map(write))) {
          const isNext = otherwise !== undefined
          expect(otherwise?.()).toEqual(otherwise && expect.objectContaining({ states, otherwise: undefined }))
          const places = [...sql.matchAll(/\$(\d+)/g)].map((match) => Number(match[1]))
          expect(new Set(places)).toEqual(new Set(values.map((_, i) => i + 1)))
          const lists = values.filter((value) => Array.isArray(value))
          expect(lists).toHaveLength(values.length - (isNext ? 1 : 2))
          for (const list of lists) expect(list).toHaveLength(states)
          const ids = values[0] as string[]
          expect(ids).toEqual([...new Set(ids)].sort())
          for (const [i, id] of ids.entries()) {
            sent.add(id)
            const best = Math.max(...all.filter((one) => one.id === id).map(({ ii }) => ii))
            expect((values[1] as string[])[i]).toBe(String(best))
          }
        }
        expect(sent).toEqual(new Set(all.map(({ id }) => id)))
      }),
    )
  })
})

describe('of one state only the newest', () => {
  test('by ii, the last of equals, whatever the order', () => {
    const writes = [write({ id: 'b', ii: 3 }), write({ id: 'a', ii: 9, name: 'x' }), write({ id: 'b', ii: 5 }), write({ id: 'a', ii: 9, name: 'y' }), write({ id: 'b', ii: 4 })]
    expect(newest(writes)).toEqual([writes[3], writes[2]])
  })

  test('also where the older one had rows of another type', () => {
    const statements = statementsOf([write({ ii: 2, type: 'o' }), write({ ii: 1, type: "it's" })])
    expect(statements.map(({ values }) => values[2])).toEqual(['o'])
  })
})

describe('bounds', () => {
  test('of states', () => {
    const sizes = statementsOf(Array.from({ length: 2 * domainBounds.statementStates + 1 }, (_, i) => write({ id: `s${i}` }))).map(({ states }) => states)
    expect(sizes).toEqual([domainBounds.statementStates, domainBounds.statementStates, 1])
  })

  test('of bytes; what is larger by itself goes alone', () => {
    const text = (bytes: number): string => `{"user":"${'x'.repeat(bytes)}"}`
    const half = Math.floor(domainBounds.statementBytes / 2) - 1_000
    const statements = statementsOf([half, half, half, 3 * half, 10].map((bytes, i) => write({ id: `s${i}`, type: "it's", active: text(bytes) })))
    expect(statements.map(({ states }) => states)).toEqual([2, 1, 1, 1])
    expect(statements.filter(({ bytes }) => bytes > domainBounds.statementBytes).map(({ states }) => states)).toEqual([1])
  })
})
