/**
 * Values that do not fit their columns, counted and named in the report of the configuration in force.
 *
 * Owns: the counts since this process began, by configuration. Does not own: what fits (shared/mirror/values.ts).
 * Talks to: the report.
 */
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { Log } from '../parts.ts'
import type { Misfits } from './mirror.ts'
import type { Report, Reports } from './reports.ts'

/** By "table.column": how often, why the last time, and in which state. */
type Count = { count: number; reason: string; state: string }
type Noted = { readonly report: Report; readonly counts: Map<string, Count>; timer: NodeJS.Timeout | undefined }

export class MisfitReports {
  readonly #reports: Reports
  readonly #registry: DomainRegistry
  readonly #log: Log
  readonly #noted = new Map<string, Noted>()

  constructor(options: { readonly reports: Reports; readonly registry: DomainRegistry; readonly log: Log }) {
    this.#reports = options.reports
    this.#registry = options.registry
    this.#log = options.log
  }

  note = ({ inForce, id, faults }: Misfits): void => {
    const noted = this.#of(inForce.domain, inForce.source.report)
    if (noted === undefined) return
    for (const { table, column, reason } of faults) {
      const name = `${table}.${column}`
      noted.counts.set(name, { count: (noted.counts.get(name)?.count ?? 0) + 1, reason, state: id })
    }
    noted.timer ??= setTimeout(() => {
      noted.timer = undefined
      const misfits: Json = Object.fromEntries([...noted.counts].map(([name, count]) => [name, { ...count }]))
      noted.report.set([['misfits'], misfits])
    }, limits.misfitReportMs).unref()
  }

  close(): void {
    for (const { timer } of this.#noted.values()) clearTimeout(timer)
  }

  #of(domain: string, id: Report['id']): Noted | undefined {
    const known = this.#noted.get(domain)
    if (known?.report.id === id) return known
    const record = this.#registry.get(domain)
    if (record === undefined) {
      this.#log.warn({ domain }, 'a value does not fit, in a domain that nobody administers')
      return undefined
    }
    const noted: Noted = { report: this.#reports.of(record.admin, id), counts: new Map(), timer: undefined }
    this.#noted.set(domain, noted)
    return noted
  }
}
