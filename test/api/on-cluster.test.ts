/** The suites of this folder, on `STATE_PROCESSES=3 npm start`: an api over three state processes of their own. */
import { startLocalServer } from '../support/local-server.ts'
import { runOn } from './fixture.ts'

runOn({ start: () => startLocalServer({ STATE_PROCESSES: '3' }), parsersInFront: false })
await import('./sessions.suite.ts')
await import('./states.suite.ts')
await import('./names.suite.ts')
await import('./following.suite.ts')
await import('./operations.suite.ts')
await import('./json-patch.suite.ts')
await import('./files.suite.ts')
await import('./hostile.suite.ts')
