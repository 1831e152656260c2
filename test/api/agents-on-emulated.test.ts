/** The same on emulators, where addresses of files are Cloud Storage's. */
import { startEmulatedServer } from '../support/local-server.ts'
import { agentsSuite } from './agents.suite.ts'

agentsSuite({}, startEmulatedServer)
