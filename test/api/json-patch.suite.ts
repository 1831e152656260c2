/** The public json-patch-test-suite, through the PATCH route: its documents are set up below `active`. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { Client } from './client.ts'
import { startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

type Op = { readonly [member: string]: unknown }
type Case = { doc: unknown; patch: unknown; expected?: unknown; error?: string; comment?: string; disabled?: boolean }

const require = createRequire(import.meta.url)
const suites: [string, Case[]][] = ['tests.json', 'spec_tests.json'].map((file) => [file, require(`json-patch-test-suite/${file}`) as Case[]])

let server: TestServer
let client: Client
beforeAll(async () => {
  server = await startServer()
  client = await Client.open(server)
})
afterAll(() => server.stop())

/** The suite's pointers go from its document, which is our `active`. What is no pointer stays as broken as it is. */
function below(op: unknown): unknown {
  if (typeof op !== 'object' || op === null) return op
  const moved: { [member: string]: unknown } = { ...(op as Op) }
  for (const member of ['path', 'from']) {
    const pointer = moved[member]
    if (typeof pointer === 'string' && (pointer === '' || pointer.startsWith('/'))) moved[member] = `/active${pointer}`
  }
  return moved
}

describe.each(suites)('%s', (_, cases) => {
  const enabled = cases.filter((each) => each.disabled !== true && each.patch !== undefined)

  test('has cases', () => {
    expect(enabled.length).toBeGreaterThan(15)
  })

  test.each(enabled.map((each, index) => [`${index}: ${each.comment ?? each.error ?? JSON.stringify(each.patch)}`, each] as const))('%s', async (_title, { doc, patch, expected, error }) => {
    const id = randomUUID()
    expect((await client.patch(id, [{ op: 'add', path: ['active'], value: doc }])).status).toBe(200)
    const answer = await client.call('PATCH', `/v1/states/${id}`, {
      body: Array.isArray(patch) ? patch.map(below) : patch,
      headers: { 'Content-Type': 'application/json-patch+json' },
    })
    const { active } = (await client.get(id)).body
    if (error === undefined) {
      expect(answer.status).toBe(200)
      if (expected !== undefined) expect(active).toEqual(expected)
    } else {
      expect([400, 422]).toContain(answer.status)
      expect(active).toEqual(doc)
    }
  })
})
