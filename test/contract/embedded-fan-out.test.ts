import { describe, expect, test } from '@jest/globals'
import { openFanOut } from '#shared/adapters/embedded/fan-out.ts'
import type { FanOut, FanOutMessage } from '#shared/ports/fan-out.ts'
import { signal, turns, within } from './eventually.ts'
import { fanOutContract, message, Taker, upTo } from './fan-out-contract.ts'

fanOutContract('embedded', {
  place: () => Promise.resolve(''),
  remove: () => Promise.resolve(),
  open: () => Promise.resolve(openFanOut({ retryFirstMs: 1, retryMaxMs: 5 })),
})

describe('embedded fan-out: bounds', () => {
  /** Whether `promise` is settled after everything had the chance to run. */
  async function isSettled(promise: Promise<unknown>): Promise<boolean> {
    let settled = false
    void promise.then(() => (settled = true))
    await turns()
    return settled
  }

  /** A subscriber that takes nothing before `gate` opens, and then keeps it. */
  function gated(fanOut: FanOut): { readonly gate: { readonly resolve: () => void }; readonly taker: Taker; readonly handed: FanOutMessage[] } {
    const gate = signal()
    const taker = new Taker()
    const handed: FanOutMessage[] = []
    fanOut.subscribe('slow', async (each) => {
      handed.push(each)
      await gate.promise
      await taker.take(each)
    })
    return { gate, taker, handed }
  }

  test('FB1 a publication is published when every subscriber has taken all of it', async () => {
    const fanOut = openFanOut()
    const [first, second] = [gated(fanOut), signal()]
    fanOut.subscribe('other', async (each) => {
      if (each.ii === 2) await second.promise
    })
    const published = fanOut.publish([message(1, 1), message(2, 2)])
    expect(await isSettled(published)).toBe(false)
    first.gate.resolve()
    expect(await isSettled(published)).toBe(false)
    second.resolve()
    expect(await within(published, 'the second subscriber')).toEqual({ kind: 'published' })
    await fanOut.close()
  })

  test('FB2 no more than the bound of messages is in a queue, and all of a larger publication comes, in order', async () => {
    const fanOut = openFanOut({ queueMessages: 2 })
    const { gate, taker, handed } = gated(fanOut)
    const published = fanOut.publish(upTo(5).map((state) => message(state, 1)))
    const later = fanOut.publish(upTo(5).map((state) => message(state, 2)))
    expect(await isSettled(published)).toBe(false)
    expect(handed).toHaveLength(2)
    gate.resolve()
    expect(await within(Promise.all([published, later]), 'room')).toEqual([{ kind: 'published' }, { kind: 'published' }])
    for (const state of upTo(5)) expect(taker.of(state)).toEqual([1, 2])
    await fanOut.close()
  })

  test('FB2 the bound of bytes holds as well, one message always fits, and a small one does not overtake a larger one that waits', async () => {
    const fanOut = openFanOut({ queueBytes: 10 })
    const { gate, taker, handed } = gated(fanOut)
    const published = [message(1, 1, 'x'.repeat(100)), message(2, 1, 'x'.repeat(8)), message(3, 1, 'x')].map((each) => fanOut.publish([each]))
    expect(await isSettled(published[2]!)).toBe(false)
    expect(handed.map(({ id }) => id)).toEqual([message(1, 1).id])
    gate.resolve()
    await within(Promise.all(published), 'room')
    expect(taker.taken.map(({ id }) => id)).toEqual(upTo(3).map((state) => message(state, 1).id))
    await fanOut.close()
  })

  test('FB3 a subscription that ends lets go who waited for it', async () => {
    const fanOut = openFanOut({ queueMessages: 1 })
    const stop = fanOut.subscribe('stuck', () => new Promise<void>(() => {}))
    const waiting = fanOut.publish([message(1, 1), message(1, 2)])
    expect(await isSettled(waiting)).toBe(false)
    stop()
    expect(await within(waiting, 'its end')).toEqual({ kind: 'published' })
    await fanOut.close()
  })

  test('FB4 at most so many states are worked on at a time', async () => {
    const fanOut = openFanOut({ concurrentStates: 3 })
    let [now, most] = [0, 0]
    const taker = new Taker()
    fanOut.subscribe('taker', async (each) => {
      most = Math.max(most, (now += 1))
      await turns(2)
      now -= 1
      await taker.take(each)
    })
    await fanOut.publish(upTo(20).map((state) => message(state, 1)))
    await taker.has(20)
    expect(most).toBe(3)
    await fanOut.close()
  })

  test('FB5 every failure is reported with its attempt, and the message waits its turn', async () => {
    const attempts: number[] = []
    const third = signal()
    const fanOut = openFanOut({
      retryFirstMs: 1,
      retryMaxMs: 2,
      onFault: ({ subscriber, attempt, message: failed, error }) => {
        expect([subscriber, failed.ii, error]).toEqual(['bad', 1, new Error('no')])
        attempts.push(attempt)
        if (attempt === 3) third.resolve()
      },
    })
    fanOut.subscribe('bad', () => Promise.reject(new Error('no')))
    const published = fanOut.publish([message(1, 1), message(1, 2)])
    await within(third.promise, 'three attempts')
    // Tries once more and gives up.
    await within(fanOut.close(), 'the end')
    expect((await published).kind).toBe('failed')
    expect(attempts).toEqual(upTo(attempts.length))
  })

  test('FB5 a message that was taken starts the attempts of the next one anew', async () => {
    const attempts: string[] = []
    const fanOut = openFanOut({ retryFirstMs: 1, onFault: ({ attempt, message: failed }) => attempts.push(`${failed.ii}:${attempt}`) })
    const taker = new Taker()
    const failures = new Map([[1, 2], [2, 1]])
    fanOut.subscribe('taker', (each) => {
      const left = failures.get(each.ii) ?? 0
      failures.set(each.ii, left - 1)
      return left > 0 ? Promise.reject(new Error('no')) : taker.take(each)
    })
    await fanOut.publish([message(1, 1), message(1, 2)])
    await taker.has(2)
    expect(attempts).toEqual(['1:1', '1:2', '2:1'])
    await fanOut.close()
  })

  test('FB6 close hands out what is queued; a publication of which something found no room has failed', async () => {
    const fanOut = openFanOut({ queueMessages: 1 })
    const { gate, taker } = gated(fanOut)
    const [whole, part] = [fanOut.publish([message(1, 1)]), fanOut.publish([message(1, 2)])]
    const closed = fanOut.close()
    gate.resolve()
    await within(closed, 'the end')
    expect([(await whole).kind, (await part).kind]).toEqual(['published', 'failed'])
    expect(taker.of(1)).toEqual([1])
  })

  test('FB7 a name can be subscribed once at a time', async () => {
    const fanOut = openFanOut()
    const stop = fanOut.subscribe('one', () => Promise.resolve())
    expect(() => fanOut.subscribe('one', () => Promise.resolve())).toThrow('two subscribers named one')
    stop()
    fanOut.subscribe('one', () => Promise.resolve())
    await fanOut.close()
  })
})
