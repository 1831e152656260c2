import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Firestore } from '@google-cloud/firestore'
import { openDirectory } from '#shared/adapters/gcp/directory.ts'
import { openDomainRegistry } from '#shared/adapters/gcp/domain-registry.ts'
import { openFirestoreClient } from '#shared/adapters/gcp/firestore-client.ts'
import type { Directory } from '#shared/ports/directory.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import { Faults } from '../../emulators/faults.ts'
import { startFirestore } from '../../emulators/firestore/server.ts'
import type { FirestoreEmulator } from '../../emulators/firestore/server.ts'
import { directoryContract, member, seen } from './directory-contract.ts'
import { domainRegistryContract, record } from './domain-registry-contract.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const faults = new Faults()
let folder: string
let emulator: FirestoreEmulator
let places = 0

beforeAll(async () => {
  folder = await makeTemporaryFolder()
  emulator = await startFirestore({ host: '127.0.0.1', port: 0, folder, faults })
})
afterAll(async () => {
  await emulator.stop()
  await removeTemporaryFolder(folder)
})

const place = (): Promise<string> => Promise.resolve(`place-${(places += 1)}`)
const remove = (): Promise<void> => Promise.resolve()
const clientOf = (databaseId: string): Firestore => openFirestoreClient({ projectId: 'test', databaseId, emulatorHost: emulator.address })

/** As composition does: the client is ended after its adapter. */
function ending<T extends { close(): Promise<void> }>(adapter: T, client: Firestore): T {
  return { ...adapter, close: () => adapter.close().then(() => client.terminate()) }
}

function openMembers(at: string): Promise<Directory> {
  const client = clientOf(at)
  return Promise.resolve(ending(openDirectory({ client }), client))
}

function openDomains(at: string): Promise<DomainRegistry> {
  const client = clientOf(at)
  return Promise.resolve(ending(openDomainRegistry({ client }), client))
}

directoryContract('Firestore, emulated', { place, remove, open: openMembers })
domainRegistryContract('Firestore, emulated', { place, remove, open: openDomains })

describe('adapters of Firestore: faults', () => {
  afterEach(() => faults.clear())

  test('F1 a claim whose answer is lost does not pass for stored, and its record is found as one’s own', async () => {
    const registry = await openDomains(await place())
    await registry.ready()
    faults.add({ service: 'firestore', operation: 'Commit', fault: { kind: 'answer-lost' }, times: 1 })
    const one = record('a.example.com', 1)
    expect(['conflict', 'failed']).toContain((await registry.write(one)).kind)
    expect(await registry.read('a.example.com')).toEqual({ kind: 'record', record: one })
    await registry.close()
  })

  test('F2 announcements come through ABORTED and UNAVAILABLE, and a watch through the end of its stream', async () => {
    const directory = await openMembers(await place())
    faults.add({ service: 'firestore', operation: 'Listen', fault: { kind: 'unavailable' }, times: 1 })
    const shown = seen(directory, 'the member', (all) => all.length === 1)
    for (const kind of ['aborted', 'unavailable'] as const) {
      faults.add({ service: 'firestore', operation: 'Commit', fault: { kind }, times: 1 })
      expect(await directory.announce(member('process-1', 'i1'))).toEqual({ kind: 'done' })
    }
    expect(await shown).toEqual([member('process-1', 'i1')])
    await directory.close()
  })
})
