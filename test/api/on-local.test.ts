/** The suites of this folder, on the real `npm start`, in a process of its own. */
import { afterAll } from '@jest/globals'
import { startLocalServer } from '../support/local-server.ts'
import { startTestPostgres } from '../support/postgres.ts'
import { runOn } from './fixture.ts'

const postgres = await startTestPostgres()
runOn({ start: () => startLocalServer({ DATABASE_URL: postgres.url }), parsersInFront: false })
await import('./sessions.suite.ts')
await import('./states.suite.ts')
await import('./names.suite.ts')
await import('./following.suite.ts')
await import('./operations.suite.ts')
await import('./json-patch.suite.ts')
await import('./files.suite.ts')
await import('./domains.suite.ts')
await import('./authorization.suite.ts')
await import('./queries.suite.ts')
await import('./handlers.suite.ts')
await import('./hostile.suite.ts')
// Behind the suites, which stop their servers.
afterAll(() => postgres.stop())
