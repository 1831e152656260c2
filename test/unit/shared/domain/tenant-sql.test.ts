import { describe, expect, test } from '@jest/globals'
import { parseTenantSql } from '#shared/domain/tenant-sql.ts'

describe('named parameters', () => {
  test.each([
    ['SELECT 1', 'SELECT 1', 0, []],
    ['SELECT $1, $2', 'SELECT $1, $2', 2, []],
    ['SELECT $REQUESTER', 'SELECT $1::text', 0, ['REQUESTER']],
    ['SELECT $2 WHERE a = $REQUESTER AND b=$DOMAIN AND c = $REQUESTER', 'SELECT $2 WHERE a = $3::text AND b=$4::text AND c = $3::text', 2, ['REQUESTER', 'DOMAIN']],
    ['SELECT ($DOMAIN)', 'SELECT ($1::text)', 0, ['DOMAIN']],
    ['SELECT $DOMAIN::json', 'SELECT $1::text::json', 0, ['DOMAIN']],
    ["SELECT 'a'||$DOMAIN||'b'", "SELECT 'a'||$1::text||'b'", 0, ['DOMAIN']],
    ['SELECT $999999999999', 'SELECT $999999999999', 65_535, []],
  ])('%s', (sql, text, positional, named) => expect(parseTenantSql(sql)).toEqual({ text, positional, named }))

  test.each([
    "SELECT '$DOMAIN'",
    "SELECT 'it''s $DOMAIN'",
    "SELECT E'\\'$DOMAIN'",
    "SELECT e'\\\\\\'$DOMAIN' 'x'",
    "SELECT E'a' -- ' $DOMAIN\n '\\' $DOMAIN'",
    "SELECT E'a'\n\n-- it's\n  'b\\' $DOMAIN'",
    "SELECT E'a''\\' $DOMAIN", // not closed
    'SELECT "$DOMAIN"',
    'SELECT "a""$DOMAIN"',
    'SELECT U&"$DOMAIN"',
    'SELECT $$ $DOMAIN $1 $$',
    'SELECT $x$ $DOMAIN $$ $1 $x$',
    'SELECT $DOMAIN$ $DOMAIN $1 $REQUESTER $DOMAIN$',
    'SELECT $é$ $DOMAIN $é$',
    'SELECT $$ $DOMAIN', // not closed
    'SELECT 1 -- $DOMAIN $1',
    'SELECT 1 --$DOMAIN\r',
    'SELECT /* $DOMAIN $1 */ 1',
    'SELECT /* /* $DOMAIN */ $DOMAIN */ 1',
    "SELECT /* ' */ 1 /* $DOMAIN '*/",
    'SELECT /* $DOMAIN',
    'SELECT a$DOMAIN, a$1',
    'SELECT é$DOMAIN',
    'SELECT $DOMAINS, $DOMAIN_, $DOMAIN1, $domain, $Requester, $DOMAIN$1',
    'SELECT * FROM "a"e$REQUESTER',
  ])('stay as they are: %s', (sql) => expect(parseTenantSql(sql)).toEqual({ text: sql, positional: 0, named: [] }))

  test.each([
    ["SELECT 'a' $DOMAIN", 1],
    ["SELECT '\\' $DOMAIN", 1], // no escapes without the E
    ["SELECT some_e'\\' $DOMAIN", 1], // an identifier, and a string of its own
    ["SELECT E'a' '\\' $DOMAIN", 1], // a new string: no line break between
    ["SELECT E'a' /* \n */ '\\' $DOMAIN", 1],
    ["SELECT E'a\\\\' $DOMAIN", 1],
    ["SELECT ''E'\\'' $DOMAIN", 1],
    ['SELECT "a" $DOMAIN', 1],
    ['SELECT $$ $ $$ $DOMAIN', 1],
    ['SELECT $a$ $b$ $a$ $DOMAIN', 1],
    ['SELECT /* */ $DOMAIN', 1],
    ['SELECT 1 - - $DOMAIN', 1],
    ['SELECT 1 -- x\n$DOMAIN', 1],
    ['SELECT 1 -- x\r$DOMAIN', 1],
    ['SELECT a*/**/$DOMAIN', 1],
  ])('are found after what only looks like a text: %s', (sql, count) => {
    const { text, named } = parseTenantSql(sql)
    expect(named).toHaveLength(count)
    expect(text).toBe(sql.replace('$DOMAIN', '$1::text'))
  })

  test('takes time in proportion to the length', () => {
    for (const part of ["E'a'\n", '--', '/*', "'", '$', '$a', '-- \n', "E''\n-- x\n", 'a$']) {
      const sql = part.repeat(200_000)
      const start = performance.now()
      parseTenantSql(sql)
      expect(performance.now() - start).toBeLessThan(2_000)
    }
  })
})
