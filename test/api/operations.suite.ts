/** rest-api.md, "Operations"; routes, methods, CORS. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Client, call, exchangeRaw } from './client.ts'
import { startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

let server: TestServer
let alice: Client
beforeAll(async () => {
  server = await startServer()
  alice = await Client.open(server)
})
afterAll(() => server.stop())

describe('operations', () => {
  test('health and ready', async () => {
    expect((await call(`${server.url}/v1/health`)).status).toBe(200)
    expect((await call(`${server.url}/v1/ready`)).status).toBe(200)
  })

  test('cluster', async () => {
    const answer = await call(`${server.url}/v1/cluster`)
    expect(answer.status).toBe(200)
    expect(answer.body.members[0]).toMatchObject({ name: expect.any(String), incarnation: expect.any(String), pid: expect.any(Number), state: 'active', log: { seq: expect.any(Number), waiting: expect.any(Number) } })
  })

  test('openapi.json describes every route, method and problem', async () => {
    const { body } = await call(`${server.url}/v1/openapi.json`)
    expect(body.openapi).toBe('3.1.0')
    expect(Object.keys(body.paths).toSorted()).toEqual([
      '/v1/cluster', '/v1/domains/{domain}/claim', '/v1/domains/{domain}/config', '/v1/downloads/{id}', '/v1/health', '/v1/openapi.json', '/v1/queries/{name}', '/v1/ready', '/v1/sessions', '/v1/sessions/{session}', '/v1/sessions/{session}/close-scripts',
      '/v1/states/{scope}', '/v1/states/{scope}/history', '/v1/streams', '/v1/streams/{address}', '/v1/uploads',
    ])
    const { patch } = body.paths['/v1/states/{scope}']
    expect(Object.keys(patch.responses).toSorted()).toEqual(['200', '400', '401', '403', '409', '412', '413', '415', '422', '500', '503'])
    expect(patch.responses['409'].description).toContain('urn:problem:name-taken')
    expect(patch.requestBody.content['application/json'].schema.properties.patch.minItems).toBe(1)
    expect(new Set(Object.values<Record<string, { operationId?: string }>>(body.paths).flatMap((item) => Object.values(item).map((each) => each.operationId))).size).toBeGreaterThanOrEqual(12)
  })
})

describe('routes', () => {
  test.each(['/', '/v1', '/v1/', '/v1/states', '/v1/states/', '/v1/states/a/', '/v1/states/a/b', '/v1/states//history', '/v1/sessions/', '/v1/sessions/a/b', '/v1/streams/', '/v1/streams/a/b', '/v2/health', '/v1/health/', '/v1/toString', '/v1/__proto__'])(
    'no such route: %s', async (path) => {
      const answer = await alice.call('GET', path)
      expect(answer).toMatchObject({ status: 404, body: { type: 'urn:problem:not-found', status: 404 } })
      expect(answer.headers.get('x-request-id')).not.toBe(null)
    })

  test.each([
    ['PUT', '/v1/states/a', 'GET, PATCH, OPTIONS'],
    ['DELETE', '/v1/states/a', 'GET, PATCH, OPTIONS'],
    ['POST', '/v1/states/a/history', 'GET, OPTIONS'],
    ['GET', '/v1/sessions', 'POST, OPTIONS'],
    ['GET', '/v1/sessions/a', 'DELETE, OPTIONS'],
    ['GET', '/v1/streams', 'POST, OPTIONS'],
    ['POST', '/v1/health', 'GET, OPTIONS'],
    ['PROPFIND', '/v1/cluster', 'GET, OPTIONS'],
  ])('another method: %s %s', async (method, path, allow) => {
    const answer = await alice.call(method, path)
    expect(answer).toMatchObject({ status: 405, body: { type: 'urn:problem:method-not-allowed' } })
    expect(answer.headers.get('allow')).toBe(allow)
  })

  test('HEAD', async () => {
    const answer = await exchangeRaw(server.port, 'HEAD /v1/states/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 405 /)
    expect(answer.split('\r\n\r\n')[1]).toBe('')
  })

  test('OPTIONS without Origin', async () => {
    const answer = await call(`${server.url}/v1/states/a`, { method: 'OPTIONS' })
    expect([answer.status, answer.headers.get('allow'), answer.headers.get('access-control-allow-origin')]).toEqual([204, 'GET, PATCH, OPTIONS', null])
  })

  test('a query that a route does not know', async () => {
    expect((await call(`${server.url}/v1/health?x=1`)).body.detail).toContain('"x"')
    expect((await call(`${server.url}/v1/health?`)).status).toBe(200)
  })
})

describe('CORS', () => {
  const preflight = (origin: string, path = '/v1/states/a', method = 'PATCH') =>
    call(`${server.url}${path}`, { method: 'OPTIONS', headers: { Origin: origin, 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': 'authorization,content-type,idempotency-key' } })

  test.each(['http://localhost', 'https://localhost:8443', 'http://a.localhost:5112', 'http://a.b.localhost'])('a preflight of %s', async (origin) => {
    const { status, headers } = await preflight(origin)
    expect(status).toBe(204)
    expect(headers.get('access-control-allow-origin')).toBe(origin)
    expect(headers.get('access-control-allow-methods')).toBe('GET, PATCH, OPTIONS')
    for (const name of ['authorization', 'content-type', 'idempotency-key', 'if-match', 'if-none-match', 'last-event-id']) {
      expect(headers.get('access-control-allow-headers')!.toLowerCase()).toContain(name)
    }
    expect(headers.get('vary')).toContain('Origin')
  })

  test.each(['https://example.com', 'http://localhost.example.com', 'http://evil-localhost', 'null', 'file://', 'ftp://localhost', 'http://localhost:0', 'http://localhost/x'])('another Origin: %s', async (origin) => {
    const { status, headers } = await preflight(origin)
    expect([status, headers.get('access-control-allow-origin')]).toEqual([403, null])
    const simple = await call(`${server.url}/v1/health`, { headers: { Origin: origin } })
    expect([simple.status, simple.headers.get('access-control-allow-origin')]).toEqual([200, null])
  })

  test('answers and problems can be read by the page', async () => {
    const Origin = 'http://localhost'
    for (const answer of [await alice.get('a', '', { Origin }), await alice.get('a', '?x=1', { Origin }), await call(`${server.url}/v1/states/a`, { headers: { Origin } }), await call(`${server.url}/nowhere`, { headers: { Origin } })]) {
      expect(answer.headers.get('access-control-allow-origin')).toBe(Origin)
      expect(answer.headers.get('vary')).toBe('Origin')
      for (const name of ['ETag', 'X-Request-Id', 'Retry-After', 'Location']) expect(answer.headers.get('access-control-expose-headers')).toContain(name)
    }
  })
})
