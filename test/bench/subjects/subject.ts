import type { Target } from '../load/open-channels.ts'
import type { Server, Workshop } from '../workshop.ts'

export type Running = {
  readonly target: Target
  readonly server: Server
  /** Where it keeps its data; undefined: keeps none. */
  readonly dataDirectory: string | undefined
}

/** Something whose figures stand in the table. A start that fails makes it "not available", with the error as reason. */
export interface Subject {
  readonly name: string
  start(workshop: Workshop): Promise<Running>
}

/** Stands in for the bearer of servers that do not look at it: a request of the same length. */
export const BARE_BEARER = 'x'.repeat(300)

export const START_DEADLINE_MS = 20_000

/** Module to load into a server with `--import`. */
export const PROBE = new URL('../probe.ts', import.meta.url).href
