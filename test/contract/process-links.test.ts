/** The links of a state process: each belongs to one life of each side. */
import { once } from 'node:events'
import { afterEach, expect, test } from '@jest/globals'
import { WebSocketServer, type WebSocket } from 'ws'
import { ProcessLinks } from '#functions/state-process/links.ts'
import type { Host } from '#functions/state-process/host.ts'
import type { Incarnation } from '#shared/ids.ts'
import { LINK_VERSION } from '#shared/link/messages.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Member } from '#shared/ports/directory.ts'
import { signal, within } from './eventually.ts'

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})

/** Another state process, which says its hello when the test wants it to. */
async function other(): Promise<{ member: Member; next: () => Promise<{ said: string; answer: () => void; socket: WebSocket }> }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  open.push({ close: () => [...server.clients].map((client) => client.terminate()) }, server)
  const { port } = server.address() as { port: number }
  return {
    member: { name: 'p1', incarnation: 'life of p1' as Incarnation, address: `127.0.0.1:${port}`, pid: undefined, state: 'active', heartbeat: 1 },
    next: async () => {
      const [socket] = (await within(once(server, 'connection'), 'a link')) as [WebSocket]
      const [hello] = await within(once(socket, 'message'), 'a hello')
      return {
        socket,
        said: JSON.parse(String(hello)).incarnation,
        answer: () => socket.send(JSON.stringify({ kind: 'hello', version: LINK_VERSION, role: 'peer', name: 'p1', incarnation: 'life of p1' })),
      }
    },
  }
}

test('a link that was under way while another life began is ended, and made anew for that one', async () => {
  const links = new ProcessLinks('p0', sharedSecret(Buffer.alloc(32, 1)))
  open.push(links)
  const heard: string[] = []
  const up = signal()
  const host = {
    incarnation: 'first life',
    linkUp: (peer: Incarnation) => {
      heard.push(`${peer} up in ${host.incarnation}`)
      up.resolve()
    },
    linkDown: (peer: Incarnation) => heard.push(`${peer} down in ${host.incarnation}`),
    received: () => heard.push('a message'),
  }
  links.serve(host as unknown as Host)
  const { member, next } = await other()
  const first = next()
  links.update([member])
  const { said, answer, socket } = await first
  host.incarnation = 'second life'
  links.renew()
  const ended = once(socket, 'close')
  const second = next()
  answer()
  await within(ended, 'the end of the first link')
  const again = await second
  again.answer()
  await within(up.promise, 'a link')
  expect([said, again.said, heard]).toEqual(['first life', 'second life', ['life of p1 up in second life']])
})
