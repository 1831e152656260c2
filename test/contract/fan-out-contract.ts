/** What every adapter of `shared/ports/fan-out.ts` keeps, by numbered rules. Doubles are allowed, gaps and wrong order are not. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { FanOut, FanOutMessage } from '#shared/ports/fan-out.ts'
import { within } from './eventually.ts'

export type FanOutUnderTest = {
  place(): Promise<string>
  open(place: string): Promise<FanOut>
  remove(place: string): Promise<void>
}

export function message(state: number, ii: number, patch = `[{"op":"add","path":["n"],"value":${ii}}]`): FanOutMessage {
  return {
    id: `00000000-0000-4000-8000-${String(state).padStart(12, '0')}` as StateId,
    ii: ii as InteractionIndex,
    domain: 'a.example',
    owner: '11111111-1111-5111-8111-111111111111',
    user: '22222222-2222-5222-8222-222222222222',
    activeType: 'application/json',
    ts: 1_700_000_000_000 + ii,
    patch,
  }
}

/** A subscriber that keeps what it took, doubles left out as the port says, and tells when it has `count`. */
export class Taker {
  readonly taken: FanOutMessage[] = []
  readonly #seen = new Set<string>()
  #waiting: { readonly count: number; readonly done: () => void } | undefined

  readonly take = (each: FanOutMessage): Promise<void> => {
    const key = `${each.id} ${each.ii}`
    if (!this.#seen.has(key)) {
      this.#seen.add(key)
      this.taken.push(each)
    }
    if (this.#waiting !== undefined && this.taken.length >= this.#waiting.count) this.#waiting.done()
    return Promise.resolve()
  }

  async has(count: number): Promise<FanOutMessage[]> {
    if (this.taken.length < count) {
      const reached = new Promise<void>((done) => (this.#waiting = { count, done }))
      await within(reached, `${count} messages`)
    }
    return this.taken
  }

  of(state: number): number[] {
    return this.taken.filter((each) => each.id === message(state, 0).id).map((each) => each.ii)
  }
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

export function fanOutContract(name: string, subject: FanOutUnderTest): void {
  describe(`fan-out contract: ${name}`, () => {
    let place: string
    let fanOut: FanOut

    beforeEach(async () => {
      place = await subject.place()
      fanOut = await subject.open(place)
    })
    afterEach(async () => {
      await fanOut.close()
      await subject.remove(place)
    })

    test('F1 without subscribers a publication is published', async () => {
      expect(await fanOut.publish([message(1, 1)])).toEqual({ kind: 'published' })
      expect(await fanOut.publish([])).toEqual({ kind: 'published' })
    })

    test('F2 every subscriber gets every message, every field of it', async () => {
      const takers = [new Taker(), new Taker()]
      takers.forEach((taker, i) => fanOut.subscribe(`taker-${i}`, taker.take))
      const odd = message(1, 2, '[{"op":"add","path":["ä\\u0000\\"😀"],"value":null}]')
      expect(await fanOut.publish([message(1, 1), odd, message(2, 1)])).toEqual({ kind: 'published' })
      for (const taker of takers) {
        const taken = await taker.has(3)
        expect(taken).toEqual(expect.arrayContaining([message(1, 1), odd, message(2, 1)]))
      }
    })

    test('F3 of one state messages come in order, over many publications at once', async () => {
      const taker = new Taker()
      fanOut.subscribe('taker', taker.take)
      const outcomes = await Promise.all(upTo(100).map((ii) => fanOut.publish([message(1, ii), message(2, ii), message(3, ii)])))
      expect(outcomes).toEqual(outcomes.map(() => ({ kind: 'published' })))
      await taker.has(300)
      for (const state of [1, 2, 3]) expect(taker.of(state)).toEqual(upTo(100))
    })

    test('F4 a subscriber that throws gets the message again, before the next of its state', async () => {
      const taker = new Taker()
      let failures = 3
      const attempts: number[] = []
      fanOut.subscribe('taker', (each) => {
        attempts.push(each.ii)
        if (each.ii === 2 && failures > 0) {
          failures -= 1
          // Thrown and rejected are the same.
          if (failures === 1) throw new Error('thrown')
          return Promise.reject(new Error('rejected'))
        }
        return taker.take(each)
      })
      await fanOut.publish(upTo(4).map((ii) => message(1, ii)))
      await taker.has(4)
      expect(taker.of(1)).toEqual([1, 2, 3, 4])
      expect(attempts.filter((ii) => ii === 2).length).toBeGreaterThanOrEqual(4)
    })

    test('F5 while one state’s message fails, other states and other subscribers go on', async () => {
      const [taker, other] = [new Taker(), new Taker()]
      let failing = true
      fanOut.subscribe('taker', (each) => (failing && each.id === message(1, 1).id ? Promise.reject(new Error('no')) : taker.take(each)))
      fanOut.subscribe('other', other.take)
      // Published when the transport has it; one without a memory of its own says so when all have taken it.
      const published = fanOut.publish(upTo(20).flatMap((ii) => [message(1, ii), message(2, ii)]))
      await taker.has(20)
      expect(taker.of(2)).toEqual(upTo(20))
      await other.has(40)
      expect(other.of(1)).toEqual(upTo(20))
      failing = false
      await taker.has(40)
      expect(taker.of(1)).toEqual(upTo(20))
      expect(await within(published, 'all are taken')).toEqual({ kind: 'published' })
    })

    test('F6 a subscription that was ended gets nothing published later; others do', async () => {
      const [taker, other] = [new Taker(), new Taker()]
      const stop = fanOut.subscribe('taker', taker.take)
      fanOut.subscribe('other', other.take)
      await fanOut.publish([message(1, 1)])
      await taker.has(1)
      stop()
      stop()
      await fanOut.publish([message(1, 2)])
      await other.has(2)
      expect(taker.of(1)).toEqual([1])
    })

    test('F7 close hands over what was published, or the next subscriber of the name gets it', async () => {
      const taker = new Taker()
      fanOut.subscribe('taker', async (each) => {
        await Promise.resolve()
        await taker.take(each)
      })
      await fanOut.publish(upTo(100).map((ii) => message(1 + (ii % 7), ii)))
      await fanOut.close()
      fanOut = await subject.open(place)
      fanOut.subscribe('taker', taker.take)
      await taker.has(100)
      for (const state of upTo(7)) expect(taker.of(state)).toEqual(upTo(100).filter((ii) => 1 + (ii % 7) === state))
    })

    test('F8 after close a publication fails as a value', async () => {
      await fanOut.close()
      expect((await fanOut.publish([message(1, 1)])).kind).toBe('failed')
    })
  })
}
