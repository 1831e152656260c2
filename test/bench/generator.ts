/**
 * The benchmark's side of the generator process: the commands that `load.ts` knows, asked one after the other.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ChaseOptions, ChaseResult } from './load/chase.ts'
import type { DriveOptions, DriveResult } from './load/drive.ts'
import type { FollowersOptions, FollowersResult } from './load/followers.ts'
import type { Target } from './load/open-channels.ts'
import type { Faults } from './load/population.ts'

type Named = { readonly name: string }
export type FillResult = { readonly acknowledged: number; readonly seconds: number; readonly faults: Faults }

export type Commands = {
  /** Makes `states` states with a counter in each, under a name for later commands. */
  populate: { args: Named & { target: Target; states: number; clients: number; keyed: boolean }; result: FillResult }
  /** The subject was started again elsewhere. */
  retarget: { args: Named & { target: Target }; result: void }
  /** `times` keyed patches of each of the first `states` states. */
  fill: { args: Named & { states: number; times: number; clients: number }; result: FillResult }
  drive: { args: Named & DriveOptions; result: DriveResult }
  follow: { args: Named & FollowersOptions; result: FollowersResult }
  chase: { args: Named & ChaseOptions; result: ChaseResult }
  crash: { args: Named & { clients: number; ms: number; groupPid: number }; result: { acknowledged: number; faults: Faults } }
  /** ms until one patch was acknowledged. */
  firstAcknowledgement: { args: Named & { deadlineMs: number }; result: number }
  verify: { args: Named & { unacknowledged: number }; result: Faults }
  id: { args: Named & { at: number }; result: string }
}

export type Command = { readonly name: keyof Commands; readonly args: unknown }
export type Reply = { readonly kind: 'done'; readonly result: unknown } | { readonly kind: 'failed'; readonly reason: string }

type Waiting = { readonly resolve: (result: unknown) => void; readonly reject: (error: Error) => void }

export class Generator {
  readonly #process: ChildProcess
  #waiting: Waiting | undefined

  constructor() {
    // Structured clone: JSON would turn Infinity and NaN into null.
    this.#process = fork(fileURLToPath(new URL('load.ts', import.meta.url)), { serialization: 'advanced' })
    this.#process.on('message', (reply: Reply) => {
      const waiting = this.#take()
      if (reply.kind === 'done') waiting?.resolve(reply.result)
      else waiting?.reject(new Error(reply.reason))
    })
    this.#process.on('exit', (code, signal) => this.#take()?.reject(new Error(`the generator ended: ${signal ?? code}`)))
  }

  ask<K extends keyof Commands>(name: K, args: Commands[K]['args']): Promise<Commands[K]['result']> {
    if (this.#waiting !== undefined) throw new Error('the generator does one thing at a time')
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting = { resolve, reject }
    this.#process.send({ name, args } satisfies Command)
    return promise as Promise<Commands[K]['result']>
  }

  /** Ends it without waiting. */
  kill(): void {
    this.#process.kill('SIGKILL')
  }

  #take(): Waiting | undefined {
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting
  }
}
