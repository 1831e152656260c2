/** The same contract on Google's own emulator: with `EMULATORS=official`, since it takes ten seconds to start. */
import { afterAll, beforeAll, test } from '@jest/globals'
import { openDirectory } from '#shared/adapters/gcp/directory.ts'
import { openDomainRegistry } from '#shared/adapters/gcp/domain-registry.ts'
import { openFirestoreClient } from '#shared/adapters/gcp/firestore-client.ts'
import { cloudSdkFolder, findOfficial, startOfficial, type OfficialEmulator } from '../../emulators/official.ts'
import { directoryContract } from './directory-contract.ts'
import { domainRegistryContract } from './domain-registry-contract.ts'

const found = process.env['EMULATORS'] === 'official' ? await findOfficial('firestore', process.env['CLOUDSDK_ROOT_DIR'] ?? (await cloudSdkFolder())) : undefined

let emulator: OfficialEmulator
let places = 0
const place = (): Promise<string> => Promise.resolve(`place-${(places += 1)}`)
const remove = (): Promise<void> => Promise.resolve()

if (found?.kind === 'found') {
  beforeAll(async () => {
    emulator = await startOfficial(found, { host: '127.0.0.1', port: 0 })
  })
  afterAll(() => emulator.stop())
  const opened = <T extends { close(): Promise<void> }>(projectId: string, open: (client: ReturnType<typeof openFirestoreClient>) => T): Promise<T> => {
    const client = openFirestoreClient({ projectId, emulatorHost: emulator.address })
    const adapter = open(client)
    return Promise.resolve({ ...adapter, close: () => adapter.close().then(() => client.terminate()) })
  }
  directoryContract('Firestore, official emulator', { place, remove, open: (at) => opened(at, (client) => openDirectory({ client })) })
  domainRegistryContract('Firestore, official emulator', { place, remove, open: (at) => opened(at, (client) => openDomainRegistry({ client })) })
} else {
  const whenThere = test.skip
  whenThere(`Firestore, official emulator: ${found === undefined ? 'not asked for, set EMULATORS=official' : found.install}`, () => {})
}
