import { describe, expect, test } from '@jest/globals'
import { domainBounds } from '#shared/domain/bounds.ts'
import { canonicalText, parseDomainConfig, queryOf, type ConfigFault, type DomainConfig } from '#shared/domain/config.ts'
import { DOCUMENTED, PLATFORM } from './documented.ts'

function configOf(text: string): DomainConfig {
  const answer = parseDomainConfig(text)
  if (answer.kind === 'faults') throw new Error(JSON.stringify(answer.faults))
  return answer.config
}

function faultsOf(text: string, options: Parameters<typeof parseDomainConfig>[1] = {}): readonly ConfigFault[] {
  const answer = parseDomainConfig(text, options)
  return answer.kind === 'faults' ? answer.faults : []
}

/** `line:column path message` of each fault, the message cut at its first colon or semicolon. */
const shown = (text: string): string[] => faultsOf(text).map(({ line, column, path, message }) => `${line}:${column} ${path} ${message.split(/[:;]/)[0]}`)

const table = (inside: string): string => `postgres: { tables: { t: { type: a/b, ${inside} } } }`
const fn = (inside: string): string => `postgres: { functions: { f: { ${inside} } } }`
const authorized = (rule: string, functions: string): string => `authorize: { ${rule} }\npostgres: { functions: { ${functions} } }`

describe('what is accepted', () => {
  test('the example of domains.md, word for word', () => {
    expect(configOf(DOCUMENTED)).toEqual({
      authorize: { sameDomain: { postgres: 'fn_name', takes: 1 }, crossDomain: { postgres: 'fn_name', takes: 1 }, write: { sameDomain: undefined, crossDomain: undefined } },
      tables: [
        {
          name: 'scores',
          type: 'application/json;type=score',
          columns: [{ name: 'player', type: 'TEXT' }, { name: 'points', type: 'INTEGER' }, { name: 'tags', type: 'TEXT[]' }],
          indices: [{ name: 'by_points', column: 'points' }],
        },
      ],
      queries: [
        { name: 'shared-query', domains: ['other.example.com'], body: 'SELECT ...' },
        { name: 'top-scores', domains: [], body: 'SELECT id, player, points FROM scores ORDER BY points DESC LIMIT $1' },
      ],
      functions: [{ name: 'fn_name', language: 'plpgsql', arguments: [{ name: 'x', type: 'TEXT' }], returns: { kind: 'value', type: 'BOOLEAN' }, body: 'BEGIN ... END;' }],
      agent: '// JavaScript module, see below\n',
    })
  })

  test('configurations of the KnowLearning platform: names of functions and arguments fold as without quotes, scopes have no effect', () => {
    const config = configOf(PLATFORM)
    expect(config.authorize).toMatchObject({ sameDomain: { postgres: 'same_domain', takes: 2 }, crossDomain: { postgres: 'isadmin', takes: 3 } })
    expect(config.tables.map(({ name, columns }) => [name, columns.map((column) => column.name)])).toEqual([['groups', ['name', 'archived']], ['studies', []]])
    expect(config.functions.map(({ name }) => name)).toEqual(['isadmin', 'members', 'same_domain'])
    expect(config.functions[2]!.arguments).toEqual([{ name: 'requestinguser', type: 'TEXT' }, { name: 'requestedscope', type: 'TEXT' }])
    expect(config.functions[1]).toMatchObject({ language: 'sql', returns: { kind: 'rows', columns: [{ name: 'member', type: 'TEXT' }, { name: 'since', type: 'TIMESTAMP' }] } })
    expect(config.agent).toBeUndefined()
  })

  test('every column type, in any case', () => {
    const config = configOf(table('columns: { a: TEXT, b: "text[]", c: Integer, d: BIGINT, e: BOOLEAN, f: double  precision, g: TIMESTAMP, h: JSON, i: JSONB }'))
    expect(config.tables[0]!.columns.map(({ type }) => type)).toEqual(['TEXT', 'TEXT[]', 'INTEGER', 'BIGINT', 'BOOLEAN', 'DOUBLE PRECISION', 'TIMESTAMP', 'JSON', 'JSONB'])
  })

  test('names that need quotes in SQL, keys that YAML or JavaScript might take for something else, 63 bytes', () => {
    const names = ['select', 'user', 'MixedCase', 'null', 'true', '__proto__', 'constructor', 'x'.repeat(63)]
    const config = configOf(`postgres: { tables: { ${names.map((name) => `${name}: { type: a, columns: { ${names.map((column) => `${column}: TEXT`).join(', ')} } }`).join(', ')} } }`)
    expect(config.tables.map(({ name }) => name)).toEqual(names.toSorted())
    for (const { columns } of config.tables) expect(columns.map(({ name }) => name)).toEqual(names)
  })

  test('allow, deny, and rules for writing', () => {
    const one = 'f: { language: SQL, returns: BOOLEAN, arguments: [{ name: a, type: TEXT }, { name: b, type: TEXT }, { name: c, type: TEXT }], body: SELECT true }'
    expect(configOf(authorized('sameDomain: allow, crossDomain: deny, write: { sameDomain: deny, crossDomain: { postgres: F } }', one)).authorize).toEqual({
      sameDomain: 'allow',
      crossDomain: 'deny',
      write: { sameDomain: 'deny', crossDomain: { postgres: 'f', takes: 3 } },
    })
  })

  test('two tables of one type; an index of id; aliases; empty members; an explicit empty mapping', () => {
    const config = configOf('postgres:\n  tables:\n    a: &t { type: x, columns: &c { v: TEXT }, indices: { i: { column: id } } }\n    b: *t\n    c: { type: y, columns: *c }\n  queries:\nauthorize:\nagent:\n')
    expect(config.tables.map(({ name, type, columns }) => [name, type, columns.length])).toEqual([['a', 'x', 1], ['b', 'x', 1], ['c', 'y', 1]])
    expect(configOf('{}')).toMatchObject({ tables: [], queries: [], functions: [] })
  })

  test('one canonical form of texts that say the same, another of those that do not', () => {
    const a = configOf('postgres: { queries: { b: SELECT 2, a: { domains: [B.example.com, a.example.com], body: SELECT 1 } }, tables: { t: { type: x, columns: { z: text, a: TEXT } } } }')
    const b = configOf('# the same\npostgres:\n  tables: {"t": {columns: {z: TEXT, a: TEXT}, "type": \'x\', indices: {}}}\n  queries:\n    a:\n      body: SELECT 1\n      domains: [a.example.com, b.example.com, a.example.com]\n    b: "SELECT 2"\n')
    expect(canonicalText(b)).toBe(canonicalText(a))
    expect(canonicalText(configOf('postgres: { tables: { t: { type: x, columns: { a: TEXT, z: TEXT } } } }'))).not.toBe(canonicalText({ ...a, queries: [] }))
    expect(queryOf(a, 'b')).toEqual({ name: 'b', domains: [], body: 'SELECT 2' })
    expect(queryOf(a, 'constructor')).toBeUndefined()
  })
})

describe('faults', () => {
  test('all at once, by place', () => {
    const text = ['authorise: {}', 'authorize:', '  sameDomain: maybe', '  write: { anybody: allow }', 'postgres:', '  tables:', '    metadata: { type: x }', '    1st: { type: x }', '    ok:', '      typ: x', '      columns: { a: TEX, xmin: TEXT }', '      indices: { i: { column: nope } }', '  queries: { q: 5, r: { body: "" } }', '  functions:', '    f: { language: Perl, returns: { a: TEXT, A: TEXT }, body: 1 }'].join('\n')
    expect(shown(text)).toEqual([
      '1:1 authorise unknown key',
      '3:15 authorize.sameDomain must be allow, deny, or a mapping { postgres',
      '4:12 authorize.write.anybody unknown key',
      '7:5 postgres.tables.metadata is a table that every domain has',
      '8:5 postgres.tables.1st invalid name',
      '9:5 postgres.tables.ok.type is missing',
      '10:7 postgres.tables.ok.typ unknown key',
      '11:21 postgres.tables.ok.columns.a unknown type',
      '11:26 postgres.tables.ok.columns.xmin is the name of a column that Postgres keeps for itself',
      '12:31 postgres.tables.ok.indices.i.column is no column of this table',
      '13:17 postgres.queries.q must be a text',
      '13:31 postgres.queries.r.body must not be empty',
      '15:20 postgres.functions.f.language unknown language',
      '15:46 postgres.functions.f.returns.A this name is there twice',
      '15:63 postgres.functions.f.body must be a text',
    ])
  })

  test.each([
    ['metadata', 'sessions', 'subscriptions', 'queries', 'tags'].map((name) => `${name}: { type: x }`).join(', '),
  ])('none of the default tables is redefined', (tables) => expect(shown(`postgres: { tables: { ${tables} } }`).filter((one) => one.includes('every domain has'))).toHaveLength(5))

  test.each([
    [table('columns: { id: INTEGER }'), 't.columns.id every table has id TEXT'],
    [table('columns: { a-b: TEXT }'), 't.columns.a-b invalid name'],
    [table(`columns: { ${'x'.repeat(64)}: TEXT }`), `t.columns.${'x'.repeat(64)} invalid name`],
    [table('columns: { ä: TEXT }'), 't.columns["ä"] invalid name'],
    [table('columns: { a: 5 }'), 't.columns.a must be a text'],
    [table('columns: { a: }'), 't.columns.a must be a text'],
    [table('columns: [a]'), 't.columns must be a mapping'],
    [table('columns: { a: TEXT, b: TEXT, a: TEXT }'), 't.columns.a is there twice'],
    [table('columns: { a: TEXT, "a": TEXT }'), 't.columns.a is there twice'],
    [table('columns: { [a]: TEXT }'), 't.columns a key must be a text'],
    [table('columns: { a: JSON }, indices: { i: { column: a } }'), 't.indices.i.column JSON has no index'],
    [table('columns: { a: TEXT }, indices: { i: a }'), 't.indices.i must be a mapping'],
    [table('columns: { a: TEXT }, indices: { i: { column: a, unique: true } }'), 't.indices.i.unique unknown key'],
    [table('columns: { a: TEXT }, indices: { "": { column: a } }'), 't.indices[""] invalid name'],
    ['postgres: { tables: { t: } }', 't.type is missing'],
    ['postgres: { tables: { t: { type: "" } } }', 't.type must have 1 to 1024 bytes'],
    ['postgres: { tables: { t: { type: "a\\0b" } } }', 't.type must not have a NUL character'],
    ['postgres: { tables: { t: { type: "\\ud800" } } }', 't.type is not well-formed Unicode'],
  ])('of tables: %s', (text, fault) => expect(shown(text).map((one) => one.replace(/^\S+ postgres\.tables\./, ''))).toEqual([fault]))

  test.each([
    ['q: ', 'q is missing'],
    ['q: [a]', 'q must be a text'],
    ['q: " "', 'q must not be empty'],
    ['"": SELECT 1', '[""] invalid name'],
    ['"a\\n": SELECT 1', '["a\\n"] invalid name'],
    ['q: { domains: [a.example.com] }', 'q.body is missing'],
    ['q: { domains: a.example.com, body: SELECT 1 }', 'q.domains must be a list'],
    ['q: { domains: ["https://a.example.com", ok, "*"], body: SELECT 1 }', 'q.domains[0] is no domain|q.domains[2] is no domain'],
    ['q: { sql: SELECT 1 }', 'q.body is missing|q.sql unknown key'],
  ])('of queries: %s', (query, faults) => expect(shown(`postgres: { queries: { ${query} } }`).map((one) => one.replace(/^\S+ postgres\.queries\.?/, ''))).toEqual(faults.split('|')))

  test.each([
    [fn('language: SQL, returns: BOOLEAN'), 'f.body is missing'],
    [fn('language: SQL, body: SELECT 1'), 'f.returns is missing'],
    [fn('returns: BOOLEAN, body: SELECT 1'), 'f.language is missing'],
    [fn('language: SQL, returns: VOID, body: SELECT 1'), 'f.returns unknown type'],
    [fn('language: SQL, returns: {}, body: SELECT 1'), 'f.returns must name a type, or at least one column'],
    [fn('language: SQL, returns: TEXT, body: SELECT 1, arguments: { a: TEXT }'), 'f.arguments must be a list'],
    [fn('language: SQL, returns: TEXT, body: SELECT 1, arguments: [{ name: a }]'), 'f.arguments[0].type is missing'],
    [fn('language: SQL, returns: TEXT, body: SELECT 1, arguments: [{ type: TEXT }]'), 'f.arguments[0].name is missing'],
    [fn('language: SQL, returns: TEXT, body: SELECT 1, arguments: [{ name: a b, type: TEXT }]'), 'f.arguments[0].name invalid name'],
    [fn('language: SQL, returns: TEXT, body: SELECT 1, arguments: [{ name: a, type: TEXT }, { name: A, type: TEXT }]'), 'f.arguments[1].name this name is there twice'],
    [fn('language: SQL, returns: { a: TEXT }, body: SELECT 1, arguments: [{ name: A, type: TEXT }]'), 'f.returns.a this name is there twice'],
    [fn('language: SQL, returns: TEXT, body: SELECT 1, volatile: true'), 'f.volatile unknown key'],
    ['postgres: { functions: { f: { language: SQL, returns: TEXT, body: a }, F: { language: SQL, returns: TEXT, body: a } } }', 'F is there twice'],
  ])('of functions: %s', (text, fault) => expect(shown(text).map((one) => one.replace(/^\S+ postgres\.functions\./, ''))).toEqual([fault]))

  test('more than there may be', () => {
    const many = (n: number, one: (i: number) => string): string => Array.from({ length: n }, (_, i) => one(i)).join(', ')
    expect(shown(table(`columns: { ${many(domainBounds.tableColumns + 1, (i) => `c${i}: TEXT`)} }`))).toEqual([expect.stringContaining('t.columns more than 500')])
    expect(shown(table(`indices: { ${many(domainBounds.tableIndices + 1, (i) => `i${i}: { column: id }`)} }`))).toEqual([expect.stringContaining('t.indices more than 32')])
    expect(shown(`postgres: { tables: { ${many(domainBounds.tables + 1, (i) => `t${i}: { type: x }`)} } }`)).toEqual([expect.stringContaining('tables more than 200')])
    expect(shown(`postgres: { queries: { ${many(domainBounds.queries + 1, (i) => `q${i}: x`)} } }`)).toEqual([expect.stringContaining('queries more than 1000')])
    expect(shown(fn(`language: SQL, returns: TEXT, body: x, arguments: [${many(domainBounds.functionArguments + 1, (i) => `{ name: a${i}, type: TEXT }`)}]`))).toEqual([expect.stringContaining('f.arguments more than 100')])
  })

  const returning = (type: string, ...args: string[]): string => `f: { language: SQL, returns: ${type}, body: SELECT 1, arguments: [${args.map((arg, i) => `{ name: a${i}, type: ${arg} }`).join(', ')}] }`
  test.each([
    ['sameDomain: { postgres: nope }', returning('BOOLEAN', 'TEXT', 'TEXT'), 'sameDomain.postgres is no function of postgres.functions'],
    ['write: { crossDomain: { postgres: nope } }', returning('BOOLEAN', 'TEXT', 'TEXT'), 'write.crossDomain.postgres is no function of postgres.functions'],
    ['sameDomain: { postgres: f }', returning('TEXT', 'TEXT', 'TEXT'), 'sameDomain.postgres must return BOOLEAN'],
    ['sameDomain: { postgres: f }', returning('{ ok: BOOLEAN }', 'TEXT', 'TEXT'), 'sameDomain.postgres must return BOOLEAN'],
    ['sameDomain: { postgres: f }', returning('BOOLEAN', 'TEXT', 'INTEGER'), 'sameDomain.postgres must take what is offered, or the first of it'],
    ['sameDomain: { postgres: f }', returning('BOOLEAN', 'TEXT', 'TEXT', 'TEXT'), 'sameDomain.postgres must take what is offered, or the first of it'],
    ['crossDomain: { postgres: f }', returning('BOOLEAN', 'TEXT', 'TEXT', 'TEXT', 'TEXT'), 'crossDomain.postgres must take what is offered, or the first of it'],
    ['crossDomain: { postgres: f }', returning('BOOLEAN'), 'crossDomain.postgres must take what is offered, or the first of it'],
    ['sameDomain: {}', '', 'sameDomain.postgres is missing'],
    ['sameDomain: { postgres: f, sql: g }', returning('BOOLEAN', 'TEXT'), 'sameDomain.sql unknown key'],
    ['sameDomain: true', '', 'sameDomain must be allow, deny, or a mapping { postgres'],
  ])('of authorize: %s, %s', (rule, functions, fault) => expect(shown(authorized(rule, functions)).map((one) => one.replace(/^\S+ authorize\./, ''))).toEqual([fault]))

  test('a function that has faults of its own is not called undefined as well', () => {
    expect(shown(authorized('sameDomain: { postgres: f }', 'f: { language: SQL, returns: BOOLEAN }'))).toEqual(['2:26 postgres.functions.f.body is missing'])
  })
})

describe('YAML', () => {
  test.each([
    ['', '1:1  must be a mapping'],
    ['# only a comment\n', '1:1  must be a mapping'],
    ['~', '1:1  must be a mapping'],
    ['just text', '1:1  must be a mapping'],
    ['- a\n- b', '1:1  must be a mapping'],
    ['agent: a\n---\nagent: b', '2:1  Source contains multiple documents'],
    ['postgres: [', '1:12  Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ['agent: *nope', '1:8  an alias of an anchor that is not before it'],
    ['agent: !secret x', '1:8  Unresolved tag'],
    ['\ud800: 1', '1:1  not well-formed Unicode'],
  ])('%j', (text, fault) => expect(shown(text)).toEqual([fault]))

  test('more bytes, tokens, nodes and faults than the bounds are not looked at', () => {
    expect(shown(`# ${'x'.repeat(domainBounds.configBytes)}`)).toEqual(['1:1  larger than 1048576 bytes'])
    expect(shown('[,'.repeat(domainBounds.configTokens / 2))).toEqual(['1:1  more than 60000 tokens of YAML'])
    expect(shown(`agent: "${'\\q'.repeat(domainBounds.configTokens)}"`)).toEqual(['1:1  more than 60000 tokens of YAML'])
    expect(faultsOf(Array.from({ length: 500 }, (_, i) => `k${i}: 1`).join('\n'))).toHaveLength(domainBounds.configFaults)
  })

  test('a bomb of aliases is read to the bound and no further', () => {
    const columns = `c: &c { ${Array.from({ length: 499 }, (_, i) => `c${i}: TEXT`).join(', ')} }`
    const tables = Array.from({ length: 199 }, (_, i) => `    t${i}: { type: x, columns: *c }`).join('\n')
    expect(shown(`postgres:\n  tables:\n    first: { type: x, ${columns.replace('c: ', 'columns: ')} }\n${tables}\n`)).toEqual([expect.stringMatching(/^\d+:\d+ {2}more than 50000 nodes, aliases followed$/)])
    const laughs = ['a0: &a0 [x,x,x,x,x,x,x,x,x]', ...Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array.from({ length: 9 }, () => `*a${i}`).join(',')}]`)].join('\n')
    expect(faultsOf(laughs).every(({ message }) => message.startsWith('unknown key'))).toBe(true)
    expect(shown('postgres: &p { tables: *p }')).toEqual(['1:16 postgres.tables.tables.tables unknown key', '1:16 postgres.tables.tables.type is missing'])
  })

  test('an alias means the last anchor of that name before it', () => {
    expect(configOf('postgres: { queries: { a: &q SELECT 1, b: *q, c: &q SELECT 2, d: *q } }').queries.map(({ body }) => body)).toEqual(['SELECT 1', 'SELECT 1', 'SELECT 2', 'SELECT 2'])
    expect(configOf('postgres: { queries: { &n q: *n } }').queries).toEqual([{ name: 'q', domains: [], body: 'q' }])
  })

  test('nesting beyond the stack is a fault', () => {
    expect(faultsOf('['.repeat(30_000)).length).toBeGreaterThan(0)
    expect(faultsOf('- '.repeat(20_000)).length).toBeGreaterThan(0)
  })
})

describe('the agent', () => {
  const checkModule = (text: string): { line: number; column: number; message: string }[] => [...text.matchAll(/@/g)].map(({ index }) => {
    const before = text.slice(0, index).split('\n')
    return { line: before.length, column: before.at(-1)!.length + 1, message: 'Unexpected @' }
  })

  test('faults of a module in a block have their place in the YAML', () => {
    const text = 'postgres: {}\nagent: |\n\n  const a = 1\n    @\n  const b = @\n'
    expect(faultsOf(text, { checkModule })).toEqual([
      { line: 5, column: 5, path: 'agent', message: 'Unexpected @' },
      { line: 6, column: 13, path: 'agent', message: 'Unexpected @' },
    ])
  })

  test('of one in quotes, folded, or behind an alias, that of the value', () => {
    expect(faultsOf('agent: "\\n\\n@"', { checkModule })).toEqual([{ line: 1, column: 8, path: 'agent', message: 'Unexpected @' }])
    expect(faultsOf('agent: >\n  a\n  @', { checkModule })).toEqual([{ line: 1, column: 8, path: 'agent', message: 'Unexpected @' }])
    const aliased = 'postgres:\n  queries:\n    q: &m |\n      a\n      @\nagent: *m\n\n# @\n'
    expect(faultsOf(aliased, { checkModule })).toEqual([{ line: 6, column: 8, path: 'agent', message: 'Unexpected @' }])
  })

  test('a module without faults is taken as it is written', () => {
    expect(parseDomainConfig('agent: |\n  a\n   b\n', { checkModule })).toMatchObject({ kind: 'config', config: { agent: 'a\n b\n' } })
  })
})
