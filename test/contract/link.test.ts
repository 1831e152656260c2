/** Links over real sockets: how they come to be, who is refused, what passes, how they end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import type { Incarnation } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import { acceptLinks, dial, type LinkCredentials, type LinkServer } from '#shared/link/connect.ts'
import type { Link } from '#shared/link/link.ts'
import { encodeMessage, LINK_VERSION, type LinkMessage } from '#shared/link/messages.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import { signal, turns, within } from './eventually.ts'

const OURS = sharedSecret(Buffer.alloc(32, 1))
const THEIRS = sharedSecret(Buffer.alloc(32, 2))
const hello = (name: string) => () => ({ role: 'peer', name, incarnation: `life of ${name}` as Incarnation }) as const
const forget = (token: number): LinkMessage => ({ kind: 'forget', token })

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})

async function serve(): Promise<{ server: LinkServer; links: Link[]; next: () => Promise<Link> }> {
  const links: Link[] = []
  let waiting = signal<Link>()
  const server = await acceptLinks({
    host: '127.0.0.1',
    port: 0,
    credentials: OURS,
    hello: hello('server'),
    onLink: (link) => {
      links.push(link)
      waiting.resolve(link)
    },
  })
  open.push(server)
  return {
    server,
    links,
    next: async () => {
      const link = await within(waiting.promise, 'a link')
      waiting = signal()
      return link
    },
  }
}

async function dialled(port: number, credentials: LinkCredentials = OURS): Promise<Link | undefined> {
  const came = signal<Link | undefined>()
  await dial(`127.0.0.1:${port}`, hello('dialler'), credentials, came.resolve)
  const link = await within(came.promise, 'an end of dialling')
  if (link) open.push(link)
  return link
}

async function pair(): Promise<{ near: Link; far: Link; server: LinkServer }> {
  const { server, next } = await serve()
  const far = next()
  return { near: (await dialled(server.port))!, far: await far, server }
}

describe('how a link comes to be', () => {
  test('both sides know the name and the life of the other', async () => {
    const { near, far } = await pair()
    expect(near.peer).toEqual({ kind: 'hello', version: LINK_VERSION, role: 'peer', name: 'server', incarnation: 'life of server' })
    expect(far.peer).toEqual({ kind: 'hello', version: LINK_VERSION, role: 'peer', name: 'dialler', incarnation: 'life of dialler' })
  })

  test('another secret: 401, and no link', async () => {
    const { server, links } = await serve()
    expect(await dialled(server.port, THEIRS)).toBe(undefined)
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}`)
    const refused = signal<number | undefined>()
    socket.on('unexpected-response', (_, response) => refused.resolve(response.statusCode)).on('error', () => undefined)
    expect(await within(refused.promise, 'a refusal')).toBe(401)
    socket.terminate()
    expect(links).toEqual([])
  })

  test('nobody listens', async () => expect(await dialled(1)).toBe(undefined))

  test('what is no WebSocket gets an answer', async () => {
    const { server } = await serve()
    expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(200)
  })

  test.each([
    ['another version', JSON.stringify({ kind: 'hello', version: LINK_VERSION + 1, role: 'api', name: 'x', incarnation: '' })],
    ['no version', JSON.stringify({ kind: 'hello', role: 'api', name: 'x', incarnation: '' })],
    ['another message first', encodeMessage(forget(1))],
    ['no JSON', '{'],
    ['null', 'null'],
  ])('%s is closed', async (_, first) => {
    const { server, links } = await serve()
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, { headers: { authorization: await OURS.header('') } })
    socket.on('error', () => undefined)
    await once(socket, 'open')
    const closed = once(socket, 'close')
    socket.send(first)
    await within(closed, 'the end of the socket')
    expect(links).toEqual([])
  })

  test('one that says nothing is closed after a while', async () => {
    const { server, links } = await serve()
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, { headers: { authorization: await OURS.header('') } })
    await once(socket, 'open')
    await within(once(socket, 'close'), 'the end of the socket', limits.linkHelloMs + 3_000)
    expect(links).toEqual([])
  })

  test('a listener that answers no hello in time, or goes away before', async () => {
    const { WebSocketServer } = await import('ws')
    const silent = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    silent.once('connection', (socket) => socket.terminate())
    expect(await dialled(port)).toBe(undefined)
    silent.on('connection', () => undefined)
    expect(await dialled(port)).toBe(undefined)
    for (const client of silent.clients) client.terminate()
    silent.close()
  })

  test('somebody without the secret who resets the connection ends nothing', async () => {
    const child = spawn(process.execPath, [new URL('./link-server-child.ts', import.meta.url).pathname], { stdio: ['ignore', 'pipe', 'pipe'] })
    open.push({ close: () => child.kill('SIGKILL') })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    const [printed] = await within(once(child.stdout.setEncoding('utf8'), 'data'), 'a port')
    for (let n = 0; n < 20; n++) {
      const socket = connect(Number(printed), '127.0.0.1')
      socket.on('error', () => undefined)
      await once(socket, 'connect')
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
      if (n % 2 === 1) await turns(n)
      socket.resetAndDestroy()
    }
    const link = await dialled(Number(printed)).catch(() => undefined)
    expect([said, child.exitCode, link?.peer.name]).toEqual(['', null, 'child'])
  })
})

describe('what passes', () => {
  test('messages, both ways, in order', async () => {
    const { near, far } = await pair()
    const seen: { near: number[]; far: number[] } = { near: [], far: [] }
    const all = signal()
    const note = (side: number[]) => (message: LinkMessage): void => {
      side.push((message as { token: number }).token)
      if (seen.near.length + seen.far.length === 2_000) all.resolve()
    }
    near.onMessage = note(seen.near)
    far.onMessage = note(seen.far)
    for (let token = 0; token < 1_000; token++) {
      near.send(forget(token))
      far.send(forget(token))
      if (token % 100 === 0) await turns(1)
    }
    await within(all.promise, 'all messages')
    const order = Array.from({ length: 1_000 }, (_, token) => token)
    expect(seen).toEqual({ near: order, far: order })
  })

  test('what was sent before close arrives, then the end', async () => {
    const { near, far } = await pair()
    const tokens: number[] = []
    const ended = signal()
    far.onMessage = (message) => tokens.push((message as { token: number }).token)
    far.onEnd = ended.resolve
    near.send(forget(1))
    near.close()
    await within(ended.promise, 'the end')
    expect(tokens).toEqual([1])
  })

  test('a large message', async () => {
    const { near, far } = await pair()
    const came = signal<LinkMessage>()
    far.onMessage = came.resolve
    const patch = JSON.stringify([{ op: 'add', path: ['active', 'x'], value: 'é\n\t'.repeat(2_000_000) }])
    near.send({ kind: 'follow-patch', token: 1, interaction: { ii: 1 as never, user: 'u', ts: 1, patch } })
    const message = await within(came.promise, 'the message')
    expect((message as Extract<LinkMessage, { kind: 'follow-patch' }>).interaction.patch === patch).toBe(true)
  })
})

describe('how a link ends', () => {
  test('the other side ends it', async () => {
    const { near, far } = await pair()
    const ended = signal()
    near.onEnd = ended.resolve
    far.end()
    await within(ended.promise, 'the end')
  })

  test('nothing arrives after the end, not even the rest of a frame', async () => {
    const { near, far } = await pair()
    const tokens: number[] = []
    const ended = signal()
    far.onMessage = (message) => {
      tokens.push((message as { token: number }).token)
      if (tokens.length === 2) far.end()
    }
    near.onEnd = ended.resolve
    for (let token = 0; token < 5; token++) near.send(forget(token))
    await within(ended.promise, 'the end')
    expect(tokens).toEqual([0, 1])
  })

  test('the server closes', async () => {
    const { near, server } = await pair()
    const ended = signal()
    near.onEnd = ended.resolve
    await server.close()
    await within(ended.promise, 'the end')
  })

  test('the other side does not read: the sender gives it up, and does not queue without bound', async () => {
    const { WebSocketServer } = await import('ws')
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(server, 'listening')
    server.on('connection', (socket) => {
      socket.send(JSON.stringify({ kind: 'hello', version: LINK_VERSION, role: 'peer', name: 'deaf', incarnation: 'i' }))
      socket.pause()
    })
    const link = (await dialled((server.address() as { port: number }).port))!
    const ended = signal()
    link.onEnd = ended.resolve
    let isOver = false
    void ended.promise.then(() => (isOver = true))
    const patch = JSON.stringify('x'.repeat(1024 * 1024))
    let sent = 0
    for (; !isOver && sent < 500; sent++) {
      link.send({ kind: 'follow-patch', token: 1, interaction: { ii: 1 as never, user: 'u', ts: 1, patch } })
      await turns(2)
    }
    expect(isOver).toBe(true)
    expect(sent * patch.length).toBeLessThan(2 * limits.linkBufferBytes)
    for (const client of server.clients) client.terminate()
    server.close()
  })
})
