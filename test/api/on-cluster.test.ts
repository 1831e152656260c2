/** Suites of this folder, on `STATE_PROCESSES=3 npm start`: an api over three state processes of their own. All of them run on three in on-emulated.test.ts. */
import { afterAll } from '@jest/globals'
import { startLocalServer } from '../support/local-server.ts'
import { startTestPostgres } from '../support/postgres.ts'
import { runOn } from './fixture.ts'

const postgres = await startTestPostgres()
runOn({ start: () => startLocalServer({ STATE_PROCESSES: '3', DATABASE_URL: postgres.url }), parsersInFront: false })
await import('./states.suite.ts')
await import('./names.suite.ts')
await import('./following.suite.ts')
await import('./operations.suite.ts')
await import('./domains.suite.ts')
await import('./handlers.suite.ts')
// Behind the suites, which stop their servers.
afterAll(() => postgres.stop())
