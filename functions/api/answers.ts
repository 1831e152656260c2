/** What outcomes of the cluster are as answers to a client. */
import type { InteractionIndex } from '#shared/ids.ts'
import type { Unavailable } from '#shared/ports/state-cluster.ts'
import type { Persisted } from './client-patch.ts'
import type { Exchange } from './exchange.ts'
import type { LoopAnswer } from './request-loop.ts'
import type { EffectAnswer } from './side-effects/side-effect.ts'
import { stateJson } from './state-json.ts'

const RETRY_AFTER = ['Retry-After', '1'] as const

export function answerUnavailable(x: Exchange, { stored, reason }: Omit<Unavailable, 'kind'>): void {
  x.problem('unavailable', { detail: reason, members: stored === undefined ? undefined : { stored } }, RETRY_AFTER)
}

/** The patch is stored, and what it changes in the domain's tables is not: the same key again, until it is. */
export function answerMirrorBehind(x: Exchange, ii: InteractionIndex, reason: string): void {
  x.problem('unavailable', { detail: reason, members: { stored: true, ii } }, RETRY_AFTER)
}

export function answerBehind(x: Exchange, minIi: number): void {
  x.problem('unavailable', { detail: `min_ii ${minIi} was not reached in time` }, RETRY_AFTER)
}

export function etag(ii: number): string {
  return `"${ii}"`
}

/** For every refusal the same words: a 403 must not tell whether the state exists. */
export function answerForbidden(x: Exchange): void {
  x.problem('forbidden', { detail: 'this state is not for you' })
}

export function answerPatch(x: Exchange, { id, answer, effect, mirror, handler }: LoopAnswer): void {
  switch (answer.kind) {
    case 'stored': {
      if (mirror?.kind === 'unavailable') return answerMirrorBehind(x, answer.ii, mirror.reason)
      const replayed = answer.replayed ? ',"replayed":true' : ''
      const results = effect === undefined ? '' : effectMembers(effect)
      const isTaken = effect?.kind === 'done' && effect.result['state'] !== undefined
      const state = answer.state === undefined || isTaken ? '' : `,"state":${stateJson(answer.state)}`
      x.json(200, `{"id":"${id}","ii":${answer.ii},"updated":${answer.updated}${replayed}${results}${state}${handler === undefined ? '' : `,"handler":${handler}`}}`, ['ETag', etag(answer.ii)])
      return
    }
    default:
      answerRefusal(x, answer)
  }
}

function effectMembers(effect: EffectAnswer): string {
  switch (effect.kind) {
    case 'done':
      return Object.entries(effect.result).map(([member, text]) => `,${JSON.stringify(member)}:${text}`).join('')
    case 'refused':
      return `,"error":${JSON.stringify({ code: effect.code, detail: effect.detail })}`
  }
}

/** A short route's answer for its refused effect. The patch is stored all the same; what is missing may be had by a repeat. */
export function answerEffectRefused(x: Exchange, { problem, detail, members }: EffectAnswer & { kind: 'refused' }): void {
  if (problem === 'forbidden') return answerForbidden(x)
  x.problem(problem, { detail, members }, problem === 'unavailable' ? RETRY_AFTER : undefined)
}

export function answerReplay(x: Exchange, next: InteractionIndex): void {
  x.problem('replay', { detail: `the next index is ${next}`, members: { expected: next } })
}

export function answerOutOfSync(x: Exchange, ii: InteractionIndex): void {
  x.problem('out-of-sync', { detail: `the current index is ${ii}`, members: { ii } })
}

/** Every outcome of a patch but `stored`. */
export function answerRefusal(x: Exchange, answer: Exclude<Persisted['answer'], { readonly kind: 'stored' }>): void {
  switch (answer.kind) {
    case 'name-taken':
      return x.problem('name-taken')
    case 'rejected':
      return x.problem('rejected', { detail: answer.reason, members: { reason: answer.reason } })
    case 'handler-error':
      return x.problem('handler-error')
    case 'handler-exceeded':
      return x.problem('handler', { members: { stored: false } })
    case 'replay':
      return answerReplay(x, answer.next)
    case 'out-of-sync':
      return answerOutOfSync(x, answer.ii)
    case 'unprocessable':
      return x.problem('unprocessable', { detail: `op ${answer.op}: ${answer.reason}`, members: { op: answer.op, reason: answer.reason } })
    case 'too-large':
      return x.problem('too-large', { detail: `the state would be larger than ${answer.limitBytes} bytes`, members: { limit: answer.limitBytes } })
    case 'forbidden':
    case 'unwritten':
      return answerForbidden(x)
    case 'key-reused':
      return x.problem('key-reused')
    case 'unavailable':
      return answerUnavailable(x, answer)
  }
}
