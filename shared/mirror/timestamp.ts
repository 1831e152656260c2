/**
 * Times as TIMESTAMP (without time zone, UTC): from ms since 1970, or from ISO 8601 text. Years 1 to 9999: what ISO text
 * has four digits for. Proleptic Gregorian, like Postgres.
 */

const DAY_MS = 86_400_000
const FIRST_MS = -62_135_596_800_000
const LAST_MS = 253_402_300_799_999

/** `2026-11-24 07:45:00.123`; undefined outside the years 1 to 9999. Parts of a ms are cut off. */
export function timestampOfMs(ms: number): string | undefined {
  return timestamp(Math.trunc(ms), '')
}

const ISO = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?:\s?(Z|[+-]\d{2}(?::?\d{2})?))?)?$/i

/** Without a zone it is UTC. Digits behind the microseconds are cut off. */
export function timestampOfText(text: string): string | undefined {
  const match = text.length > 64 ? null : ISO.exec(text.trim())
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map((group) => Number(match[group] ?? 0)) as [number, number, number, number, number, number]
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month) || hour > 23 || minute > 59 || second > 59) return undefined
  const fraction = (match[7] ?? '').padEnd(6, '0')
  const offset = offsetMinutes(match[8])
  if (offset === undefined) return undefined
  const ms = daysSince1970(year, month, day) * DAY_MS + (hour * 60 + minute - offset) * 60_000 + second * 1_000 + Number(fraction.slice(0, 3))
  return timestamp(ms, fraction.slice(3, 6))
}

/** `microseconds`: three digits below the ms, or none. */
function timestamp(ms: number, microseconds: string): string | undefined {
  if (!(ms >= FIRST_MS && ms <= LAST_MS)) return undefined
  const days = Math.floor(ms / DAY_MS)
  const rest = ms - days * DAY_MS
  const time = `${two(Math.floor(rest / 3_600_000))}:${two(Math.floor(rest / 60_000) % 60)}:${two(Math.floor(rest / 1_000) % 60)}.${two(Math.floor(rest / 10) % 100)}${rest % 10}`
  return `${dayText(days)} ${time}${microseconds === '000' ? '' : microseconds}`
}

const two = (n: number): string => (n < 10 ? `0${n}` : `${n}`)

/** Most times are of today: the last one's text is kept. */
let last = { days: NaN, text: '' }

function dayText(days: number): string {
  if (last.days !== days) {
    const { year, month, day } = dateOf(days)
    last = { days, text: `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}` }
  }
  return last.text
}

function offsetMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z' || zone === 'z') return 0
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0')
  const hours = Number(digits.slice(0, 2))
  const minutes = Number(digits.slice(2))
  // As far as Postgres goes.
  if (hours > 15 || minutes > 59) return undefined
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

function daysOf(year: number, month: number): number {
  return month === 2 ? (isLeap(year) ? 29 : 28) : month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 of them.
function daysSince1970(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

function dateOf(days: number): { readonly year: number; readonly month: number; readonly day: number } {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * dayOfYear + 2) / 153)
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day: dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1 }
}
