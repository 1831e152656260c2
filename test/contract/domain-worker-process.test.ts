/** The domain worker as a process that can die, and its link. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { DomainWorkerClient } from '#shared/link/domain-worker-client.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import { openLog } from '#shared/log.ts'
import type { CallOutcome } from '#shared/ports/domain-worker.ts'
import { WatchedChild } from '#functions/local/watched-child.ts'
import { moduleOf, Workshop } from './domain-worker-fixture.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const ENTRY = new URL('../../functions/domain-worker/index.ts', import.meta.url)

let client: DomainWorkerClient
let child: WatchedChild
let folder: string
beforeAll(async () => {
  folder = await makeTemporaryFolder()
  client = new DomainWorkerClient({ credentials: sharedSecret(secret(folder, 'link.key', 32)), name: 'test' })
  child = new WatchedChild({
    name: 'domain-worker',
    entry: ENTRY,
    environment: { DATA_DIR: folder, HANDLER_CALL_MS: '30000', SANDBOXES_WARM: '1' },
    onPort: (port) => client.at(port === undefined ? undefined : `127.0.0.1:${port}`),
    log: openLog({ level: 'fatal', service: 'test' }),
  })
})
afterAll(async () => {
  await client.close()
  await child.stop()
  await removeTemporaryFolder(folder)
})

const MODULE = moduleOf('export const prePersistence = async ({ n }, agent) => (n === undefined ? agent.uuid() : n)')
const call = (n: number | undefined, onAsk: () => void = () => undefined): Promise<CallOutcome> =>
  client.call(
    { module: MODULE, handler: 'prePersistence', argument: JSON.stringify({ n }) },
    {
      call: () => {
        onAsk()
        return new Promise(() => undefined)
      },
    },
  )

test('a call that is made before the worker is there waits for it', async () => {
  expect(await call(1)).toEqual({ kind: 'returned', value: 1, log: [] })
})

test('killed with calls in flight: they are unavailable, and the next call finds the next life', async () => {
  const asked = Promise.withResolvers<void>()
  const inFlight = [call(undefined, asked.resolve), call(undefined)]
  await asked.promise
  process.kill(child.pid!, 'SIGKILL')
  expect(await Promise.all(inFlight)).toEqual(inFlight.map(() => ({ kind: 'unavailable', reason: 'the domain worker has gone' })))
  // One call waits for the new life for 2 s; on a machine that is that slow, the next one does.
  let next = await call(2)
  while (next.kind === 'unavailable') next = await call(2)
  expect(next).toEqual({ kind: 'returned', value: 2, log: [] })
})

test('a worker that never comes: unavailable, after a while', async () => {
  const lonely = new DomainWorkerClient({ credentials: sharedSecret(Buffer.from('x')), name: 'test' })
  expect(await lonely.load(MODULE)).toMatchObject({ kind: 'unavailable' })
  await lonely.close()
})

test('who has not the secret gets no link; who closes, no answer', async () => {
  const worker = await Workshop.open()
  try {
    const stranger = new DomainWorkerClient({ credentials: sharedSecret(Buffer.from('guessed')), name: 'stranger' })
    stranger.at(`127.0.0.1:${worker.port}`)
    const refused = stranger.load(MODULE)
    const pending = worker.call(MODULE, 'prePersistence', {}, () => new Promise(() => undefined))
    await worker.call(MODULE, 'prePersistence', { n: 3 })
    await worker.client.close()
    expect(await pending).toMatchObject({ kind: 'unavailable' })
    expect(await refused).toMatchObject({ kind: 'unavailable', reason: 'the domain worker cannot be reached' })
    await stranger.close()
  } finally {
    await worker.close()
  }
})

test('more calls than may wait: those past the bound are not run', async () => {
  const worker = await Workshop.open()
  try {
    const hanging = moduleOf('export const prePersistence = ({ n }) => (n ? new Promise(() => {}) : n)')
    const outcomes = await Promise.all(Array.from({ length: 2_200 }, () => worker.call(hanging, 'prePersistence', { n: 1 }, undefined, 50)))
    expect(new Set(outcomes.map((outcome) => outcome.kind))).toEqual(new Set(['exceeded', 'unavailable']))
    expect(await worker.call(hanging, 'prePersistence', { n: 0 })).toEqual({ kind: 'returned', value: 0, log: [] })
  } finally {
    await worker.close()
  }
})
