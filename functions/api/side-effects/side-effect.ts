/**
 * What a patch does besides changing its state: the interface of the types in table.ts.
 *
 * An effect runs after its patch was stored, and again for every repeat of it: whatever it changes must be found done
 * by whoever runs it again for the same `id` and `ii`; whatever it reads, it reads anew.
 */
import { problems } from '#shared/errors.ts'
import type { ProblemName } from '#shared/errors.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Party } from '../party.ts'

export type Occasion = {
  readonly caller: Party
  /** The state that was patched, and the index that the patch took. */
  readonly id: StateId
  readonly ii: InteractionIndex
  /** `active` as it was right after the patch. */
  readonly active: Json
  /** What addresses of our own begin with, for this client. */
  readonly baseUrl: string
  /** A published agent asks. */
  readonly isAgents: boolean
}

/** A value that is JSON text already. */
export type JsonText = string

export type EffectAnswer =
  /** Members of the 200. `state` takes the place of the patched state, if that was asked for too. */
  | { readonly kind: 'done'; readonly result: { readonly [member: string]: JsonText } }
  /** `error` in the 200; as `problem` by the short route. */
  | { readonly kind: 'refused'; readonly problem: ProblemName; readonly code: number | string; readonly detail: string; /** Of the problem. */ readonly members?: { readonly [member: string]: Json } }

export interface SideEffect {
  run(occasion: Occasion): Promise<EffectAnswer>
}

export function done(result: { readonly [member: string]: JsonText }): EffectAnswer {
  return { kind: 'done', result }
}

/** `code`: the problem's status, if it is nothing more exact. */
export function refused(problem: ProblemName, detail: string, code: number | string = problems[problem].status): EffectAnswer & { kind: 'refused' } {
  return { kind: 'refused', problem, code, detail }
}
