/**
 * Reports: states of the admin's in which the platform says how far it is with a claim or a configuration.
 *
 * Owns: the order of the patches of one report. Does not own: what they say. Talks to: the cluster.
 *
 * I1. A report is a state like any other of its owner's: who may read that may follow it, and its owner may patch it too.
 * I2. What a report cannot take (its owner made something else of it) is dropped: a report must not stop what it reports on.
 */
import type { Json } from '#shared/json.ts'
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Op } from '#shared/patch/op.ts'
import type { PatchAnswer, StateCluster } from '#shared/ports/state-cluster.ts'
import type { Party } from '../party.ts'
import { mintKey } from '../keys.ts'
import type { Log } from '../parts.ts'
import { UNNAMED } from '../client-patch.ts'

const TRIES = 5

export class Reports {
  readonly #cluster: StateCluster
  readonly #log: Log
  readonly #onWritten: (domain: string, id: StateId, isNew: boolean) => void

  constructor(options: { readonly cluster: StateCluster; readonly log: Log; readonly onWritten: (domain: string, id: StateId, isNew: boolean) => void }) {
    this.#cluster = options.cluster
    this.#log = options.log
    this.#onWritten = options.onWritten
  }

  /** The report `id` of `owner`'s; made by its first patch. */
  of(owner: Party, id: StateId): Report {
    return new Report({ owner, id, cluster: this.#cluster, log: this.#log, onWritten: this.#onWritten })
  }
}

type ReportOptions = { readonly owner: Party; readonly id: StateId; readonly cluster: StateCluster; readonly log: Log; readonly onWritten: (domain: string, id: StateId, isNew: boolean) => void }

export class Report {
  readonly id: StateId
  readonly #options: ReportOptions
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: ReportOptions) {
    this.id = options.id
    this.#options = options
  }

  /** Replaces all of it. The first of a report's writes: its answer says whether the report can be written at all. */
  begin(active: Json): Promise<PatchAnswer> {
    return this.#patch([{ op: 'add', path: ['active'], value: active }])
  }

  /** Sets members of it, by their paths in `active`. */
  set(...members: readonly (readonly [path: readonly (string | number)[], value: Json])[]): void {
    void this.#patch(members.map(([path, value]): Op => ({ op: 'add', path: ['active', ...path], value })))
  }

  /** Resolves when all that was written before is stored, or given up. */
  async settled(): Promise<void> {
    await this.#last
  }

  #patch(ops: Op[]): Promise<PatchAnswer> {
    const turn = this.#last.then(() => this.#send(ops))
    this.#last = turn.catch((error: unknown) => this.#options.log.error({ err: error, report: this.id }, 'a report could not be written'))
    return turn
  }

  async #send(ops: Op[]): Promise<PatchAnswer> {
    const { cluster, owner, log, onWritten } = this.#options
    const text = JSON.stringify(ops)
    const key = mintKey()
    for (let tries = 1; ; tries++) {
      const answer = await cluster.patch({
        id: this.id,
        ops: JSON.parse(text) as Op[],
        text,
        user: owner.user,
        domain: owner.domain,
        authority: 'owner',
        creation: UNNAMED,
        key,
        bodyDigest: '',
        expected: undefined,
        returnState: false,
        lenient: false,
      })
      if (answer.kind === 'stored') onWritten(owner.domain, this.id, answer.ii === 1)
      if (answer.kind !== 'unavailable' || tries === TRIES) {
        if (answer.kind !== 'stored') log.warn({ report: this.id, outcome: answer.kind }, 'a report did not take a patch')
        return answer
      }
      await new Promise((resolve) => setTimeout(resolve, limits.configureRetryMs).unref())
    }
  }
}
