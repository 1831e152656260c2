/** Which states logs hold, and what is read to know it. */
import { expect, test } from '@jest/globals'
import type { Cycle, Incarnation, InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import { statesInLogs } from '#shared/mirror/survey.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import { encodeBundle, encodeSegment, entryLine } from '#shared/records/bundle.ts'
import { endName, logObjectName, segmentName } from '#shared/records/names.ts'

const LOG = '5f0c3f6e-0000-4000-8000-00000000000a' as Incarnation
const OTHER = '6f0c3f6e-0000-4000-8000-00000000000b' as Incarnation

const stateOf = (seq: number): StateId => `11111111-1111-4111-8111-${String(seq).padStart(12, '0')}` as StateId

function bundle(incarnation: Incarnation, seq: number): Uint8Array {
  const creation = { domain: 'app', owner: 'u', name: null, reserved: false }
  const line = entryLine({ id: stateOf(seq), cycle: 1 as Cycle, ii: 1 as InteractionIndex, ts: 1, user: 'u', key: '', bodyDigest: '', creation, patch: '[]' })
  return encodeBundle({ incarnation, seq: seq as Seq, low: 1 as Seq }, [line])
}

/** A log of the bundles 1 to 5, of which the first four are in segments of two, and those in one of four. */
function storedLog(incarnation = LOG): Map<string, Uint8Array> {
  const objects = new Map<string, Uint8Array>([[endName(incarnation), Buffer.from('an end')]])
  for (let seq = 1; seq <= 5; seq++) objects.set(logObjectName(incarnation, seq as Seq), bundle(incarnation, seq))
  for (const [from, to] of [[1, 2], [3, 4], [1, 4]] as [Seq, Seq][]) {
    const bundles = Array.from({ length: to - from + 1 }, (_, at) => bundle(incarnation, from + at))
    objects.set(segmentName(incarnation, from, to), encodeSegment(incarnation, from, to, bundles))
  }
  return objects
}

async function survey(objects: ReadonlyMap<string, Uint8Array>): Promise<{ ids: StateId[]; read: string[]; unread: string[] }> {
  const read: string[] = []
  const unread: string[] = []
  const coldStorage = {
    list: () => Promise.resolve({ kind: 'names', names: [...objects.keys()].toSorted() }),
    get: (name: string) => {
      read.push(name)
      return Promise.resolve({ kind: 'found', bytes: objects.get(name)! })
    },
  } as unknown as ColdStorage
  const ids: StateId[] = []
  for await (const { id } of statesInLogs({ coldStorage, onUnread: (name) => unread.push(name) })) ids.push(id)
  return { ids: ids.toSorted(), read, unread }
}

test('what a segment holds is read from it, and from nothing that it was made of', async () => {
  const { ids, read, unread } = await survey(new Map([...storedLog(), ...storedLog(OTHER)]))
  expect(ids).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5].map(stateOf))
  expect(read.toSorted()).toEqual([LOG, OTHER].flatMap((log) => [logObjectName(log, 5 as Seq), segmentName(log, 1 as Seq, 4 as Seq)]))
  expect(unread).toEqual([])
})

test('what cannot be read from a segment is read from what it was made of, and the segment is named', async () => {
  const objects = storedLog()
  for (const broken of [segmentName(LOG, 1 as Seq, 4 as Seq), segmentName(LOG, 3 as Seq, 4 as Seq)]) objects.set(broken, Buffer.from('nonsense'))
  const { ids, read, unread } = await survey(objects)
  expect(ids).toEqual([1, 2, 3, 4, 5].map(stateOf))
  expect(unread).toEqual([segmentName(LOG, 1 as Seq, 4 as Seq), segmentName(LOG, 3 as Seq, 4 as Seq)])
  expect(read).not.toContain(logObjectName(LOG, 1 as Seq))
})
