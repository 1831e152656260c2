import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openFanOut } from '#shared/adapters/gcp/fan-out.ts'
import { pubsubClient, startTestPubsub, type PubsubUnderTest } from '../support/pubsub.ts'
import { fanOutContract, message, Taker, upTo } from './fan-out-contract.ts'
import { within } from './eventually.ts'

const running = new Map<string, PubsubUnderTest>()

fanOutContract('Pub/Sub, emulated', {
  async place() {
    const started = await startTestPubsub()
    running.set(started.emulator.address, started)
    return started.emulator.address
  },
  open: (address) => Promise.resolve(openFanOut({ client: pubsubClient(address), provision: true })),
  async remove(address) {
    await running.get(address)?.emulator.stop()
    running.delete(address)
  },
})

describe('fan-out on Pub/Sub: faults', () => {
  let pubsub: PubsubUnderTest

  beforeAll(async () => {
    pubsub = await startTestPubsub()
  })
  afterAll(() => pubsub.emulator.stop())

  const open = (topic: string): ReturnType<typeof openFanOut> => openFanOut({ client: pubsubClient(pubsub.emulator.address), topic, provision: true })

  test('FG1 a publication that failed is sent again from there, in order: the state is not stuck', async () => {
    const fanOut = open('again')
    const taker = new Taker()
    fanOut.subscribe('taker', taker.take)
    expect(await fanOut.publish([message(1, 1)])).toEqual({ kind: 'published' })
    pubsub.faults.add({ service: 'pubsub', operation: 'Publish', fault: { kind: 'unavailable' }, times: 1 })
    expect((await fanOut.publish([message(1, 2), message(1, 3)])).kind).toBe('failed')
    expect(await fanOut.publish([message(1, 2), message(1, 3)])).toEqual({ kind: 'published' })
    await taker.has(3)
    expect(taker.of(1)).toEqual(upTo(3))
    await fanOut.close()
  })

  test('FG2 a publication whose answer is lost failed, and comes as a double when it is sent again', async () => {
    const fanOut = open('lost')
    const taken: number[] = []
    const three = new Promise<void>((done) => {
      fanOut.subscribe('taker', (each) => {
        taken.push(each.ii)
        if (taken.length === 3) done()
        return Promise.resolve()
      })
    })
    expect(await fanOut.publish([message(1, 1)])).toEqual({ kind: 'published' })
    pubsub.faults.add({ service: 'pubsub', operation: 'Publish', fault: { kind: 'answer-lost' }, times: 1 })
    expect((await fanOut.publish([message(1, 2)])).kind).toBe('failed')
    expect(await fanOut.publish([message(1, 2)])).toEqual({ kind: 'published' })
    await within(three, 'the double')
    expect(taken).toEqual([1, 2, 2])
    await fanOut.close()
  })

  test('FG3 one state’s failure leaves the others published', async () => {
    const fanOut = open('others')
    const taker = new Taker()
    fanOut.subscribe('taker', taker.take)
    // The first request that comes is the one of the first state.
    expect(await fanOut.publish([message(9, 1)])).toEqual({ kind: 'published' })
    pubsub.faults.add({ service: 'pubsub', operation: 'Publish', fault: { kind: 'aborted' }, times: 1 })
    expect((await fanOut.publish([message(1, 1), message(2, 1)])).kind).toBe('failed')
    await taker.has(2)
    expect(taker.of(1).length + taker.of(2).length).toBe(1)
    await fanOut.close()
  })

  test('FG4 without its topic a publication fails as a value', async () => {
    const fanOut = openFanOut({ client: pubsubClient(pubsub.emulator.address), topic: 'nowhere' })
    expect(await fanOut.publish([message(1, 1)])).toEqual({ kind: 'failed', reason: expect.stringContaining('NOT_FOUND') })
    await fanOut.close()
  })
})

describe('a subscriber of one’s own, with nothing but @google-cloud/pubsub', () => {
  test('FG5 it gets every patch of its domain, in order per state, and no other', async () => {
    const pubsub = await startTestPubsub()
    const fanOut = openFanOut({ client: pubsubClient(pubsub.emulator.address), provision: true })
    expect(await fanOut.publish([message(7, 1)])).toEqual({ kind: 'published' })
    const client = pubsubClient(pubsub.emulator.address)
    const [subscription] = await client.topic('patches').createSubscription('mine', { filter: 'attributes.domain = "b.example"', enableMessageOrdering: true })
    const seen: Record<string, number[]> = {}
    let count = 0
    const all = new Promise<void>((done) => {
      subscription.on('message', (each) => {
        const { id, ii, domain, patch } = JSON.parse(each.data.toString()) as { id: string; ii: number; domain: string; patch: { value: number }[] }
        expect([domain, patch[0]!.value, each.orderingKey]).toEqual(['b.example', ii, id])
        ;(seen[id] ??= []).push(ii)
        each.ack()
        if ((count += 1) === 100) done()
      })
    })
    const publications = upTo(50).map((ii) => [1, 2].flatMap((state) => [message(state, ii), { ...message(state + 2, ii), domain: 'b.example' }]))
    for (const publication of publications) expect(await fanOut.publish(publication)).toEqual({ kind: 'published' })
    await within(all, 'a hundred patches')
    expect(seen).toEqual({ [message(3, 1).id]: upTo(50), [message(4, 1).id]: upTo(50) })
    await subscription.close()
    await client.close()
    await fanOut.close()
    await pubsub.emulator.stop()
  })
})
