/** The same on three state processes. */
import { agentsSuite } from './agents.suite.ts'

agentsSuite({ STATE_PROCESSES: '3' })
