/**
 * JSON values as values of columns: texts that Postgres reads as the column's type, NULL, or why it does not fit.
 *
 * Everything that JSON says without loss in that type fits: numbers and booleans as TEXT, digits in a text as INTEGER and
 * BIGINT (beyond 2^53 there is no other way to send one). Nothing is rounded or cut.
 */
import { domainBounds } from '#shared/domain/bounds.ts'
import type { ColumnType } from '#shared/domain/column-types.ts'
import type { Json } from '#shared/json.ts'
import { timestampOfMs, timestampOfText } from '#shared/mirror/timestamp.ts'

/** In Postgres' input syntax for the type; null is NULL. */
export type ColumnValue = string | null

export class Misfit {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** `indexed`: an index holds the value, whose room is bounded. Undefined, what is not there, and null are NULL. */
export function columnValue(value: Json | undefined, type: ColumnType, { indexed }: { readonly indexed: boolean }): ColumnValue | Misfit {
  if (value === undefined || value === null) return null
  switch (type) {
    case 'TEXT':
      return textValue(value, indexed)
    case 'TEXT[]':
      return textListValue(value, indexed)
    case 'INTEGER':
      return integerValue(value, { least: -2_147_483_648n, most: 2_147_483_647n, type })
    case 'BIGINT':
      return integerValue(value, { least: -(2n ** 63n), most: 2n ** 63n - 1n, type })
    case 'BOOLEAN':
      return value === true || value === 'true' ? 'true' : value === false || value === 'false' ? 'false' : wrongType(value, type)
    case 'DOUBLE PRECISION':
      return doubleValue(value)
    case 'TIMESTAMP':
      return timestampValue(value)
    case 'JSON':
      return JSON.stringify(value)
    case 'JSONB':
      return jsonbValue(value)
  }
}

const kindOf = (value: Json): string => (value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `a ${typeof value}`)

const wrongType = (value: Json, type: ColumnType): Misfit => new Misfit(typeof value === 'string' ? `a text that is no ${type}` : `${kindOf(value)} is no ${type}`)

function textValue(value: Json, indexed: boolean): string | Misfit {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value !== 'string') return wrongType(value, 'TEXT')
  if (value.includes('\0')) return new Misfit('a NUL character')
  if (!value.isWellFormed()) return new Misfit('half of a surrogate pair')
  if (indexed && value.length * 3 > domainBounds.indexedTextBytes && Buffer.byteLength(value) > domainBounds.indexedTextBytes) {
    return new Misfit(`longer than the ${domainBounds.indexedTextBytes} bytes that its index takes`)
  }
  return value
}

/** Elements may be NULL; a list in the list would need its lengths to be equal, and a column for each depth. */
function textListValue(value: Json, indexed: boolean): string | Misfit {
  if (!Array.isArray(value)) return wrongType(value, 'TEXT[]')
  const items: string[] = []
  for (const item of value) {
    if (item === null) {
      items.push('NULL')
      continue
    }
    const text = textValue(item, indexed)
    if (text instanceof Misfit) return new Misfit(`an element: ${text.reason}`)
    items.push(`"${text.replace(/["\\]/g, '\\$&')}"`)
  }
  return `{${items.join(',')}}`
}

const INTEGER = /^\s*[+-]?[0-9]{1,40}\s*$/

function integerValue(value: Json, { least, most, type }: { readonly least: bigint; readonly most: bigint; readonly type: 'INTEGER' | 'BIGINT' }): string | Misfit {
  if (typeof value === 'number' ? !Number.isInteger(value) : typeof value !== 'string' || !INTEGER.test(value)) {
    return typeof value === 'number' ? new Misfit(`a number with a fraction is no ${type}`) : wrongType(value, type)
  }
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value < least || value > most ? new Misfit(`out of the range of ${type}`) : String(value)
  // BigInt takes white space and a minus sign, but no plus.
  const integer = BigInt(typeof value === 'string' ? value.trim().replace(/^\+/, '') : (value as number))
  return integer < least || integer > most ? new Misfit(`out of the range of ${type}`) : String(integer)
}

const NUMBER = /^\s*[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?\s*$/

function doubleValue(value: Json): string | Misfit {
  if (typeof value !== 'number' && !(typeof value === 'string' && NUMBER.test(value))) return wrongType(value, 'DOUBLE PRECISION')
  const number = Number(value)
  return Number.isFinite(number) ? String(number) : new Misfit('out of the range of DOUBLE PRECISION')
}

function timestampValue(value: Json): string | Misfit {
  if (typeof value === 'number') return timestampOfMs(value) ?? new Misfit('ms outside the years 1 to 9999')
  if (typeof value === 'string') return timestampOfText(value) ?? new Misfit('a text that is no time of ISO 8601 in the years 1 to 9999')
  return wrongType(value, 'TIMESTAMP')
}

/** Escapes that JSON.stringify writes for NUL and for half a pair; a backslash in a text is written as two. */
const REFUSED_ESCAPE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/

/** JSONB decodes its texts, so what no text in Postgres can hold does not fit. JSON keeps what is written. */
function jsonbValue(value: Json): string | Misfit {
  const text = JSON.stringify(value)
  return REFUSED_ESCAPE.test(text) ? new Misfit('a NUL character or half of a surrogate pair in it') : text
}
