/** Bounds of what a domain may configure and of what its mirror writes at once, the unit last in the name. */
import { assert } from '#shared/assert.ts'
import { limits } from '#shared/limits.ts'

export const domainBounds = {
  /** The YAML text: what the route takes as a body. */
  configBytes: limits.bodyBytes,
  /** Tokens of YAML, escapes in quotes counted too: the parser's time per token is not small, and it makes an object of each fault. */
  configTokens: 60_000,
  /** Faults that one check names; what comes after them is not looked for. */
  configFaults: 100,
  /** Nodes that a check reads, each use of an alias counted again: what a bomb of aliases runs into. */
  configNodes: 50_000,
  /** Names of tables, columns, indices, functions and arguments: Postgres would cut longer ones off. */
  identifierBytes: 63,
  tables: 200,
  tableColumns: 500,
  tableIndices: 32,
  queries: 1_000,
  queryDomains: 1_000,
  functions: 500,
  functionArguments: 100,
  /** `active_type` that a table mirrors. */
  typeBytes: 1_024,
  /** A text (or an element of TEXT[]) in an indexed column: a third of a page less its headers is what an index can hold. */
  indexedTextBytes: 2_600,
  /** States and bytes of one statement of the mirror. A state that is larger by itself goes alone. */
  statementStates: 500,
  statementBytes: 2 * 1024 * 1024,
} as const

assert(domainBounds.identifierBytes < 64, 'Postgres cuts identifiers off at 63 bytes')
assert(domainBounds.indexedTextBytes < 2_704 - 64, 'an index row must fit a third of a page')
assert(domainBounds.tableColumns < 1_600, 'Postgres has at most 1,600 columns')
assert(domainBounds.functionArguments <= 100, 'Postgres has at most 100 arguments')
