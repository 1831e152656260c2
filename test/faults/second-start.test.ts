/** One server on a data directory: a second one is told so and leaves, and whoever held it can be killed at any time. */
import { afterAll, expect, test } from '@jest/globals'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { once, openSession } from './support/client.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterAll(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

const ID = '11111111-1111-4111-8111-111111111111'

async function expectRefused(server: ServerProcess, dataDir: string): Promise<void> {
  expect(await server.exit()).toEqual({ code: 1, signal: null })
  expect(server.stdout).toBe('')
  expect(server.stderr).toContain(`DATA_DIR ${dataDir} is in use`)
  // A message for people, not a stack.
  expect(server.stderr).not.toMatch(/^\s+at /m)
}

test.concurrent('a second start exits 1 and says why, the first serves on, and after its kill -9 the next one has everything', async () => {
  const dataDir = temporaryFolder()
  const first = await ServerProcess.start(dataDir)
  const { bearer } = await openSession(first.port)
  const add = (server: ServerProcess, n: number): ReturnType<typeof once> =>
    once(server.port, { method: 'PATCH', path: `/v1/states/${ID}`, bearer, body: { patch: [{ op: 'add', path: ['active', `n${n}`], value: n }] } })
  expect((await add(first, 1)).status).toBe(200)

  // By its own name and by another way to the same folder.
  const alias = join(temporaryFolder(), 'alias')
  symlinkSync(dataDir, alias)
  const refused = Promise.all([dataDir, alias].map((path) => expectRefused(ServerProcess.spawn(path), path)))
  expect((await add(first, 2)).body).toMatchObject({ ii: 2 })
  await refused
  expect((await add(first, 3)).body).toMatchObject({ ii: 3 })
  expect(first.log.filter(({ message }) => message.includes('fenced'))).toEqual([])

  await first.kill()
  const next = await ServerProcess.start(dataDir)
  expect((await once(next.port, { path: `/v1/states/${ID}`, bearer })).body).toMatchObject({ ii: 3, active: { n1: 1, n2: 2, n3: 3 } })
  expect((await add(next, 4)).body).toMatchObject({ ii: 4 })
})

test.concurrent('of three starts at once on a new folder one serves', async () => {
  const dataDir = temporaryFolder()
  const servers = [1, 2, 3].map(() => ServerProcess.spawn(dataDir))
  const ends = await Promise.all(
    servers.map((server) =>
      server.ready().then(
        () => 'serves',
        () => 'left',
      ),
    ),
  )
  expect(ends.toSorted()).toEqual(['left', 'left', 'serves'])
  for (const server of servers) if (!server.isAlive) await expectRefused(server, dataDir)
})
