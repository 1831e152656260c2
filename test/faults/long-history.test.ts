/**
 * A state with a long history opens with the work that a short one takes: its newest ID file without the history in it.
 * The history is whole from 1 to n, and every earlier state can be had.
 *
 * Work is counted, not timed: bytes that the process reads (`/proc/<pid>/io`) between the question and the answer.
 */
import { afterEach, expect, test } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import { decodeIdFileBase, decodeIdFileHistory, ID_FILE_FIRST_READ_BYTES } from '#shared/records/id-file.ts'
import { Connection, once, openSession, type Session } from './support/client.ts'
import { knobs, report } from './support/knobs.ts'
import { killLeftovers, ServerProcess } from './support/server-process.ts'
import { StorageFiles } from './support/storage.ts'
import { removeTemporaryFolders, temporaryFolder } from './support/temporary.ts'

afterEach(async () => {
  await killLeftovers()
  removeTemporaryFolders()
})

const CLIENTS = 96
/** The state stays small while its history grows. */
const KEYS = 40
const SHORT = 10

/** What the interactions made, by index: index n has set key `k` to `v`. */
type Model = { k: string; v: number }[]

const stateAt = (model: Model, ii: number): object => {
  const active: Record<string, number> = {}
  for (const { k, v } of model.slice(0, ii)) active[k] = v
  return active
}

class Writer {
  readonly model: Model = []
  readonly id = randomUUID()
  #next = 0

  async write(server: ServerProcess, session: Session, upTo: number): Promise<void> {
    const clients = Array.from({ length: Math.min(CLIENTS, upTo) }, async () => {
      const connection = new Connection()
      while (this.#next < upTo) {
        const v = (this.#next += 1)
        const k = `k${v % KEYS}`
        const answer = await connection.call(server.port, {
          method: 'PATCH',
          path: `/v1/states/${this.id}`,
          bearer: session.bearer,
          body: { patch: [{ op: 'add', path: ['active', k], value: v }] },
        })
        if (answer.kind === 'cut' || answer.status !== 200) throw new Error(`patch ${v}: ${answer.kind === 'cut' ? answer.reason : answer.text}`)
        if (this.model[answer.body.ii - 1] !== undefined) throw new Error(`two patches are interaction ${answer.body.ii}`)
        this.model[answer.body.ii - 1] = { k, v }
      }
      connection.close()
    })
    await Promise.all(clients)
  }
}

/** Bytes and calls of reading that the process has done, files and sockets together. */
function readingOf(server: ServerProcess): { bytes: number; calls: number } {
  const text = readFileSync(`/proc/${server.pid}/io`, 'latin1')
  return { bytes: Number(/^rchar: (\d+)$/m.exec(text)![1]), calls: Number(/^syscr: (\d+)$/m.exec(text)![1]) }
}

async function opening(server: ServerProcess, session: Session, id: string): Promise<{ ii: number; active: object; bytes: number; calls: number; ms: number }> {
  const before = readingOf(server)
  const startedAt = performance.now()
  const { body } = await once(server.port, { path: `/v1/states/${id}`, bearer: session.bearer })
  const ms = performance.now() - startedAt
  const after = readingOf(server)
  return { ii: body.ii, active: body.active, bytes: after.bytes - before.bytes, calls: after.calls - before.calls, ms }
}

test(
  `a state with ${knobs.interactions} interactions`,
  async () => {
    const dataDir = temporaryFolder()
    const files = new StorageFiles(dataDir)
    let server = await ServerProcess.start(dataDir)
    const session = await openSession(server.port)
    const long = new Writer()
    const short = new Writer()
    const startedAt = performance.now()
    // Part of it is in ID files by a clean stop, part of it in the log of a killed server.
    await long.write(server, session, Math.floor(knobs.interactions * 0.9))
    await short.write(server, session, SHORT - 1)
    const writingMs = performance.now() - startedAt
    server.signal('SIGTERM')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
    server = await ServerProcess.start(dataDir)
    await long.write(server, session, knobs.interactions)
    await short.write(server, session, SHORT)
    await server.kill()

    server = await ServerProcess.start(dataDir)
    report(`${knobs.interactions} interactions: written at ${((knobs.interactions * 900) / writingMs).toFixed(0)}/s; ready ${server.readyMs.toFixed(0)} ms after the kill`)
    expect((await once(server.port, { path: `/v1/states/${long.id}`, bearer: session.bearer })).body).toMatchObject({
      ii: knobs.interactions,
      active: stateAt(long.model, knobs.interactions),
    })
    await expectWhole(server, session, long)
    await expectWhole(server, session, short)

    // From ID files alone.
    server.signal('SIGTERM')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
    const names = files.names(`ids/${long.id}/`)
    // One a checkpoint: by the tail's length, by its age, and one a stop or start.
    expect(names.length).toBeLessThanOrEqual(Math.ceil(knobs.interactions / limits.slotTailInteractions) + Math.ceil(writingMs / limits.slotTailAgeMs) + 3)
    let next = 1
    for (const name of names) {
      const { header, history } = decodeIdFileHistory(files.read(name), long.id as StateId, Number(name.slice(-12)) as InteractionIndex)
      expect({ name, from: header.from, first: history[0]!.ii, length: history.length }).toEqual({ name, from: next, first: next, length: header.ii - next + 1 })
      next = header.ii + 1
    }
    expect(next).toBe(knobs.interactions + 1)

    server = await ServerProcess.start(dataDir)
    // The connection, the session and the code are warm.
    await once(server.port, { path: `/v1/states/${randomUUID()}`, bearer: session.bearer })
    const shortOpening = await opening(server, session, short.id)
    const longOpening = await opening(server, session, long.id)
    const newest = files.read(names.at(-1)!)
    const base = decodeIdFileBase(newest, long.id as StateId, knobs.interactions as InteractionIndex)
    if ('needBytes' in base) throw new Error('the newest ID file is cut')
    const historyBytes = names.reduce((sum, name) => sum + files.read(name).length, 0)
    report(
      `opening 10 interactions: ${shortOpening.ms.toFixed(1)} ms, ${shortOpening.bytes} bytes read in ${shortOpening.calls} calls; ` +
        `${knobs.interactions}: ${longOpening.ms.toFixed(1)} ms, ${longOpening.bytes} bytes in ${longOpening.calls} calls ` +
        `(key window ${base.window.length} bytes, ${names.length} ID files of ${historyBytes} bytes in all)`,
    )
    expect(longOpening).toMatchObject({ ii: knobs.interactions, active: stateAt(long.model, knobs.interactions) })
    // What is more than the short state's: the key window (bounded by its time, not by the history) and one read too short; and what the process reads besides (the directory).
    expect(longOpening.bytes).toBeLessThan(shortOpening.bytes + base.active.length + base.window.length + ID_FILE_FIRST_READ_BYTES + 64 * 1024)
    await expectWhole(server, session, long)
  },
  120_000 + knobs.interactions * 5,
)

/** The history from 1 to n, and the state at several of them. */
async function expectWhole(server: ServerProcess, session: Session, { id, model }: Writer): Promise<void> {
  const { text } = await once(server.port, { path: `/v1/states/${id}/history`, bearer: session.bearer })
  const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line))
  expect(lines.length).toBe(model.length)
  const differs = lines.findIndex(({ ii, patch }, at) => ii !== at + 1 || JSON.stringify(patch) !== `[{"op":"add","path":["active","${model[at]!.k}"],"value":${model[at]!.v}}]`)
  expect(differs).toBe(-1)
  const n = model.length
  const border = limits.slotTailInteractions
  for (const ii of new Set([0, 1, 2, Math.floor(n / 3), Math.floor(n * 0.9), border, border + 1, n - 1, n])) {
    if (ii < 0 || ii > n) continue
    const { status, body } = await once(server.port, { path: `/v1/states/${id}?ii=${ii}`, bearer: session.bearer })
    expect({ status, ii: body.ii, active: body.active }).toEqual({ status: 200, ii, active: stateAt(model, ii) })
  }
  expect((await once(server.port, { path: `/v1/states/${id}?ii=${n + 1}`, bearer: session.bearer })).status).toBe(404)
}
