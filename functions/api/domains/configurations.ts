/**
 * Brings configurations of domains into force.
 *
 * Owns: the order of the steps, and one domain's configurations one after the other. Does not own: what the steps are
 * (shared/domain/mirror-plan.ts), filling. Talks to: the registry, the domain's database, its report.
 *
 * The record says what is being applied before the database is touched, and names it as in force when all its statements
 * are committed; then, when every process knows it, its tables are filled.
 *
 * I1. In force is what was checked as a whole and committed as a whole; what fails leaves the one before in force.
 * I2. What a crash left half done is done from its beginning by the next start, or by the schedule, on whatever the database has become.
 * I3. Tables are filled when every process that writes rows knows them: no state is missed in between.
 */
import { mirrorPlan } from '#shared/domain/mirror-plan.ts'
import type { MirrorPlan, Step } from '#shared/domain/mirror-plan.ts'
import { parseDomainConfig } from '#shared/domain/config.ts'
import type { DomainConfig } from '#shared/domain/config.ts'
import type { StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { StateIndex } from '#shared/mirror/state-index.ts'
import type { DomainDatabase } from '#shared/ports/domain-database.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { DomainWorker } from '#shared/ports/domain-worker.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import type { ConfigSource, DomainRecord } from '#shared/records/domain-record.ts'
import type { Log, WallClock } from '../parts.ts'
import { checkConfig } from './checking.ts'
import { fill } from './filling.ts'
import { inForce, isSame, sourceText } from './in-force.ts'
import type { InForceDomains } from './in-force.ts'
import type { Mirror } from './mirror.ts'
import type { Report, Reports } from './reports.ts'

export type ConfigurationsOptions = {
  readonly registry: DomainRegistry
  readonly database: DomainDatabase
  readonly uploads: Uploads
  readonly cluster: StateCluster
  readonly inForce: InForceDomains
  readonly mirror: Mirror
  readonly index: StateIndex
  readonly reports: Reports
  readonly worker: DomainWorker
  /** A configuration has taken effect. */
  readonly onInForce: (domain: string, source: ConfigSource) => void
  readonly clock: WallClock
  readonly log: Log
}

type Work = { readonly domain: string; readonly source: ConfigSource; readonly config: DomainConfig; readonly report: Report }
/** Without a report: of what is in force already. */
type Installation = Omit<Work, 'report'> & { readonly report: Report | undefined }
type Refusal = { readonly kind: 'refused'; readonly reason: string }
type Ended = { readonly kind: 'done' } | Refusal | { readonly kind: 'closed' }

/** Databases that are gone, and are made and filled again. */
export type Rebuilds = { begin(domain: string): void; isUnderWay(domain: string): boolean }

export class Configurations {
  readonly #options: ConfigurationsOptions
  /** By domain: the end of what is under way and waiting. */
  readonly #lines = new Map<string, Promise<void>>()
  readonly #rebuilding = new Set<string>()
  /** Reports of what is under way or waiting. */
  readonly #open = new Set<StateId>()
  #isClosed = false

  constructor(options: ConfigurationsOptions) {
    this.#options = options
  }

  /**
   * Begins the report of a configuration that was handed in, and the work; resolves when the report is begun. Without a
   * report nothing is done.
   */
  async begin(record: DomainRecord, source: ConfigSource, text: string): Promise<'begun' | 'report-refused' | 'unavailable'> {
    const { domain, admin } = record
    const report = this.#options.reports.of(admin, source.report)
    const parsed = await checkConfig(text, domain, this.#options.worker)
    if (parsed.kind === 'unavailable') return 'unavailable'
    const head = { domain, config: source.state, start: this.#options.clock.wallMs() }
    if (parsed.kind === 'faults') {
      const answer = await report.begin({ ...head, tasks: {}, error: parsed.faults as unknown as Json, end: this.#options.clock.wallMs() })
      return begun(answer.kind)
    }
    const answer = await report.begin({ ...head, tasks: parsed.isAgent === true ? { agent: ['initializing'] } : {} })
    if (answer.kind === 'stored') this.#begin({ domain, source, config: parsed.config, report })
    return begun(answer.kind)
  }

  /** Whether the configuration with this report is under way here. */
  isOpen(report: StateId): boolean {
    return this.#open.has(report)
  }

  /** What a crash has left: that was begun so long ago that whoever began it does not work on it any more. */
  async resume(abandonedMs: number): Promise<void> {
    const { registry, reports, clock } = this.#options
    await registry.ready()
    for (const { domain, admin, applying } of registry.all()) {
      if (applying === undefined || this.#open.has(applying.report) || applying.sinceMs > clock.wallMs() - abandonedMs) continue
      const report = reports.of(admin, applying.report)
      this.#open.add(applying.report)
      this.#queue(domain, () => this.#resume(domain, applying, report).finally(() => this.#open.delete(applying.report)))
    }
  }

  /** The last life ended without order: writes rows anew that it may not have written. */
  refill(): void {
    for (const { domain, config, applying } of this.#options.registry.all()) {
      if (config === undefined || applying !== undefined) continue
      this.#queue(domain, async () => {
        const present = await this.#options.inForce.of(domain)
        if (typeof present === 'string') return
        await this.#install({ domain, source: present.source, config: present.config, report: undefined }, present.config, true)
      })
    }
  }

  isRebuilding(domain: string): boolean {
    return this.#rebuilding.has(domain)
  }

  /** The domain's database is gone: makes and fills it again. */
  rebuild(domain: string): void {
    if (this.#rebuilding.has(domain)) return
    this.#rebuilding.add(domain)
    this.#queue(domain, async () => {
      try {
        const present = await this.#options.inForce.of(domain)
        if (typeof present !== 'string') await this.#install({ domain, source: present.source, config: present.config, report: undefined }, undefined)
      } finally {
        this.#rebuilding.delete(domain)
      }
    })
  }

  close(): void {
    this.#isClosed = true
  }

  #begin(work: Work): void {
    const { report } = work.source
    this.#open.add(report)
    this.#queue(work.domain, () => this.#apply(work).finally(() => this.#open.delete(report)))
  }

  #queue(domain: string, work: () => Promise<void>): void {
    const line = (this.#lines.get(domain) ?? Promise.resolve()).then(work).catch((error: unknown) => {
      this.#options.log.error({ err: error, domain }, 'a configuration failed unexpectedly')
    })
    this.#lines.set(domain, line)
    void line.finally(() => {
      if (this.#lines.get(domain) === line) this.#lines.delete(domain)
    })
  }

  async #resume(domain: string, source: ConfigSource, report: Report): Promise<void> {
    const read = await this.#patiently(report, async () => {
      const answer = await sourceText(this.#options.uploads, source)
      return answer.kind === 'failed' ? { kind: 'unavailable' as const, reason: answer.reason } : answer
    })
    if (read === 'closed') return
    const parsed = read.kind === 'text' ? parseDomainConfig(read.text) : undefined
    if (parsed?.kind === 'config') return this.#apply({ domain, source, config: parsed.config, report })
    this.#options.log.error({ domain, upload: source.object }, 'a configuration that was being applied cannot be read any more')
    await this.#takeBack(domain, true)
    this.#fail(report, 'the configuration cannot be read any more')
  }

  async #apply(work: Work): Promise<void> {
    const { registry, clock } = this.#options
    const { domain, source, report } = work
    const before = registry.get(domain)
    if (before === undefined) return
    const wasBroken = before.applying !== undefined
    const present = wasBroken ? 'none' : await this.#options.inForce.of(domain)
    if (present === 'unavailable') return this.#fail(report, 'the configuration in force cannot be read')
    if (!(await this.#note(before, { applying: source }))) return this.#fail(report, 'the domain is being configured elsewhere')
    const from = present === 'none' ? undefined : present.config
    const ended = await this.#install(work, from)
    switch (ended.kind) {
      case 'closed':
        return
      case 'refused':
        await this.#takeBack(domain, wasBroken)
        return this.#fail(report, ended.reason)
      case 'done': {
        const after = registry.get(domain)
        if (after !== undefined) await this.#note(after, { applying: undefined })
        report.set([['end'], clock.wallMs()])
        this.#options.onInForce(domain, source)
      }
    }
  }

  /** I1. After a crash the database may be neither: it is brought to what is in force. */
  async #takeBack(domain: string, wasBroken: boolean): Promise<void> {
    const { registry, inForce: domains } = this.#options
    const present = await domains.of(domain)
    if (wasBroken && typeof present !== 'string') await this.#install({ domain, source: present.source, config: present.config, report: undefined }, undefined)
    const record = registry.get(domain)
    if (record !== undefined) await this.#note(record, { applying: undefined })
  }

  /** From `from` (undefined: from whatever is there) to the work's configuration, filled; `isAll`: with all states, whatever has changed. */
  async #install(work: Installation, from: DomainConfig | undefined, isAll = false): Promise<Ended> {
    let ended = await this.#installOnce(work, from, isAll)
    while (ended.kind === 'missing') {
      await pause(limits.configureRetryMs)
      ended = this.#isClosed ? { kind: 'closed' } : await this.#installOnce(work, undefined, isAll)
    }
    if (ended.kind === 'refused' && work.report === undefined) this.#options.log.error({ domain: work.domain, reason: ended.reason }, 'the tables of a domain could not be made anew')
    return ended
  }

  /** `missing`: the database has gone meanwhile. */
  async #installOnce(work: Installation, from: DomainConfig | undefined, isAll: boolean): Promise<Ended | { readonly kind: 'missing' }> {
    const { database, registry } = this.#options
    const { domain, source, config } = work
    const ensured = await this.#patiently(work.report, async () => {
      const outcome = await database.ensure(domain)
      return outcome.kind === 'ready' ? { kind: 'ready' as const, created: outcome.created } : outcome
    })
    if (ensured === 'closed') return { kind: 'closed' }
    // What is in force was checked when it came into force, perhaps with functions and tables that have gone since.
    const plan = mirrorPlan({ from: ensured.created ? undefined : from, to: config, checked: work.report === undefined })
    const tasks = new Tasks(plan, config, work.report)
    const statements = plan.steps.flatMap((step) => step.statements.map((statement) => ({ step, statement })))
    tasks.began()
    const changed = await this.#patiently(work.report, () => database.transact(domain, statements.map(({ statement }) => statement)))
    if (changed === 'closed') return { kind: 'closed' }
    if (changed.kind === 'missing') return changed
    if (changed.kind === 'refused') {
      const { step } = statements[changed.at]!
      const reason = `${changed.error.sqlstate}: ${changed.error.message}`
      tasks.failed(step, reason)
      return { kind: 'refused', reason: `${nameOf(step)}: ${reason}` }
    }
    const record = registry.get(domain)
    const isNew = record !== undefined && (record.config === undefined || !isSame(record.config, source))
    if (isNew && !(await this.#note(record, { config: { ...source, sinceMs: this.#options.clock.wallMs() } }))) return { kind: 'refused', reason: 'the domain is being configured elsewhere' }
    if (registry.takesMs > 0) await pause(registry.takesMs)
    await this.#options.mirror.settled(domain)
    const filled = await this.#fill(work, plan, tasks, isAll || ensured.created || from === undefined)
    if (filled.kind === 'done') tasks.done()
    return filled
  }

  async #fill(work: Installation, plan: MirrorPlan, tasks: Tasks, isAll: boolean): Promise<Ended | { readonly kind: 'missing' }> {
    const { cluster, database, index, mirror } = this.#options
    const { domain, source, config } = work
    if (!isAll && plan.fill.length === 0) return { kind: 'done' }
    tasks.filling(plan.fill.map(({ table }) => table))
    const of = isAll ? ('all' as const) : [...new Set(plan.fill.map(({ type }) => type))]
    const next = inForce(domain, source, config)
    const filled = await this.#patiently(work.report, async () => {
      if (!(await index.flush())) return { kind: 'unavailable' as const, reason: 'Postgres does not answer' }
      return fill({ cluster, database, index, mirror, inForce: next, of })
    })
    if (filled === 'closed') return { kind: 'closed' }
    if (filled.kind !== 'done') return filled
    const swept = await this.#patiently(work.report, () => database.transact(domain, plan.fill.map(({ sweep }) => ({ sql: sweep }))))
    if (swept === 'closed') return { kind: 'closed' }
    if (swept.kind === 'missing') return swept
    return swept.kind === 'refused' ? { kind: 'refused', reason: swept.error.message } : { kind: 'done' }
  }

  /** Tries until it is answered; the report says what is waited for. */
  async #patiently<T extends { readonly kind: string }>(
    report: Report | undefined,
    work: () => Promise<T | { readonly kind: 'unavailable'; readonly reason: string }>,
  ): Promise<Exclude<T, { readonly kind: 'unavailable' }> | 'closed'> {
    let waiting: string | undefined
    while (!this.#isClosed) {
      const outcome = await work()
      if (outcome.kind !== 'unavailable') {
        if (waiting !== undefined) report?.set([['waiting'], null])
        return outcome as Exclude<T, { readonly kind: 'unavailable' }>
      }
      const { reason } = outcome as { readonly reason: string }
      if (waiting !== reason) {
        waiting = reason
        this.#options.log.warn({ reason }, 'a configuration waits')
        // Of Postgres itself: how it is called and where it is are not the tenant's business.
        report?.set([['waiting'], 'the database cannot be used just now'])
      }
      await pause(limits.configureRetryMs)
    }
    return 'closed'
  }

  async #note(record: DomainRecord, changes: Partial<Pick<DomainRecord, 'config' | 'applying'>>): Promise<boolean> {
    const outcome = await this.#options.registry.write({ ...record, ...changes, version: record.version + 1 })
    if (outcome.kind === 'failed') this.#options.log.error({ domain: record.domain, reason: outcome.reason }, 'the record of a domain could not be written')
    return outcome.kind === 'stored'
  }

  #fail(report: Report, reason: string): void {
    report.set([['error'], reason], [['end'], this.#options.clock.wallMs()])
  }
}

function begun(kind: string): 'begun' | 'report-refused' | 'unavailable' {
  return kind === 'stored' ? 'begun' : kind === 'unavailable' ? 'unavailable' : 'report-refused'
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

function nameOf({ task }: Step): string {
  return task.kind === 'prepare' ? 'prepare' : `${task.kind} ${task.name}`
}

/** The member `tasks` of a report: what was done to each table and function, in order, "Done" at the end. */
class Tasks {
  readonly #plan: MirrorPlan
  readonly #report: Report | undefined
  readonly #prepare: string[] = []
  readonly #tables: Map<string, string[]>
  readonly #functions: Map<string, string[]>

  constructor(plan: MirrorPlan, config: DomainConfig, report: Report | undefined) {
    this.#plan = plan
    this.#report = report
    const { tables, functions } = plan.tasks
    this.#tables = new Map([...tables, ...config.tables.map(({ name }) => name)].map((name) => [name, []]))
    this.#functions = new Map(functions.map((name) => [name, []]))
  }

  began(): void {
    for (const step of this.#plan.steps) this.#of(step)?.push(step.title)
    this.#write()
  }

  filling(tables: readonly string[]): void {
    for (const table of tables) this.#tables.get(table)?.push('Filling')
    this.#write()
  }

  failed(step: Step, reason: string): void {
    this.#of(step)?.push(`Error: ${reason}`)
    this.#write()
  }

  done(): void {
    for (const list of [this.#prepare, ...this.#tables.values(), ...this.#functions.values()]) list.push('Done')
    this.#write()
  }

  #of({ task }: Step): string[] | undefined {
    switch (task.kind) {
      case 'prepare':
        return this.#prepare
      case 'table':
        return this.#tables.get(task.name)
      case 'function':
        return this.#functions.get(task.name)
    }
  }

  #write(): void {
    const lists = (of: ReadonlyMap<string, string[]>): Json => Object.fromEntries([...of].map(([name, list]) => [name, [...list]]))
    this.#report?.set([['tasks', 'postgres'], { prepare: [...this.#prepare], tables: lists(this.#tables), functions: lists(this.#functions) }])
  }
}
