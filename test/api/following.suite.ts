/** rest-api.md, "Following a state". */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { Client, EventReader, call } from './client.ts'
import type { Event } from './client.ts'
import { startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

let server: TestServer
let alice: Client
beforeAll(async () => {
  server = await startServer()
  alice = await Client.open(server)
})
afterAll(() => server.stop())

const indices = (events: Event[]) => events.map(({ event, id, data }) => [event, Number(id), data.ii])

test('a state event with the whole state, then every patch', async () => {
  const id = randomUUID()
  const first = await alice.set(id, 'x', 1)
  const stream = await alice.follow(id)
  expect(stream.response.headers['content-type']).toBe('text/event-stream')
  expect(await stream.next()).toEqual({ event: 'state', id: '1', data: (await alice.get(id)).body })
  const second = await alice.set(id, 'y', { a: 'ü\n' })
  expect(await stream.next()).toEqual({
    event: 'patch',
    id: '2',
    data: { id, ii: 2, patch: [{ op: 'add', path: ['active', 'y'], value: { a: 'ü\n' } }], user: alice.user, ts: second.body.updated },
  })
  expect(second.body.updated).toBeGreaterThanOrEqual(first.body.updated)
  stream.close()
})

test('an unwritten state, by a name: from its first patch on', async () => {
  const stream = await alice.follow('not yet')
  expect(await stream.next()).toMatchObject({ event: 'state', id: '0', data: { ii: 0, active: {}, owner: null } })
  await alice.set('not yet', 'x', 1)
  expect(await stream.next()).toMatchObject({ event: 'patch', id: '1' })
  stream.close()
})

test('an event comes before the answer to its patch, or at once with it, for every follower', async () => {
  const id = randomUUID()
  const streams = await Promise.all(Array.from({ length: 20 }, () => alice.follow(id)))
  await Promise.all(streams.map((stream) => stream.next()))
  for (let n = 1; n <= 10; n++) await alice.set(id, 'n', n)
  for (const stream of streams) {
    expect(indices(await stream.take(10))).toEqual(Array.from({ length: 10 }, (_, i) => ['patch', i + 1, i + 1]))
    stream.close()
  }
})

test('who joins and resumes while others write has no gap and no double', async () => {
  const id = randomUUID()
  const last = 300
  const writers = Array.from({ length: 6 }, async () => {
    for (let n = 0; n < last / 6; n++) await alice.set(id, 'n', n)
  })
  const readers = Array.from({ length: 12 }, async (_, i) => {
    await alice.get(id, `?min_ii=${i * 10}`)
    let stream = await alice.follow(id)
    const seen: number[] = []
    while (seen.at(-1) !== last) {
      const event = await stream.next()
      if (event.event === 'state') expect(seen).toEqual([])
      seen.push(Number(event.id))
      if (seen.length % 25 === 0 && event.id !== String(last)) {
        stream.close()
        stream = await alice.follow(id, { headers: { 'Last-Event-ID': event.id! } })
      }
    }
    stream.close()
    return seen
  })
  await Promise.all(writers)
  for (const seen of await Promise.all(readers)) {
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => seen[0]! + i))
  }
})

describe('resuming', () => {
  const id = randomUUID()
  beforeAll(async () => {
    for (let n = 1; n <= 5; n++) await alice.set(id, 'n', n)
  })

  test('Last-Event-ID continues with the next, without a state event', async () => {
    const stream = await alice.follow(id, { headers: { 'Last-Event-ID': '3' } })
    expect(indices(await stream.take(2))).toEqual([['patch', 4, 4], ['patch', 5, 5]])
    stream.close()
  })

  test('events=N does so from N, whatever the Accept; Last-Event-ID is newer than the address', async () => {
    const url = `${server.url}/v1/states/${id}?events=2`
    const headers = { Authorization: `Bearer ${alice.token}`, Accept: 'application/json' }
    const stream = await EventReader.open(url, headers)
    expect(indices(await stream.take(4)).map(([, ii]) => ii)).toEqual([2, 3, 4, 5])
    stream.close()
    const again = await EventReader.open(url, { ...headers, 'Last-Event-ID': '4' })
    expect((await again.next()).id).toBe('5')
    again.close()
  })

  test('at the present: nothing until the next patch', async () => {
    const other = randomUUID()
    await alice.set(other, 'x', 1)
    const stream = await alice.follow(other, { headers: { 'Last-Event-ID': '1' } })
    await alice.set(other, 'x', 2)
    expect(indices([await stream.next()])).toEqual([['patch', 2, 2]])
    stream.close()
  })

  test.each(['?events=9', '?events=x', '?events=-1', '?events=', '?events=0', '?events=1e3'])('an index that lies ahead or is malformed starts with a state event: %s', async (query) => {
    const stream = await alice.follow(id, { query })
    expect(indices([await stream.next()])).toEqual([['state', 5, 5]])
    stream.close()
  })

  test.each(['9', 'x', '-1', ' '])('so does Last-Event-ID: %s', async (last) => {
    const stream = await alice.follow(id, { headers: { 'Last-Event-ID': last } })
    expect(indices([await stream.next()])).toEqual([['state', 5, 5]])
    stream.close()
  })
})

describe('signed addresses', () => {
  const sign = (client: Client, body: object) => client.call('POST', '/v1/streams', { body })

  test('follow one state without any header', async () => {
    const id = randomUUID()
    await alice.set(id, 'x', 1)
    const answer = await sign(alice, { scope: id })
    expect([answer.status, Object.keys(answer.body)]).toEqual([201, ['url']])
    const stream = await EventReader.open(answer.body.url, {})
    expect(await stream.next()).toMatchObject({ event: 'state', data: { id, ii: 1 } })
    await alice.set(id, 'x', 2)
    expect((await stream.next()).id).toBe('2')
    stream.close()
    const resumed = await EventReader.open(answer.body.url, { 'Last-Event-ID': '1' })
    expect((await resumed.next())).toMatchObject({ event: 'patch', id: '2' })
    resumed.close()
    const from = await EventReader.open(`${answer.body.url}?events=2`, {})
    expect((await from.next())).toMatchObject({ event: 'patch', id: '2' })
    from.close()
  })

  test('by name, for its owner', async () => {
    const { id } = (await alice.set('signed', 'x', 1)).body
    const stream = await EventReader.open((await sign(alice, { scope: 'signed', user: alice.user, domain: 'localhost' })).body.url, { Origin: 'http://localhost' })
    expect((await stream.next()).data.id).toBe(id)
    stream.close()
  })

  test('are good for nothing else', async () => {
    const { url } = (await sign(alice, { scope: 'signed' })).body
    const token = url.split('/').at(-1)
    expect((await call(url, { method: 'PATCH' })).status).toBe(405)
    expect((await call(`${server.url}/v1/states/signed`, { headers: { Authorization: `Bearer ${token}` } })).status).toBe(401)
    expect((await call(`${url}x`)).status).toBe(401)
    expect((await call(`${server.url}/v1/streams/${alice.token}`)).status).toBe(401)
    expect((await call(url, { headers: { Origin: 'http://a.localhost' } })).status).toBe(403)
  })

  test('bad requests', async () => {
    for (const body of [{}, { scope: '' }, { scope: 7 }, { scope: 'a', more: 1 }, { scope: 'a', domain: '-' }, { scope: '0190163d-8694-739b-aea5-966c26f8ad91' }, []]) {
      expect([body, (await sign(alice, body)).status]).toEqual([body, 400])
    }
  })
})

test('refused streams: 401, 403, 400', async () => {
  const bob = await Client.open(server)
  const id = randomUUID()
  await alice.set(id, 'x', 1)
  await expect(bob.follow(id)).rejects.toThrow('403')
  await expect(bob.follow('x', { query: `?user=${alice.user}` })).rejects.toThrow('403')
  await expect(bob.follow('x', { query: '?ii=1' })).rejects.toThrow('400')
  await expect(EventReader.open(`${server.url}/v1/states/x?events=1`, {})).rejects.toThrow('401')
})
