/**
 * The suites of this folder, on one `npm run start:emulated`: the adapters of Google Cloud, every part a process of its own. Left out:
 * RFC 6902's own tests and hostile SQL, which meet no adapter of Google's.
 */
import { afterAll } from '@jest/globals'
import { startEmulatedServer } from '../support/local-server.ts'
import { startTestPostgres } from '../support/postgres.ts'
import { runOn } from './fixture.ts'

const postgres = await startTestPostgres()
const server = await startEmulatedServer({ DATABASE_URL: postgres.url })
runOn({ start: () => Promise.resolve({ ...server, stop: () => Promise.resolve() }), parsersInFront: false, filesOnCloudStorage: true })
await import('./sessions.suite.ts')
await import('./states.suite.ts')
await import('./names.suite.ts')
await import('./following.suite.ts')
await import('./operations.suite.ts')
await import('./files.suite.ts')
await import('./domains.suite.ts')
await import('./authorization.suite.ts')
await import('./handlers.suite.ts')
await import('./hostile.suite.ts')
afterAll(async () => {
  await server.stop()
  await postgres.stop()
})
