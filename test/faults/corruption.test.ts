/**
 * Objects of cold storage that do not hold what was written (rule C2): what needs them answers 503 and says nothing of a
 * tenant, everything else is served, the log names the object, and whoever repairs it has everything back.
 */
import { afterAll, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import type { StateId } from '#shared/ids.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import { once, openSession, type Answer, type Session } from './support/client.ts'
import { report } from './support/knobs.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { StorageFiles } from './support/storage.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

// Concurrent: most of what they take is the wait for the lease of a killed server.
afterAll(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

/** What a tenant keeps: it must not be in any problem document. */
const PRIVATE = 'the tenant keeps this for itself'

/** An id in a slot that nobody else of the test has. */
function freshId(slots: Set<number>): string {
  for (;;) {
    const id = randomUUID()
    const slot = slotOf(id as StateId)
    if (slots.has(slot)) continue
    slots.add(slot)
    return id
  }
}

/** A session in a slot of its own, with the slot of its user's state `sessions`. Its id is the server's choice. */
async function freshSession(port: number, slots: Set<number>): Promise<Session> {
  for (let tries = 0; ; tries++) {
    let session: Session
    try {
      session = await openSession(port)
    } catch (error) {
      // One new session of some hundred falls into a slot that is not served.
      if (tries < 5) continue
      throw error
    }
    const sessions = await once(port, { path: '/v1/states/sessions', bearer: session.bearer })
    const taken = [slotOf(session.session as StateId), slotOf(sessions.body.id as StateId)]
    if (taken.some((slot) => slots.has(slot))) continue
    for (const slot of taken) slots.add(slot)
    return session
  }
}

const get = (server: ServerProcess, { bearer }: Session, id: string, rest = ''): Promise<Answer> => once(server.port, { path: `/v1/states/${id}${rest}`, bearer })

function put(server: ServerProcess, { bearer }: Session, id: string, n: number): Promise<Answer> {
  const patch = [{ op: 'add', path: ['active', `n${n}`], value: `${PRIVATE} ${n}` }]
  return once(server.port, { method: 'PATCH', path: `/v1/states/${id}`, bearer, body: { patch } })
}

async function write(server: ServerProcess, session: Session, id: string, count: number): Promise<void> {
  for (let n = 1; n <= count; n++) {
    const answer = await put(server, session, id, n)
    if (answer.status !== 200) throw new Error(`writing ${id}: ${answer.status} ${answer.text}`)
  }
}

const content = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at + 1}`, `${PRIVATE} ${at + 1}`]))

function expectUnavailable(answer: Answer, session: Session): void {
  expect({ status: answer.status, type: answer.body?.type }).toEqual({ status: 503, type: 'urn:problem:unavailable' })
  expect(answer.headers['retry-after']).toBeDefined()
  expect(answer.text).not.toContain(PRIVATE)
  expect(answer.text).not.toContain(session.user)
}

async function stop(server: ServerProcess): Promise<void> {
  server.signal('SIGTERM')
  expect(await server.exit()).toEqual({ code: 0, signal: null })
}

const isError = (object: string) => (line: ServerProcess['log'][number]): boolean => line.severity === 'ERROR' && line['object'] === object

test.concurrent('C2: ID files that were changed or cut', async () => {
  const dataDir = temporaryFolder()
  const files = new StorageFiles(dataDir)
  const slots = new Set<number>()
  let server = await ServerProcess.start(dataDir)
  const session = await freshSession(server.port, slots)
  const ids = { fine: '', flipped: '', empty: '', cutInHead: '', cutInState: '', cutInHistory: '', flippedInHistory: '' }
  for (const name of Object.keys(ids) as (keyof typeof ids)[]) {
    ids[name] = freshId(slots)
    await write(server, session, ids[name], 6)
  }
  await stop(server)

  const fileOf = (id: string): string => files.names(`ids/${id}/`).at(-1)!
  const place = (id: string, text: string): number => {
    const at = files.read(fileOf(id)).indexOf(text)
    if (at < 0) throw new Error(`no ${text} in ${fileOf(id)}`)
    return at
  }
  const history = (id: string): number => files.read(fileOf(id)).lastIndexOf(`${PRIVATE} 3`)
  const undo = [
    files.flip(fileOf(ids.flipped), place(ids.flipped, `${PRIVATE} 2`)),
    files.truncate(fileOf(ids.empty), 0),
    files.truncate(fileOf(ids.cutInHead), 100),
    files.truncate(fileOf(ids.cutInState), place(ids.cutInState, `${PRIVATE} 4`)),
    files.truncate(fileOf(ids.cutInHistory), history(ids.cutInHistory)),
    files.flip(fileOf(ids.flippedInHistory), history(ids.flippedInHistory)),
  ]

  server = await ServerProcess.start(dataDir)
  for (const name of ['flipped', 'empty', 'cutInHead', 'cutInState'] as const) {
    const id = ids[name]
    expectUnavailable(await get(server, session, id), session)
    // The log names the object: an operator need not search.
    await server.logged(isError(fileOf(id)), { what: `an error that names ${fileOf(id)} (${name})`, deadlineMs: 2_000 })
    expectUnavailable(await put(server, session, id, 7), session)
    expectUnavailable(await get(server, session, id, '/history'), session)
  }
  for (const name of ['cutInHistory', 'flippedInHistory'] as const) {
    const id = ids[name]
    // The state itself is vouched for, its history is not.
    expect((await get(server, session, id)).body).toMatchObject({ ii: 6, active: content(6) })
    expectUnavailable(await get(server, session, id, '/history'), session)
    expectUnavailable(await get(server, session, id, '?ii=3'), session)
    await server.logged(isError(fileOf(id)), { what: `an error that names ${fileOf(id)} (${name})`, deadlineMs: 2_000 })
    expect(await put(server, session, id, 7)).toMatchObject({ status: 200, body: { ii: 7 } })
  }
  expect(await put(server, session, ids.fine, 7)).toMatchObject({ status: 200, body: { ii: 7 } })
  expect((await get(server, session, ids.fine)).body).toMatchObject({ ii: 7, active: content(7) })
  expect(server.isAlive).toBe(true)

  for (const each of undo) each.undo()
  await stop(server)
  server = await ServerProcess.start(dataDir)
  for (const [name, id] of Object.entries(ids)) {
    const isWritten = name === 'fine' || name.endsWith('History')
    expect((await get(server, session, id)).body).toMatchObject({ ii: isWritten ? 7 : 6, active: content(isWritten ? 7 : 6) })
    expect((await get(server, session, id, '/history')).text.trimEnd().split('\n')).toHaveLength(isWritten ? 7 : 6)
  }
})

test.concurrent.each(['flipped', 'cut'] as const)('C2: a bundle of a killed server that was %s', async (how) => {
  const dataDir = temporaryFolder()
  const files = new StorageFiles(dataDir)
  const slots = new Set<number>()
  let server = await ServerProcess.start(dataDir)
  const early = await freshSession(server.port, slots)
  const bad = freshId(slots)
  await write(server, early, bad, 3)
  // Their slots are led since later numbers only: the bad bundle cannot hold anything of theirs.
  const late = await freshSession(server.port, slots)
  const fine = freshId(slots)
  await write(server, late, fine, 3)
  await server.kill()

  const log = files.folders('leaders/')[0]!
  expect(files.names(`${log}segments/`)).toEqual([])
  const bundle = files.names(log).find((name) => files.read(name).includes(`"${bad}"`) && files.read(name).includes(`${PRIVATE} 2`))!
  const at = files.read(bundle).indexOf(`${PRIVATE} 2`)
  const undo = how === 'flipped' ? files.flip(bundle, at) : files.truncate(bundle, at)

  server = await ServerProcess.start(dataDir)
  expect((await get(server, late, fine)).body).toMatchObject({ ii: 3, active: content(3) })
  expect(await put(server, late, fine, 4)).toMatchObject({ status: 200, body: { ii: 4 } })
  const refused = await get(server, late, bad)
  expectUnavailable(refused, early)
  await server.logged(isError(bundle), { what: `an error that names ${bundle}` })
  expectUnavailable(await put(server, early, bad, 4), early)
  // What nobody has led before is nobody's loss.
  const another = await freshSession(server.port, slots)
  await write(server, another, freshId(slots), 2)
  expect(server.isAlive).toBe(true)
  report(`a bundle that was ${how}: ${refused.body.detail}`)

  undo.undo()
  await server.kill()
  server = await ServerProcess.start(dataDir)
  expect((await get(server, early, bad)).body).toMatchObject({ ii: 3, active: content(3) })
  expect((await get(server, late, fine)).body).toMatchObject({ ii: 4, active: content(4) })
})

test.concurrent('S5: a segment that was changed costs nothing: the bundles that it was made of are read instead', async () => {
  const dataDir = temporaryFolder()
  const files = new StorageFiles(dataDir)
  let server = await ServerProcess.start(dataDir)
  const session = await openSession(server.port)
  const id = randomUUID()
  // One bundle each, since each waits for the one before; a segment is made of 16 once more than 24 stand alone.
  await write(server, session, id, 60)
  await server.kill()

  const log = files.folders('leaders/')[0]!
  const segments = files.names(`${log}segments/`)
  expect(segments.length).toBeGreaterThan(0)
  for (const segment of segments) files.flip(segment, Math.floor(files.read(segment).length / 2))

  server = await ServerProcess.start(dataDir)
  expect((await get(server, session, id)).body).toMatchObject({ ii: 60, active: content(60) })
  expect((await get(server, session, id, '/history')).text.trimEnd().split('\n')).toHaveLength(60)
})
