/** The suites of this folder, on the real `npm start`, in a process of its own. */
import { startLocalServer } from '../support/local-server.ts'
import { runOn } from './fixture.ts'

runOn({ start: () => startLocalServer(), parsersInFront: false })
await import('./sessions.suite.ts')
await import('./states.suite.ts')
await import('./names.suite.ts')
await import('./following.suite.ts')
await import('./operations.suite.ts')
await import('./json-patch.suite.ts')
await import('./files.suite.ts')
await import('./hostile.suite.ts')
