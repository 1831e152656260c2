/**
 * Rows that a process did not write because it ended between storing and mirroring: whoever hears of the interaction by the
 * fan-out sees to them. Nearly always they are there already, and one look at them is all that it costs.
 *
 * I1. Resolves only when the rows have the interaction or a newer one, and the index of states has the state.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { StateIndex } from '#shared/mirror/state-index.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { InForceDomains } from './in-force.ts'
import type { Mirroring } from './mirroring.ts'

export type MirrorEvent = { readonly domain: string; readonly id: StateId; readonly ii: InteractionIndex }

const II_OF = 'SELECT ii FROM metadata WHERE id = $1'

export type HealingOptions = { readonly inForce: InForceDomains; readonly database: DomainDatabase; readonly index: StateIndex; readonly mirroring: Mirroring }

export class Healing {
  readonly #options: HealingOptions

  constructor(options: HealingOptions) {
    this.#options = options
  }

  /** Rejects where it is not certain, to be asked again. */
  async heal({ domain, id, ii }: MirrorEvent): Promise<void> {
    const { inForce, index, mirroring } = this.#options
    if (ii === 1) {
      index.add(domain, id)
      if (!(await index.flush())) throw new Error('Postgres does not take the index of states')
    }
    const present = await inForce.of(domain)
    if (present === 'none' || (present !== 'unavailable' && (await this.#has(domain, id, ii)))) return
    const outcome = await mirroring.after(domain, id, { ii, replayed: true, state: undefined })
    if (outcome !== undefined && outcome.kind !== 'done') throw new Error(outcome.reason)
  }

  async #has(domain: string, id: StateId, ii: InteractionIndex): Promise<boolean> {
    const answer = await this.#options.database.write(domain, { name: 'ii_of', sql: II_OF, values: [id] })
    return answer.kind === 'done' && answer.rows.some((row) => Number(row['ii']) >= ii)
  }
}
