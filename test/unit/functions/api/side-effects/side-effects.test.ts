/** Side effects when something goes wrong, and what they cost where there are none: functions/api/side-effects. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import type { PatchRequest, Unavailable } from '#shared/ports/state-cluster.ts'
import { Client } from '../../../../api/client.ts'
import type { Answer } from '../../../../api/client.ts'
import { startMemoryServer } from '../../../../support/memory-server.ts'
import type { MemoryServer } from '../../../../support/memory-server.ts'

const OUTAGE: Unavailable = { kind: 'unavailable', stored: undefined, reason: 'no leader' }
const TYPES = ['subscription', 'upload', 'download', 'postgres-query', 'domain-claim', 'domain-config'].map((name) => `application/json;type=${name}`)
let server: MemoryServer
let alice: Client
beforeEach(async () => {
  server = await startMemoryServer()
  alice = await Client.open(server)
})
afterEach(() => server.stop())

const add = (path: unknown[], value: unknown) => ({ op: 'add', path, value })
const upload = (scope: string, active: object = { type: 'text/plain' }, headers = {}): Promise<Answer> =>
  alice.patch(scope, [add(['active_type'], 'application/json;type=upload'), add(['active'], active)], {}, headers)

function requests(): PatchRequest[] {
  const seen: PatchRequest[] = []
  server.cluster.beforePatch = (request) => {
    seen.push(request)
    return undefined
  }
  return seen
}

describe('what they cost', () => {
  test('a patch that does not add to ["active"] asks for no image, and for nothing else', async () => {
    const seen = requests()
    server.cluster.asked.length = 0
    await alice.patch(randomUUID(), [add(['active', 'x'], 1), add(['active_type'], 'application/json;type=upload'), { op: 'test', path: ['active'], value: { x: 1 } }])
    expect(seen.map(({ imageFor, returnState }) => [imageFor, returnState])).toEqual([[undefined, false]])
    expect(server.cluster.asked.map(({ kind }) => kind)).toEqual(['patch'])
  })

  test('not even where the state is at hand anyway, nor when it is repeated', async () => {
    const { body } = await upload(randomUUID())
    const touch = () => alice.patch(body.id, [add(['active', 'x'], 1)], { return: 'state' }, { 'Idempotency-Key': 'k' })
    server.cluster.asked.length = 0
    for (const answer of [await touch(), await touch()]) expect([answer.body.ii, answer.body.error, answer.body.url]).toEqual([2, undefined, undefined])
    expect(server.cluster.asked.map(({ kind }) => kind)).toEqual(['patch', 'patch'])
  })

  test('one that does asks with the patch, and for nothing else unless the type has an effect', async () => {
    const seen = requests()
    server.cluster.asked.length = 0
    const answer = await alice.patch(randomUUID(), [add(['active'], { x: 1 })])
    expect(answer.body.state).toBeUndefined()
    expect(seen.map(({ imageFor, returnState }) => [imageFor, returnState])).toEqual([[TYPES, false]])
    expect(server.cluster.asked.map(({ kind }) => kind)).toEqual(['patch'])
  })
})

describe('faults', () => {
  test('the patch is stored, the effect is not to be had: error 503 in the 200; a repeat has it', async () => {
    const [scope, id] = [randomUUID(), randomUUID()]
    server.cluster.beforePatch = (request) => (request.id === id ? OUTAGE : undefined)
    const key = { 'Idempotency-Key': 'k' }
    const active = { id, type: 'text/plain' }
    expect((await upload(scope, active, key)).body).toEqual({ id: scope, ii: 1, updated: expect.any(Number), error: { code: 503, detail: 'no leader' } })
    expect((await upload(scope, active, key)).body).toMatchObject({ replayed: true, error: { code: 503 } })
    server.cluster.beforePatch = () => undefined
    expect((await upload(scope, active, key)).body).toMatchObject({ ii: 1, replayed: true, upload: id, url: expect.any(String) })
    expect((await upload(scope, active, key)).body).toMatchObject({ replayed: true, upload: id })
    expect((await alice.get(id)).body.ii).toBe(1)
  })

  test('the effect was done, its answer lost: the repeat does nothing twice', async () => {
    const [scope, id] = [randomUUID(), randomUUID()]
    const patch = server.cluster.patch.bind(server.cluster)
    server.cluster.patch = async (request) => {
      const answer = await patch(request)
      return request.id === id ? OUTAGE : answer
    }
    const key = { 'Idempotency-Key': 'k' }
    expect((await upload(scope, { id, type: 'text/plain' }, key)).body.error.code).toBe(503)
    server.cluster.patch = patch
    expect((await upload(scope, { id, type: 'text/plain' }, key)).body).toMatchObject({ upload: id, url: expect.any(String) })
    expect((await alice.get(id)).body.ii).toBe(1)
  })

  test('a repeat whose state cannot be read as it was: error 503', async () => {
    const scope = randomUUID()
    const key = { 'Idempotency-Key': 'k' }
    await upload(scope, undefined, key)
    server.cluster.stateAt = async () => OUTAGE
    expect((await upload(scope, undefined, key)).body).toMatchObject({ replayed: true, error: { code: 503, detail: 'no leader' } })
  })

  test('by the short routes: 503 with Retry-After', async () => {
    server.cluster.beforePatch = (request) => (request.text.includes('"object"') || request.expected === 1 ? OUTAGE : undefined)
    const answer = await alice.call('POST', '/v1/uploads', { body: { type: 'text/plain' }, headers: { 'Idempotency-Key': 'k' } })
    expect([answer.status, answer.body.type, answer.headers.get('retry-after')]).toEqual([503, 'urn:problem:unavailable', '1'])
    server.cluster.beforePatch = () => OUTAGE
    expect((await alice.call('POST', '/v1/uploads', { body: { type: 'text/plain' } })).status).toBe(503)
    expect((await alice.call('GET', `/v1/downloads/${randomUUID()}`)).status).toBe(503)
    server.cluster.beforePatch = () => undefined
    expect((await alice.call('POST', '/v1/uploads', { body: { type: 'text/plain' }, headers: { 'Idempotency-Key': 'k' } })).status).toBe(201)
  })

  test('storage of uploads that fails: error 503, no details', async () => {
    const { upload: id } = (await upload(randomUUID())).body
    const failed = async () => ({ kind: 'failed' as const, reason: '/var/disk: EIO' })
    server.uploads.metadata = failed
    const answer = await alice.call('GET', `/v1/downloads/${id}`)
    expect([answer.status, answer.text.includes('disk')]).toEqual([503, false])
  })

  test('what nobody expected: the patch is stored and its 200 says that, without details; it is logged', async () => {
    server.uploads.uploadAddress = async () => {
      throw new Error('secret detail')
    }
    const answer = await upload(randomUUID())
    expect(answer).toMatchObject({ status: 200, body: { ii: 1, error: { code: 500, detail: 'the side effect failed' } } })
    expect(server.logged).toContainEqual(expect.objectContaining({ err: expect.objectContaining({ message: 'secret detail' }) }))
    const routed = await alice.call('POST', '/v1/uploads', { body: { type: 'text/plain' } })
    expect([routed.status, routed.text.includes('secret')]).toEqual([500, false])
  })

  test('an active larger than any body: error 413', async () => {
    const scope = randomUUID()
    const double = { op: 'copy', from: ['active', 'type'], path: ['active', 'more'] }
    const { body } = await alice.patch(scope, [add(['active_type'], 'application/json;type=upload'), add(['active'], { type: 'x'.repeat(600_000) }), double])
    expect(body).toMatchObject({ ii: 1, error: { code: 413 } })
  })
})

test('addresses begin with publicUrl, or with where the client reached us', async () => {
  expect((await upload(randomUUID())).body.url).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${server.port}/uploads/`))
  await server.stop()
  server = await startMemoryServer({ settings: { publicUrl: 'https://api.example.com' } })
  alice = await Client.open(server)
  expect((await upload(randomUUID())).body.url).toMatch(/^https:\/\/api\.example\.com\/uploads\//)
})

test('ids that are minted cannot be foreseen: another key, other ids', async () => {
  const { EffectIds } = await import('#functions/api/effect-ids.ts')
  const ids = new EffectIds(Buffer.alloc(32, 2))
  const scope = randomUUID()
  expect((await upload(scope)).body.upload).toBe(ids.of('upload', scope, '1'))
  expect(ids.of('upload', scope, '1')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const all = [ids.of('upload', scope, '1'), ids.of('upload', scope, '2'), ids.of('object', scope, '1'), ids.of('upload', `${scope}1`, ''), new EffectIds(Buffer.alloc(32, 3)).of('upload', scope, '1')]
  expect(new Set(all).size).toBe(all.length)
})
