/** The suites of this folder, on functions-framework, its parsers included, over a cluster in memory. */
import { startMemoryServer } from '../support/memory-server.ts'
import { runOn } from './fixture.ts'

runOn({ start: () => startMemoryServer({ mount: 'framework' }), parsersInFront: true })
await import('./sessions.suite.ts')
await import('./states.suite.ts')
await import('./names.suite.ts')
await import('./following.suite.ts')
await import('./operations.suite.ts')
await import('./json-patch.suite.ts')
await import('./files.suite.ts')
await import('./hostile.suite.ts')
