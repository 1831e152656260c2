import { describe, expect, test } from '@jest/globals'
import { openFanOut } from '#shared/adapters/embedded/fan-out.ts'
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

  test('FB1 at the bound of messages publish waits until there is room, and later ones wait behind it', async () => {
    const fanOut = openFanOut({ queueMessages: 2 })
    const gate = signal()
    const taker = new Taker()
    fanOut.subscribe('slow', async (each) => {
      await gate.promise
      await taker.take(each)
    })
    expect(await within(fanOut.publish([message(1, 1)]), 'room for one')).toEqual({ kind: 'published' })
    const large = fanOut.publish([message(1, 2), message(1, 3), message(1, 4)])
    const later = fanOut.publish([message(1, 5)])
    expect(await isSettled(large)).toBe(false)
    expect(await isSettled(later)).toBe(false)
    gate.resolve()
    expect(await within(Promise.all([large, later]), 'room')).toEqual([{ kind: 'published' }, { kind: 'published' }])
    await taker.has(5)
    expect(taker.of(1)).toEqual(upTo(5))
    await fanOut.close()
  })

  test('FB2 the bound of bytes holds as well, and one message always fits', async () => {
    const fanOut = openFanOut({ queueBytes: 10 })
    const gate = signal()
    const taker = new Taker()
    fanOut.subscribe('slow', async (each) => {
      await gate.promise
      await taker.take(each)
    })
    expect(await within(fanOut.publish([message(1, 1, 'x'.repeat(100))]), 'one fits')).toEqual({ kind: 'published' })
    const second = fanOut.publish([message(2, 1, 'x')])
    expect(await isSettled(second)).toBe(false)
    gate.resolve()
    expect(await within(second, 'room')).toEqual({ kind: 'published' })
    await taker.has(2)
    await fanOut.close()
  })

  test('FB2 a small publication does not overtake a larger one that waits', async () => {
    const fanOut = openFanOut({ queueBytes: 10 })
    const gate = signal()
    const taker = new Taker()
    fanOut.subscribe('slow', async (each) => {
      await gate.promise
      await taker.take(each)
    })
    await fanOut.publish([message(1, 1, 'x'.repeat(5))])
    const larger = fanOut.publish([message(1, 2, 'x'.repeat(8))])
    const small = fanOut.publish([message(1, 3, 'x')])
    expect(await isSettled(small)).toBe(false)
    gate.resolve()
    await within(Promise.all([larger, small]), 'room')
    await taker.has(3)
    expect(taker.of(1)).toEqual(upTo(3))
    await fanOut.close()
  })

  test('FB3 a subscription that ends lets go who waited for it', async () => {
    const fanOut = openFanOut({ queueMessages: 1 })
    const stop = fanOut.subscribe('stuck', () => new Promise<void>(() => {}))
    await fanOut.publish([message(1, 1)])
    const waiting = fanOut.publish([message(1, 2)])
    expect(await isSettled(waiting)).toBe(false)
    stop()
    expect(await within(waiting, 'room')).toEqual({ kind: 'published' })
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
    await fanOut.publish([message(1, 1), message(1, 2)])
    await within(third.promise, 'three attempts')
    // Tries once more and gives up.
    await within(fanOut.close(), 'the end')
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

  test('FB6 close answers a publication that waits', async () => {
    const fanOut = openFanOut({ queueMessages: 1 })
    const gate = signal()
    fanOut.subscribe('slow', () => gate.promise)
    await fanOut.publish([message(1, 1)])
    const waiting = fanOut.publish([message(1, 2)])
    const closed = fanOut.close()
    expect((await within(waiting, 'an answer')).kind).toBe('failed')
    gate.resolve()
    await within(closed, 'the end')
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
