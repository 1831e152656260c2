/**
 * Claims of domains.
 *
 * Owns: claims that wait for their proof, in this process. Does not own: who administers a domain (the registry), where a
 * domain shows its token (DomainProof). Talks to: the registry, the proof, the claim's report.
 *
 * I1. A domain has one admin, the first who proved it; who was not the first is told.
 * I2. A claim that this process takes down with it ends with its time-out, which its report names; the same patch again begins it anew.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { DomainProof } from '#shared/ports/domain-proof.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import { isLocalhost } from '#shared/sessions/domain.ts'
import { isOwner } from '../party.ts'
import type { Party } from '../party.ts'
import type { Log, WallClock } from '../parts.ts'
import type { Report, Reports } from './reports.ts'

export type ClaimsOptions = {
  readonly registry: DomainRegistry
  readonly proof: DomainProof
  readonly reports: Reports
  readonly clock: WallClock
  readonly log: Log
  /** `localhost` and `*.localhost` are whoever's asks first. */
  readonly openDomains: boolean
}

export type Claim = { readonly domain: string; readonly caller: Party; readonly token: string; readonly report: StateId }
export type ClaimAnswer = 'claimed' | 'waiting' | 'taken' | 'report-refused' | 'unavailable'

export class Claims {
  readonly #options: ClaimsOptions
  /** By whose, what and report: who names another's report has begun nothing. */
  readonly #open = new Set<string>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #isClosed = false

  constructor(options: ClaimsOptions) {
    this.#options = options
  }

  async begin(claim: Claim): Promise<ClaimAnswer> {
    const { registry, reports, clock, openDomains } = this.#options
    const present = await registry.read(claim.domain)
    if (present.kind === 'failed') return 'unavailable'
    if (present.kind === 'record') {
      const { admin, claim: report } = present.record
      return report === claim.report && isOwner(claim.caller, { owner: admin.user, domain: admin.domain }) ? 'claimed' : 'taken'
    }
    if (this.#open.has(keyOf(claim))) return 'waiting'
    const isLocal = openDomains && isLocalhost(claim.domain)
    if (this.#open.size >= limits.claimsOpen) return 'unavailable'
    this.#open.add(keyOf(claim))
    const started = clock.wallMs()
    const timeout = started + limits.claimMs
    const report = reports.of(claim.caller, claim.report)
    const begun = await report.begin({ domain: claim.domain, started, attempts: isLocal ? 1 : 0, timeout })
    if (begun.kind !== 'stored') {
      this.#open.delete(keyOf(claim))
      return begun.kind === 'unavailable' ? 'unavailable' : 'report-refused'
    }
    if (isLocal) return this.#grant(claim, report)
    this.#look(claim, report, { attempts: 0, timeout })
    return 'waiting'
  }

  close(): void {
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #look(claim: Claim, report: Report, { attempts, timeout }: { readonly attempts: number; readonly timeout: number }): void {
    const later = (ms: number, then: () => void): void => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        then()
      }, ms).unref()
      this.#timers.add(timer)
    }
    const look = async (): Promise<void> => {
      const seen = await this.#options.proof.look(claim.domain, claim.token)
      if (this.#isClosed) return
      const now = attempts + 1
      report.set([['attempts'], now])
      if (seen.kind === 'shown') return void (await this.#grant(claim, report))
      if (this.#options.clock.wallMs() >= timeout) {
        this.#open.delete(keyOf(claim))
        return report.set([['error'], `not proved in time: ${seen.reason}`])
      }
      report.set([['looked'], seen.reason])
      later(limits.claimLookMs, () => this.#look(claim, report, { attempts: now, timeout }))
    }
    look().catch((error: unknown) => {
      this.#open.delete(keyOf(claim))
      this.#options.log.error({ err: error, domain: claim.domain }, 'a claim failed unexpectedly')
    })
  }

  async #grant(claim: Claim, report: Report): Promise<ClaimAnswer> {
    const { registry } = this.#options
    const { domain, caller } = claim
    const outcome = await registry.write({ domain, version: 1, admin: { user: caller.user, domain: caller.domain }, claim: claim.report, config: undefined, applying: undefined })
    this.#open.delete(keyOf(claim))
    switch (outcome.kind) {
      case 'stored':
        report.set([['success'], true])
        return 'claimed'
      case 'conflict':
        report.set([['error'], 'another user has claimed the domain first'])
        return 'taken'
      case 'failed':
        report.set([['error'], 'the claim could not be stored: claim again'])
        return 'unavailable'
    }
  }
}

function keyOf({ domain, caller, report }: Claim): string {
  return JSON.stringify([domain, caller.domain, caller.user, report])
}
