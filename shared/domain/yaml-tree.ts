/**
 * YAML text as a tree whose every node knows its place, read no further than somebody asks.
 *
 * The text is hostile: its tokens are counted before it is parsed; duplicate keys are the reader's to find (the library
 * compares all pairs); aliases lead to the node they name and nothing is copied, so a bomb is as large as what is read
 * of it; recursion is the library's only, and it catches its own overflow.
 */
import { Lexer, LineCounter, isAlias, isMap, isPair, isScalar, isSeq, parseDocument } from 'yaml'
import type { Document, ParsedNode } from 'yaml'
import { domainBounds } from '#shared/domain/bounds.ts'

/** Offset into the text, in UTF-16 units. */
type Offset = number

export type Node =
  | { readonly kind: 'text'; readonly at: Offset; readonly text: string; readonly literal: boolean }
  /** Another scalar: a number, true, false. */
  | { readonly kind: 'other'; readonly at: Offset }
  /** Null, or nothing written. */
  | { readonly kind: 'nothing'; readonly at: Offset }
  | { readonly kind: 'list'; readonly at: Offset; items(): readonly Node[] }
  | { readonly kind: 'map'; readonly at: Offset; entries(): readonly Entry[] }

/** `key`: undefined when it is no plain text. Words like `null` and `true` are taken as they are written. */
export type Entry = { readonly key: string | undefined; readonly at: Offset; readonly value: Node }

export type Place = { readonly line: number; readonly column: number }

export type Tree = {
  /** Undefined: no root could be made out. */
  readonly root: Node | undefined
  readonly faults: readonly { readonly at: Offset; readonly message: string }[]
  /** 1-based. */
  place(at: Offset): Place
}

export function readYaml(text: string): Tree {
  const faults: { readonly at: Offset; readonly message: string }[] = []
  const lines = new LineCounter()
  const place = (at: Offset): Place => {
    const { line, col } = lines.linePos(at)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const failed = (message: string, at = 0): Tree => ({ root: undefined, faults: [{ at, message }], place })
  // Only texts in which each unit has its own place in UTF-8 can be shown in a report, and stored.
  if (!text.isWellFormed()) return failed('not well-formed Unicode')
  if (tooManyTokens(text)) return failed(`more than ${domainBounds.configTokens} tokens of YAML`)
  try {
    const document = parseDocument(text, { version: '1.2', strict: true, uniqueKeys: false, merge: false, resolveKnownTags: false, prettyErrors: false, logLevel: 'error', lineCounter: lines })
    const { found, lost } = targets(document)
    for (const { pos, message } of [...document.errors, ...document.warnings]) faults.push({ at: pos[0], message: message.slice(0, 300) })
    for (const at of lost) faults.push({ at, message: 'an alias of an anchor that is not before it' })
    const contents = document.contents as ParsedNode | null
    const root = contents === null || faults.length > 0 ? undefined : nodeOf(contents, found)
    return { root, faults, place }
  } catch (error) {
    // What the library throws, and not reports, is its stack running over, or a fault of its own.
    return failed(`not readable as YAML: ${error instanceof Error ? error.message.slice(0, 100) : 'nested too deeply'}`)
  }
}

function tooManyTokens(text: string): boolean {
  let tokens = 0
  for (const token of new Lexer().lex(text)) {
    tokens++
    // Each may be a wrong escape, of which the library makes an object with a stack trace.
    if (token.startsWith('"')) for (let at = token.indexOf('\\'); at !== -1; at = token.indexOf('\\', at + 2)) tokens++
    if (tokens > domainBounds.configTokens) return true
  }
  return false
}

/**
 * What each alias names: the last node before it with that anchor; `lost`, where those are that name none. The library's
 * own look-up walks all nodes for each.
 */
function targets(document: Document): { readonly found: ReadonlyMap<unknown, ParsedNode>; readonly lost: readonly Offset[] } {
  const anchors = new Map<string, ParsedNode>()
  const found = new Map<unknown, ParsedNode>()
  const lost: Offset[] = []
  const waiting: unknown[] = [document.contents]
  while (waiting.length > 0) {
    const node = waiting.pop()
    if (isAlias(node)) {
      const target = anchors.get(node.source)
      if (target === undefined) lost.push(node.range?.[0] ?? 0)
      else found.set(node, target)
    } else if (isPair(node)) waiting.push(node.value, node.key)
    else if (isMap(node) || isSeq(node) || isScalar(node)) {
      if (node.anchor !== undefined) anchors.set(node.anchor, node as ParsedNode)
      if (!isScalar(node)) for (let i = node.items.length - 1; i >= 0; i--) waiting.push(node.items[i])
    }
  }
  return { found, lost }
}

function nodeOf(written: ParsedNode | null | undefined, aliases: ReadonlyMap<unknown, ParsedNode>, at: Offset = 0): Node {
  const node = isAlias(written) ? aliases.get(written) : written
  if (node === null || node === undefined) return { kind: 'nothing', at: written?.range[0] ?? at }
  const offset = (written ?? node).range[0]
  if (isMap(node)) {
    const entries = (): Entry[] =>
      node.items.map((pair) => {
        const key = isAlias(pair.key) ? aliases.get(pair.key) : pair.key
        const place = (pair.key as ParsedNode | null)?.range[0] ?? offset
        return { key: keyText(key), at: place, value: nodeOf(pair.value as ParsedNode | null, aliases, place) }
      })
    return { kind: 'map', at: offset, entries }
  }
  if (isSeq(node)) return { kind: 'list', at: offset, items: () => node.items.map((item) => nodeOf(item as ParsedNode | null, aliases, offset)) }
  if (!isScalar(node)) return { kind: 'nothing', at: offset }
  if (typeof node.value === 'string') return { kind: 'text', at: offset, text: node.value, literal: node.type === 'BLOCK_LITERAL' && !isAlias(written) }
  return node.value === null || node.value === undefined ? { kind: 'nothing', at: offset } : { kind: 'other', at: offset }
}

function keyText(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined
  if (typeof key.value === 'string') return key.value
  return typeof key.source === 'string' ? key.source : undefined
}
