/**
 * The filter language of subscriptions: `attributes.k = "v"`, `attributes.k != "v"`, `attributes:k`,
 * `hasPrefix(attributes.k, "v")`, with NOT (or `-`), AND, OR and parentheses. AND and OR mix in parentheses only.
 */
export type Attributes = Readonly<Record<string, string>>
export type Filter = (attributes: Attributes) => boolean

/** What Pub/Sub takes. */
const FILTER_BYTES = 256
const NESTING = 16

/** A text in the wrong place; `message` is for who wrote the filter. */
export class FilterError extends Error {
  override name = 'FilterError'
}

type Token = { readonly kind: 'word' | 'text' | 'sign'; readonly value: string }

/** An empty text lets all pass. Throws `FilterError`. */
export function parseFilter(text: string): Filter {
  if (Buffer.byteLength(text) > FILTER_BYTES) throw new FilterError(`a filter has ${FILTER_BYTES} bytes at most`)
  const tokens = tokensOf(text)
  if (tokens.length === 0) return () => true
  const reader = new Reader(tokens)
  const filter = expression(reader, 0)
  if (reader.peek() !== undefined) throw new FilterError(`unexpected ${reader.peek()!.value}`)
  return filter
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  const pattern = /\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z_][\w-]*)|(!=|[=:.,()-]))/y
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex
    const match = pattern.exec(text)
    if (match === null) {
      if (text.slice(at).trim() === '') break
      throw new FilterError(`cannot read ${text.slice(at, at + 20)}`)
    }
    const [, quoted, word, sign] = match
    if (quoted !== undefined) tokens.push({ kind: 'text', value: quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1') })
    else if (word !== undefined) tokens.push({ kind: 'word', value: word })
    else tokens.push({ kind: 'sign', value: sign! })
  }
  return tokens
}

/** Goes through tokens, one ahead. Owns its place in them. */
class Reader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  peek(): Token | undefined {
    return this.#tokens[this.#at]
  }

  /** Takes the next one if it is this sign or word. */
  takes(value: string): boolean {
    const token = this.peek()
    if (token === undefined || token.kind === 'text' || token.value !== value) return false
    this.#at += 1
    return true
  }

  expect(value: string): void {
    if (!this.takes(value)) throw new FilterError(`${value} is missing${this.peek() === undefined ? ' at the end' : ` before ${this.peek()!.value}`}`)
  }

  text(): string {
    const token = this.peek()
    if (token?.kind !== 'text') throw new FilterError('a text in quotes is missing')
    this.#at += 1
    return token.value
  }

  /** A key may stand in quotes or without. */
  key(): string {
    const token = this.peek()
    if (token === undefined || token.kind === 'sign') throw new FilterError('the name of an attribute is missing')
    this.#at += 1
    return token.value
  }
}

function expression(reader: Reader, depth: number): Filter {
  if (depth > NESTING) throw new FilterError('too deeply nested')
  const parts = [term(reader, depth)]
  let joint: 'AND' | 'OR' | undefined
  for (;;) {
    const next = reader.takes('AND') ? 'AND' : reader.takes('OR') ? 'OR' : undefined
    if (next === undefined) break
    if (joint !== undefined && joint !== next) throw new FilterError('AND and OR together need parentheses')
    joint = next
    parts.push(term(reader, depth))
  }
  if (joint === 'OR') return (attributes) => parts.some((part) => part(attributes))
  return (attributes) => parts.every((part) => part(attributes))
}

function term(reader: Reader, depth: number): Filter {
  if (reader.takes('NOT') || reader.takes('-')) {
    const not = term(reader, depth + 1)
    return (attributes) => !not(attributes)
  }
  if (depth > NESTING) throw new FilterError('too deeply nested')
  if (reader.takes('(')) {
    const inner = expression(reader, depth + 1)
    reader.expect(')')
    return inner
  }
  if (reader.takes('hasPrefix')) {
    reader.expect('(')
    const key = attribute(reader)
    reader.expect(',')
    const prefix = reader.text()
    reader.expect(')')
    return (attributes) => valueOf(attributes, key)?.startsWith(prefix) ?? false
  }
  return comparison(reader)
}

function comparison(reader: Reader): Filter {
  reader.expect('attributes')
  if (reader.takes(':')) {
    const key = reader.key()
    return (attributes) => valueOf(attributes, key) !== undefined
  }
  reader.expect('.')
  const key = reader.key()
  const equal = reader.takes('=')
  if (!equal) reader.expect('!=')
  const value = reader.text()
  return (attributes) => (valueOf(attributes, key) === value) === equal
}

function attribute(reader: Reader): string {
  reader.expect('attributes')
  reader.expect('.')
  return reader.key()
}

/** Own ones only: `constructor` is a name that an attribute may have. */
const valueOf = (attributes: Attributes, key: string): string | undefined => (Object.hasOwn(attributes, key) ? attributes[key] : undefined)
