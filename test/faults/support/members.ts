/** The state processes behind a server, as `/v1/cluster` names them; and how long states wait when one of them is gone. */
import { setTimeout as passed } from 'node:timers/promises'
import { Connection } from './client.ts'
import type { Load, LoadedState } from './load.ts'

export type ClusterMember = {
  readonly name: string
  readonly incarnation: string
  readonly pid: number
  readonly address: string
  readonly state: 'joining' | 'active' | 'draining'
  readonly slots: number
}

const LOOK_MS = 50
const DEADLINE_MS = 30_000
const LONGEST_TEST_MS = 24 * 3_600_000

export async function membersAt(port: number): Promise<ClusterMember[]> {
  const connection = new Connection()
  try {
    const answer = await connection.call(port, { path: '/v1/cluster' })
    if (answer.kind === 'cut' || answer.status !== 200) throw new Error(`/v1/cluster: ${answer.kind === 'cut' ? answer.reason : answer.text}`)
    return answer.body.members
  } finally {
    connection.close()
  }
}

/** The members, once they are as `isIt` says. The server tells nobody when they change: it is asked again and again. */
export async function membersWhen(port: number, isIt: (members: readonly ClusterMember[]) => boolean, what: string): Promise<ClusterMember[]> {
  const dueMs = performance.now() + DEADLINE_MS
  for (;;) {
    const members = await membersAt(port)
    if (isIt(members)) return members
    if (performance.now() > dueMs) throw new Error(`not within ${DEADLINE_MS} ms: ${what}; ${JSON.stringify(members)}`)
    await passed(LOOK_MS)
  }
}

/** All of `count` serve, and none of them is one of `gone`. */
export function wholeAgain(port: number, count: number, gone: readonly number[] = []): Promise<ClusterMember[]> {
  return membersWhen(port, (members) => members.length === count && members.every(({ state, pid }) => state === 'active' && !gone.includes(pid)), `${count} active members`)
}

export function byLeadership(members: readonly ClusterMember[]): ClusterMember[] {
  return members.toSorted((a, b) => b.slots - a.slots)
}

/** With several state processes the api sends again what its link lost, under the client's key: its client then hears of a repeat. */
export function faultsOf(load: Load): string[] {
  return load.faults.filter((fault) => !fault.endsWith(' was sent once, and answered as a repeat'))
}

/**
 * How long each state went without a further acknowledgement. Owns: when each state last got on. Does not own: the load.
 */
export class Pauses {
  readonly #load: Load
  #at = new Map<LoadedState, { floor: number; sinceMs: number }>()
  #isOver = false
  #resetMs = performance.now()
  /** Longest since `reset`, in ms. */
  longestMs = 0

  constructor(load: Load) {
    this.#load = load
    void load.bell.until(
      () => {
        this.#look()
        return this.#isOver
      },
      { what: 'the end of the test', deadlineMs: LONGEST_TEST_MS },
    )
  }

  stop(): void {
    this.#isOver = true
    this.#load.bell.ring()
  }

  /** From now on. */
  reset(): void {
    this.longestMs = 0
    const sinceMs = performance.now()
    this.#resetMs = sinceMs
    for (const state of this.#load.states) this.#at.set(state, { floor: state.book.floor, sinceMs })
  }

  get sinceReset(): number {
    return performance.now() - this.#resetMs
  }

  /** Resolves when every state has got on by `count` since now. */
  async allGoOn(count: number): Promise<void> {
    const goals = this.#load.states.map(({ book }) => ({ book, floor: book.floor + count }))
    await this.#load.until(() => goals.every(({ book, floor }) => book.floor >= floor), `${count} more interactions of every state`)
    this.#look()
  }

  #look(): void {
    const now = performance.now()
    for (const [state, at] of this.#at) {
      if (state.book.floor === at.floor) continue
      this.longestMs = Math.max(this.longestMs, now - at.sinceMs)
      at.floor = state.book.floor
      at.sinceMs = now
    }
  }
}
