/** The threads of the embedded cold storage: who gets one, and what becomes of a put whose thread ends. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import * as fs from 'node:fs'
import type { Transferable } from 'node:worker_threads'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const real = await import('node:worker_threads')

/** Ends when it is told to put `a/dies`. */
class MortalWorker extends real.Worker {
  override postMessage(message: { readonly name?: string }, transfer?: readonly Transferable[]): void {
    if (message.name === 'a/dies') void this.terminate()
    else super.postMessage(message, transfer)
  }
}
jest.unstable_mockModule('node:worker_threads', () => ({ ...real, Worker: MortalWorker }))
const { openColdStorage } = await import('#shared/adapters/embedded/cold-storage.ts')

describe('threads', () => {
  let directory: string
  let storage: ColdStorage

  beforeEach(async () => {
    directory = await makeTemporaryFolder()
    storage = await openColdStorage({ directory })
  })
  afterEach(async () => {
    await storage.close()
    await removeTemporaryFolder(directory)
  })

  test('E20 close leaves no temporary of any thread', async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => storage.put(`f${i % 8}/${i}`, new Uint8Array(10))))
    await storage.close()
    expect(fs.readdirSync(`${directory}/.tmp`)).toEqual([])
  })

  test('E21 a flood of puts into one top-level folder leaves a thread for another folder', async () => {
    // All threads are started before.
    await Promise.all(Array.from({ length: 8 }, (_, i) => storage.put(`f${i}/warm`, new Uint8Array(100_000))))
    let flooded = 0
    const flood = Array.from({ length: 200 }, async (_, i) => {
      const outcome = await storage.put(`ids/${i}/1`, new Uint8Array(300_000))
      flooded += 1
      return outcome.kind
    })
    expect(await storage.put('leaders/a/1', new Uint8Array(10))).toEqual({ kind: 'stored' })
    expect(flooded).toBeLessThan(100)
    expect(new Set(await Promise.all(flood))).toEqual(new Set(['stored']))
  })

  test('E22 a put whose thread ends is unknown, and the next one has a new thread', async () => {
    const [dies, lives] = await Promise.all([storage.put('a/dies', new Uint8Array(10)), storage.put('b/lives', new Uint8Array(10))])
    expect(dies).toEqual({ kind: 'unknown', reason: expect.any(String) })
    expect(lives).toEqual({ kind: 'stored' })
    for (let i = 0; i < 5; i += 1) expect((await storage.put('a/dies', new Uint8Array(10))).kind).toBe('unknown')
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => storage.put(`a/${i}`, new Uint8Array(10))))
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['stored']))
  })

  test('E23 more puts than may wait are refused with a certain no, and the others are stored', async () => {
    const outcomes = await Promise.all(Array.from({ length: 1_100 }, (_, i) => storage.put(`a/${i}`, new Uint8Array(1))))
    const kinds = outcomes.map(({ kind }) => kind)
    // Three under way (a folder has all threads but one), 1,024 waiting.
    expect(kinds.filter((kind) => kind === 'stored')).toHaveLength(1_027)
    expect(kinds.slice(1_027).every((kind) => kind === 'not-stored')).toBe(true)
    const listed = await storage.list('a/')
    expect(listed.kind === 'names' && listed.names.length).toBe(1_027)
  })
})
