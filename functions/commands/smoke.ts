/**
 * `npm run smoke -- --url https://api.example.com [--domain app.example.com]`: whether a deployed API is up, ready and
 * describes itself; with a claimed domain also whether an anonymous user's patch is stored once and read back.
 *
 * Ends with 1 and the first thing that is not as it must be. Harmless: it leaves one small state of a user of its own.
 */
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'

const DEADLINE_MS = 15_000

const { values } = parseArgs({ options: { url: { type: 'string' }, domain: { type: 'string' } } })
if (values.url === undefined || !URL.canParse(values.url)) {
  process.stderr.write('usage: npm run smoke -- --url https://api.example.com [--domain app.example.com]\n')
  process.exit(1)
}
const base = `${values.url.replace(/\/$/, '')}/v1`

type Call = { readonly method?: string; readonly body?: unknown; readonly headers?: Record<string, string> }

async function call(path: string, expected: number, { method = 'GET', body, headers = {} }: Call = {}): Promise<Record<string, unknown>> {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  })
  if (response.status !== expected) throw new Error(`${method} ${path}: ${response.status} instead of ${expected}`)
  return (await response.json()) as Record<string, unknown>
}

function expectSame(what: string, seen: unknown, wanted: unknown): void {
  if (seen !== wanted) throw new Error(`${what}: ${JSON.stringify(seen)} instead of ${JSON.stringify(wanted)}`)
}

async function patchOnceAndRead(domain: string): Promise<void> {
  const { token } = await call('/sessions', 201, { method: 'POST', body: { token: 'anonymous', domain } })
  const headers = { authorization: `Bearer ${String(token)}` }
  const patch = { patch: [{ op: 'add', path: ['active', 'smoke'], value: 1 }] }
  const keyed = { method: 'PATCH', body: patch, headers: { ...headers, 'idempotency-key': randomUUID() } }
  const first = await call('/states/smoke', 200, keyed)
  expectSame('ii of the first patch', first['ii'], 1)
  const again = await call('/states/smoke', 200, keyed)
  expectSame('the repeat', `${String(again['ii'])} ${String(again['replayed'])}`, '1 true')
  const state = await call('/states/smoke', 200, { headers })
  expectSame('the state', JSON.stringify(state['active']), '{"smoke":1}')
}

try {
  await call('/health', 200)
  await call('/ready', 200)
  const { openapi } = await call('/openapi.json', 200)
  expectSame('the description of the API', typeof openapi, 'string')
  if (values.domain !== undefined) await patchOnceAndRead(values.domain)
  process.stdout.write('smoke test passed\n')
} catch (error) {
  process.stderr.write(`smoke test failed: ${error instanceof Error ? error.message : 'unknown'}\n`)
  process.exitCode = 1
}
