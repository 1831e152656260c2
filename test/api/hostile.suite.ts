/** Hostile input: a clear error, the process alive, nothing lost. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { once } from 'node:events'
import { Client, exchangeRaw } from './client.ts'
import { composition, startServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'

/** What a framework's parsers would answer before us. */
const { parsersInFront } = composition()
const testOfOurs = parsersInFront ? test.skip : test
let server: TestServer
let alice: Client
const kept = randomUUID()
beforeAll(async () => {
  server = await startServer()
  alice = await Client.open(server)
  await alice.set(kept, 'x', 1)
})
afterEach(async () => {
  expect((await alice.get(kept)).body).toMatchObject({ ii: 1, active: { x: 1 } })
})
afterAll(() => server.stop())

const patchRaw = (raw: string | Uint8Array, headers = {}) => alice.call('PATCH', `/v1/states/${randomUUID()}`, { raw, headers })
const withValue = (json: string): string => `{"patch":[{"op":"add","path":["active"],"value":${json}}]}`
const head = (more: string, path = `/v1/states/${randomUUID()}`): string =>
  `PATCH ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\nContent-Type: application/json\r\n${more}\r\n`

describe('bodies that are no JSON', () => {
  test.each(['', ' ', '{', 'undefined', '{"patch":[}', "{'patch':[]}", '{"patch":[]} x', '\ufeff{}', 'NaN', '[1,]', '{"a":01}', '"\t"', '"\\x"'])('%j: 400', async (raw) => {
    const answer = await patchRaw(raw)
    expect(answer.status).toBe(400)
    if (parsersInFront) return
    expect(answer.body.type).toBe('urn:problem:bad-request')
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })

  test.each(['1e400', '-1e400', '[[{"a":1e309}]]', `1${'0'.repeat(400)}`, '1E+0400'])('a number that is none: %s', async (json) => {
    expect((await patchRaw(withValue(json))).status).toBe(400)
  })

  test('invalid UTF-8', async () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf8, 0x88, 0x80, 0x80, 0x80]]) {
      const raw = Buffer.concat([Buffer.from(withValue('"').slice(0, -2)), Buffer.from(bytes), Buffer.from('"}]}')])
      expect((await patchRaw(raw)).status).toBe(400)
    }
    expect((await patchRaw(Buffer.from(withValue('"\u{1d4b3}"')))).status).toBe(200)
  })

  test('numbers, escapes and double keys that are JSON are kept', async () => {
    const id = randomUUID()
    const raw = withValue('{"a":1,"a":2,"tiny":1e-400,"lone":"\\ud800","nul":"\\u0000","big":1e308}')
    expect((await alice.call('PATCH', `/v1/states/${id}`, { raw })).status).toBe(200)
    expect((await alice.get(id)).body.active).toEqual({ a: 2, tiny: 0, lone: '\ud800', nul: '\0', big: 1e308 })
  })
})

describe('deep', () => {
  const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)

  test('256 levels are kept, more are refused', async () => {
    const id = randomUUID()
    expect((await alice.call('PATCH', `/v1/states/${id}`, { raw: withValue(nested(256)) })).status).toBe(200)
    expect(JSON.stringify((await alice.get(id)).body.active)).toBe(nested(256))
    expect((await patchRaw(withValue(nested(257)))).status).toBe(400)
  })

  test.each([['arrays', '[', ']'], ['objects', '{"a":', '}']])('hundreds of thousands of %s', async (_, open, close) => {
    const levels = Math.floor(900_000 / (open.length + close.length))
    const json = open.repeat(levels) + (open === '[' ? '' : '1') + close.repeat(levels)
    expect((await patchRaw(withValue(json))).status).toBe(400)
    expect((await patchRaw(json)).status).toBe(400)
    expect((await alice.call('POST', '/v1/sessions', { raw: `{"token":${json}}` })).status).toBe(400)
    expect((await alice.call('POST', `/v1/sessions/${alice.session}/close-scripts`, { raw: `{"script":"x","args":${json}}` })).status).toBe(400)
  })

  test('ops that build it: 422', async () => {
    const id = randomUUID()
    await alice.call('PATCH', `/v1/states/${id}`, { raw: withValue(`{"a":${nested(200)}}`) })
    const answer = await alice.patch(id, [{ op: 'copy', from: ['active'], path: ['active', 'a', ...Array.from({ length: 199 }, () => 0), 0] }])
    expect(answer.status).toBe(422)
    expect((await alice.get(id)).body.ii).toBe(1)
  })

  test('a long path, a long key, many ops', async () => {
    const path = ['active', ...Array.from({ length: 50_000 }, () => 'x')]
    expect((await patchRaw(JSON.stringify({ patch: [{ op: 'add', path, value: 1 }] }))).status).toBe(422)
    expect((await patchRaw(JSON.stringify({ patch: [{ op: 'add', path: ['active', 'k'.repeat(900_000)], value: 1 }] }))).status).toBe(200)
    const many = Array.from({ length: 15_000 }, () => ({ op: 'add', path: ['active', 'x'], value: 1 }))
    expect((await patchRaw(JSON.stringify({ patch: many }))).status).toBe(200)
  })
})

describe('large', () => {
  const limit = 1024 * 1024

  test('a body at the limit is taken, one above is 413 with the limit', async () => {
    const fill = (bytes: number): string => withValue(`"${'x'.repeat(bytes - withValue('""').length)}"`)
    expect((await patchRaw(fill(limit))).status).toBe(200)
    const answer = await patchRaw(fill(limit + 1))
    expect(answer).toMatchObject({ status: 413, body: { type: 'urn:problem:too-large', limit } })
  })

  testOfOurs('a body above the limit leaves the connection in order', async () => {
    const body = 'x'.repeat(3 * limit)
    const second = `GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
    const text = await exchangeRaw(server.port, `${head(`Content-Length: ${body.length}\r\n`)}${body}${second}`)
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    expect(text).toContain('HTTP/1.1 200 OK')
  })

  testOfOurs('a length above the limit is refused before the body is sent', async () => {
    const text = await exchangeRaw(server.port, head(`Content-Length: ${2 * limit}\r\n`), (answer) => answer.includes('"limit"'))
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
  })

  testOfOurs('in chunks without a length: 413 once it is too much', async () => {
    const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`
    const text = await exchangeRaw(server.port, `${head('Transfer-Encoding: chunked\r\n')}${chunk.repeat(20)}0\r\n\r\n`, (answer) => answer.includes('"limit"'))
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
  })

  testOfOurs('a body that never ends: the connection does', async () => {
    const socket = connect(server.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.on('error', () => {})
    socket.resume()
    socket.write(head('Transfer-Encoding: chunked\r\n'))
    const chunk = Buffer.from(`${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`)
    let bytes = 0
    await new Promise<void>((resolve) => {
      const write = (): void => {
        while (bytes < 256 * limit) {
          bytes += chunk.length
          if (!socket.write(chunk)) return
        }
        resolve()
      }
      socket.on('drain', write)
      socket.on('close', () => resolve())
      write()
    })
    socket.destroy()
    expect(bytes).toBeLessThan(256 * limit)
  })

  test('Expect: 100-continue', async () => {
    const body = withValue('1')
    const text = await exchangeRaw(server.port, head(`Expect: 100-continue\r\nConnection: close\r\nContent-Length: ${body.length}\r\n`) + body)
    expect(text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  })

  test('a body in many small pieces', async () => {
    const body = withValue('"ü\u{1d4b3}"')
    const bytes = Buffer.from(body)
    const id = randomUUID()
    const socket = connect(server.port, '127.0.0.1')
    socket.setNoDelay(true)
    const answered = once(socket, 'data')
    socket.write(head(`Content-Length: ${bytes.length}\r\n`, `/v1/states/${id}`))
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const [chunk] = (await answered) as [Buffer]
    expect(chunk.toString()).toMatch(/^HTTP\/1\.1 200 OK/)
    socket.destroy()
    expect((await alice.get(id)).body.active).toBe('ü\u{1d4b3}')
  })
})

describe('clients that go away', () => {
  test('in the middle of a body, of a stream, of an answer', async () => {
    for (const bytes of [head('Content-Length: 100\r\n') + '{"patch"', head('Transfer-Encoding: chunked\r\n') + '5\r\n{"pat', `GET /v1/states/${kept}?events=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`]) {
      const sockets = await Promise.all(Array.from({ length: 20 }, async () => {
        const socket = connect(server.port, '127.0.0.1')
        socket.on('error', () => {})
        await once(socket, 'connect')
        socket.write(bytes)
        return socket
      }))
      for (const socket of sockets) socket.resetAndDestroy()
    }
    const id = randomUUID()
    expect((await alice.set(id, 'x', 1)).status).toBe(200)
  })

  test('no HTTP at all', async () => {
    expect(await exchangeRaw(server.port, '\0\0\0\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    expect(await exchangeRaw(server.port, `GET /v1/health HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('targets that are none', async () => {
    for (const target of ['*', 'http://x/v1/health', '//v1/health', '/v1/states/a#b', '/v1/states/..%2f..']) {
      const answer = await exchangeRaw(server.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      expect(answer).toMatch(/^HTTP\/1\.1 (?:400|401|404) /)
    }
  })
})

test('prototype names as scope, user and member do nothing', async () => {
  for (const name of ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString']) {
    expect((await alice.get(name)).body).toMatchObject({ ii: 0, active: {} })
    expect((await alice.get(name, `?user=${name}`)).status).toBe(403)
    expect((await alice.patch('p', [{ op: 'add', path: ['active', 'x'], value: 1 }], { [`${name}x`]: 1 })).status).toBe(400)
    expect((await alice.rename(name, `${name}2`)).status).toBe(200)
    expect((await alice.rename(`${name}2`, name)).status).toBe(200)
    expect((await alice.get(name)).body.name).toBe(name)
  }
  expect(({} as Record<string, unknown>)['x']).toBeUndefined()
})
