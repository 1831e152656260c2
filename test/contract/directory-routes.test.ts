/** The api's links to all members of a directory that the test writes: dialled, dialled again, given up. */
import { afterEach, expect, test } from '@jest/globals'
import type { Incarnation } from '#shared/ids.ts'
import { acceptLinks, type LinkServer } from '#shared/link/connect.ts'
import { DirectoryRoutes } from '#shared/link/directory-routes.ts'
import type { Link } from '#shared/link/link.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Directory, Member } from '#shared/ports/directory.ts'
import { signal, within } from './eventually.ts'

const credentials = sharedSecret(Buffer.alloc(32, 1))
const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})

class WrittenDirectory {
  #onChange: (members: readonly Member[]) => void = () => undefined
  isWatched = false

  write(...members: readonly Partial<Member>[]): void {
    this.#onChange(members.map((member) => ({ name: 'p', incarnation: 'i' as Incarnation, address: '', pid: undefined, state: 'active', heartbeat: 1, ...member })))
  }

  routes(): DirectoryRoutes {
    const watch = (onChange: (members: readonly Member[]) => void): (() => void) => {
      this.#onChange = onChange
      this.isWatched = true
      return () => (this.isWatched = false)
    }
    const routes = new DirectoryRoutes({ directory: { watch } as unknown as Directory, credentials, name: 'api', expected: 3 })
    open.push(routes)
    return routes
  }
}

/** A state process as far as links go. */
class Listener {
  readonly links: Link[] = []
  #came = signal()
  server: LinkServer | undefined

  static async at(port: number, life: string): Promise<Listener> {
    const listener = new Listener()
    listener.server = await acceptLinks({
      host: '127.0.0.1',
      port,
      credentials,
      hello: () => ({ role: 'peer', name: 'p', incarnation: life as Incarnation }),
      onLink: (link) => {
        listener.links.push(link)
        link.onMessage = (message) => message.kind === 'status-ask' && link.send({ kind: 'status', token: message.token, leads: [], log: { seq: 2, waiting: 3 } })
        listener.#came.resolve()
        listener.#came = signal()
      },
    })
    open.push(listener.server)
    return listener
  }

  get address(): string {
    return `127.0.0.1:${this.server!.port}`
  }

  async linked(count: number): Promise<void> {
    while (this.links.length < count) await within(this.#came.promise, `link ${count}`)
  }
}

/** The dialler has its end as soon as the hello is back: which the listener does not hear of. */
async function reached(routes: DirectoryRoutes, isReached = true): Promise<void> {
  const due = performance.now() + 5_000
  while ((routes.channel('p') !== undefined) !== isReached) {
    if (performance.now() > due) throw new Error(`p is ${isReached ? 'not ' : ''}reached`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('a member is dialled, and is one of those that take slots while it is active and linked', async () => {
  const directory = new WrittenDirectory()
  const routes = directory.routes()
  expect([routes.names(), routes.missing()]).toEqual([[], ['0 of 3 state processes can be reached']])
  const p = await Listener.at(0, 'first')
  directory.write({ address: p.address, state: 'joining' })
  await reached(routes)
  expect(routes.names()).toEqual([])
  directory.write({ address: p.address })
  expect(routes.names()).toEqual(['p'])
  expect(await routes.members()).toEqual([expect.objectContaining({ name: 'p', incarnation: 'first', slots: 0, log: { seq: 2, waiting: 3 } })])
  directory.write({ address: p.address, state: 'draining' })
  expect(routes.names()).toEqual([])
  // Renewed records make no new links.
  expect(p.links).toHaveLength(1)
})

test('a link that ends is dialled again', async () => {
  const directory = new WrittenDirectory()
  const routes = directory.routes()
  const p = await Listener.at(0, 'first')
  directory.write({ address: p.address })
  await reached(routes)
  p.links[0]!.end()
  await reached(routes, false)
  await p.linked(2)
  await reached(routes)
})

test('one that does not listen yet is dialled until it does', async () => {
  const directory = new WrittenDirectory()
  const routes = directory.routes()
  const gone = await Listener.at(0, 'gone')
  const { port } = gone.server!
  await gone.server!.close()
  directory.write({ address: `127.0.0.1:${port}` })
  const p = await Listener.at(port, 'later')
  await p.linked(1)
  await reached(routes)
})

test('a member that has moved is left, and found where it is', async () => {
  const directory = new WrittenDirectory()
  const routes = directory.routes()
  const [before, after] = [await Listener.at(0, 'before'), await Listener.at(0, 'after')]
  directory.write({ address: before.address })
  await reached(routes)
  const left = signal()
  before.links[0]!.onEnd = left.resolve
  directory.write({ address: after.address })
  await within(left.promise, 'the end of the link to where it was')
  await after.linked(1)
  await reached(routes)
  expect((await routes.members())[0]!.incarnation).toBe('after')
})

test('a member that is gone is left', async () => {
  const directory = new WrittenDirectory()
  const routes = directory.routes()
  const p = await Listener.at(0, 'first')
  directory.write({ address: p.address })
  await reached(routes)
  const left = signal()
  p.links[0]!.onEnd = left.resolve
  directory.write()
  await within(left.promise, 'the end of the link')
  expect([routes.names(), await routes.members()]).toEqual([[], []])
})

test('close leaves all, and dials nobody again', async () => {
  const directory = new WrittenDirectory()
  const routes = directory.routes()
  const p = await Listener.at(0, 'first')
  directory.write({ address: p.address })
  await reached(routes)
  const left = signal()
  p.links[0]!.onEnd = left.resolve
  routes.close()
  await within(left.promise, 'the end of the link')
  expect(directory.isWatched).toBe(false)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(p.links).toHaveLength(1)
})
