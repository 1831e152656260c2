/**
 * `npm start` killed in the middle of a session's close scripts: the next start goes on with the end that was begun, and
 * does nothing twice.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Client } from '../api/client.ts'
import type { Answer, Body } from '../api/client.ts'
import type { TestServer } from '../api/fixture.ts'
import { claim, ended, putConfig, reported } from '../api/tenant.ts'
import { startTestPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

const DOMAIN = 'closing.localhost'
/** All write into one book. `cut` hangs until it is killed with everything, unless the gate was open when it began. */
const YAML = `
authorize: { sameDomain: allow }
agent: |
  const write = (agent, line) => agent.patch('book', [{ op: 'add', path: ['active', 'lines', '-'], value: line }])
  export const closeScripts = {
    async open(args, event, agent) { await agent.patch('book', [{ op: 'add', path: ['active', 'lines'], value: [] }]) },
    async whole({ line }, event, agent) {
      await write(agent, line)
      return (await agent.state('book')).lines.length
    },
    async cut({ keeper }, event, agent) {
      const { isOpen } = await agent.state('gate', keeper)
      const id = await agent.create({ active: {} })
      await write(agent, 'begun ' + id)
      if (!isOpen) await new Promise(() => undefined)
      await write(agent, 'done ' + id)
      return id
    },
  }
`

let postgres: TestPostgres
let dataDir: string
beforeAll(async () => {
  dataDir = temporaryFolder()
  postgres = await startTestPostgres()
})
afterAll(async () => {
  await killLeftovers()
  await postgres.stop()
  removeTemporaryFolders()
})

async function start(port?: number): Promise<{ running: ServerProcess; server: TestServer }> {
  const running = await ServerProcess.start(dataDir, { DATABASE_URL: postgres.url, HANDLER_CALL_MS: '8000', PORT: String(port ?? 0) })
  const server = { url: `http://127.0.0.1:${running.port}`, port: running.port, tokenOf: () => Promise.reject(new Error('not here')), stop: () => Promise.resolve() }
  return { running, server }
}

test('kill -9 in the middle of a close script: after the restart the end is finished, what a script had done is not done twice, and one that had ended is not run again', async () => {
  const { running, server } = await start()
  const keeper = await Client.open(server, { domain: DOMAIN })
  await claim(keeper, DOMAIN)
  expect(await ended(keeper, (await putConfig(keeper, DOMAIN, YAML)).body.report)).not.toHaveProperty('error')
  const user = await Client.open(server, { domain: DOMAIN })
  const openSession = async (): Promise<string> => (await user.call('POST', '/v1/sessions', { body: { domain: DOMAIN } })).body.session
  const leave = async (session: string, script: string, args: object): Promise<string> => (await user.call('POST', `/v1/sessions/${session}/close-scripts`, { body: { script, args } })).body.id
  const close = (session: string): Promise<Answer> => user.call('DELETE', `/v1/sessions/${session}`)
  const first = await openSession()
  await leave(first, 'open', {})
  expect((await close(first)).body.scripts).toMatchObject([{ name: 'open', result: null }])

  const session = await openSession()
  const ids = [await leave(session, 'whole', { line: 'before' }), await leave(session, 'cut', { keeper: keeper.user }), await leave(session, 'whole', { line: 'after' })]
  const book = async (): Promise<Body> => (await user.get('book', `?user=${DOMAIN}`)).body
  const closing = close(session).then(({ status }) => status, () => 'cut off')
  const { lines } = await reported(user, (await book()).id, (active) => active.lines.length === 2)
  const made = lines[1].slice('begun '.length)
  await keeper.set('gate', 'isOpen', true)
  await running.kill()
  expect(await closing).toBe('cut off')

  await start(server.port)
  await reported(user, (await user.get('sessions')).body.id, (active) => active[session] === undefined)
  expect(await book()).toMatchObject({ ii: 5, active: { lines: ['before', `begun ${made}`, `done ${made}`, 'after'] } })
  expect((await user.get(made)).body.ii).toBe(1)
  expect((await user.get(session)).body.active.scripts).toEqual([
    { id: ids[0], name: 'whole', result: 1 },
    { id: ids[1], name: 'cut', result: made },
    { id: ids[2], name: 'whole', result: 4 },
  ])
  expect((await close(session)).status).toBe(404)
})
