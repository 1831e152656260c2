/** Query strings: only the names that a route knows, each at most once. */

/** Values by name, percent-decoded. */
export type Query = { readonly [name: string]: string | undefined }

const NOTHING: Query = Object.freeze(Object.create(null) as Query)

export type QueryAnswer = { readonly query: Query; readonly fault?: never } | { readonly query?: never; readonly fault: string }

/** `text` is what follows the `?`; undefined or empty: no parameters. */
export function parseQuery(text: string | undefined, known: readonly string[]): QueryAnswer {
  if (text === undefined || text === '') return { query: NOTHING }
  const query = Object.create(null) as { [name: string]: string | undefined }
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1))
    if (name === undefined || value === undefined) return { fault: 'query: broken percent-encoding' }
    if (!known.includes(name)) return { fault: `query: ${JSON.stringify(name)} is not known here` }
    if (query[name] !== undefined) return { fault: `query: ${JSON.stringify(name)} is given twice` }
    query[name] = value
  }
  return { query }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.includes('+') ? text.replaceAll('+', ' ') : text)
  } catch {
    return undefined
  }
}

const INTEGER = /^(?:0|[1-9][0-9]{0,15})$/

/** A count or index as it stands in queries and headers: decimal digits without sign, within what a double holds. */
export function parseIndex(text: string): number | undefined {
  if (!INTEGER.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}
