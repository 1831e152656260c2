/** Health, readiness, and what the cluster looks like. */
import { hash, timingSafeEqual } from 'node:crypto'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Exchange } from './exchange.ts'

export type OperationsParts = {
  readonly cluster: StateCluster
  readonly clusterInfo: boolean
  readonly operatorToken: string | undefined
}

export class Operations {
  readonly #parts: OperationsParts

  constructor(parts: OperationsParts) {
    this.#parts = parts
  }

  health = (x: Exchange): void => {
    x.json(200, '{"status":"ok"}')
  }

  ready = (x: Exchange): void => {
    const missing = this.#parts.cluster.missing()
    if (missing.length === 0) x.json(200, '{"status":"ready"}')
    else x.problem('unavailable', { detail: `missing: ${missing.join('; ')}`, members: { missing } }, ['Retry-After', '1'])
  }

  members = async (x: Exchange): Promise<void> => {
    const { cluster, clusterInfo, operatorToken } = this.#parts
    const { authorization } = x.req.headers
    if (!clusterInfo) {
      if (authorization === undefined) return x.problem('unauthorized', { detail: "an operator's token is needed" }, ['WWW-Authenticate', 'Bearer'])
      if (operatorToken === undefined || !isSame(authorization, `Bearer ${operatorToken}`)) return x.problem('forbidden', { detail: 'for operators only' })
    }
    x.json(200, JSON.stringify({ members: await cluster.members() }))
  }
}

/** In a time that does not depend on where they differ. */
function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', expected, 'buffer'))
}
