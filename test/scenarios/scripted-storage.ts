/** Cold storage as a script says: honest and at once by default, and otherwise what one line of the script wants. */
import type { Effect } from '#shared/protocol/effects.ts'
import type { Event } from '#shared/protocol/events.ts'

export type StorageEffect = Extract<Effect, { kind: 'put' | 'get' | 'list' | 'delete' }>
export type StorageEvent = Extract<Event, { kind: 'put-done' | 'get-done' | 'list-done' | 'delete-done' }>

/**
 * `done`: as it should be. `lost`: not done, and nobody hears which. `silent`: done, and nobody hears which.
 * `refused`: certainly not done. For a get or a list all but `done` mean "failed".
 */
export type Outcome = 'done' | 'lost' | 'silent' | 'refused'

export class ScriptedStorage {
  readonly objects = new Map<string, Uint8Array>()

  perform(effect: StorageEffect, outcome: Outcome = 'done'): StorageEvent {
    const { token } = effect
    const reason = 'the script says so'
    switch (effect.kind) {
      case 'put': {
        const exists = this.objects.has(effect.name)
        if (!exists && (outcome === 'done' || outcome === 'silent')) this.objects.set(effect.name, Uint8Array.from(effect.bytes))
        if (outcome === 'done') return { kind: 'put-done', token, outcome: { kind: exists ? 'exists' : 'stored' } }
        return { kind: 'put-done', token, outcome: { kind: outcome === 'refused' ? 'not-stored' : 'unknown', reason } }
      }
      case 'get': {
        if (outcome !== 'done') return { kind: 'get-done', token, outcome: { kind: 'failed', reason } }
        const bytes = this.objects.get(effect.name)
        if (bytes === undefined) return { kind: 'get-done', token, outcome: { kind: 'missing' } }
        return { kind: 'get-done', token, outcome: { kind: 'found', bytes: effect.range ? bytes.slice(effect.range.from, effect.range.to) : bytes.slice() } }
      }
      case 'list': {
        if (outcome !== 'done') return { kind: 'list-done', token, outcome: { kind: 'failed', reason } }
        const { prefix, after } = effect
        const names = [...this.objects.keys()].filter((name) => name.startsWith(prefix) && (after === undefined || name > after)).sort()
        return { kind: 'list-done', token, outcome: { kind: 'names', names } }
      }
      case 'delete':
        if (outcome !== 'done') return { kind: 'delete-done', token, outcome: { kind: 'failed', reason } }
        this.objects.delete(effect.name)
        return { kind: 'delete-done', token, outcome: { kind: 'deleted' } }
    }
  }
}
