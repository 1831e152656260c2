/** No text makes the check throw, and what it accepts says the same when it is written again. */
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { domainBounds } from '#shared/domain/bounds.ts'
import { COLUMN_TYPES } from '#shared/domain/column-types.ts'
import { canonicalText, parseDomainConfig, type ConfigAnswer } from '#shared/domain/config.ts'
import { DOCUMENTED, PLATFORM } from './documented.ts'

function wellFormed(answer: ConfigAnswer, text: string): void {
  if (answer.kind === 'config') return
  const lines = text.split('\n').length
  expect(answer.faults.length).toBeGreaterThan(0)
  expect(answer.faults.length).toBeLessThanOrEqual(domainBounds.configFaults)
  let last = 0
  for (const { line, column, path, message } of answer.faults) {
    expect(line).toBeGreaterThanOrEqual(Math.max(1, last))
    expect(line).toBeLessThanOrEqual(lines)
    expect(column).toBeGreaterThanOrEqual(1)
    expect(typeof path).toBe('string')
    expect(message).not.toBe('')
    last = line
  }
}

const pieces = ['\n', '\n  ', '\n    ', ': ', '- ', '? ', '[', ']', '{', '}', ', ', '&a ', '*a', '|\n', '>-\n', '"', "'", '#', '%YAML 1.1\n', '---', '...', '!!str ', '!', '<<', '~', '\t', '\0', '\u2028', '\ud800', '\ufeff', '\\', 'postgres', 'tables', 'columns', 'type', 'functions', 'authorize', 'sameDomain', 'agent', 'TEXT', 'x', '5', 'true']

test('any text, made of what YAML is made of', () => {
  const text = fc.oneof(fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((parts) => parts.join('')), fc.string({ unit: 'binary', maxLength: 200 }))
  fc.assert(fc.property(text, (yaml) => wellFormed(parseDomainConfig(yaml), yaml)), { numRuns: 800 })
})

test('configurations with something cut out, put in or moved', () => {
  const place = fc.double({ min: 0, max: 1, noNaN: true })
  const edit = fc.record({ at: place, length: fc.nat(1), put: fc.constantFrom('', 'x', 'T', '_', ' ', '\n', ...pieces) })
  const answers = { config: 0, faults: 0 }
  fc.assert(
    fc.property(fc.constantFrom(DOCUMENTED, PLATFORM), fc.array(edit, { minLength: 1, maxLength: 2 }), (start, edits) => {
      let yaml = start
      for (const { at, length, put } of edits) {
        const from = Math.floor(at * yaml.length)
        yaml = yaml.slice(0, from) + put + yaml.slice(from + length)
      }
      const answer = parseDomainConfig(yaml)
      answers[answer.kind]++
      wellFormed(answer, yaml)
    }),
    { numRuns: 500 },
  )
  expect(Math.min(answers.config, answers.faults)).toBeGreaterThan(15)
})

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,12}$/).filter((text) => !/^(?:id|tableoid|[cx]m(?:in|ax)|ctid|metadata|sessions|subscriptions|queries|tags)$/.test(text))
const type = fc.constantFrom(...COLUMN_TYPES)
const columns = fc.dictionary(name, type, { maxKeys: 5, noNullPrototype: true })
const text = fc.string({ unit: 'grapheme-composite', minLength: 1, maxLength: 30 }).map((inside) => `x${inside}`)
const table = fc.record({ type: text, columns }).map(({ type: of, columns: all }) => ({
  type: of,
  columns: all,
  indices: Object.fromEntries(Object.entries(all).filter(([, one]) => one !== 'JSON').map(([column], i) => [`i${i}`, { column }])),
}))
const tree = fc.record({
  postgres: fc.record({
    tables: fc.dictionary(name, table, { maxKeys: 4, noNullPrototype: true }),
    queries: fc.dictionary(name, fc.oneof(text, fc.record({ domains: fc.constantFrom([], ['a.example.com:80']), body: text })), { maxKeys: 4, noNullPrototype: true }),
  }),
  agent: text,
})

test('valid configurations are accepted as they are, whatever the order and style they are written in', () => {
  fc.assert(
    fc.property(tree, (config) => {
      const answer = parseDomainConfig(stringify(config))
      const again = parseDomainConfig(JSON.stringify(config))
      if (answer.kind === 'faults' || again.kind === 'faults') throw new Error(JSON.stringify([answer, again]))
      expect(canonicalText(again.config)).toBe(canonicalText(answer.config))
      expect(Object.fromEntries(answer.config.tables.map((one) => [one.name, { type: one.type, columns: one.columns.map((column) => [column.name, column.type]) }]))).toEqual(
        Object.fromEntries(Object.entries(config.postgres.tables).map(([key, one]) => [key, { type: one.type, columns: Object.entries(one.columns) }])),
      )
      expect(answer.config.queries.map(({ body }) => body).sort()).toEqual(Object.values(config.postgres.queries).map((query) => (typeof query === 'string' ? query : query.body)).sort())
      expect(answer.config.agent).toBe(config.agent)
    }),
    { numRuns: 150 },
  )
})
