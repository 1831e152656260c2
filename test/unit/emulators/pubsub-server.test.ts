import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { v1, type PubSub } from '@google-cloud/pubsub'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { within } from '../../contract/eventually.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from '../../contract/temporary-folder.ts'
import { pubsubClient, startTestPubsub, type PubsubUnderTest } from '../../support/pubsub.ts'

describe('Pub/Sub emulator, by the unmodified client', () => {
  let folder: string
  let pubsub: PubsubUnderTest
  let client: PubSub

  beforeEach(async () => {
    folder = await makeTemporaryFolder()
    await open()
  })
  afterEach(async () => {
    await shut()
    await removeTemporaryFolder(folder)
  })
  async function open(): Promise<void> {
    pubsub = await startTestPubsub(folder)
    client = pubsubClient(pubsub.emulator.address)
  }
  async function shut(): Promise<void> {
    await client.close()
    await pubsub.emulator.stop()
  }

  /** One Pull, by the client's generated half: nothing but what the test asks for is sent. */
  async function pull(name: string, maxMessages = 10): Promise<{ ackId: string; text: string; attempt: number }[]> {
    const [answer] = await (await pulling()).pull({ subscription: `projects/test/subscriptions/${name}`, maxMessages })
    return (answer.receivedMessages ?? []).map(({ ackId, message, deliveryAttempt }) => ({ ackId: ackId!, text: Buffer.from(message!.data as Uint8Array).toString(), attempt: deliveryAttempt! }))
  }
  async function nack(name: string, ackIds: string[]): Promise<void> {
    await (await pulling()).modifyAckDeadline({ subscription: `projects/test/subscriptions/${name}`, ackIds, ackDeadlineSeconds: 0 })
  }
  async function pulling(): Promise<v1.SubscriberClient> {
    return (subscriberClient ??= new v1.SubscriberClient((await client.getClientConfig()) as ConstructorParameters<typeof v1.SubscriberClient>[0]))
  }
  let subscriberClient: v1.SubscriberClient | undefined
  afterEach(async () => {
    await subscriberClient?.close()
    subscriberClient = undefined
  })

  test('statuses are those of the real one', async () => {
    await client.createTopic('topic')
    await expect(client.createTopic('topic')).rejects.toMatchObject({ code: 6 })
    await expect(client.topic('gone').getMetadata()).rejects.toMatchObject({ code: 5 })
    await expect(client.topic('gone').createSubscription('sub')).rejects.toMatchObject({ code: 5 })
    await expect(client.topic('topic').createSubscription('sub', { filter: 'nonsense' })).rejects.toMatchObject({ code: 3 })
    await expect(client.topic('topic').createSubscription('1')).rejects.toMatchObject({ code: 3 })
    await expect(client.subscription('gone').seek(new Date())).rejects.toMatchObject({ code: 12 })
    await client.topic('topic').createSubscription('sub', { enableMessageOrdering: true })
    await client.subscription('sub').setMetadata({ ackDeadlineSeconds: 20 })
    expect((await client.subscription('sub').getMetadata())[0]).toMatchObject({ ackDeadlineSeconds: 20, enableMessageOrdering: true, topic: 'projects/test/topics/topic' })
    await expect(client.subscription('sub').setMetadata({ filter: 'attributes:a' })).rejects.toMatchObject({ code: 3 })
    await client.topic('topic').delete()
    expect((await client.subscription('sub').getMetadata())[0]).toMatchObject({ topic: '_deleted-topic_' })
    expect((await client.getSubscriptions())[0]).toHaveLength(1)
  })

  test('a restart forgets nothing that was published, and nothing that was acknowledged', async () => {
    const [topic] = await client.createTopic('topic')
    await topic.createSubscription('sub')
    for (const text of ['one', 'two', 'three']) await topic.publishMessage({ data: Buffer.from(text) })
    const taken = await pull('sub', 2)
    await (await pulling()).acknowledge({ subscription: 'projects/test/subscriptions/sub', ackIds: [taken[0]!.ackId] })
    await subscriberClient?.close()
    subscriberClient = undefined
    await shut()
    await open()
    expect((await pull('sub')).map(({ text }) => text)).toEqual(['two', 'three'])
  })

  test('what fails too often goes to the dead letter topic', async () => {
    const [dead] = await client.createTopic('dead')
    await dead.createSubscription('graves')
    const [topic] = await client.createTopic('topic')
    await topic.createSubscription('sub', { deadLetterPolicy: { deadLetterTopic: dead.name, maxDeliveryAttempts: 5 } })
    await topic.publishMessage({ data: Buffer.from('bad') })
    for (const attempt of [1, 2, 3, 4, 5]) {
      const taken = await pull('sub')
      expect(taken).toMatchObject([{ text: 'bad', attempt }])
      await nack('sub', taken.map(({ ackId }) => ackId))
    }
    expect(await pull('graves')).toMatchObject([{ text: 'bad', attempt: 0 }])
  })

  test('push sends CloudEvent headers, and comes again, in order, until it is taken', async () => {
    const requests: { headers: IncomingHttpHeaders; body: { message: { data: string; orderingKey: string; attributes: object }; subscription: string } }[] = []
    let onThree: () => void = () => undefined
    const three = new Promise<void>((done) => (onThree = done))
    const endpoint = createServer((req, res) => {
      let text = ''
      req.setEncoding('utf8').on('data', (part: string) => (text += part)).on('end', () => {
        requests.push({ headers: req.headers, body: JSON.parse(text) as (typeof requests)[number]['body'] })
        res.writeHead(requests.length === 1 ? 500 : 204).end()
        if (requests.length === 3) onThree()
      })
    })
    await new Promise<void>((done) => endpoint.listen(0, '127.0.0.1', done))
    try {
      const [topic] = await client.createTopic('topic')
      await topic.createSubscription('sub', { enableMessageOrdering: true, pushConfig: { pushEndpoint: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/` } })
      topic.setPublishOptions({ messageOrdering: true })
      await Promise.all(['one', 'two'].map((text) => topic.publishMessage({ data: Buffer.from(text), attributes: { a: 'b' }, orderingKey: 'k' })))
      await within(three, 'three requests')
      expect(requests.map(({ body }) => Buffer.from(body.message.data, 'base64').toString())).toEqual(['one', 'one', 'two'])
      expect(requests[0]!.headers).toMatchObject({ 'ce-type': 'google.cloud.pubsub.topic.v1.messagePublished', 'ce-source': '//pubsub.googleapis.com/projects/test/topics/topic', 'ce-specversion': '1.0' })
      expect(requests[0]!.body).toMatchObject({ subscription: 'projects/test/subscriptions/sub', message: { orderingKey: 'k', attributes: { a: 'b' } } })
    } finally {
      endpoint.closeAllConnections()
      endpoint.close()
    }
  })
})
