/**
 * Source files as the style tests see them: the text, the same text with comments and contents of strings blanked
 * (every line and column stays where it is), and the imports. A scan of characters and not a parser: TypeScript 7
 * has no API, and what is looked for are words.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

export type Import = {
  readonly line: number
  /** As written. */
  readonly specifier: string
  /** Path from the root where it leads into the project; undefined for a package. */
  readonly file: string | undefined
  /** Erased before anything runs: `import type`. (`import { type X }` is not, it still loads the module.) */
  readonly typeOnly: boolean
  /** What stands between the braces, as written; empty for other forms. */
  readonly names: readonly string[]
  readonly form: 'import' | 're-export' | 'dynamic'
}

export type Source = { readonly path: string; readonly text: string; readonly code: string; readonly imports: readonly Import[] }

/** All TypeScript files below `folders`, by path from the root. */
export function sources(...folders: string[]): Source[] {
  // Git keeps no empty folder: one that is to come is not there yet.
  return folders.filter((folder) => existsSync(ROOT + folder)).flatMap((folder) =>
    readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
      .sort()
      .map((path) => source(path, readFileSync(ROOT + path, 'utf8'))),
  )
}

export function source(path: string, text: string): Source {
  const code = blank(text)
  return { path, text, code, imports: importsOf(path, text, code) }
}

export const lineOf = (text: string, offset: number): number => text.slice(0, offset).split('\n').length

const VALUE_BEFORE = /[\w$)\]}'"`]$/
const KEYWORD_BEFORE = /(?:^|[^\w$.])(?:return|typeof|case|in|of|do|else|void|delete|throw|new|instanceof|yield|await)$/

/** `text` with comments, contents of strings and regular expressions turned into blanks. */
export function blank(text: string): string {
  const out = text.split('')
  const erase = (from: number, to: number): void => {
    for (let at = from; at < to; at++) if (out[at] !== '\n') out[at] = ' '
  }
  /** Braces open since each template that we are inside of. */
  const templates: number[] = []
  let at = 0
  /** What stands before `at`, as far as it tells a division from a regular expression. */
  let before = ''
  const skipTemplate = (start: number): number => {
    let end = start
    while (end < text.length && text[end] !== '`' && !(text[end] === '$' && text[end + 1] === '{')) end += text[end] === '\\' ? 2 : 1
    erase(start, Math.min(end, text.length))
    if (text[end] === '$') {
      templates.push(0)
      before = ''
      return end + 2
    }
    before = '`'
    return end + 1
  }
  while (at < text.length) {
    const c = text[at]!
    const two = text.slice(at, at + 2)
    if (two === '//' || two === '/*') {
      const close = two === '//' ? text.indexOf('\n', at) : text.indexOf('*/', at + 2) + 2
      const end = close < 2 ? text.length : close
      erase(at, end)
      at = end
    } else if (c === "'" || c === '"') {
      let end = at + 1
      while (end < text.length && text[end] !== c && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
      erase(at + 1, end)
      before = c
      at = end + 1
    } else if (c === '`') at = skipTemplate(at + 1)
    else if (c === '}' && templates.at(-1) === 0) {
      templates.pop()
      at = skipTemplate(at + 1)
    } else if (c === '/' && (!VALUE_BEFORE.test(before) || KEYWORD_BEFORE.test(before))) {
      let end = at + 1
      for (let inClass = false; end < text.length && text[end] !== '\n' && (inClass || text[end] !== '/'); end++) {
        if (text[end] === '\\') end++
        else if (text[end] === '[') inClass = true
        else if (text[end] === ']') inClass = false
      }
      erase(at + 1, end)
      before = '"'
      at = end + 1
    } else {
      if (templates.length > 0 && c === '{') templates[templates.length - 1]! += 1
      if (templates.length > 0 && c === '}') templates[templates.length - 1]! -= 1
      if (c.trim() !== '') before = /\s/.test(text[at - 1] ?? '') ? ` ${c}` : (before + c).slice(-16)
      at += 1
    }
  }
  return out.join('')
}

/** Static imports, re-exports, and dynamic imports of a literal. */
function importsOf(path: string, text: string, code: string): Import[] {
  const found: Import[] = []
  const add = (offset: number, quoteAt: number, form: Import['form'], clause: string): void => {
    const specifier = text.slice(quoteAt + 1, text.indexOf(text[quoteAt]!, quoteAt + 1))
    const braces = /\{([^}]*)\}/.exec(clause)
    const names = braces ? braces[1]!.split(',').map((name) => name.trim()).filter((name) => name !== '') : []
    found.push({ line: lineOf(text, offset), specifier, file: resolve(path, specifier), typeOnly: /^\s*type\b(?!\s*from\b)/.test(clause), names, form })
  }
  for (const match of code.matchAll(/^[ \t]*(import|export)\b([^'"`;=()]*?)\bfrom\s*['"]/gm)) {
    add(match.index + match[0].search(/\S/), match.index + match[0].length - 1, match[1] === 'import' ? 'import' : 're-export', match[2]!)
  }
  for (const match of code.matchAll(/^[ \t]*import\s*['"]/gm)) add(match.index, match.index + match[0].length - 1, 'import', '')
  for (const match of code.matchAll(/\bimport\s*\(\s*['"]/g)) add(match.index, match.index + match[0].length - 1, 'dynamic', '')
  return found.sort((a, b) => a.line - b.line)
}

function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1)
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier)
  return undefined
}
