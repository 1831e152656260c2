/** Published agents, with the state process in the process that serves them. */
import { agentsSuite } from './agents.suite.ts'

agentsSuite({})
