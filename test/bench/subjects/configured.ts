/** The platform with a configured domain: what its mirror and its handlers cost before each acknowledgement. */
import type { Server } from '../workshop.ts'
import { startPlatform } from './platform.ts'
import { START_DEADLINE_MS, type Subject } from './subject.ts'

const DOMAIN = 'bench.localhost'
const TABLE = `postgres:
  tables:
    counters:
      type: application/json
      columns: { counter: INTEGER }
      indices: { by_counter: { column: counter } }
`
const HANDLERS = `agent: |
  export async function prePersistence() {}
  export async function postPersistence() {}
`
const LOOK_MS = 50

/** Its states are rows of a table. */
export function mirrored(start: readonly string[]): Subject {
  return configured('npm start, mirrored', 'platform-mirrored', start, TABLE)
}

/** Both handlers run for each patch, and do nothing. The domain is mirrored as any configured one is. */
export function handled(start: readonly string[]): Subject {
  return configured('npm start, handlers', 'platform-handlers', start, HANDLERS)
}

function configured(title: string, name: string, start: readonly string[], config: string): Subject {
  return {
    name: title,
    start: async (workshop) => {
      const running = await startPlatform(workshop, { name, start })
      await configure(running.server, running.target.bearer, config)
      return running
    },
  }
}

async function configure(server: Server, bearer: string, config: string): Promise<void> {
  const base = `http://127.0.0.1:${server.port}/v1`
  const headers = { Authorization: `Bearer ${bearer}` }
  await json(await fetch(`${base}/domains/${DOMAIN}/claim`, { method: 'POST', headers }), 'the claim')
  const answer = await fetch(`${base}/domains/${DOMAIN}/config`, { method: 'PUT', headers: { ...headers, 'Content-Type': 'application/yaml' }, body: config })
  const { report } = await json(answer, 'the configuration')
  for (const deadline = Date.now() + START_DEADLINE_MS; ; await new Promise((resolve) => setTimeout(resolve, LOOK_MS))) {
    const { active } = await json(await fetch(`${base}/states/${String(report)}`, { headers }), 'the report')
    const { end, error } = active as { readonly end?: number; readonly error?: unknown }
    if (error !== undefined) throw new Error(`the configuration failed: ${JSON.stringify(error)}`)
    if (end !== undefined) return
    if (Date.now() > deadline) throw new Error('the configuration was not in force in time')
  }
}

async function json(answer: Response, what: string): Promise<{ readonly [member: string]: unknown }> {
  const body = (await answer.json()) as { readonly [member: string]: unknown }
  if (!answer.ok) throw new Error(`${what} was answered ${answer.status} ${String(body['detail'])}`)
  return body
}
