/** The fan-out adapter on Google's own Pub/Sub emulator: with `EMULATORS=official`, where one is installed. */
import { afterAll, beforeAll, test } from '@jest/globals'
import { openFanOut } from '#shared/adapters/gcp/fan-out.ts'
import { cloudSdkFolder, findOfficial, startOfficial, type OfficialEmulator } from '../../emulators/official.ts'
import { pubsubClient } from '../support/pubsub.ts'
import { fanOutContract } from './fan-out-contract.ts'

const search =
  process.env['EMULATORS'] === 'official'
    ? await findOfficial('pubsub', process.env['CLOUDSDK_ROOT_DIR'] ?? (await cloudSdkFolder()))
    : ({ kind: 'missing', install: 'set EMULATORS=official' } as const)

if (search.kind === 'found') {
  let emulator: OfficialEmulator
  let topics = 0

  beforeAll(async () => {
    emulator = await startOfficial(search, { host: '127.0.0.1', port: 0 })
  }, 70_000)
  afterAll(() => emulator.stop())

  fanOutContract('Pub/Sub, official emulator', {
    // One emulator for all, and a topic each.
    place: () => Promise.resolve(`topic-${(topics += 1)}`),
    open: (topic) => Promise.resolve(openFanOut({ client: pubsubClient(emulator.address), topic, provision: true })),
    remove: () => Promise.resolve(),
  })
} else {
  const notHere = test.skip
  notHere(`fan-out contract on the official Pub/Sub emulator: not run: ${search.install}`, () => undefined)
}
