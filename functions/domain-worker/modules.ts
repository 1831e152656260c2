/**
 * What a domain's module can import: the published agent for domain agents, and what it is made of, as npm has them. Nothing
 * else has a name here, and a file that is not listed is not read.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** As QuickJS names the tenant's own module. */
export const TENANT_MODULE = 'agent.js'

/** Roots of packages. 0.9.155 of the agent: later ones have an import attribute that engines no longer parse. */
const AGENTS = 'agents:/'
const PATCH_PROXY = 'patch-proxy:/'
const JSON_PATCH = 'fast-json-patch:/'
const UUID = 'uuid:/index.js'
const DOMAIN_AGENT = 'domain-agent:/index.js'

/** Specifiers of tenants; a version in them is taken for the one that we have. */
const PUBLIC: readonly (readonly [RegExp, string])[] = [
  [/^npm:@knowlearning\/agents(?:@[\w.^~-]+)?\/deno\.js$/, DOMAIN_AGENT],
  [/^npm:@knowlearning\/patch-proxy(?:@[\w.^~-]+)?$/, `${PATCH_PROXY}index.js`],
  [/^npm:fast-json-patch(?:@[\w.^~-]+)?$/, `${JSON_PATCH}index.mjs`],
]
/** Specifiers of the packages themselves. */
const INNER: Readonly<Record<string, string>> = { 'uuid': UUID, 'fast-json-patch': `${JSON_PATCH}index.mjs`, '@knowlearning/patch-proxy': `${PATCH_PROXY}index.js` }

const FILES: Readonly<Record<string, readonly [specifier: string, files: readonly string[]]>> = {
  [AGENTS]: [
    'agents-websocket',
    ['deno.js', 'agents/generic/index.js', 'agents/generic/message-queue.js', 'agents/generic/state.js', 'agents/watch.js', 'agents/download.js'],
  ],
  [PATCH_PROXY]: ['@knowlearning/patch-proxy', ['index.js', 'utils.js']],
  [JSON_PATCH]: ['fast-json-patch', ['index.mjs', 'module/core.mjs', 'module/duplex.mjs', 'module/helpers.mjs']],
}

/** Of the package `uuid` agents use these two. */
const UUID_TEXT = `
const SHAPE = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|00000000-0000-0000-0000-000000000000)$/i
export const validate = (text) => typeof text === 'string' && SHAPE.test(text)
export const v4 = () => crypto.randomUUID()
`

/**
 * The published agent, as it is. Its callers may be asynchronous, and it does not wait for them: what they throw then ends
 * the agent here as well, and is told.
 */
const DOMAIN_AGENT_TEXT = `
import Agent, { getAgent as get } from 'agents:/deno.js'
const prepared = new WeakSet()
const watched = (reaction) => (...args) => {
  const result = reaction(...args)
  if (result instanceof Promise) result.catch(reportError)
  return result
}
function prepare(agent) {
  if (prepared.has(agent)) return agent
  prepared.add(agent)
  const { on, watch } = agent
  const withChild = (reaction) => watched((child) => reaction({ ...child, on: (type, then) => child.on(type, watched(then)) }))
  agent.on = (type, reaction) => on(type, withChild(reaction))
  agent.watch = (scope, reaction, ...of) => watch(scope, watched(reaction), ...of)
  return agent
}
export const getAgent = (...args) => prepare(get(...args))
export default prepare(Agent)
`

/** Takes the place of the agent where a module is only looked at: says what it exports, and keeps it from running. */
const LOOK_TEXT = `
import * as module from '${TENANT_MODULE}'
export default undefined
export const getAgent = undefined
throw Reflect.ownKeys(module).filter((name) => typeof name === 'string').join()
`

/** The name of what is imported; undefined: nothing. */
export function moduleNameOf(base: string, specifier: string): string | undefined {
  const root = rootOf(base)
  if (root === undefined && base !== DOMAIN_AGENT) {
    // The look at a module imports it.
    return PUBLIC.find(([form]) => form.test(specifier))?.[1]
  }
  if (specifier === TENANT_MODULE && base === DOMAIN_AGENT) return TENANT_MODULE
  if (Object.hasOwn(INNER, specifier)) return INNER[specifier]
  const name = root === undefined ? specifier : URL.parse(specifier, base)?.href
  return name !== undefined && isFile(name) ? name : undefined
}

export function isDomainAgent(name: string): boolean {
  return name === DOMAIN_AGENT
}

/** `runs`: the module runs as a domain agent. */
export function moduleText(name: string, runs: boolean): string | undefined {
  if (name === DOMAIN_AGENT) return runs ? DOMAIN_AGENT_TEXT : LOOK_TEXT
  if (name === UUID) return UUID_TEXT
  const root = rootOf(name)
  if (root === undefined || !isFile(name)) return undefined
  return readFileSync(fileURLToPath(import.meta.resolve(`${FILES[root]![0]}/${name.slice(root.length)}`)), 'utf8')
}

function rootOf(name: string): string | undefined {
  return Object.keys(FILES).find((root) => name.startsWith(root))
}

function isFile(name: string): boolean {
  const root = rootOf(name)
  return root !== undefined && FILES[root]![1].includes(name.slice(root.length))
}
