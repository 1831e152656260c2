/**
 * What handlers log, and their errors, in the report of the configuration in force: for the domain's admin.
 *
 * Owns: the last lines of each domain since this process began. Does not own: the report. I1. Bounded: a domain that logs
 * without end keeps its last lines, and costs one patch of its report in `limits.domainLogMs`.
 */
import { limits } from '#shared/limits.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { Report, Reports } from './reports.ts'

type Kept = { readonly report: Report; readonly log: string[]; readonly errors: string[]; timer: NodeJS.Timeout | undefined }

export class DomainLogs {
  readonly #reports: Reports
  readonly #registry: DomainRegistry
  readonly #kept = new Map<string, Kept>()

  constructor(options: { readonly reports: Reports; readonly registry: DomainRegistry }) {
    this.#reports = options.reports
    this.#registry = options.registry
  }

  lines(domain: string, lines: readonly string[]): void {
    this.#keep(domain, 'log', lines)
  }

  error(domain: string, message: string): void {
    this.#keep(domain, 'errors', [message])
  }

  /** `outcome`: `done`, or what keeps the domain's agent from running. */
  agentStarted(domain: string, outcome: string): void {
    this.#of(domain)?.report.set([['tasks', 'agent'], ['initializing', outcome.toWellFormed().slice(0, limits.handlerMessageCharacters)]])
  }

  close(): void {
    for (const { timer } of this.#kept.values()) clearTimeout(timer)
  }

  #keep(domain: string, to: 'log' | 'errors', lines: readonly string[]): void {
    const kept = this.#of(domain)
    if (kept === undefined) return
    const list = kept[to]
    for (const line of lines) list.push(line.toWellFormed().slice(0, limits.domainLogCharacters))
    list.splice(0, Math.max(0, list.length - limits.domainLogLines))
    kept.timer ??= setTimeout(() => {
      kept.timer = undefined
      kept.report.set([['log'], [...kept.log]], [['errors'], [...kept.errors]])
    }, limits.domainLogMs).unref()
  }

  #of(domain: string): Kept | undefined {
    const record = this.#registry.get(domain)
    const source = record?.applying ?? record?.config
    if (record === undefined || source === undefined) return undefined
    const known = this.#kept.get(domain)
    if (known?.report.id === source.report) return known
    clearTimeout(known?.timer)
    const kept: Kept = { report: this.#reports.of(record.admin, source.report), log: [], errors: [], timer: undefined }
    this.#kept.set(domain, kept)
    return kept
  }
}
