/**
 * The end of sessions, whatever ends them: the record is marked, the close scripts run, the entry in the user's `sessions`
 * goes.
 *
 * Owns: the order of the steps. Does not own: what scripts do. Talks to: the record, the user's `sessions` state, handlers.
 *
 * I1. Of all who end a session one marks its record; whoever finds it marked and not finished goes on from there. In one
 *     process those who go on with the same end are one.
 * I2. What a script came to is in the record before the next one runs. One that was cut off runs again; its patches have
 *     keys made of the session and the script's id, so that what it had done is not done twice.
 * I3. Where scripts may be left, the schedule knows of an end before it is begun.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { Op } from '#shared/patch/op.ts'
import type { CallOutcome } from '#shared/ports/domain-worker.ts'
import type { PatchAnswer, StateCluster, StateView, Unavailable } from '#shared/ports/state-cluster.ts'
import { SESSIONS_NAME, closingOps, finishingOps, ranOps, sessionRecordOf } from '#shared/sessions/session-record.ts'
import type { ScriptResult } from '#shared/sessions/session-record.ts'
import type { Persisted } from './client-patch.ts'
import type { SessionIndex } from './domains/session-index.ts'
import { mintKey } from './keys.ts'
import type { Log, WallClock } from './parts.ts'
import { isOwner } from './party.ts'
import type { Party } from './party.ts'
import { runPatch } from './request-loop.ts'
import type { Loop } from './request-loop.ts'

/** Whoever else patches the record at the same time ends it as well. */
const ATTEMPTS = 4

export type ClosingParts = { readonly cluster: StateCluster; readonly loop: Loop; readonly index: SessionIndex; readonly clock: WallClock; readonly log: Log }

/** `none`: no open session of this user. */
export type ClosingAnswer = { readonly kind: 'closed'; readonly closedMs: number } | { readonly kind: 'none' } | Unavailable

/** `later`: not all could be run now, and the schedule goes on with them; they are in `scripts` as not run. */
export type Finish = { readonly kind: 'finished' | 'later'; readonly scripts: readonly ScriptResult[] }

export type Script = { readonly id: string; readonly name: string; readonly args: Json }

export class SessionClosing {
  readonly #parts: ClosingParts
  readonly #underWay = new Map<StateId, Promise<Finish>>()

  constructor(parts: ClosingParts) {
    this.#parts = parts
  }

  /** Marks the record: from now on the session is closed. Pinned, so that of several exactly one does. */
  async mark(owner: Party, id: StateId): Promise<ClosingAnswer> {
    const { clock, index, loop } = this.#parts
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const found = await this.openRecord(owner, id)
      if (found.kind !== 'open') return found
      const closedMs = clock.wallMs()
      // I3. This process may not see the end of what it begins.
      const isNoted = await index.ending({ session: id, user: owner.user, domain: owner.domain })
      if (!isNoted) return { kind: 'unavailable', stored: false, reason: 'the end of the session cannot be noted just now' }
      const answer = await this.#patchRecord(owner, id, closingOps(closedMs), found.view.ii)
      switch (answer.kind) {
        case 'stored':
          loop.mirroring.behind(owner.domain, id, false)
          return { kind: 'closed', closedMs }
        case 'out-of-sync':
        case 'replay':
          continue
        case 'unavailable':
          return answer
        default:
          throw new Error(`the record of a session refused to be closed: ${answer.kind}`)
      }
    }
    return { kind: 'unavailable', stored: false, reason: 'the session is being changed' }
  }

  async openRecord(owner: Party, id: StateId): Promise<{ kind: 'open'; view: StateView } | { kind: 'none' } | Unavailable> {
    const read = await this.#parts.loop.names.read(id)
    if (read.kind === 'unavailable') return read
    const { view } = read
    const record = view === undefined ? undefined : sessionRecordOf(view)
    if (view === undefined || record === undefined || record.closed || !isOwner(owner, view)) return { kind: 'none' }
    return { kind: 'open', view }
  }

  /** Runs what was left, then takes the entry out by `farewell`. */
  finish(owner: Party, id: StateId, farewell: Op[] = [{ op: 'remove', path: ['active', id] }]): Promise<Finish> {
    const present = this.#underWay.get(id)
    if (present !== undefined) return present
    const work = this.#finish(owner, id, farewell).finally(() => this.#underWay.delete(id))
    this.#underWay.set(id, work)
    return work
  }

  async #finish(owner: Party, id: StateId, farewell: Op[]): Promise<Finish> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const answer = await this.#goOn(owner, id, farewell)
      if (answer.kind !== 'overtaken') return answer
    }
    return { kind: 'later', scripts: [] }
  }

  /** `overtaken`: another process goes on with the same end. */
  async #goOn(owner: Party, id: StateId, farewell: Op[]): Promise<Finish | { readonly kind: 'overtaken' }> {
    const { loop, index } = this.#parts
    const read = await loop.names.read(id)
    if (read.kind === 'unavailable') return { kind: 'later', scripts: [] }
    const record = read.view === undefined ? undefined : sessionRecordOf(read.view)
    if (record === undefined) {
      void index.ended(id)
      return { kind: 'finished', scripts: [] }
    }
    if (record.finished) {
      await this.#leave(owner, id, farewell)
      return { kind: 'finished', scripts: record.scripts }
    }
    const left = await this.scripts(owner, id)
    if (left === undefined) return { kind: 'later', scripts: record.scripts }
    const outstanding = left.filter((script) => !record.scripts.some((ran) => ran.id === script.id))
    const ran = await this.#runAll(owner, read.view!, record.scripts, outstanding)
    if (ran.kind === 'finished') await this.#leave(owner, id, farewell)
    return ran
  }

  /** I2. `before`: of scripts that have run. */
  async #runAll(owner: Party, { id, ii }: StateView, before: readonly ScriptResult[], outstanding: readonly Script[]): Promise<Finish | { readonly kind: 'overtaken' }> {
    const { index } = this.#parts
    const results = [...before]
    let present = ii
    for (const [at, script] of outstanding.entries()) {
      index.goesOn({ session: id, user: owner.user, domain: owner.domain })
      const result = await this.#run(owner, id, script)
      if (result === undefined) return later(results, outstanding.slice(at))
      const last = at === outstanding.length - 1 ? finishingOps(results.length + 1) : []
      const note = (of: ScriptResult): Promise<PatchAnswer> => this.#patchRecord(owner, id, [...ranOps(results.length, of), ...last], present)
      const [noted, kept] = await noteOr(note, result, { id: script.id, name: result.name, error: 'its result is too large' })
      if (noted.kind === 'out-of-sync') return { kind: 'overtaken' }
      if (noted.kind !== 'stored') return later(results, outstanding.slice(at))
      present = noted.ii
      results.push(kept)
    }
    if (outstanding.length > 0) return { kind: 'finished', scripts: results }
    const noted = await this.#patchRecord(owner, id, finishingOps(results.length), present)
    if (noted.kind === 'out-of-sync') return { kind: 'overtaken' }
    return noted.kind === 'stored' ? { kind: 'finished', scripts: results } : later(results, [])
  }

  async #leave(owner: Party, id: StateId, farewell: Op[]): Promise<void> {
    const { loop, index, log } = this.#parts
    loop.mirroring.behind(owner.domain, id, false)
    const entry = await this.patchEntries(owner, farewell)
    // Closed it is: what is left of the entry must not make anybody try again.
    if (entry.kind === 'unavailable') log.warn({ session: id, reason: entry.reason }, 'the entry of a closed session could not be removed')
    void index.ended(id)
  }

  /** Patches the user's own state `sessions`, for them. */
  async patchEntries(user: Party, ops: Op[]): Promise<Persisted['answer']> {
    const done = await runPatch(this.#parts.loop, {
      caller: { user: user.user, domain: user.domain },
      target: { kind: 'name', name: SESSIONS_NAME },
      ops,
      text: JSON.stringify(ops),
      key: mintKey(),
      bodyDigest: '',
      expected: undefined,
      returnState: false,
      skipsHandlers: true,
    })
    return done.answer
  }

  /** Those that will be run: what the user's state says, which is the user's own text; undefined: it cannot be read now. */
  async scripts(owner: Party, id: StateId): Promise<readonly Script[] | undefined> {
    const named = await this.#parts.loop.names.view(owner, SESSIONS_NAME)
    if (named.kind !== 'named') return undefined
    const entry = named.view === undefined ? undefined : member(JSON.parse(named.view.active) as Json, id)
    const close = member(entry, 'close')
    if (typeof close !== 'object' || close === null || Array.isArray(close)) return []
    return Object.entries(close)
      .slice(0, limits.closeScripts)
      .flatMap(([key, left]) => {
        const name = member(left, 'script')
        return typeof name === 'string' && key.length <= limits.closeScriptCharacters ? [{ id: key, name, args: member(left, 'args') ?? {} }] : []
      })
  }

  async #run(owner: Party, session: StateId, { id, name, args }: Script): Promise<ScriptResult | undefined> {
    const { handlers } = this.#parts.loop
    const of = await handlers.of(owner.domain)
    if (of === 'unavailable') return undefined
    if (of === 'none' || !of.exports.closeScripts.includes(name)) return { id, name: name.slice(0, limits.closeScriptCharacters), error: 'the domain has no such close script' }
    const outcome = await handlers.closeScript(of, { script: name, args, session, user: owner.user, key: `${session} ${id}` })
    return resultOf({ id, name }, outcome)
  }

  #patchRecord(owner: Party, id: StateId, ops: Op[], present: InteractionIndex): Promise<PatchAnswer> {
    return this.#parts.cluster.patch({
      id,
      ops,
      text: JSON.stringify(ops),
      user: owner.user,
      domain: owner.domain,
      authority: 'system',
      creation: undefined,
      key: mintKey(),
      bodyDigest: '',
      expected: (present + 1) as InteractionIndex,
      returnState: false,
      lenient: false,
    })
  }
}

/** What does not fit into the record must not be run again and again: `smaller` is noted. */
async function noteOr(note: (result: ScriptResult) => Promise<PatchAnswer>, result: ScriptResult, smaller: ScriptResult): Promise<[PatchAnswer, ScriptResult]> {
  const noted = await note(result)
  return noted.kind === 'too-large' ? [await note(smaller), smaller] : [noted, result]
}

function later(ran: readonly ScriptResult[], outstanding: readonly Script[]): Finish {
  return { kind: 'later', scripts: [...ran, ...outstanding.map(({ id, name }) => ({ id, name, error: 'it has not been run yet' }))] }
}

function member(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.hasOwn(value, name) ? (value as JsonObject)[name] : undefined
}

function resultOf(of: { readonly id: string; readonly name: string }, outcome: CallOutcome): ScriptResult | undefined {
  switch (outcome.kind) {
    case 'returned':
      return { ...of, result: outcome.value ?? null }
    case 'rejected':
    case 'threw':
      return { ...of, error: 'the script failed' }
    case 'exceeded':
      return { ...of, error: 'the script took more than it may' }
    case 'unavailable':
      return undefined
  }
}
