/**
 * What every adapter of `shared/ports/cold-storage.ts` keeps, by numbered rules. Knows nothing of what is behind the
 * port: a place is whatever the adapter under test calls one.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { ColdStorage, PutOutcome } from '#shared/ports/cold-storage.ts'
import { contentOf, isWhole } from './cold-storage-content.ts'

export type ColdStorageUnderTest = {
  /** A fresh, empty place. */
  place(): Promise<string>
  open(place: string): Promise<ColdStorage>
  remove(place: string): Promise<void>
  /** A module that exports `open`, for tests that need a process to kill. */
  readonly module?: URL
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const sequence = (n: number): string => String(n).padStart(12, '0')

export function coldStorageContract(name: string, subject: ColdStorageUnderTest): void {
  describe(`cold storage contract: ${name}`, () => {
    let place: string
    let opened: ColdStorage[]
    let storage: ColdStorage

    async function open(): Promise<ColdStorage> {
      const another = await subject.open(place)
      opened.push(another)
      return another
    }

    beforeEach(async () => {
      place = await subject.place()
      opened = []
      storage = await open()
    })
    afterEach(async () => {
      await Promise.all(opened.map((each) => each.close()))
      await subject.remove(place)
    })

    async function stored(names: readonly string[]): Promise<void> {
      for (const each of names) expect(await storage.put(each, text(each))).toEqual({ kind: 'stored' })
    }

    async function found(from: ColdStorage, objectName: string, range?: { from: number; to: number }): Promise<Uint8Array> {
      const outcome = await from.get(objectName, range)
      if (outcome.kind !== 'found') throw new Error(`${objectName}: ${JSON.stringify(outcome)}`)
      return outcome.bytes
    }

    test('C1 what was put is found, byte for byte, by this and by another opening', async () => {
      const bytes = Uint8Array.from({ length: 1_000 }, (_, i) => i % 256)
      expect(await storage.put('leaders/a/1', bytes)).toEqual({ kind: 'stored' })
      expect(await found(storage, 'leaders/a/1')).toEqual(bytes)
      expect(await found(await open(), 'leaders/a/1')).toEqual(bytes)
    })

    test('C2 a name that nobody put is missing, also below, above and beside names that somebody put', async () => {
      await stored(['a/b/c'])
      for (const missing of ['a', 'a/b', 'a/b/c/d', 'a/b/d', 'b', 'a/b/c0']) {
        expect([missing, await storage.get(missing)]).toEqual([missing, { kind: 'missing' }])
      }
    })

    test('C3 a name that was put never changes: a second put says "exists", from every opening', async () => {
      await stored(['a/b'])
      expect(await storage.put('a/b', text('other'))).toEqual({ kind: 'exists' })
      expect(await storage.put('a/b', text('a/b'))).toEqual({ kind: 'exists' })
      expect(await (await open()).put('a/b', text('other'))).toEqual({ kind: 'exists' })
      expect(await found(storage, 'a/b')).toEqual(text('a/b'))
    })

    test('C4 of 20 who race for one name exactly one has stored, all others find it exists, and the content is the winner’s', async () => {
      const others = [storage, await open(), await open()]
      for (let round = 0; round < 10; round += 1) {
        const racers = Array.from({ length: 20 }, (_, i) => text(`racer ${i}`.repeat(1 + i * 50)))
        const outcomes = await Promise.all(racers.map((bytes, i) => others[i % others.length]!.put(`slots/0001/${round}`, bytes)))
        const winners = outcomes.flatMap((outcome, i) => (outcome.kind === 'stored' ? [i] : []))
        expect(winners).toHaveLength(1)
        expect(outcomes.filter((outcome) => outcome.kind === 'exists')).toHaveLength(19)
        expect(await found(storage, `slots/0001/${round}`)).toEqual(racers[winners[0]!])
      }
    })

    test('C5 many puts into new folders at once are all stored', async () => {
      const names = Array.from({ length: 200 }, (_, i) => `ids/${i % 20}/${i % 5}/${sequence(i)}`)
      const outcomes = await Promise.all(names.map((each) => storage.put(each, text(each))))
      expect(outcomes).toEqual(names.map(() => ({ kind: 'stored' })))
      expect(await storage.list('ids/')).toEqual({ kind: 'names', names: [...names].sort() })
    })

    test('C6 an object may be empty', async () => {
      expect(await storage.put('a/empty', new Uint8Array(0))).toEqual({ kind: 'stored' })
      expect(await found(storage, 'a/empty')).toEqual(new Uint8Array(0))
      expect(await found(storage, 'a/empty', { from: 0, to: 5 })).toEqual(new Uint8Array(0))
      expect(await storage.put('a/empty', text('x'))).toEqual({ kind: 'exists' })
    })

    test('C7 an object may have 8 MiB', async () => {
      const bytes = contentOf('a/large', 8 * 1024 * 1024)
      expect(await storage.put('a/large', bytes)).toEqual({ kind: 'stored' })
      expect(Buffer.compare(await found(storage, 'a/large'), bytes)).toBe(0)
      expect(await found(storage, 'a/large', { from: 8 * 1024 * 1024 - 3, to: 8 * 1024 * 1024 })).toEqual(bytes.slice(-3))
    })

    test('C8 the caller keeps its bytes, and only the bytes of a view are put', async () => {
      const whole = Uint8Array.from([1, 2, 3, 4, 5, 6])
      const view = whole.subarray(2, 4)
      expect(await storage.put('a/view', view)).toEqual({ kind: 'stored' })
      expect(whole).toEqual(Uint8Array.from([1, 2, 3, 4, 5, 6]))
      expect(await storage.put('a/again', view)).toEqual({ kind: 'stored' })
      expect(await found(storage, 'a/view')).toEqual(Uint8Array.from([3, 4]))
    })

    test.each([
      [0, 3, 'abc'],
      [2, 5, 'cde'],
      [3, 3, ''],
      [4, 100, 'ef'],
      [6, 9, ''],
      [100, 200, ''],
    ])('C9 a range is from (inclusive) to (exclusive), cut at the end: %d..%d is "%s"', async (from, to, expected) => {
      expect(await storage.put('a/six', text('abcdef'))).toEqual({ kind: 'stored' })
      expect(await found(storage, 'a/six', { from, to })).toEqual(text(expected))
      expect(await storage.get('a/none', { from, to })).toEqual({ kind: 'missing' })
    })

    test('C10 a list has all names below the prefix and no others, in ascending byte order of the full names', async () => {
      // "-" < "/" < digits < letters: an order by folders would be another one.
      const names = ['a/1/x', 'a/1-2/x', 'a/1', 'a/10', 'a/b/c/d/e', 'a/b-', 'a/b0', 'a-/x', 'a0/x', 'b/a'].filter((each) => each !== 'a/1')
      await stored(names)
      const below = names.filter((each) => each.startsWith('a/')).sort()
      expect(await storage.list('a/')).toEqual({ kind: 'names', names: below })
      expect(below).toEqual(['a/1-2/x', 'a/1/x', 'a/10', 'a/b-', 'a/b/c/d/e', 'a/b0'])
      expect(await storage.list('a/b/')).toEqual({ kind: 'names', names: ['a/b/c/d/e'] })
    })

    test('C11 a list of a prefix that nobody put anything below is empty', async () => {
      await stored(['a/b'])
      for (const prefix of ['b/', 'a/b/', 'a/c/', 'a/b/c/']) expect(await storage.list(prefix)).toEqual({ kind: 'names', names: [] })
    })

    test('C12 `after` leaves out what is not greater, whether it names an object or not', async () => {
      const names = ['a/1-2/x', 'a/1/x', 'a/1/y/1', 'a/1/y/2', 'a/10', 'a/2']
      await stored(names)
      for (const after of ['a/', 'a/0', 'a/1', 'a/1-2/x', 'a/1/x', 'a/1/x-', 'a/1/y', 'a/1/y/1', 'a/1/z', 'a/10', 'a/2', 'b', 'a-']) {
        const expected = names.filter((each) => each > after)
        expect([after, await storage.list('a/', { after })]).toEqual([after, { kind: 'names', names: expected }])
      }
    })

    test('C13 a list after a put shows it, and a list after a delete does not', async () => {
      for (let i = 0; i < 20; i += 1) {
        await stored([`a/${sequence(i)}`])
        const shown = await storage.list('a/', { after: `a/${sequence(i).slice(0, -1)}` })
        expect(shown.kind === 'names' && shown.names.at(-1)).toBe(`a/${sequence(i)}`)
      }
      expect(await storage.delete(`a/${sequence(7)}`)).toEqual({ kind: 'deleted' })
      const rest = Array.from({ length: 20 }, (_, i) => `a/${sequence(i)}`).filter((each) => each !== `a/${sequence(7)}`)
      expect(await storage.list('a/')).toEqual({ kind: 'names', names: rest })
    })

    test('C14 what was deleted is missing; deleting what is not there is deleted', async () => {
      await stored(['a/b/c', 'a/b/d'])
      expect(await storage.delete('a/b/c')).toEqual({ kind: 'deleted' })
      expect(await storage.get('a/b/c')).toEqual({ kind: 'missing' })
      for (const missing of ['a/b/c', 'a/b', 'a', 'x/y', 'a/b/d/e']) expect(await storage.delete(missing)).toEqual({ kind: 'deleted' })
      expect(await found(storage, 'a/b/d')).toEqual(text('a/b/d'))
    })

    test('C15 a name has only [0-9a-z-] between its slashes: others are a programmer’s error, before anything is done', async () => {
      for (const bad of ['', '/', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/./b', 'a.b', 'A', 'a b', 'a\0', 'ä', '.tmp/a', 'a\n']) {
        for (const call of [() => storage.put(bad, text('x')), () => storage.get(bad), () => storage.delete(bad)]) {
          await expect((async () => call())()).rejects.toThrow('name')
        }
      }
      for (const bad of ['', '/', 'a', 'a/b', '../', 'a//', '.tmp/']) await expect((async () => storage.list(bad))()).rejects.toThrow('prefix')
    })

    test('C16 close waits for what is under way: every put has its outcome, and what it stored is there', async () => {
      const outcomes: PutOutcome[] = []
      const names = Array.from({ length: 50 }, (_, i) => `a/${sequence(i)}`)
      for (const each of names) void storage.put(each, contentOf(each, 10_000)).then((outcome) => outcomes.push(outcome))
      const read = storage.get(names[0]!)
      await storage.close()
      expect(outcomes).toEqual(names.map(() => ({ kind: 'stored' })))
      expect(['found', 'missing']).toContain((await read).kind)
      const again = await open()
      for (const each of names) expect(isWhole(each, await found(again, each))).toBe(true)
    })

    test('C17 after close nothing is done, and that is an outcome', async () => {
      await stored(['a/b'])
      await storage.close()
      await storage.close()
      expect((await storage.put('a/c', text('x'))).kind).toBe('not-stored')
      expect((await storage.get('a/b')).kind).toBe('failed')
      expect((await storage.list('a/')).kind).toBe('failed')
      expect((await storage.delete('a/b')).kind).toBe('failed')
      expect(await found(await open(), 'a/b')).toEqual(text('a/b'))
      expect(await (await open()).get('a/c')).toEqual({ kind: 'missing' })
    })

    const { module } = subject
    if (module === undefined) return
    test('C18 kill -9 amid many puts: what was reported as stored is there, whole, and whatever is listed is whole', async () => {
      for (let round = 0; round < 3; round += 1) {
        const reported = await putUntilKilled(module, place, `round${round}`, 200)
        expect(reported.length).toBeGreaterThanOrEqual(200)
        const again = await open()
        const listed = await again.list(`round${round}/`)
        if (listed.kind !== 'names') throw new Error(listed.reason)
        expect(listed.names).toEqual(expect.arrayContaining(reported))
        for (const each of listed.names) expect([each, isWhole(each, await found(again, each))]).toEqual([each, true])
        // A put again settles what the killed one left open.
        for (const each of listed.names.slice(-5)) expect(await again.put(each, text('other'))).toEqual({ kind: 'exists' })
      }
    })
  })
}

/** Names that a process reported as stored, until it was killed after at least `count` of them. */
async function putUntilKilled(module: URL, place: string, prefix: string, count: number): Promise<string[]> {
  const script = new URL('./cold-storage-child.ts', import.meta.url)
  const child = spawn(process.execPath, [script.pathname, module.href, place, prefix], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  const reported: string[] = []
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      reported.push(line)
      // Goes on reading what the pipe still holds: that was reported too.
      if (reported.length === count) child.kill('SIGKILL')
    }
  } finally {
    child.kill('SIGKILL')
    await ended
  }
  return reported
}
