/**
 * The configuration of a domain: its types, and the check of its YAML as a whole, which names all faults at once.
 *
 * A reader written by hand rather than a schema and its validator: half of what is there are names that the domain
 * chose, the other half unions ("allow", or a mapping), for which a validator says "matches none of"; and each fault must
 * have its line. What comes out is canonical: of two texts that say the same, one form.
 */
import { domainBounds } from '#shared/domain/bounds.ts'
import { COLUMN_TYPES, indexMethod, parseColumnType, type Column, type ColumnType, type Index, type Table } from '#shared/domain/column-types.ts'
import { DEFAULT_TABLE_NAMES } from '#shared/domain/default-tables.ts'
import { folded } from '#shared/domain/sql-text.ts'
import { readYaml, type Entry, type Node, type Tree } from '#shared/domain/yaml-tree.ts'
import { limits } from '#shared/limits.ts'

/** `postgres`: the function's name in Postgres, which takes the first `takes` of what is offered. */
export type Rule = 'allow' | 'deny' | { readonly postgres: string; readonly takes: number }
/** Undefined: nothing configured. */
export type Rules = { readonly sameDomain: Rule | undefined; readonly crossDomain: Rule | undefined }
export type AuthorizeRules = Rules & { readonly write: Rules }

/** `domains`: whose users may run it as well as this domain's. */
export type Query = { readonly name: string; readonly domains: readonly string[]; readonly body: string }

export type SqlFunction = {
  /** As in Postgres: folded, see `sql-text.ts`. */
  readonly name: string
  readonly language: 'plpgsql' | 'sql'
  readonly arguments: readonly Column[]
  readonly returns: { readonly kind: 'value'; readonly type: ColumnType } | { readonly kind: 'rows'; readonly columns: readonly Column[] }
  readonly body: string
}

/** Tables, indices, queries and functions by name; columns and arguments in the order of the text. */
export type DomainConfig = {
  readonly authorize: AuthorizeRules
  readonly tables: readonly Table[]
  readonly queries: readonly Query[]
  readonly functions: readonly SqlFunction[]
  /** The domain's JavaScript module. */
  readonly agent: string | undefined
}

/** 1-based line and column of the YAML text; `path` like `postgres.tables.scores.columns.points`, empty for the whole. */
export type ConfigFault = { readonly line: number; readonly column: number; readonly path: string; readonly message: string }

/** What is wrong in a module, 1-based, by lines of the module. */
export type ModuleFault = { readonly line: number; readonly column: number; readonly message: string }

export type ConfigAnswer =
  | { readonly kind: 'config'; readonly config: DomainConfig }
  /** At least one, by place. */
  | { readonly kind: 'faults'; readonly faults: readonly ConfigFault[] }

export const NO_CONFIG: DomainConfig = {
  authorize: { sameDomain: undefined, crossDomain: undefined, write: { sameDomain: undefined, crossDomain: undefined } },
  tables: [],
  queries: [],
  functions: [],
  agent: undefined,
}

/** `checkModule`: says what keeps the agent from being a JavaScript module; no parser is at hand here. */
export function parseDomainConfig(text: string, options: { readonly checkModule?: (text: string) => readonly ModuleFault[] } = {}): ConfigAnswer {
  if (Buffer.byteLength(text) > domainBounds.configBytes) {
    return { kind: 'faults', faults: [{ line: 1, column: 1, path: '', message: `larger than ${domainBounds.configBytes} bytes` }] }
  }
  const tree = readYaml(text)
  const check = new Check(tree)
  for (const { at, message } of tree.faults) check.fault(at, '', message)
  if (tree.root === undefined) {
    if (tree.faults.length === 0) check.fault(0, '', 'must be a mapping; it is empty')
    return { kind: 'faults', faults: check.sorted() }
  }
  const config = readConfig(check, tree.root, { text, checkModule: options.checkModule ?? (() => []) })
  const faults = check.sorted()
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'config', config }
}

/** Text that is equal for configurations that are. */
export function canonicalText(config: DomainConfig): string {
  return JSON.stringify(config)
}

export function queryOf(config: DomainConfig, name: string): Query | undefined {
  return config.queries.find((query) => query.name === name)
}

/**
 * One check of one text. Owns: the faults found and the count of nodes read.
 * I1  Past `configFaults` or `configNodes` nothing more is looked for: `full`.
 */
class Check {
  readonly #tree: Tree
  readonly #faults: (ConfigFault & { readonly order: number })[] = []
  #nodes = 0

  constructor(tree: Tree) {
    this.#tree = tree
  }

  get full(): boolean {
    return this.#faults.length >= domainBounds.configFaults
  }

  fault(at: number, path: string, message: string): undefined {
    this.faultAt(this.#tree.place(at), path, message)
    return undefined
  }

  faultAt(place: { readonly line: number; readonly column: number }, path: string, message: string): void {
    if (!this.full) this.#faults.push({ ...place, path, message, order: this.#faults.length })
  }

  place(at: number): { readonly line: number; readonly column: number } {
    return this.#tree.place(at)
  }

  /** Counts `nodes` as read; false: too many, and all is given up. */
  read(nodes: number, at: number): boolean {
    if (this.#nodes > domainBounds.configNodes) return false
    this.#nodes += nodes
    if (this.#nodes <= domainBounds.configNodes) return true
    this.fault(at, '', `more than ${domainBounds.configNodes} nodes, aliases followed`)
    return false
  }

  sorted(): ConfigFault[] {
    const sorted = this.#faults.toSorted((a, b) => a.line - b.line || a.column - b.column || a.order - b.order)
    return sorted.map(({ line, column, path, message }) => ({ line, column, path, message }))
  }
}

// ---- nodes as what they must be; undefined: they are not, and the fault is noted ----

/** Members of a mapping by name; nothing written counts as an empty one. */
type Members = { readonly at: number; readonly path: string; readonly named: ReadonlyMap<string, Entry> }

function membersOf(check: Check, node: Node, path: string): Members | undefined {
  if (node.kind === 'nothing') return { at: node.at, path, named: new Map() }
  if (node.kind !== 'map') return check.fault(node.at, path, 'must be a mapping')
  const entries = node.entries()
  if (!check.read(entries.length, node.at)) return undefined
  const named = new Map<string, Entry>()
  for (const entry of entries) {
    if (entry.key === undefined) check.fault(entry.at, path, 'a key must be a text')
    else if (named.has(entry.key)) check.fault(entry.at, within(path, entry.key), 'is there twice')
    else named.set(entry.key, entry)
  }
  return { at: node.at, path, named }
}

/** Members of a mapping that knows which it may have. */
function known<K extends string>(check: Check, node: Node, path: string, keys: readonly K[]): { readonly at: number; readonly member: (key: K) => Node | undefined } | undefined {
  const members = membersOf(check, node, path)
  if (members === undefined) return undefined
  for (const { key, at } of members.named.values()) {
    if (!(keys as readonly string[]).includes(key!)) check.fault(at, within(path, key!), `unknown key; known are ${keys.join(', ')}`)
  }
  return {
    at: members.at,
    member: (key) => {
      const value = members.named.get(key)?.value
      return value === undefined || value.kind === 'nothing' ? undefined : value
    },
  }
}

function textOf(check: Check, node: Node, path: string): string | undefined {
  if (node.kind === 'other') return check.fault(node.at, path, 'must be a text: put it in quotes')
  if (node.kind !== 'text') return check.fault(node.at, path, 'must be a text')
  if (node.text.includes('\0')) return check.fault(node.at, path, 'must not have a NUL character')
  // An escape can write half of a pair.
  if (!node.text.isWellFormed()) return check.fault(node.at, path, 'is not well-formed Unicode')
  return node.text
}

function required(check: Check, node: Node | undefined, at: number, path: string): string | undefined {
  return node === undefined ? check.fault(at, path, 'is missing') : textOf(check, node, path)
}

function listOf(check: Check, node: Node, path: string): readonly Node[] | undefined {
  if (node.kind === 'nothing') return []
  if (node.kind !== 'list') return check.fault(node.at, path, 'must be a list')
  const items = node.items()
  return check.read(items.length, node.at) ? items : undefined
}

const within = (path: string, key: string): string => {
  const shown = key.length > 64 ? `${key.slice(0, 64)}...` : key
  return /^[\w-]+$/.test(shown) ? (path === '' ? shown : `${path}.${shown}`) : `${path}[${JSON.stringify(shown)}]`
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
/** Columns that every table has already. */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

/** What is wrong with `name` as the name of a table, column, index, function or argument. */
function nameFault(name: string): string | undefined {
  if (!NAME.test(name)) return 'invalid name: letters, digits and _, not beginning with a digit'
  return name.length > domainBounds.identifierBytes ? `invalid name: longer than ${domainBounds.identifierBytes} bytes` : undefined
}

/** Entries with valid names; `most` of them. */
function namedEntries(check: Check, node: Node | undefined, path: string, most: number): { readonly name: string; readonly at: number; readonly path: string; readonly value: Node }[] {
  const members = node === undefined ? undefined : membersOf(check, node, path)
  if (members === undefined) return []
  if (members.named.size > most) check.fault(members.at, path, `more than ${most}`)
  const valid = []
  for (const [name, { at, value }] of members.named) {
    const fault = nameFault(name)
    if (fault !== undefined) check.fault(at, within(path, name), fault)
    else valid.push({ name, at, path: within(path, name), value })
    if (check.full) break
  }
  return valid
}

function typeOf(check: Check, node: Node | undefined, at: number, path: string): ColumnType | undefined {
  const text = required(check, node, at, path)
  if (text === undefined) return undefined
  return parseColumnType(text) ?? check.fault(node!.at, path, `unknown type; known are ${COLUMN_TYPES.join(', ')}`)
}

// ---- the configuration, from the root down ----

type Source = { readonly text: string; readonly checkModule: (text: string) => readonly ModuleFault[] }

function readConfig(check: Check, root: Node, source: Source): DomainConfig {
  if (root.kind === 'nothing') check.fault(root.at, '', 'must be a mapping; it is empty')
  const top = known(check, root, '', ['authorize', 'postgres', 'agent'])
  const postgresNode = top?.member('postgres')
  const postgres = postgresNode === undefined ? undefined : known(check, postgresNode, 'postgres', ['tables', 'queries', 'functions', 'scopes'])
  const tables = namedEntries(check, postgres?.member('tables'), 'postgres.tables', domainBounds.tables).map((entry) => readTable(check, entry))
  const queries = readQueries(check, postgres?.member('queries'))
  const { functions, unreadable } = readFunctions(check, postgres?.member('functions'))
  const authorize = readAuthorize(check, top?.member('authorize'), { functions, unreadable })
  const agentNode = top?.member('agent')
  const agent = agentNode === undefined ? undefined : readAgent(check, agentNode, source)
  return { authorize, tables: byName(tables), queries: byName(queries), functions: byName(functions), agent }
}

const byName = <T extends { readonly name: string }>(items: readonly T[]): T[] => items.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))

type NamedNode = { readonly name: string; readonly at: number; readonly path: string; readonly value: Node }

/** Half a table where there are faults: nobody sees it then. */
function readTable(check: Check, { name, at, path, value }: NamedNode): Table {
  if (DEFAULT_TABLE_NAMES.has(name)) check.fault(at, path, 'is a table that every domain has; it cannot be redefined')
  const members = known(check, value, path, ['type', 'columns', 'indices'])
  const typeNode = members?.member('type')
  const typePath = within(path, 'type')
  const type = members === undefined ? undefined : required(check, typeNode, at, typePath)
  if (type === '' || (type !== undefined && Buffer.byteLength(type) > domainBounds.typeBytes)) check.fault(typeNode!.at, typePath, `must have 1 to ${domainBounds.typeBytes} bytes`)
  const { columns, all } = readColumns(check, members?.member('columns'), within(path, 'columns'))
  return { name, type: type ?? '', columns, indices: readIndices(check, members?.member('indices'), within(path, 'indices'), all) }
}

/** `all`: types of the columns that the text names and of `id`; undefined for a type that is not known. */
function readColumns(check: Check, node: Node | undefined, path: string): { readonly columns: Column[]; readonly all: ReadonlyMap<string, ColumnType | undefined> } {
  const columns: Column[] = []
  const all = new Map<string, ColumnType | undefined>([['id', 'TEXT']])
  for (const { name, at, path: here, value } of namedEntries(check, node, path, domainBounds.tableColumns)) {
    const type = typeOf(check, value, at, here)
    if (name === 'id') {
      // Some configurations name it, to no effect.
      if (type !== undefined && type !== 'TEXT') check.fault(value.at, here, 'every table has id TEXT; it cannot be redefined')
      continue
    }
    if (SYSTEM_COLUMNS.has(name)) check.fault(at, here, 'is the name of a column that Postgres keeps for itself')
    all.set(name, type)
    if (type !== undefined) columns.push({ name, type })
  }
  return { columns, all }
}

function readIndices(check: Check, node: Node | undefined, path: string, columns: ReadonlyMap<string, ColumnType | undefined>): Index[] {
  const indices: Index[] = []
  for (const { name, at, path: here, value } of namedEntries(check, node, path, domainBounds.tableIndices)) {
    const members = known(check, value, here, ['column'])
    if (members === undefined) continue
    const columnNode = members.member('column')
    const columnPath = within(here, 'column')
    const column = required(check, columnNode, at, columnPath)
    if (column === undefined) continue
    if (!columns.has(column)) check.fault(columnNode!.at, columnPath, 'is no column of this table')
    const type = columns.get(column)
    if (type !== undefined && indexMethod(type) === undefined) check.fault(columnNode!.at, columnPath, `${type} has no index; JSONB has`)
    indices.push({ name, column })
  }
  return byName(indices)
}

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
const DOMAIN = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?$/

/** Names of queries are not names in Postgres: any text that a name of a state could be. */
function readQueries(check: Check, node: Node | undefined): Query[] {
  const path = 'postgres.queries'
  const members = node === undefined ? undefined : membersOf(check, node, path)
  const queries: Query[] = []
  if (members === undefined) return queries
  if (members.named.size > domainBounds.queries) check.fault(members.at, path, `more than ${domainBounds.queries}`)
  for (const [name, { at, value }] of members.named) {
    if (check.full) break
    const here = within(path, name)
    if (name === '' || CONTROL.test(name) || !name.isWellFormed() || Buffer.byteLength(name) > limits.nameBytes) {
      check.fault(at, here, `invalid name: 1 to ${limits.nameBytes} bytes without control characters`)
      continue
    }
    if (value.kind === 'map') queries.push(readSharedQuery(check, { name, at, path: here, value }))
    else queries.push({ name, domains: [], body: sqlOf(check, value.kind === 'nothing' ? undefined : value, at, here) })
  }
  return queries
}

function readSharedQuery(check: Check, { name, at, path, value }: NamedNode): Query {
  const members = known(check, value, path, ['domains', 'body'])
  if (members === undefined) return { name, domains: [], body: '' }
  const domainsNode = members.member('domains')
  const domainsPath = within(path, 'domains')
  const items = domainsNode === undefined ? [] : (listOf(check, domainsNode, domainsPath) ?? [])
  if (items.length > domainBounds.queryDomains) check.fault(domainsNode!.at, domainsPath, `more than ${domainBounds.queryDomains}`)
  const domains = new Set<string>()
  for (const [i, item] of items.entries()) {
    const domain = textOf(check, item, `${domainsPath}[${i}]`)?.toLowerCase()
    if (domain === undefined) continue
    if (domain.length > limits.domainCharacters || !DOMAIN.test(domain)) check.fault(item.at, `${domainsPath}[${i}]`, 'is no domain: a host, with its port if it has one')
    domains.add(domain)
  }
  return { name, domains: [...domains].sort(), body: sqlOf(check, members.member('body'), at, within(path, 'body')) }
}

function sqlOf(check: Check, node: Node | undefined, at: number, path: string): string {
  const sql = required(check, node, at, path)
  if (sql !== undefined && sql.trim() === '') check.fault(node!.at, path, 'must not be empty')
  return sql ?? ''
}

/** `unreadable`: names of functions that are there, with faults of their own. */
function readFunctions(check: Check, node: Node | undefined): { readonly functions: SqlFunction[]; readonly unreadable: ReadonlySet<string> } {
  const functions: SqlFunction[] = []
  const unreadable = new Set<string>()
  const seen = new Set<string>()
  for (const entry of namedEntries(check, node, 'postgres.functions', domainBounds.functions)) {
    const name = folded(entry.name)
    if (seen.has(name)) check.fault(entry.at, entry.path, 'is there twice: case does not matter in names of functions')
    seen.add(name)
    const read = readFunction(check, entry)
    if (read === undefined) unreadable.add(name)
    else functions.push(read)
  }
  return { functions, unreadable }
}

const LANGUAGES: ReadonlyMap<string, SqlFunction['language']> = new Map([['plpgsql', 'plpgsql'], ['sql', 'sql']])

function readFunction(check: Check, { name, at, path, value }: NamedNode): SqlFunction | undefined {
  const members = known(check, value, path, ['language', 'returns', 'arguments', 'body'])
  if (members === undefined) return undefined
  const languageNode = members.member('language')
  const languageText = required(check, languageNode, at, within(path, 'language'))
  const language = languageText === undefined ? undefined : (LANGUAGES.get(languageText.toLowerCase()) ?? check.fault(languageNode!.at, within(path, 'language'), 'unknown language; known are PLpgSQL, SQL'))
  const taken = new Set<string>()
  const args = readArguments(check, members.member('arguments'), within(path, 'arguments'), taken)
  const returns = readReturns(check, { node: members.member('returns'), at, path: within(path, 'returns'), taken })
  const body = required(check, members.member('body'), at, within(path, 'body'))
  if (language === undefined || args === undefined || returns === undefined || body === undefined) return undefined
  return { name: folded(name), language, arguments: args, returns, body }
}

/** Arguments and columns that are returned are names of one space: `taken`. */
function take(check: Check, taken: Set<string>, { name, at, path }: { readonly name: string; readonly at: number; readonly path: string }): void {
  if (taken.has(folded(name))) check.fault(at, path, 'this name is there twice: arguments and returned columns share theirs, and case does not matter')
  taken.add(folded(name))
}

function readArguments(check: Check, node: Node | undefined, path: string, taken: Set<string>): Column[] | undefined {
  const items = node === undefined ? [] : listOf(check, node, path)
  if (items === undefined) return undefined
  if (items.length > domainBounds.functionArguments) check.fault(node!.at, path, `more than ${domainBounds.functionArguments}`)
  const args: Column[] = []
  for (const [i, item] of items.entries()) {
    const here = `${path}[${i}]`
    const members = known(check, item, here, ['name', 'type'])
    if (members === undefined) continue
    const nameNode = members.member('name')
    const name = required(check, nameNode, item.at, within(here, 'name'))
    const fault = name === undefined ? undefined : nameFault(name)
    if (fault !== undefined) check.fault(nameNode!.at, within(here, 'name'), fault)
    else if (name !== undefined) take(check, taken, { name, at: nameNode!.at, path: within(here, 'name') })
    const type = typeOf(check, members.member('type'), item.at, within(here, 'type'))
    if (name !== undefined && type !== undefined) args.push({ name: folded(name), type })
  }
  return args.length === items.length ? args : undefined
}

function readReturns(check: Check, { node, at, path, taken }: { readonly node: Node | undefined; readonly at: number; readonly path: string; readonly taken: Set<string> }): SqlFunction['returns'] | undefined {
  if (node?.kind !== 'map') {
    const type = typeOf(check, node, at, path)
    return type === undefined ? undefined : { kind: 'value', type }
  }
  const columns: Column[] = []
  const entries = namedEntries(check, node, path, domainBounds.tableColumns)
  for (const entry of entries) {
    take(check, taken, entry)
    const type = typeOf(check, entry.value, entry.at, entry.path)
    if (type !== undefined) columns.push({ name: folded(entry.name), type })
  }
  if (node.entries().length === 0) return check.fault(node.at, path, 'must name a type, or at least one column')
  return columns.length === entries.length ? { kind: 'rows', columns } : undefined
}

// ---- authorize ----

type Functions = { readonly functions: readonly SqlFunction[]; readonly unreadable: ReadonlySet<string> }

const OFFERED = {
  sameDomain: ['requestingUser', 'requestedScope'],
  crossDomain: ['requestingDomain', 'requestingUser', 'requestedScope'],
} as const

function readAuthorize(check: Check, node: Node | undefined, functions: Functions): AuthorizeRules {
  const members = node === undefined ? undefined : known(check, node, 'authorize', ['sameDomain', 'crossDomain', 'write'])
  if (members === undefined) return NO_CONFIG.authorize
  const writeNode = members.member('write')
  const write = writeNode === undefined ? undefined : known(check, writeNode, 'authorize.write', ['sameDomain', 'crossDomain'])
  const rules = (of: { readonly member: (key: 'sameDomain' | 'crossDomain') => Node | undefined } | undefined, path: string): Rules => ({
    sameDomain: readRule(check, of?.member('sameDomain'), { path: `${path}.sameDomain`, offered: OFFERED.sameDomain, functions }),
    crossDomain: readRule(check, of?.member('crossDomain'), { path: `${path}.crossDomain`, offered: OFFERED.crossDomain, functions }),
  })
  return { ...rules(members, 'authorize'), write: rules(write, 'authorize.write') }
}

/**
 * A function may take fewer arguments than are offered, and then gets the first of them: the example that the format is
 * documented with does. One that takes none would say the same of everybody: `allow` and `deny` do.
 */
function readRule(check: Check, node: Node | undefined, { path, offered, functions }: { readonly path: string; readonly offered: readonly string[]; readonly functions: Functions }): Rule | undefined {
  if (node === undefined) return undefined
  if (node.kind === 'text' && (node.text === 'allow' || node.text === 'deny')) return node.text
  if (node.kind !== 'map') return check.fault(node.at, path, 'must be allow, deny, or a mapping { postgres: name of a function }')
  const nameNode = known(check, node, path, ['postgres'])?.member('postgres')
  const here = `${path}.postgres`
  const text = required(check, nameNode, node.at, here)
  if (text === undefined) return undefined
  const name = folded(text)
  const called = functions.functions.find((one) => one.name === name)
  if (called === undefined) return functions.unreadable.has(name) ? undefined : check.fault(nameNode!.at, here, 'is no function of postgres.functions')
  const takes = called.arguments.length
  const form = `BOOLEAN fn(${offered.map((argument) => `${argument} TEXT`).join(', ')})`
  if (called.returns.kind !== 'value' || called.returns.type !== 'BOOLEAN') return check.fault(nameNode!.at, here, `must return BOOLEAN: ${form}`)
  if (takes < 1 || takes > offered.length || called.arguments.some(({ type }) => type !== 'TEXT')) {
    return check.fault(nameNode!.at, here, `must take what is offered, or the first of it: ${form}`)
  }
  return { postgres: name, takes }
}

// ---- agent ----

function readAgent(check: Check, node: Node, { text, checkModule }: Source): string | undefined {
  const module = textOf(check, node, 'agent')
  if (module === undefined) return undefined
  for (const { line, column, message } of checkModule(module)) check.faultAt(placeInModule(check, { node, text, module, line, column }), 'agent', message.slice(0, 300))
  return module
}

/** Only a literal block keeps its lines; elsewhere the fault has the place of the whole, and its own in words. */
function placeInModule(check: Check, { node, text, module, line, column }: { readonly node: Node; readonly text: string; readonly module: string; readonly line: number; readonly column: number }): { readonly line: number; readonly column: number } {
  const head = check.place(node.at)
  if (node.kind !== 'text' || !node.literal) return head
  const written = text.split('\n')[head.line + line - 1]?.replace(/\r$/, '')
  const read = module.split('\n')[line - 1]
  if (written === undefined || read === undefined || !written.endsWith(read)) return head
  return { line: head.line + line, column: written.length - read.length + column }
}
