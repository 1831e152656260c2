/**
 * What Postgres sends as text, as JSON. Never throws: a tenant decides what is in it, and by `set_config` also how dates
 * are written; what is not as expected stays text.
 */
import { types } from 'pg'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'

type Parser = (text: string) => Json

const asText: Parser = (text) => text
const asBoolean: Parser = (text) => text === 't'
const asFloat: Parser = (text) => finite(Number(text))
/** Digits that a float cannot hold are why a tenant chose NUMERIC. */
const asNumeric: Parser = (text) => (text === 'NaN' || text === 'Infinity' || text === '-Infinity' ? null : text)

const asInteger: Parser = (text) => {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : text
}

const asJson: Parser = (text) => {
  // Node can parse deeper values than it can write, or walk.
  if (isNestedDeeper(text, limits.nestingLevels)) return text
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}

const asDate: Parser = (text) => (text === 'infinity' || text === '-infinity' ? null : text)

const TIMESTAMP = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?)?( BC)?$/

const asTimestamp: Parser = (text) => {
  if (text === 'infinity' || text === '-infinity') return null
  const match = TIMESTAMP.exec(text)
  if (match === null) return text
  const [, year, month, day, hours, minutes, seconds, fraction = '', sign, zoneHours = '0', zoneMinutes = '0', zoneSeconds = '0', before] = match
  const date = new Date(0)
  date.setUTCFullYear(before === undefined ? Number(year) : 1 - Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(Number(hours), Number(minutes), Number(seconds), Number(fraction.padEnd(3, '0').slice(0, 3)))
  const offset = (Number(zoneHours) * 3600 + Number(zoneMinutes) * 60 + Number(zoneSeconds)) * 1000
  const time = date.getTime() - (sign === '-' ? -offset : offset)
  // Later than the year 275760 there is no Date.
  return Number.isFinite(new Date(time).getTime()) ? new Date(time).toISOString() : text
}

function finite(value: number): Json {
  return Number.isFinite(value) ? value : null
}

/** By the type's number, fixed in Postgres (pg_type.dat); `array` is that of its arrays. */
const SCALARS: readonly { readonly oid: number; readonly array: number; readonly parser: Parser }[] = [
  { oid: 16, array: 1000, parser: asBoolean },
  { oid: 21, array: 1005, parser: asInteger },
  { oid: 23, array: 1007, parser: asInteger },
  { oid: 20, array: 1016, parser: asInteger },
  { oid: 26, array: 1028, parser: asInteger },
  { oid: 700, array: 1021, parser: asFloat },
  { oid: 701, array: 1022, parser: asFloat },
  { oid: 1700, array: 1231, parser: asNumeric },
  { oid: 25, array: 1009, parser: asText },
  { oid: 1043, array: 1015, parser: asText },
  { oid: 1042, array: 1014, parser: asText },
  { oid: 18, array: 1002, parser: asText },
  { oid: 19, array: 1003, parser: asText },
  { oid: 2950, array: 2951, parser: asText },
  { oid: 1082, array: 1182, parser: asDate },
  { oid: 1114, array: 1115, parser: asTimestamp },
  { oid: 1184, array: 1185, parser: asTimestamp },
  { oid: 114, array: 199, parser: asJson },
  { oid: 3802, array: 3807, parser: asJson },
]

/** pg-types has it as an object with `create`; its types say otherwise. */
const arrays = types.arrayParser as unknown as { create(text: string, transform: Parser): { parse(): Json[] } }

const arrayOf =
  (parser: Parser): Parser =>
  (text) =>
    arrays.create(text, parser).parse()

const PARSERS = new Map<number, Parser>(SCALARS.flatMap(({ oid, array, parser }): [number, Parser][] => [[oid, parser], [array, arrayOf(parser)]]))

/** For `ClientConfig.types`. */
export const resultTypes = { getTypeParser: ((oid: number) => PARSERS.get(oid) ?? asText) as typeof types.getTypeParser }

/** Whether JSON text is nested deeper than `levels`, in one pass and without building it. */
function isNestedDeeper(text: string, levels: number): boolean {
  if (text.length <= 2 * levels) return false
  let depth = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (inString) {
      if (character === 0x5c) at++
      else if (character === 0x22) inString = false
    } else if (character === 0x22) inString = true
    else if (character === 0x5b || character === 0x7b) {
      if (++depth > levels) return true
    } else if (character === 0x5d || character === 0x7d) depth--
  }
  return false
}
