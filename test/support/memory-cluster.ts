/**
 * A StateCluster in memory for tests of the api: the leader's judgement on `shared/patch`, nothing durable.
 * Answers come in a later turn, as from a real one. `stall` and `fail` make it misbehave.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import { apply } from '#shared/patch/apply.ts'
import { activeText, documentOf, emptyDocument } from '#shared/patch/document.ts'
import type { Document } from '#shared/patch/document.ts'
import type { Op } from '#shared/patch/op.ts'
import type {
  CreateAnswer,
  CreateRequest,
  Creation,
  FollowRequest,
  Follower,
  Following,
  HistoryAnswer,
  HistoryRequest,
  InteractionView,
  MemberInfo,
  PatchAnswer,
  PatchRequest,
  ReadAnswer,
  ReadRequest,
  StateAtAnswer,
  StateAtRequest,
  StateCluster,
  StateView,
  Unavailable,
} from '#shared/ports/state-cluster.ts'

type Stored = {
  readonly id: StateId
  readonly owner: string
  readonly domain: string
  readonly creation: Creation
  readonly created: number
  updated: number
  document: Document
  history: InteractionView[]
  keys: Map<string, { bodyDigest: string; ii: InteractionIndex; updated: number }>
}

type Attached = { readonly follower: Follower; started: boolean; stopped: boolean }

export class MemoryCluster implements StateCluster {
  readonly states = new Map<StateId, Stored>()
  /** Every request, in order: what tests look at to see how the api uses the cluster. */
  readonly asked: { readonly kind: 'patch' | 'read' | 'create' | 'history' | 'stateAt' | 'follow'; readonly id: StateId }[] = []
  /** Called before a patch is judged; an answer stands for the patch's, which is then not judged. */
  beforePatch: (request: PatchRequest) => PatchAnswer | undefined | Promise<PatchAnswer | undefined> = () => undefined
  /** As long as it is set, everything answers so. */
  outage: Unavailable | undefined = undefined
  missingParts: readonly string[] = []
  readonly #followers = new Map<StateId, Set<Attached>>()
  readonly #waiting = new Map<StateId, Set<() => void>>()
  readonly #nowMs: () => number

  constructor(options: { nowMs?: () => number } = {}) {
    this.#nowMs = options.nowMs ?? Date.now
  }

  get followings(): number {
    let count = 0
    for (const each of this.#followers.values()) count += each.size
    return count
  }

  async patch(request: PatchRequest): Promise<PatchAnswer> {
    this.asked.push({ kind: 'patch', id: request.id })
    await turn()
    if (this.outage !== undefined) return this.outage
    const instead = await this.beforePatch(request)
    return instead ?? this.#judge(request)
  }

  #judge(request: PatchRequest): PatchAnswer {
    const { id, creation } = request
    const present = this.states.get(id)
    if (present === undefined && creation === undefined) return { kind: 'unwritten' }
    if (present !== undefined && !mayWrite(present, request)) return { kind: 'forbidden' }
    const known = present?.keys.get(request.key)
    if (present !== undefined && known !== undefined) {
      if (known.bodyDigest !== request.bodyDigest) return { kind: 'key-reused' }
      return { kind: 'stored', ii: known.ii, updated: known.updated, replayed: true, activeType: present.document.activeType, state: wantsImage(request, present.document.activeType) ? viewOf(present) : undefined }
    }
    const next = ((present?.history.length ?? 0) + 1) as InteractionIndex
    if (request.expected !== undefined && request.expected > next) return { kind: 'replay', next }
    if (request.expected !== undefined && request.expected < next) return { kind: 'out-of-sync', ii: (next - 1) as InteractionIndex }
    const nowMs = this.#nowMs()
    const state = present ?? newState({ id, user: request.user, domain: request.domain, creation: creation! }, nowMs)
    const outcome = apply(state.document, request.ops)
    if (outcome.kind === 'refused') return { kind: 'unprocessable', op: outcome.op, reason: outcome.reason }
    if (outcome.kind === 'too-large') return outcome
    this.states.set(id, state)
    state.updated = Math.max(nowMs, state.updated)
    state.keys.set(request.key, { bodyDigest: request.bodyDigest, ii: next, updated: state.updated })
    const interaction: InteractionView = { ii: next, user: request.user, ts: state.updated, patch: request.text }
    state.history.push(interaction)
    for (const each of this.#followers.get(id) ?? []) if (each.started) each.follower.patch(interaction)
    for (const wake of this.#waiting.get(id) ?? []) wake()
    return { kind: 'stored', ii: next, updated: state.updated, replayed: false, activeType: state.document.activeType, state: wantsImage(request, state.document.activeType) ? viewOf(state) : undefined }
  }

  async read({ id, minIi }: ReadRequest): Promise<ReadAnswer> {
    this.asked.push({ kind: 'read', id })
    await turn()
    if (this.outage !== undefined) return this.outage
    if (minIi !== undefined && !(await this.#reaches(id, minIi))) return { kind: 'behind' }
    const state = this.states.get(id)
    return state === undefined ? { kind: 'unwritten' } : { kind: 'state', state: viewOf(state) }
  }

  #reaches(id: StateId, minIi: number): Promise<boolean> {
    const has = (): boolean => (this.states.get(id)?.history.length ?? 0) >= minIi
    if (has()) return Promise.resolve(true)
    const waiting = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, waiting)
    return new Promise((resolve) => {
      const done = (reached: boolean): void => {
        clearTimeout(timer)
        waiting.delete(wake)
        resolve(reached)
      }
      const wake = (): void => {
        if (has()) done(true)
      }
      const timer = setTimeout(() => done(false), limits.minIiWaitMs)
      waiting.add(wake)
    })
  }

  async create(request: CreateRequest): Promise<CreateAnswer> {
    this.asked.push({ kind: 'create', id: request.id })
    await turn()
    if (this.outage !== undefined) return this.outage
    const present = this.states.get(request.id)
    if (present !== undefined) return { kind: 'created', made: false, state: viewOf(present) }
    const state = newState(request, this.#nowMs())
    this.states.set(request.id, state)
    return { kind: 'created', made: true, state: viewOf(state) }
  }

  async history({ id, from, to }: HistoryRequest): Promise<HistoryAnswer> {
    this.asked.push({ kind: 'history', id })
    await turn()
    if (this.outage !== undefined) return this.outage
    const all = this.states.get(id)?.history ?? []
    const first = Math.max(1, from)
    const last = Math.min(to ?? all.length, all.length)
    const interactions = all.slice(first - 1, Math.min(last, first - 1 + limits.historyPageInteractions))
    return { kind: 'page', interactions, more: first - 1 + interactions.length < last }
  }

  async stateAt({ id, ii }: StateAtRequest): Promise<StateAtAnswer> {
    this.asked.push({ kind: 'stateAt', id })
    await turn()
    if (this.outage !== undefined) return this.outage
    const state = this.states.get(id)
    if (state === undefined) return { kind: 'unwritten' }
    if (ii > state.history.length) return { kind: 'beyond', ii: state.history.length as InteractionIndex }
    const past = newState({ id, user: state.owner, domain: state.domain, creation: state.creation }, state.created)
    for (const interaction of state.history.slice(0, ii)) {
      apply(past.document, JSON.parse(interaction.patch) as Op[])
      past.history.push(interaction)
      past.updated = interaction.ts
    }
    return { kind: 'state', state: viewOf(past) }
  }

  follow({ id, from }: FollowRequest, follower: Follower): Following {
    this.asked.push({ kind: 'follow', id })
    const attached: Attached = { follower, started: false, stopped: false }
    const all = this.#followers.get(id) ?? new Set()
    this.#followers.set(id, all)
    all.add(attached)
    setImmediate(() => {
      if (attached.stopped) return
      attached.started = true
      const state = this.states.get(id)
      const present = state?.history.length ?? 0
      if (from === undefined || from < 1 || from > present + 1) follower.state(state === undefined ? undefined : viewOf(state))
      else for (const interaction of state?.history.slice(from - 1) ?? []) follower.patch(interaction)
    })
    return {
      stop: () => {
        attached.stopped = true
        all.delete(attached)
      },
    }
  }

  /** What followers of a real cluster see when continuity could not be kept. */
  restartFollowings(id: StateId): void {
    const state = this.states.get(id)
    for (const each of this.#followers.get(id) ?? []) each.follower.state(state === undefined ? undefined : viewOf(state))
  }

  async members(): Promise<readonly MemberInfo[]> {
    return [{ name: 'memory-0', incarnation: 'i', pid: process.pid, address: '', state: 'active', slots: 1024, leads: [], log: { seq: 0, waiting: 0 } }]
  }

  missing(): readonly string[] {
    return this.missingParts
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function newState(of: CreateRequest, nowMs: number): Stored {
  const document = emptyDocument()
  const named = documentOf({ active: document.active, activeType: document.activeType, name: of.creation.name })
  return { id: of.id, owner: of.user, domain: of.domain, creation: of.creation, created: nowMs, updated: nowMs, document: named, history: [], keys: new Map() }
}

function mayWrite(state: Stored, request: PatchRequest): boolean {
  if (request.authority === 'system') return true
  if (state.creation.reserved) return false
  if (state.owner === request.user && state.domain === request.domain) return true
  return request.authority === 'granted' && request.ops.every((op) => op.path[0] === 'active' && (op.op !== 'move' || op.from[0] === 'active'))
}

function viewOf(state: Stored): StateView {
  return {
    id: state.id,
    ii: state.history.length as InteractionIndex,
    domain: state.domain,
    owner: state.owner,
    name: state.document.name,
    activeType: state.document.activeType,
    active: activeText(state.document),
    created: state.created,
    updated: state.updated,
    reserved: state.creation.reserved,
  }
}

function wantsImage({ returnState, imageFor }: PatchRequest, activeType: string): boolean {
  return returnState || imageFor === 'all' || (imageFor?.includes(activeType) ?? false)
}
