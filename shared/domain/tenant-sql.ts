/**
 * The named parameters of tenants' SQL. `$DOMAIN` and `$REQUESTER` become parameters after `$1..$n`: values never become
 * part of the text, so nothing rests on this scanner but that a name in a string, a quoted identifier, a dollar-quoted
 * body or a comment stays what it is. It follows the flex rules of Postgres (src/backend/parser/scan.l) with
 * `standard_conforming_strings` on. No SQL tokeniser on npm follows them (dollar quotes, nested comments, continued E
 * strings) but libpg_query's WebAssembly, which cannot be called without a promise.
 */
export type NamedParameter = 'DOMAIN' | 'REQUESTER'

export type TenantSql = {
  /** With `$n` for every parameter. */
  readonly text: string
  /** The highest `$n` that the tenant wrote: as many parameters have to be given. */
  readonly positional: number
  /** Whose values follow those, in this order. */
  readonly named: readonly NamedParameter[]
}

const NAMES: readonly string[] = ['DOMAIN', 'REQUESTER'] satisfies readonly NamedParameter[]

/** Whatever begins a token in which `$` is no parameter, and parameters; identifiers, because they may hold a `$`. */
const TOKEN =
  /(?<lineComment>--[^\n\r]*)|(?<blockComment>\/\*)|(?<escapeString>[eE]')|(?<string>')|(?<quoted>")|(?<dollarQuote>\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$)|\$(?<number>[0-9]+)|\$(?<name>[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)|[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/g

/** Postgres takes at most this many parameters; a greater number is its to refuse. */
const PARAMETERS = 65_535

export function parseTenantSql(sql: string): TenantSql {
  const places: { readonly from: number; readonly to: number; readonly name: NamedParameter }[] = []
  let positional = 0
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(sql); match !== null; match = TOKEN.exec(sql)) {
    const { blockComment, escapeString, string, quoted, dollarQuote, number, name } = match.groups!
    const end = TOKEN.lastIndex
    if (blockComment !== undefined) TOKEN.lastIndex = endOfBlockComment(sql, end)
    else if (escapeString !== undefined) TOKEN.lastIndex = endOfEscapeString(sql, end)
    else if (string !== undefined) TOKEN.lastIndex = endOfQuoted(sql, end, "'")
    else if (quoted !== undefined) TOKEN.lastIndex = endOfQuoted(sql, end, '"')
    else if (dollarQuote !== undefined) TOKEN.lastIndex = endOf(sql, sql.indexOf(dollarQuote, end), dollarQuote.length)
    else if (number !== undefined) positional = Math.max(positional, Math.min(Number(number), PARAMETERS))
    else if (name !== undefined && NAMES.includes(name)) places.push({ from: match.index, to: end, name: name as NamedParameter })
  }
  const named = [...new Set(places.map(({ name }) => name))]
  let text = ''
  let at = 0
  for (const { from, to, name } of places) {
    // With its type: where Postgres would have to infer one (`json_build_object('by', $REQUESTER)`) it finds none.
    text += `${sql.slice(at, from)}$${positional + 1 + named.indexOf(name)}::text`
    at = to
  }
  return { text: text + sql.slice(at), positional, named }
}

/** What is not closed reaches to the end: Postgres refuses it. */
function endOf(sql: string, found: number, length: number): number {
  return found === -1 ? sql.length : found + length
}

/** Doubled quotes need no rule: what follows the first of them is a quoted text again. */
function endOfQuoted(sql: string, from: number, quote: string): number {
  return endOf(sql, sql.indexOf(quote, from), 1)
}

/** Block comments nest, unlike in C. */
function endOfBlockComment(sql: string, from: number): number {
  let depth = 1
  for (let at = from; at < sql.length; at++) {
    if (sql[at] === '*' && sql[at + 1] === '/') {
      depth--
      at++
      if (depth === 0) return at + 1
    } else if (sql[at] === '/' && sql[at + 1] === '*') {
      depth++
      at++
    }
  }
  return sql.length
}

function endOfEscapeString(sql: string, from: number): number {
  for (let at = from; at < sql.length; at++) {
    if (sql[at] === '\\') at++
    else if (sql[at] === "'") {
      if (sql[at + 1] === "'") at++
      else {
        const next = continuation(sql, at + 1)
        if (next === undefined) return at + 1
        at = next
      }
    }
  }
  return sql.length
}

/**
 * A string goes on, under the same rules, in a quote that only white space with a line break, and comments that end
 * with their line, separate from it: where that quote is.
 */
function continuation(sql: string, from: number): number | undefined {
  let broken = false
  for (let at = from; at < sql.length; at++) {
    const character = sql[at]!
    if (character === '\n' || character === '\r') broken = true
    else if (character === '-' && sql[at + 1] === '-') {
      while (at + 1 < sql.length && sql[at + 1] !== '\n' && sql[at + 1] !== '\r') at++
    } else if (character === "'") return broken ? at : undefined
    else if (!/[ \t\f\v]/.test(character)) return undefined
  }
  return undefined
}
