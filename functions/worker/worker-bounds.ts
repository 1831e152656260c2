/** What handlers may take. */
import type { WorldBounds } from './world.ts'

export type WorkerBounds = {
  /** Of one sandbox. */
  readonly memoryBytes: number
  /** How long the handlers of one domain may compute while those of others wait. */
  readonly sliceMs: number
  /** One call of a handler, waiting for its agent included; loading a module too. */
  readonly callMs: number
  readonly resultCharacters: number
  readonly agentCalls: number
  readonly agentCharacters: number
}

/** Sandboxes of one worker, those that wait to be used again included. */
export const SANDBOXES = 100
/** Empty ones that are made in advance: what a domain's first call would wait for. */
export const SPARES = 2
/** One that nobody used for this long is ended. */
export const IDLE_MS = 60_000
/** How often calls and sandboxes that have had their time are looked for. */
export const SWEEP_MS = 50
/** Calls that one domain may have waiting, and what one step of its sandbox may bring out. */
export const CALLS_WAITING = 10_000
export const STEP_CHARACTERS = 32 * 1024 * 1024

export function worldBounds(bounds: WorkerBounds): WorldBounds {
  const { resultCharacters: result, agentCalls, agentCharacters: agentText } = bounds
  return { result, message: 1_000, logLine: 1_000, logLines: 50, agentCalls, agentText }
}
