/**
 * `npm run start:emulated`: kill -9 of each of its processes in turn, the emulators among them, under load. Promises 1 to 7 hold, a
 * subscriber with nothing but Google's client gets every patch of its domain in order, and what an api did not come to
 * write to the tables, the function `mirror` writes.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { Message } from '@google-cloud/pubsub'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openPubsubClient } from '#shared/adapters/gcp/pubsub-client.ts'
import type { StateId } from '#shared/ids.ts'
import { dial } from '#shared/link/connect.ts'
import type { Link } from '#shared/link/link.ts'
import { RemoteChannel } from '#shared/link/remote-channel.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Op } from '#shared/patch/op.ts'
import type { PatchRequest } from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import { call, Client } from '../api/client.ts'
import type { TestServer } from '../api/fixture.ts'
import { rows, Tenant } from '../api/tenant.ts'
import { eventually, startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { Chance } from './support/chance.ts'
import { openSession } from './support/client.ts'
import { knobs, report } from './support/knobs.ts'
import { Load } from './support/load.ts'
import { faultsOf, membersAt, Pauses, wholeAgain } from './support/members.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

const STATES = 6
/** What each process has on its command line. */
const DOOR = 'functions/gateway/index.ts'
const KILLED = ['functions/state-process/index.ts', 'emulators/index.ts', DOOR, '--target mirror', 'functions/domain-worker/index.ts']
const idOf = (n: number): string => `${String(n).padStart(8, '0')}-2222-4222-8222-222222222222`

let dataDir: string
let postgres: TestPostgres
let server: ServerProcess

beforeAll(async () => {
  dataDir = temporaryFolder()
  postgres = await startTestPostgres()
  server = await ServerProcess.start(dataDir, { DATABASE_URL: postgres.url, LOG_LEVEL: 'info' }, 'emulated.ts')
}, 60_000)
afterAll(async () => {
  await killLeftovers()
  await postgres.stop()
  removeTemporaryFolders()
})

test(
  'P1-P7 hold, and a subscriber misses nothing, through kill -9 of every kind of process',
  async () => {
    const subscriber = await subscribe(server, 'localhost')
    const load = new Load({ chance: new Chance(knobs.seed) })
    load.serve(server)
    const session = await openSession(load.target.port)
    for (let n = 0; n < STATES; n++) {
      const state = await load.addState(idOf(n), session)
      load.addWriter(state)
      load.addFollower(state)
      load.addReader(state)
    }
    const pauses = new Pauses(load)
    await load.conduct(async () => {
      for (const kind of KILLED) {
        await pauses.allGoOn(2)
        pauses.reset()
        const doomed = processOf(server, kind)
        process.kill(doomed, 'SIGKILL')
        if (kind === DOOR) await opened(load)
        await pauses.allGoOn(2)
        report(`kill -9 of ${kind}: longest pause of a state ${pauses.longestMs.toFixed(0)} ms`)
        await wholeAgain(server.port, 3, [doomed])
      }
      await load.end()
    }).finally(() => pauses.stop())
    report(`emulated: ${load.summary()}`)
    expect(faultsOf(load)).toEqual([])
    const last = await Promise.all(load.states.map(async ({ book }) => [book.scope, (await load.present(book, session)).ii] as const))
    await eventually(() => expect(last.map(([id]) => subscriber.seen.get(id))).toEqual(last.map(([, ii]) => ii)))
    expect(subscriber.faults).toEqual([])
    await subscriber.stop()
  },
  180_000,
)

test('what was stored and not mirrored, as by an api that died in between, the function mirror writes', async () => {
  const tenant = await Tenant.configured(serverAt(), 'healed', 'postgres: { queries: { all: "SELECT id, ii FROM metadata" } }')
  const user = await tenant.user()
  const id = randomUUID()
  await user.patch(id, [{ op: 'add', path: ['active', 'n'], value: 1 }])
  expect(await storePastTheApi(id, user)).toMatchObject({ kind: 'stored', ii: 2 })
  await eventually(async () => expect((await rows(user, 'all')).filter((row: { id: string }) => row.id === id)).toEqual([{ id, ii: 2 }]))
}, 60_000)

test('what was acknowledged is there after kill -9 of the whole, and a new start', async () => {
  const user = await Client.open(serverAt())
  const id = randomUUID()
  for (const value of [1, 2, 3]) expect((await user.patch(id, [{ op: 'add', path: ['active', 'n'], value }])).status).toBe(200)
  await server.kill()
  server = await ServerProcess.start(dataDir, { DATABASE_URL: postgres.url, LOG_LEVEL: 'info' }, 'emulated.ts')
  const again = await call(`http://127.0.0.1:${server.port}/v1/states/${id}`, { headers: { Authorization: `Bearer ${user.token}` } })
  expect(again.body).toMatchObject({ ii: 3, active: { n: 3 } })
}, 60_000)

function serverAt(): TestServer {
  return { url: `http://127.0.0.1:${server.port}`, port: server.port, tokenOf: () => Promise.reject(new Error('not here')), stop: () => Promise.resolve() }
}

/** Clients wait while nobody listens. */
async function opened(load: Load): Promise<void> {
  load.target.down()
  await eventually(async () => expect((await fetch(`http://127.0.0.1:${server.port}/v1/ready`)).status).toBe(200))
  load.target.up(server.port)
}

/** A pid of the group with `words` on its command line. */
function processOf(of: ServerProcess, words: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const group = Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')[2])
      if (group === of.pid && readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').includes(words)) return Number(pid)
    } catch {
      // It has ended meanwhile.
    }
  }
  throw new Error(`no process with ${words} on its command line`)
}

/** Everything of one domain, looked at as it comes. */
async function subscribe(of: ServerProcess, domain: string) {
  const emulatorHost = String(of.log.find((line) => 'PUBSUB_EMULATOR_HOST' in line)!['PUBSUB_EMULATOR_HOST'])
  const client = openPubsubClient({ projectId: 'local', emulatorHost })
  const [subscription] = await client.topic('patches').createSubscription(`test-${domain}`, { enableMessageOrdering: true, filter: `attributes.domain = "${domain}"`, ackDeadlineSeconds: 10 })
  const seen = new Map<string, number>()
  const faults: string[] = []
  subscription.on('message', (message: Message) => {
    const { id, ii, domain: of } = message.attributes as { id: string; ii: string; domain: string }
    const before = seen.get(id) ?? 0
    if (of !== domain) faults.push(`a message of ${of}`)
    // A double is of no interest; one that is ahead would be a gap, now or later.
    if (Number(ii) > before + 1) faults.push(`${id}: ${ii} after ${before}`)
    if (Number(ii) === before + 1) seen.set(id, Number(ii))
    message.ack()
  })
  subscription.on('error', (error: Error) => faults.push(error.message))
  return { seen, faults, stop: async () => (await subscription.close(), client.close()) }
}

/** A patch that no api knows of: straight to whoever leads the state. */
async function storePastTheApi(id: string, { user, domain }: Client): Promise<Answer | { readonly kind: 'link-lost' } | undefined> {
  const ops: Op[] = [{ op: 'add', path: ['active', 'n'], value: 2 }]
  const request: PatchRequest = { id: id as StateId, ops, text: JSON.stringify(ops), user, domain, authority: 'owner', creation: undefined, key: 'past-the-api-0001', bodyDigest: '', expected: undefined, returnState: false, lenient: false }
  for (const { address } of await membersAt(server.port)) {
    const link = await new Promise<Link | undefined>((then) => void dial(address, () => ({ role: 'api', name: 'test', incarnation: '' as never }), sharedSecret(secret(dataDir, 'link.key', 32)), then))
    if (link === undefined) continue
    const answer = await new Promise<Answer | { readonly kind: 'link-lost' }>((then) => new RemoteChannel(link, () => undefined).submit({ kind: 'patch', request: { ...request, key: request.key.slice(0, 16) } }, then))
    link.close()
    if (answer.kind !== 'not-leader') return answer
  }
  return undefined
}
