/**
 * Seals: how a log that is not ours is ended, so that its incarnation can acknowledge nothing more.
 *
 * Owns: one fencing a log, shared by all slots that ask for it. I1. The number answered is the one `end` names:
 * all readers of a log stop at the same place (rule S3).
 */
import { assert } from '#shared/assert.ts'
import type { Incarnation, Seq } from '#shared/ids.ts'
import type { Context } from '#shared/protocol/context.ts'
import type { ClockReading } from '#shared/protocol/events.ts'
import { decodeSmall, encodeSmall, logObjectType } from '#shared/records/fence.ts'
import { CorruptRecord } from '#shared/records/envelope.ts'
import { endName, logObjectName, logPrefix, parseLogName, segmentPrefix } from '#shared/records/names.ts'

export type Fenced = {
  /** Number of the seal that counts; the log is the numbers below it. */
  readonly seal: Seq
  /** The log's own incarnation wrote it and had fallen silent before: nobody need wait for any lease. */
  readonly byItself: boolean
  /** `low` of the seal, where its own incarnation wrote one. */
  readonly low: Seq | undefined
  /** When this process knew it. */
  readonly seenAt: ClockReading
}

/** An object that does not parse: what needs it is not served, and everything else goes on (rule C2). */
export type Broken = { readonly object: string; readonly reason: string }

/** `decode()`, or which object is bad. */
export function decoded<T>(object: string, decode: () => T): T | Broken {
  try {
    return decode()
  } catch (error) {
    if (error instanceof CorruptRecord) return { object, reason: error.message }
    throw error
  }
}

export const isBroken = (value: object): value is Broken => 'object' in value && 'reason' in value

/** Seals further ahead after so many lost races. */
const PATIENCE = 4

export class Fencing {
  readonly #context: Context
  readonly #self: Incarnation
  #fenced = new Map<Incarnation, Fenced>()
  #waiting = new Map<Incarnation, ((fenced: Fenced | Broken) => void)[]>()

  constructor(context: Context, self: Incarnation) {
    this.#context = context
    this.#self = self
  }

  /** Seals the log of `incarnation` unless it is sealed. */
  fence(incarnation: Incarnation, then: (fenced: Fenced | Broken) => void): void {
    assert(incarnation !== this.#self, 'nobody fences itself')
    const known = this.#fenced.get(incarnation)
    if (known) return then(known)
    const waiting = this.#waiting.get(incarnation)
    if (waiting) return void waiting.push(then)
    this.#waiting.set(incarnation, [then])
    this.#context.read(endName(incarnation), (bytes) => {
      if (bytes) this.#endFound(incarnation, bytes)
      else this.#findFirstMissing(incarnation)
    })
  }

  /** How the log of `incarnation` was ended, if it was; undefined: not known to be. Seals nothing. */
  look(incarnation: Incarnation, then: (fenced: Fenced | Broken | undefined) => void): void {
    const known = this.#fenced.get(incarnation)
    if (known || incarnation === this.#self) return then(known)
    this.#context.read(endName(incarnation), (bytes) => (bytes ? this.fence(incarnation, then) : then(undefined)))
  }

  #findFirstMissing(incarnation: Incarnation): void {
    // A segment holds acknowledged bundles: the first missing number lies behind the last one.
    this.#context.names(segmentPrefix(incarnation), (segments) => {
      let known = 0
      for (const name of segments) {
        const parsed = parseLogName(incarnation, name)
        if (parsed.kind === 'segment') known = Math.max(known, parsed.to)
      }
      const after = known === 0 ? undefined : logObjectName(incarnation, known as Seq)
      this.#context.names(
        logPrefix(incarnation),
        (names) => {
          let missing = known + 1
          const behind: string[] = []
          for (const name of names) {
            const parsed = parseLogName(incarnation, name)
            if (parsed.kind !== 'object') continue
            if (parsed.seq === missing) missing += 1
            else if (parsed.seq >= missing + this.#context.tuning.bundlePuts) behind.push(name)
          }
          this.#unlessLost(incarnation, missing as Seq, behind, () => this.#seal(incarnation, missing as Seq, 0))
        },
        after,
      )
    })
  }

  /**
   * A number is put only when all but the few under way before it are stored: a bundle further behind the first missing
   * number shows that an object was lost. To seal there would take back what was acknowledged (rule C5).
   */
  #unlessLost(incarnation: Incarnation, missing: Seq, behind: readonly string[], then: () => void): void {
    const name = behind.at(-1)
    if (name === undefined) return then()
    this.#context.read(name, (bytes) => {
      const type = bytes && decoded(name, () => ({ is: logObjectType(bytes) }))
      // A wall that a seal was to meet says nothing.
      if (type && !isBroken(type) && type.is === 'seal') return this.#unlessLost(incarnation, missing, behind.slice(0, -1), then)
      this.#answer(incarnation, { object: logObjectName(incarnation, missing), reason: `missing, although ${name} shows that it was stored` })
    })
  }

  /** Creates a seal at `seq`, or at the first number above that is free; `lost` races so far. */
  #seal(incarnation: Incarnation, seq: Seq, lost: number): void {
    if (lost > 0 && lost % PATIENCE === 0) {
      // It is alive and writes as fast as we do: put a wall in its way, then go on from where it is.
      const ahead = (seq + 2 ** Math.min(lost / PATIENCE + 3, 16)) as Seq
      const wall = this.#encode(incarnation, ahead)
      return this.#context.create(logObjectName(incarnation, ahead), wall, () => this.#sealAt(incarnation, seq, lost))
    }
    this.#sealAt(incarnation, seq, lost)
  }

  #sealAt(incarnation: Incarnation, seq: Seq, lost: number): void {
    this.#context.create(logObjectName(incarnation, seq), this.#encode(incarnation, seq), (taken) => {
      if (taken === 'ours') return this.#name(incarnation, seq)
      const type = decoded(logObjectName(incarnation, seq), () => ({ is: logObjectType(taken) }))
      if (isBroken(type)) this.#answer(incarnation, type)
      else if (type.is === 'seal') this.#name(incarnation, seq)
      else this.#seal(incarnation, (seq + 1) as Seq, lost + 1)
    })
  }

  #encode(incarnation: Incarnation, seq: Seq): Buffer {
    return encodeSmall({ kind: 'seal', incarnation, seq, by: this.#self, waited: false, low: undefined })
  }

  #name(incarnation: Incarnation, seal: Seq): void {
    this.#context.create(endName(incarnation), encodeSmall({ kind: 'end', incarnation, seal }), (taken) =>
      taken === 'ours' ? this.#ended(incarnation, seal) : this.#endFound(incarnation, taken),
    )
  }

  #endFound(incarnation: Incarnation, bytes: Uint8Array): void {
    const end = decoded(endName(incarnation), () => decodeSmall('end', bytes, { incarnation }))
    if (isBroken(end)) this.#answer(incarnation, end)
    else this.#ended(incarnation, end.seal)
  }

  #ended(incarnation: Incarnation, seal: Seq): void {
    const name = logObjectName(incarnation, seal)
    this.#context.read(name, (bytes) => {
      if (bytes === undefined) return this.#answer(incarnation, { object: name, reason: 'the seal is gone, and seals are never deleted' })
      const record = decoded(name, () => decodeSmall('seal', bytes, { incarnation, seq: seal }))
      if (isBroken(record)) return this.#answer(incarnation, record)
      const fenced: Fenced = { seal, byItself: record.by === incarnation && record.waited, low: record.low, seenAt: this.#context.now }
      this.#fenced.set(incarnation, fenced)
      this.#context.log('info', 'log is sealed', { log: incarnation, seal, by: record.by })
      this.#answer(incarnation, fenced)
    })
  }

  #answer(incarnation: Incarnation, result: Fenced | Broken): void {
    const waiting = this.#waiting.get(incarnation) ?? []
    this.#waiting.delete(incarnation)
    for (const then of waiting) then(result)
  }
}
