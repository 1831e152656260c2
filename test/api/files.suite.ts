/** rest-api.md, "Side effects": the types subscription, upload and download, by patch and by their short routes. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { Client, call } from './client.ts'
import type { Answer, Body, Headings } from './client.ts'
import { composition, startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

const { parsersInFront, filesOnCloudStorage = false } = composition()
/** What has to come with a file. */
const headersFor = (type: string): Headings => ({ 'Content-Type': type, ...(filesOnCloudStorage ? { 'x-goog-if-generation-match': '0', 'x-goog-content-length-range': `0,${1024 * 1024}` } : {}) })
let server: TestServer
let alice: Client
let bob: Client
beforeAll(async () => {
  server = await startServer()
  ;[alice, bob] = await Promise.all([Client.open(server), Client.open(server)])
})
afterAll(() => server.stop())

const add = (path: unknown[], value: unknown) => ({ op: 'add', path, value })
const typed = (type: string, active: unknown) => [add(['active_type'], `application/json;type=${type}`), add(['active'], active)]
const effect = (client: Client, type: string, active: unknown, more: { scope?: string; key?: string; body?: object } = {}): Promise<Answer> =>
  client.patch(more.scope ?? randomUUID(), typed(type, active), more.body ?? {}, more.key === undefined ? {} : { 'Idempotency-Key': more.key })

const putFile = (of: { url: string; headers: Headings }, content: string): Promise<Answer> => call(of.url, { method: 'PUT', headers: of.headers, body: content })

/** A file that is there. */
async function uploaded(client: Client, content: string, of: object = {}): Promise<string> {
  const answer = await client.call('POST', '/v1/uploads', { body: { type: 'text/plain', ...of } })
  expect([answer.status, (await putFile(answer.body, content)).status]).toEqual([201, 200])
  return answer.body.id
}
const downloadOf = (client: Client, id: string): Promise<Answer> => client.call('GET', `/v1/downloads/${id}`, { headers: { Accept: 'application/json' } })

describe('when a patch has a side effect', () => {
  const hasEffect = async (patch: unknown[], scope: string = randomUUID()): Promise<boolean> => {
    const answer = await alice.patch(scope, patch)
    expect(answer.status).toBe(200)
    return answer.body.state !== undefined || answer.body.error !== undefined
  }
  const active = { scope: 'x' }
  const subscription = add(['active_type'], 'application/json;type=subscription')

  test('it adds to ["active"], and the state has the type after it', async () => {
    expect(await hasEffect([subscription, add(['active'], active)])).toBe(true)
    expect(await hasEffect([add(['active'], active), subscription])).toBe(true)
    const id = randomUUID()
    expect(await hasEffect([subscription], id)).toBe(false)
    expect(await hasEffect([add(['active'], active)], id)).toBe(true)
    expect(await hasEffect([add(['active', 'scope'], 'y')], id)).toBe(false)
    expect(await hasEffect([{ op: 'replace', path: ['active'], value: active }], id)).toBe(false)
    expect(await hasEffect([add(['active', 'active'], active)], id)).toBe(false)
    expect(await hasEffect([add(['active'], active), { op: 'remove', path: ['active_type'] }], id)).toBe(false)
  })

  test.each(['application/json', 'application/json;type=score', 'application/json;type=Subscription', 'application/json; type=subscription', 'application/json;type=toString', 'text/plain'])('not the type %s', async (type) => {
    expect(await hasEffect([add(['active_type'], type), add(['active'], active)])).toBe(false)
  })

  test('as a JSON Patch document, and to a name', async () => {
    const body = [{ op: 'add', path: '/active_type', value: 'application/json;type=subscription' }, { op: 'add', path: '/active', value: active }]
    const answer = await alice.call('PATCH', '/v1/states/my%20subscription', { body, headers: { 'Content-Type': 'application/json-patch+json' } })
    expect(answer.body.state).toMatchObject({ ii: 0, active: {} })
    const named = await alice.patch(randomUUID(), [...typed('subscription', active), add(['name'], 'another subscription')])
    expect(named).toMatchObject({ status: 200, body: { ii: 1, state: { ii: 0 } } })
  })

  test('what was refused has none', async () => {
    const id = randomUUID()
    await alice.set(id, 'x', 1)
    const upload = randomUUID()
    const file = { id: upload, type: 'text/plain' }
    expect((await alice.patch(id, [...typed('upload', file), { op: 'test', path: ['active', 'id'], value: 'another' }])).status).toBe(422)
    expect((await alice.patch(id, typed('upload', file), { ii: 9 })).status).toBe(409)
    expect((await bob.patch(id, typed('upload', file))).status).toBe(403)
    expect((await alice.get(upload)).body.ii).toBe(0)
  })
})

describe('subscription', () => {
  test('answers with the state, under its id and under its name, or with an unwritten one', async () => {
    const { id } = (await alice.set('followed', 'x', 1)).body
    const state = (await alice.get(id)).body
    expect((await effect(alice, 'subscription', { scope: id })).body).toEqual({ id: expect.any(String), ii: 1, updated: expect.any(Number), state })
    expect((await effect(alice, 'subscription', { scope: 'followed', ii: null })).body.state).toEqual(state)
    expect((await effect(alice, 'subscription', { scope: 'followed', user: alice.user, domain: 'LOCALHOST' })).body.state).toEqual(state)
    const unwritten = randomUUID()
    expect((await effect(bob, 'subscription', { scope: unwritten })).body.state).toEqual((await bob.get(unwritten)).body)
  })

  test('what may not be read is refused, and the patch is stored', async () => {
    const { id } = (await alice.set('followed', 'x', 1)).body
    for (const active of [{ scope: id }, { scope: 'followed', user: alice.user }, { scope: 'never written', user: alice.user }]) {
      const { body } = await effect(bob, 'subscription', active)
      expect(body).toEqual({ id: expect.any(String), ii: 1, updated: expect.any(Number), error: { code: 403, detail: 'this state is not for you' } })
      expect((await bob.get(body.id)).body).toMatchObject({ ii: 1, active })
    }
  })

  test.each<[unknown, string]>([[{}, 'scope'], [{ scope: 7 }, '/scope'], [{ scope: '' }, '/scope'], ['x', 'active'], [null, 'active'], [['x'], 'active'], [{ scope: 'a\nb' }, 'scope'], [{ scope: 'x', user: '' }, 'user'], [{ scope: 'x', domain: 'a b' }, 'domain']])('%j is a 400 in the 200', async (active, place) => {
    const { status, body } = await effect(alice, 'subscription', active)
    expect([status, body.error.code, body.state]).toEqual([200, 400, undefined])
    expect(body.error.detail).toContain(place)
  })

  test('its state takes the place of the patched one', async () => {
    const { body } = await effect(alice, 'subscription', { scope: 'followed' }, { body: { return: 'state' } })
    expect(body.state.name).toBe('followed')
    const refused = await effect(bob, 'subscription', { scope: 'followed', user: alice.user }, { body: { return: 'state' } })
    expect(refused.body).toMatchObject({ error: { code: 403 }, state: { id: refused.body.id } })
  })

  test('a repeat reads it anew', async () => {
    const [id, followed] = [randomUUID(), randomUUID()]
    const send = () => effect(alice, 'subscription', { scope: followed }, { scope: id, key: 'k' })
    expect((await send()).body.state.ii).toBe(0)
    await alice.set(followed, 'x', 1)
    expect((await send()).body).toMatchObject({ ii: 1, replayed: true, state: { id: followed, ii: 1 } })
  })
})

describe('upload and download by patch', () => {
  test('a file goes up once and comes down; its state belongs to the uploader', async () => {
    const asked = await effect(alice, 'upload', { type: 'text/plain', name: 'poem.txt' })
    const { upload, url, headers } = asked.body
    expect(asked.body).toEqual({ id: expect.any(String), ii: 1, updated: expect.any(Number), upload: expect.any(String), url: expect.stringMatching(/^http/), headers: headersFor('text/plain') })
    const state = (await alice.get(upload)).body
    expect(state).toMatchObject({ ii: 1, owner: alice.user, domain: 'localhost', name: null, active_type: 'text/plain', active: { type: 'text/plain', id: expect.any(String), name: 'poem.txt' } })
    expect(Object.keys(state.active)).toEqual(['type', 'id', 'name'])
    expect((await effect(alice, 'download', { id: upload })).body.error.code).toBe(404)

    expect((await putFile({ url, headers }, 'a poem')).status).toBe(200)
    expect((await putFile({ url, headers }, 'another')).status).toBe(412)
    const download = await effect(alice, 'download', { id: upload })
    expect(download.body).toEqual({ id: expect.any(String), ii: 1, updated: expect.any(Number), url: expect.stringMatching(/^http/) })
    const file = await call(download.body.url)
    expect([file.status, file.text, file.headers.get('content-type'), file.headers.get('content-disposition')]).toEqual([200, 'a poem', 'text/plain', 'inline; filename="poem.txt"'])
  })

  test('under an id that the client chose, in any case; one that exists is refused', async () => {
    const id = randomUUID()
    const first = await effect(alice, 'upload', { id: id.toUpperCase(), type: 'text/plain' })
    expect(first.body.upload).toBe(id)
    const own = randomUUID()
    await alice.set(own, 'x', 1)
    const bobs = randomUUID()
    await bob.set(bobs, 'x', 1)
    const itself = randomUUID()
    for (const [taken, scope] of [[id, randomUUID()], [own, randomUUID()], [bobs, randomUUID()], [alice.session, randomUUID()], [itself, itself]] as const) {
      const { status, body } = await effect(alice, 'upload', { id: taken, type: 'text/plain' }, { scope })
      expect([status, body.error?.code, body.url, body.ii]).toEqual([200, 409, undefined, 1])
    }
    expect((await alice.get(own)).body).toMatchObject({ ii: 1, active: { x: 1 } })
    expect((await putFile(first.body, 'x')).status).toBe(200)
    const [again, scope] = [randomUUID(), randomUUID()]
    expect((await effect(alice, 'upload', { id: again, type: 'text/plain' }, { scope })).body.upload).toBe(again)
    expect((await effect(alice, 'upload', { id: again, type: 'text/plain' }, { scope })).body.error.code).toBe(409)
  })

  test("the id of another's name is refused", async () => {
    const { id } = (await alice.get('not yet written')).body
    expect((await effect(bob, 'upload', { id, type: 'text/plain' })).body.error.code).toBe(403)
    expect((await alice.get('not yet written')).body.ii).toBe(0)
    expect((await effect(alice, 'upload', { id, type: 'text/plain' })).body.upload).toBe(id)
  })

  test.each<[unknown, string]>([[{}, 'type'], [{ type: 'text' }, 'type'], [{ type: 'text/plain\r\nX: y' }, 'type'], [{ type: 'text/plain ' }, 'type'], [{ type: `text/${'x'.repeat(300)}` }, 'type'], [{ type: 7 }, '/type'], [{ type: 'a/b', name: '' }, '/name'], [{ type: 'a/b', name: 'a\nb' }, '/name'], [{ type: 'a/b', id: 'x' }, '/id'], [{ type: 'a/b', id: '0190163d-8694-739b-aea5-966c26f8ad91' }, '/id'], [[], 'active']])('%j: 400', async (active, place) => {
    const { status, body } = await effect(alice, 'upload', active)
    expect([status, body.error.code]).toEqual([200, 400])
    expect(body.error.detail).toContain(place)
  })

  test('a repeat gives an address of the same upload, however much has changed meanwhile, and makes nothing twice', async () => {
    const scope = randomUUID()
    const send = () => effect(alice, 'upload', { type: 'text/plain' }, { scope, key: 'k' })
    const first = await send()
    const { upload } = first.body
    await alice.patch(scope, [add(['active_type'], 'application/json'), add(['active'], { type: 'image/png' })])
    expect((await send()).body).toEqual({ ...first.body, url: expect.stringMatching(/^http/), replayed: true })
    expect((await alice.get(upload)).body.ii).toBe(1)
    await alice.set(upload, 'note', 'mine')
    const again = await send()
    expect([again.body.upload, again.body.error]).toEqual([upload, undefined])
    expect((await alice.get(upload)).body.ii).toBe(2)
    expect((await putFile(again.body, 'once')).status).toBe(200)
    expect((await putFile(first.body, 'twice')).status).toBe(412)
    const many = await Promise.all(Array.from({ length: 5 }, () => effect(alice, 'upload', { type: 'text/plain' }, { scope, key: 'at once' })))
    expect(new Set(many.map(({ body }) => body.upload)).size).toBe(1)
    expect((await alice.get(many[0]!.body.upload)).body.ii).toBe(1)
    const another = await effect(alice, 'upload', { type: 'text/plain' }, { scope })
    expect(another.body.upload).not.toBe(upload)
  })

  test('a repeat of an upload under a chosen id is no 409', async () => {
    const [scope, id] = [randomUUID(), randomUUID()]
    const send = () => effect(alice, 'upload', { id, type: 'text/plain' }, { scope, key: 'k' })
    expect((await send()).body.upload).toBe(id)
    expect((await send()).body).toMatchObject({ replayed: true, upload: id, url: expect.any(String) })
    expect((await alice.get(id)).body.ii).toBe(1)
  })

  test('an upload whose type is one with a side effect has none', async () => {
    for (const type of ['upload', 'download', 'subscription'].map((each) => `application/json;type=${each}`)) {
      const { body } = await effect(alice, 'upload', { type })
      expect((await alice.get(body.upload)).body).toMatchObject({ ii: 1, active_type: type })
    }
  })

  test('only as long as the deployment allows', async () => {
    const { body } = await effect(alice, 'upload', { type: 'application/octet-stream' })
    expect((await putFile(body, 'x'.repeat(1024 * 1024 + 1))).status).toBe(filesOnCloudStorage ? 400 : 413)
    expect((await putFile(body, 'x'.repeat(1024 * 1024))).status).toBe(200)
  })

  test('a download is authorized as reading the state of its id', async () => {
    const id = await uploaded(alice, 'mine')
    const elsewhere = await Client.open(server, { token: await server.tokenOf('dora'), domain: 'a.localhost' })
    for (const client of [bob, elsewhere]) {
      const { body } = await effect(client, 'download', { id })
      expect([body.error.code, body.url]).toEqual([403, undefined])
    }
    expect((await effect(alice, 'download', { id: id.toUpperCase() })).body.url).toContain('http')
  })

  test("a state that its owner points at another's file leads nowhere", async () => {
    const id = await uploaded(alice, 'mine')
    const { active } = (await alice.get(id)).body
    const own = await uploaded(bob, 'other')
    await bob.patch(own, [add(['active'], active)])
    expect((await effect(bob, 'download', { id: own })).body.error.code).toBe(404)
    const forged = randomUUID()
    await bob.patch(forged, [add(['active_type'], 'text/plain'), add(['active'], active)])
    expect((await effect(bob, 'download', { id: forged })).body.error.code).toBe(404)
  })

  test.each<[string, unknown]>([['nothing', undefined], ['a text', 'x'], ['a list', ['x']], ['no id', { type: 'a/b' }], ['an id that is none', { id: '../../x' }]])('a state that is no upload (%s): 404', async (_, active) => {
    const id = randomUUID()
    if (active !== undefined) await alice.patch(id, [add(['active'], active)])
    expect((await effect(alice, 'download', { id })).body.error.code).toBe(404)
  })

  test.each<[unknown]>([[{}], [{ id: 'x' }], [{ id: 7 }], ['x'], [null]])('download of %j: 400', async (active) => {
    expect((await effect(alice, 'download', active)).body.error.code).toBe(400)
  })
})

describe('POST /v1/uploads', () => {
  const ask = (body: unknown, headers: Headings = {}, client = alice): Promise<Answer> => client.call('POST', '/v1/uploads', { body, headers })

  test('201 with id, address and headers', async () => {
    const answer = await ask({ type: 'text/plain', name: 'ü.txt' })
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([201, 'no-store'])
    expect(answer.body).toEqual({ id: expect.any(String), url: expect.stringMatching(/^http/), headers: headersFor('text/plain') })
    expect((await alice.get(answer.body.id)).body).toMatchObject({ ii: 1, owner: alice.user, active: { name: 'ü.txt' } })
    const chosen = randomUUID()
    expect((await ask({ id: chosen, type: 'text/plain' })).body.id).toBe(chosen)
    expect((await ask({ id: chosen, type: 'text/plain' })).status).toBe(409)
    const ids = await Promise.all(Array.from({ length: 5 }, async () => (await ask({ type: 'text/plain' })).body.id))
    expect(new Set(ids).size).toBe(5)
  })

  test('Idempotency-Key: the same upload again', async () => {
    const first = await ask({ type: 'text/plain' }, { 'Idempotency-Key': 'k' })
    const again = await ask({ type: 'text/plain' }, { 'Idempotency-Key': 'k' })
    expect([again.status, again.body.id]).toEqual([201, first.body.id])
    expect((await ask({ type: 'text/html' }, { 'Idempotency-Key': 'k' })).body.type).toBe('urn:problem:key-reused')
    expect((await ask({ type: 'text/plain' }, { 'Idempotency-Key': 'k' }, bob)).body.id).not.toBe(first.body.id)
    expect((await ask({ type: 'text/plain' }, { 'Idempotency-Key': '' })).status).toBe(400)
  })

  test('refusals', async () => {
    const id = randomUUID()
    await bob.set(id, 'x', 1)
    expect(await ask({ id, type: 'text/plain' })).toMatchObject({ status: 409, body: { type: 'urn:problem:id-taken' } })
    for (const body of [{}, { type: 'text' }, { type: 'text/plain', id: 'x' }, { type: 'text/plain', x: 1 }, { type: 'text/plain', name: '\0' }, []]) {
      expect([body, (await ask(body)).body?.type]).toEqual([body, 'urn:problem:bad-request'])
    }
    expect((await call(`${server.url}/v1/uploads`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"type":"a/b"}' })).status).toBe(401)
    expect((await alice.call('POST', '/v1/uploads', { raw: 'type: a/b', headers: { 'Content-Type': 'application/yaml' } })).status).toBe(415)
    expect((await alice.call('GET', '/v1/uploads')).headers.get('allow')).toBe('POST, OPTIONS')
  })
})

describe('GET /v1/downloads/{id}', () => {
  test('302 to the file, or its address as JSON', async () => {
    const id = await uploaded(alice, 'content')
    const redirect = await alice.call('GET', `/v1/downloads/${id}`)
    expect([redirect.status, redirect.text, redirect.headers.get('cache-control')]).toEqual([302, '', 'no-store'])
    expect((await call(redirect.headers.get('location')!)).text).toBe('content')
    const json = await downloadOf(alice, id)
    expect([json.status, Object.keys(json.body)]).toEqual([200, ['url']])
    expect((await call(json.body.url)).text).toBe('content')
    const followed = await fetch(`${server.url}/v1/downloads/${id}`, { headers: { Authorization: `Bearer ${alice.token}`, Origin: 'http://localhost' } })
    expect([await followed.text(), followed.headers.get('access-control-allow-origin')]).toEqual(['content', filesOnCloudStorage ? '*' : 'http://localhost'])
  })

  test('refusals', async () => {
    const id = await uploaded(alice, 'content')
    expect(await downloadOf(bob, id)).toMatchObject({ status: 403, body: { type: 'urn:problem:forbidden' } })
    expect(await downloadOf(alice, randomUUID())).toMatchObject({ status: 404, body: { type: 'urn:problem:not-found' } })
    const waiting = (await alice.call('POST', '/v1/uploads', { body: { type: 'text/plain' } })).body.id
    expect((await downloadOf(alice, waiting)).status).toBe(404)
    expect((await downloadOf(alice, 'x')).status).toBe(400)
    if (!parsersInFront) expect((await downloadOf(alice, '%zz')).status).toBe(400)
    expect((await call(`${server.url}/v1/downloads/${id}`)).status).toBe(401)
    expect((await alice.call('GET', '/v1/downloads/')).status).toBe(404)
    expect((await alice.call('GET', `/v1/downloads/${id}/x`)).status).toBe(404)
  })

  test.each([
    ['text/html', 'page.html', 'attachment; filename="page.html"'],
    ['image/svg+xml', undefined, 'attachment'],
    ['image/png', undefined, 'inline'],
    ['IMAGE/PNG', 'a"b.png', `inline; filename="a_b.png"; filename*=UTF-8''a%22b.png`],
    ['text/plain; charset=utf-8', 'ü(1).txt', `inline; filename="_(1).txt"; filename*=UTF-8''%C3%BC%281%29.txt`],
  ])('what a browser would run is saved, not shown: %s %s', async (type, name, disposition) => {
    const id = await uploaded(alice, '<script>', { type, name })
    const { headers } = await call((await downloadOf(alice, id)).body.url)
    expect([headers.get('content-disposition'), headers.get('content-type'), headers.get('x-content-type-options')]).toEqual([disposition, type, filesOnCloudStorage ? null : 'nosniff'])
  })

  test('the type that a browser sees is the one that was put, whatever the owner makes of the state', async () => {
    const id = await uploaded(alice, '<script>', { type: 'text/html', name: 'x.html' })
    await alice.patch(id, [add(['active', 'type'], 'image/png'), add(['active_type'], 'image/png'), add(['active', 'name'], { a: 1 })])
    const { headers } = await call((await downloadOf(alice, id)).body.url)
    expect([headers.get('content-type'), headers.get('content-disposition')]).toEqual(['text/html', 'attachment'])
  })
})

test('what the api says of itself has the routes', async () => {
  const { body } = await call(`${server.url}/v1/openapi.json`)
  const upload: Body = body.paths['/v1/uploads'].post
  expect(Object.keys(upload.responses)).toEqual(expect.arrayContaining(['201', '400', '401', '403', '409', '422', '503']))
  expect(upload.responses['409'].description).toContain('urn:problem:id-taken')
  expect(Object.keys(body.paths['/v1/downloads/{id}'].get.responses)).toEqual(expect.arrayContaining(['200', '302', '403', '404']))
})
