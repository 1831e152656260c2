/**
 * Sessions among all states that there are: what the schedule's list of them is made from where it was lost.
 *
 * Owns: nothing. Does not own: the list. Talks to: cold storage, by a survey; the records of sessions; the list.
 *
 * I1. What the list lost it has again before it says that it is whole; what was not finished is begun anew.
 * I2. An open session is listed as used now: when it was used last was lost with the list.
 */
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { FoundState } from '#shared/mirror/survey.ts'
import { sessionRecordOf } from '#shared/sessions/session-record.ts'
import type { Names } from '../names.ts'
import type { Log } from '../parts.ts'
import type { FoundSession, SessionIndex } from './session-index.ts'

export type SessionSurveyOptions = {
  readonly survey: () => AsyncIterable<FoundState>
  readonly names: Names
  readonly index: SessionIndex
  readonly log: Pick<Log, 'info' | 'warn'>
}

export class SessionSurvey {
  readonly #options: SessionSurveyOptions
  #work: Promise<boolean> | undefined
  #isClosed = false

  constructor(options: SessionSurveyOptions) {
    this.#options = options
  }

  /** Resolves when the list is whole; false: it could not be made whole now. */
  complete(): Promise<boolean> {
    this.#work ??= this.#complete().finally(() => {
      this.#work = undefined
    })
    return this.#work
  }

  close(): void {
    this.#isClosed = true
  }

  async #complete(): Promise<boolean> {
    const { index, log } = this.#options
    const isWhole = await index.isWhole()
    if (isWhole !== false) return isWhole === true
    if (!(await this.#survey())) {
      if (!this.#isClosed) log.warn({}, 'the list of sessions could not be made from cold storage; the next run tries again')
      return false
    }
    log.info({}, 'the list of sessions is made')
    return true
  }

  async #survey(): Promise<boolean> {
    const { survey, index } = this.#options
    // A survey may name a state twice.
    const ids = new Set<StateId>()
    for await (const { id, reserved } of survey()) {
      if (this.#isClosed) return false
      if (reserved) ids.add(id)
      if (ids.size < limits.fillStates) continue
      if (!(await this.#list([...ids]))) return false
      ids.clear()
    }
    return (await this.#list([...ids])) && index.becameWhole()
  }

  async #list(ids: readonly StateId[]): Promise<boolean> {
    const { names, index } = this.#options
    const found: FoundSession[] = []
    for (const [at, read] of (await Promise.all(ids.map((id) => names.read(id)))).entries()) {
      if (read.kind === 'unavailable') return false
      const record = read.view === undefined ? undefined : sessionRecordOf(read.view)
      if (record !== undefined && !record.finished) found.push({ session: ids[at]!, user: record.user, domain: record.domain, isEnding: record.closed })
    }
    return index.found(found)
  }
}
