/** Texts put into SQL: identifiers, literals, bodies. Nothing of a tenant gets into a statement by another way. */
import { hash } from 'node:crypto'
import { assert } from '#shared/assert.ts'
import { domainBounds } from '#shared/domain/bounds.ts'

/** As it is, case kept; reserved words need it. */
export function quoteIdentifier(name: string): string {
  assert(name.length > 0 && !name.includes('\0') && name.isWellFormed(), 'an identifier is a text without NUL')
  assert(Buffer.byteLength(name) <= domainBounds.identifierBytes, 'Postgres would cut this identifier off')
  return `"${name.replaceAll('"', '""')}"`
}

/** Tables and functions of a domain are in two schemas of its database: `schemas` of `shared/ports/domain-database.ts`. */
export const inPublic = (name: string): string => `public.${quoteIdentifier(name)}`
export const inFunctions = (name: string): string => `functions.${quoteIdentifier(name)}`

/** Right whatever `standard_conforming_strings` is. */
export function quoteLiteral(text: string): string {
  assert(!text.includes('\0') && text.isWellFormed(), 'a literal is a text without NUL')
  const doubled = text.replaceAll("'", "''")
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}

/** A function's body: in dollar quotes with a tag that does not occur in it, not even in part at its end. */
export function quoteBody(text: string): string {
  assert(!text.includes('\0') && text.isWellFormed(), 'a body is a text without NUL')
  let n = 0
  while (text.includes(`$body${n}`)) n++
  return `$body${n}$${text}$body${n}$`
}

/**
 * Name of the index `index` of `table`. Tables and indices share their names in Postgres: the dot, which no configured name
 * has, keeps the index `b` of `a` apart from a table `b`, from the index `b` of `c`, and from one that Postgres names.
 */
export function indexName(table: string, index: string): string {
  const plain = `${table}.${index}`
  if (plain.length <= domainBounds.identifierBytes) return plain
  return `${table.slice(0, 20)}.${hash('sha256', plain, 'hex').slice(0, 40)}`
}

/**
 * A name as Postgres takes it when it is written without quotes. Functions, their arguments and what they return get such
 * names: bodies and queries mention them without quotes, and configurations of the KnowLearning platform have names like
 * `isAdmin` and `requestingUser`. Tables and columns keep their case.
 */
export const folded = (name: string): string => name.toLowerCase()
