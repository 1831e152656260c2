import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { openStorageClient } from '#shared/adapters/gcp/storage-client.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import { Faults } from '../../emulators/faults.ts'
import { startGcs } from '../../emulators/gcs/server.ts'
import type { GcsEmulator } from '../../emulators/gcs/server.ts'
import { coldStorageContract } from './cold-storage-contract.ts'
import { open } from './emulated-cold-storage-module.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const faults = new Faults()
let folder: string
let emulator: GcsEmulator
let buckets = 0

beforeAll(async () => {
  folder = await makeTemporaryFolder()
  emulator = await startGcs({ host: '127.0.0.1', port: 0, folder, faults })
})
afterAll(async () => {
  await emulator.stop()
  await removeTemporaryFolder(folder)
})

async function place(): Promise<string> {
  const bucket = `cold-storage-${(buckets += 1)}`
  await openStorageClient({ projectId: 'test', apiEndpoint: emulator.url }).createBucket(bucket)
  return `${emulator.url} ${bucket}`
}

coldStorageContract('Cloud Storage, emulated', { place, open, remove: () => Promise.resolve(), module: new URL('./emulated-cold-storage-module.ts', import.meta.url) })

describe('cold storage on Cloud Storage: faults', () => {
  let at: string
  let storage: ColdStorage
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  const found = async (name: string): Promise<string> => {
    const outcome = await storage.get(name)
    return outcome.kind === 'found' ? Buffer.from(outcome.bytes).toString() : outcome.kind
  }

  beforeEach(async () => {
    faults.clear()
    at = await place()
    storage = await open(at)
  })
  afterEach(() => storage.close())

  test('G1 a put whose answer is lost is unknown; put again it exists, and what is there is one’s own', async () => {
    faults.add({ service: 'storage', operation: 'objects.insert', fault: { kind: 'answer-lost' }, times: 1 })
    expect((await storage.put('leaders/a/1', bytes('mine'))).kind).toBe('unknown')
    expect(await storage.put('leaders/a/1', bytes('mine'))).toEqual({ kind: 'exists' })
    expect(await found('leaders/a/1')).toBe('mine')
  })

  test('G2 of 20 racers one has stored, though answers get lost: losers know it, and who knows nothing finds whose it is', async () => {
    for (let round = 0; round < 5; round += 1) {
      faults.add({ service: 'storage', operation: 'objects.insert', fault: { kind: 'answer-lost' }, times: 1 })
      const name = `slots/0001/${round}`
      const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => storage.put(name, bytes(`racer ${i}`))))
      const winner = Number(/^racer (\d+)$/.exec(await found(name))![1])
      for (const [i, { kind }] of outcomes.entries()) expect([i, i === winner ? ['stored', 'unknown'] : ['exists', 'unknown']]).toEqual([i, expect.arrayContaining([kind])])
      expect(outcomes.filter(({ kind }) => kind === 'unknown')).toHaveLength(1)
    }
  })

  test('G3 unavailable (503) and 409: a put is unknown and is sent once; what reads and deletes fails as a value', async () => {
    for (const kind of ['unavailable', 'aborted'] as const) {
      faults.add({ service: 'storage', fault: { kind }, times: 1 })
      expect((await storage.put(`a/${kind}`, bytes('x'))).kind).toBe('unknown')
      expect(await storage.put(`a/${kind}`, bytes('x'))).toEqual({ kind: 'stored' })
      for (const call of [() => storage.get(`a/${kind}`), () => storage.list('a/'), () => storage.delete(`a/${kind}`)]) {
        faults.add({ service: 'storage', fault: { kind }, times: 1 })
        expect((await call()).kind).toBe('failed')
      }
      expect(faults.pending()).toEqual([])
      expect(await found(`a/${kind}`)).toBe('x')
    }
  })

  test('G4 slower than the time-out: unknown, and later it may be there', async () => {
    const hasty = await open(at, 30)
    faults.add({ service: 'storage', operation: 'objects.insert', fault: { kind: 'slow', delayMs: 200 }, times: 1 })
    expect((await hasty.put('a/b', bytes('late'))).kind).toBe('unknown')
    await hasty.close()
    const deadline = Date.now() + 5_000
    while ((await found('a/b')) === 'missing' && Date.now() < deadline) await new Promise((done) => setTimeout(done, 20))
    expect(await found('a/b')).toBe('late')
  })

  test('G5 a read that breaks off fails, it is never shorter', async () => {
    await storage.put('a/b', bytes('x'.repeat(100_000)))
    faults.add({ service: 'storage', operation: 'objects.get', fault: { kind: 'answer-lost' }, times: 1 })
    expect((await storage.get('a/b')).kind).toBe('failed')
    expect((await storage.get('a/b')).kind).toBe('found')
  })

  test('G6 nobody listens, or there is no such bucket: certainly not stored', async () => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    await new Promise((done) => server.close(done))
    for (const nowhere of [`http://127.0.0.1:${port} cold-storage-1`, `${emulator.url} no-such-bucket`]) {
      const other = await open(nowhere)
      expect((await other.put('a/b', bytes('x'))).kind).toBe('not-stored')
      expect((await other.list('a/')).kind).toBe('failed')
      await other.close()
    }
  })

  test('G7 a list longer than one answer is whole and in order', async () => {
    const names = Array.from({ length: 1_050 }, (_, i) => `a/${String(i).padStart(12, '0')}`)
    // On a machine that stands still for seconds a put may be unknown: whoever puts repeats it.
    const putSurely = async (name: string): Promise<void> => {
      for (;;) if (['stored', 'exists'].includes((await storage.put(name, bytes(''))).kind)) return
    }
    for (let i = 0; i < names.length; i += 50) await Promise.all(names.slice(i, i + 50).map(putSurely))
    expect(await storage.list('a/')).toEqual({ kind: 'names', names })
    expect(await storage.list('a/', { after: names[19]! })).toEqual({ kind: 'names', names: names.slice(20) })
  })
})
