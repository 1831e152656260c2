/** Drives parts of the core that take a `Context`, on a scripted storage, without a core around them. */
import { assert } from '#shared/assert.ts'
import type { Incarnation, Seq, StateId, Cycle, InteractionIndex } from '#shared/ids.ts'
import { Context, type Tuning } from '#shared/protocol/context.ts'
import { encodeBundle, entryLine } from '#shared/records/bundle.ts'
import { encodeSmall } from '#shared/records/fence.ts'
import { endName, logObjectName } from '#shared/records/names.ts'
import { ScriptedStorage, type Outcome, type StorageEffect } from '../../../scenarios/scripted-storage.ts'

export const A = 'a' as Incarnation
export const B = 'b' as Incarnation
export const X = '11111111-1111-4111-8111-111111111111' as StateId
export const seq = (n: number): Seq => n as Seq

export class Driver {
  readonly storage = new ScriptedStorage()
  readonly context: Context
  /** Every storage operation, in order: `put leaders/a/000000000001`. */
  readonly operations: string[] = []
  readonly logs: string[] = []
  /** Called before each operation: what others do meanwhile, and how this one ends. */
  before: (effect: StorageEffect) => Outcome | void = () => undefined

  constructor(tuning: Partial<Tuning> = {}) {
    this.context = new Context({ wallMs: 1_000_000, monotonicMs: 0 }, tuning)
  }

  /** Carries out what was emitted and what follows from it; timers fire at once, and time passes with them. */
  run(): void {
    for (let rounds = 0, effects = this.context.takeEffects(); effects.length > 0; effects = this.context.takeEffects()) {
      assert(rounds++ < 1_000, 'it does not come to rest')
      for (const effect of effects) {
        if (effect.kind === 'put' || effect.kind === 'get' || effect.kind === 'list' || effect.kind === 'delete') {
          this.operations.push(`${effect.kind} ${effect.kind === 'list' ? effect.prefix : effect.name}`)
          this.context.resume(this.storage.perform(effect, this.before(effect) ?? 'done'))
        } else if (effect.kind === 'timer') {
          const { wallMs, monotonicMs } = this.context.now
          this.context.now = { wallMs: wallMs + effect.ms, monotonicMs: monotonicMs + effect.ms }
          this.context.resume({ kind: 'timer', token: effect.token })
        } else if (effect.kind === 'log') this.logs.push(effect.message)
      }
    }
  }

  puts(): string[] {
    return this.operations.filter((operation) => operation.startsWith('put ')).map((operation) => operation.slice(4))
  }
}

/** A bundle of log `incarnation` whose one interaction is the `n`-th of X. */
export function bundle(incarnation: Incarnation, n: number, options: { readonly low?: number; readonly cycle?: number } = {}): Buffer {
  const line = entryLine({
    id: X,
    cycle: (options.cycle ?? 1) as Cycle,
    ii: n as InteractionIndex,
    ts: n,
    user: 'alice',
    key: '',
    bodyDigest: '',
    creation: undefined,
    patch: '[]',
  })
  return encodeBundle({ incarnation, seq: seq(n), low: seq(options.low ?? 1) }, [line])
}

/** Stores bundles 1..`last` of a log. */
export function storeBundles(storage: ScriptedStorage, incarnation: Incarnation, last: number): void {
  for (let n = 1; n <= last; n++) storage.objects.set(logObjectName(incarnation, seq(n)), bundle(incarnation, n))
}

export function storeSeal(storage: ScriptedStorage, incarnation: Incarnation, at: number, options: { readonly by?: Incarnation; readonly waited?: boolean; readonly low?: number } = {}): void {
  const seal = { kind: 'seal', incarnation, seq: seq(at), by: options.by ?? B, waited: options.waited ?? false, low: options.low === undefined ? undefined : seq(options.low) } as const
  storage.objects.set(logObjectName(incarnation, seq(at)), encodeSmall(seal))
}

export function storeEnd(storage: ScriptedStorage, incarnation: Incarnation, seal: number): void {
  storage.objects.set(endName(incarnation), encodeSmall({ kind: 'end', incarnation, seal: seq(seal) }))
}
