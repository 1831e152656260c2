/** Fills tables of a domain's database from its states, in batches. */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { StateIndex } from '#shared/mirror/state-index.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { InForce } from './in-force.ts'
import type { Mirror } from './mirror.ts'

export type FillOutcome =
  | { readonly kind: 'done'; readonly states: number }
  | { readonly kind: 'unavailable'; readonly reason: string }
  /** Postgres will not take the rows, however often they are sent. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The domain's database has gone meanwhile. */
  | { readonly kind: 'missing' }

export type FillOptions = {
  readonly cluster: StateCluster
  readonly database: DomainDatabase
  readonly index: StateIndex
  readonly mirror: Mirror
  readonly inForce: InForce
  /** `all`: every state of the domain, else those whose row in `metadata` has one of these types. */
  readonly of: 'all' | readonly string[]
}

const OF_TYPES = 'SELECT id FROM public.metadata WHERE active_type = ANY ($1::text[]) AND id > $2 ORDER BY id LIMIT $3'

export async function fill(options: FillOptions): Promise<FillOutcome> {
  const { cluster, mirror, inForce } = options
  let after = ''
  let states = 0
  for (;;) {
    const page = await nextIds(options, after)
    if (page.kind !== 'page') return page
    if (page.ids.length === 0) return { kind: 'done', states }
    const reads = await Promise.all(page.ids.map((id) => cluster.read({ id, mode: 'strong', minIi: undefined })))
    const failed = reads.find((read) => read.kind === 'unavailable' || read.kind === 'behind')
    if (failed !== undefined) return { kind: 'unavailable', reason: failed.kind === 'unavailable' ? failed.reason : 'behind' }
    const views = reads.flatMap((read) => (read.kind === 'state' && read.state.domain === inForce.domain ? [read.state] : []))
    const outcome = await mirror.fill(inForce, views)
    switch (outcome.kind) {
      case 'done':
        break
      case 'refused':
        return { kind: 'refused', reason: `${outcome.error.sqlstate} ${outcome.error.message}` }
      case 'missing':
      case 'unavailable':
        return outcome
    }
    states += views.length
    after = page.ids.at(-1)!
  }
}

type Page = { readonly kind: 'page'; readonly ids: readonly StateId[] } | Exclude<FillOutcome, { readonly kind: 'done' }>

async function nextIds({ database, index, inForce, of }: FillOptions, after: string): Promise<Page> {
  if (of === 'all') return index.list(inForce.domain, after, limits.fillStates)
  const answer = await database.write(inForce.domain, { name: 'states_of_types', sql: OF_TYPES, values: [of, after, limits.fillStates] })
  switch (answer.kind) {
    case 'done':
      return { kind: 'page', ids: answer.rows.map(({ id }) => id as StateId) }
    case 'refused':
      return { kind: 'refused', reason: `${answer.error.sqlstate} ${answer.error.message}` }
    case 'missing':
    case 'unavailable':
      return answer
  }
}
