/** What every adapter of `shared/ports/directory.ts` keeps, by numbered rules. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { Incarnation } from '#shared/ids.ts'
import type { Directory, Member } from '#shared/ports/directory.ts'
import { within } from './eventually.ts'

export type DirectoryUnderTest = {
  place(): Promise<string>
  open(place: string): Promise<Directory>
  remove(place: string): Promise<void>
}

export function member(name: string, incarnation: string, changes: Partial<Member> = {}): Member {
  return { name, incarnation: incarnation as Incarnation, address: '127.0.0.1:4000', pid: 1234, state: 'active', heartbeat: 1_700_000_000_000, ...changes }
}

/** Resolves when `directory` shows members that satisfy `condition`. */
export function seen(directory: Directory, what: string, condition: (members: readonly Member[]) => boolean): Promise<readonly Member[]> {
  let stop = (): void => {}
  const found = new Promise<readonly Member[]>((resolve) => {
    stop = directory.watch((members) => {
      if (condition(members)) resolve(members)
    })
  })
  return within(found, what).finally(() => stop())
}

export function directoryContract(name: string, subject: DirectoryUnderTest): void {
  describe(`directory contract: ${name}`, () => {
    let place: string
    let opened: Directory[]
    let mine: Directory
    let theirs: Directory

    async function open(): Promise<Directory> {
      const another = await subject.open(place)
      opened.push(another)
      return another
    }
    beforeEach(async () => {
      place = await subject.place()
      opened = []
      mine = await open()
      theirs = await open()
    })
    afterEach(async () => {
      await Promise.all(opened.map((each) => each.close()))
      await subject.remove(place)
    })

    async function members(from: Directory): Promise<readonly Member[]> {
      const outcome = await from.members()
      if (outcome.kind !== 'members') throw new Error(outcome.reason)
      return [...outcome.members].sort((a, b) => (a.name < b.name ? -1 : 1))
    }

    test('D1 a fresh directory has no members', async () => {
      expect(await members(mine)).toEqual([])
    })

    test('D2 what one announces all see, every field of it', async () => {
      const one = member('process-1', 'i1', { state: 'joining' })
      const two = member('process-2', 'i2', { address: '', pid: undefined, heartbeat: 17.5 })
      expect(await mine.announce(one)).toEqual({ kind: 'done' })
      expect(await theirs.announce(two)).toEqual({ kind: 'done' })
      for (const each of [mine, theirs, await open()]) expect(await members(each)).toEqual([one, two])
    })

    test('D3 an announcement replaces the record of its name, whoever wrote it', async () => {
      await mine.announce(member('process-1', 'i1'))
      await mine.announce(member('process-1', 'i1', { heartbeat: 2, state: 'draining' }))
      expect(await members(theirs)).toEqual([member('process-1', 'i1', { heartbeat: 2, state: 'draining' })])
      await theirs.announce(member('process-1', 'i2', { heartbeat: 1 }))
      expect(await members(mine)).toEqual([member('process-1', 'i2', { heartbeat: 1 })])
    })

    test('D4 the last of many announcements at once is what stays, and each has an outcome', async () => {
      const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => mine.announce(member('process-1', 'i1', { heartbeat: i }))))
      expect(outcomes).toEqual(outcomes.map(() => ({ kind: 'done' })))
      expect(await members(theirs)).toEqual([member('process-1', 'i1', { heartbeat: 49 })])
    })

    test('D5 a reader never sees a part of a record, however often it is replaced', async () => {
      await mine.announce(member('process-1', 'i1'))
      let writing = true
      const writer = (async () => {
        for (let i = 0; i < 200; i += 1) await mine.announce(member('process-1', 'i1', { heartbeat: i, address: 'x'.repeat(i) }))
        writing = false
      })()
      for (let count = 0; writing || count === 0; count += 1) {
        const [one] = await members(theirs)
        expect(one).toBeDefined()
      }
      await writer
    })

    test('D6 leave removes the record of this incarnation, and no other', async () => {
      await mine.announce(member('process-1', 'i1'))
      await mine.announce(member('process-2', 'i2'))
      expect(await mine.leave('process-1', 'other' as Incarnation)).toEqual({ kind: 'done' })
      expect(await mine.leave('nobody', 'i1' as Incarnation)).toEqual({ kind: 'done' })
      expect(await members(theirs)).toEqual([member('process-1', 'i1'), member('process-2', 'i2')])
      expect(await mine.leave('process-1', 'i1' as Incarnation)).toEqual({ kind: 'done' })
      expect(await members(theirs)).toEqual([member('process-2', 'i2')])
      expect(await mine.leave('process-1', 'i1' as Incarnation)).toEqual({ kind: 'done' })
    })

    test('D6 leave by another incarnation does not hide the record for a moment', async () => {
      await mine.announce(member('process-1', 'i1'))
      let leaving = true
      const leaver = (async () => {
        for (let i = 0; i < 50; i += 1) await mine.leave('process-1', 'other' as Incarnation)
        leaving = false
      })()
      while (leaving) expect(await members(theirs)).toHaveLength(1)
      await leaver
    })

    test('D7 leave comes after the announcements that were made before it', async () => {
      const announced = [mine.announce(member('process-1', 'i1')), mine.announce(member('process-1', 'i1', { heartbeat: 2 }))]
      expect(await mine.leave('process-1', 'i1' as Incarnation)).toEqual({ kind: 'done' })
      await Promise.all(announced)
      expect(await members(theirs)).toEqual([])
    })

    test('D8 a newer incarnation that announces while the old one leaves stays', async () => {
      for (let round = 0; round < 20; round += 1) {
        await mine.announce(member('process-1', `old${round}`))
        await Promise.all([mine.leave('process-1', `old${round}` as Incarnation), theirs.announce(member('process-1', `new${round}`))])
        expect(await members(mine)).toEqual([member('process-1', `new${round}`)])
      }
    })

    test('D9 watch calls back soon after the call, with nobody too', async () => {
      expect(await seen(mine, 'the first call', () => true)).toEqual([])
      await theirs.announce(member('process-1', 'i1'))
      expect(await seen(mine, 'the first call', () => true)).toEqual([member('process-1', 'i1')])
    })

    test('D10 watch calls back after each kind of change by others: join, heartbeat, state, leave', async () => {
      const wait = async (what: string, condition: (members: readonly Member[]) => boolean, change: () => Promise<unknown>): Promise<void> => {
        const change$ = seen(mine, what, condition)
        await change()
        await change$
      }
      await wait('join', ([one]) => one?.incarnation === 'i1', () => theirs.announce(member('process-1', 'i1')))
      await wait('heartbeat', ([one]) => one?.heartbeat === 2, () => theirs.announce(member('process-1', 'i1', { heartbeat: 2 })))
      await wait('state', ([one]) => one?.state === 'draining', () => theirs.announce(member('process-1', 'i1', { heartbeat: 2, state: 'draining' })))
      await wait('leave', (all) => all.length === 0, () => theirs.leave('process-1', 'i1' as Incarnation))
    })

    test('D11 a watch that was ended is not called any more, others are', async () => {
      let calls = 0
      const stop = mine.watch(() => (calls += 1))
      await seen(mine, 'the first call', () => true)
      stop()
      stop()
      const before = calls
      await theirs.announce(member('process-1', 'i1'))
      await seen(mine, 'the change', (all) => all.length === 1)
      expect(calls).toBe(before)
    })

    test('D12 after close announcements fail as a value and no watch is called', async () => {
      let calls = 0
      mine.watch(() => (calls += 1))
      await mine.close()
      const before = calls
      expect((await mine.announce(member('process-1', 'i1'))).kind).toBe('failed')
      await theirs.announce(member('process-1', 'i1'))
      await seen(theirs, 'the change', (all) => all.length === 1)
      expect(calls).toBe(before)
    })
  })
}
