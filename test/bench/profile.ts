/** How much is measured: by default all of it in three to four minutes, `--quick` in about one. */
export type Profile = {
  readonly states: number
  readonly clients: number
  readonly rounds: number
  readonly firstWarmUpMs: number
  readonly warmUpMs: number
  readonly roundMs: number
  readonly followers: number
  readonly followedPatches: number
  readonly memoryStates: number
  /** Of the memory states, those that get the full window of keys: enough for a figure per key. */
  readonly memoryKeyedStates: number
  readonly loadMs: number
  readonly crashMs: number
  readonly idleMs: number
}

export const KEYS_IN_WINDOW = 16

export const standard: Profile = {
  states: 1_000,
  clients: 64,
  rounds: 3,
  firstWarmUpMs: 2_000,
  warmUpMs: 1_000,
  roundMs: 4_000,
  followers: 100,
  followedPatches: 300,
  memoryStates: 100_000,
  memoryKeyedStates: 5_000,
  loadMs: 4_000,
  crashMs: 2_000,
  idleMs: 6_000,
}

export const quick: Profile = {
  ...standard,
  rounds: 2,
  firstWarmUpMs: 1_000,
  warmUpMs: 300,
  roundMs: 1_500,
  followedPatches: 100,
  memoryStates: 20_000,
  memoryKeyedStates: 1_000,
  loadMs: 1_500,
  crashMs: 1_000,
  idleMs: 3_000,
}
