/** What a process makes of what stands in storage, driven through the core. */
import { describe, expect, test } from '@jest/globals'
import type { Cycle, Incarnation, InteractionIndex, Seq, Slot } from '#shared/ids.ts'
import { encodeBundle, entryLine, type LogEntry } from '#shared/records/bundle.ts'
import { encodeSmall } from '#shared/records/fence.ts'
import { endName, epochName, idFileName, logObjectName } from '#shared/records/names.ts'
import { IDS, Scene, type Actor } from '../../../scenarios/scene.ts'
import { slotOf } from '#shared/protocol/ring.ts'

const SLOT = slotOf(IDS.x)

/** a writes `count` patches of x, checkpoints and ends. */
function written(count: number): Scene {
  const scene = new Scene()
  const a = scene.boot('a')
  for (let n = 1; n <= count; n++) a.patch(`p${n}`, 'x', `m${n}`)
  scene.run()
  a.stop()
  scene.run()
  scene.pass(1_000)
  return scene
}

function readBy(scene: Scene, incarnation: string): Actor {
  const actor = scene.boot(incarnation)
  actor.read('r', 'x')
  scene.run()
  scene.pass(1_250)
  return actor
}

describe('rule C2: an object that cannot be vouched for is named, and only what needs it is not served', () => {
  const file = idFileName(IDS.x, 2 as InteractionIndex)

  test.each([
    ['a flipped bit', (bytes: Uint8Array) => bytes.map((byte, at) => (at === 100 ? byte ^ 1 : byte))],
    ['nothing in it', () => new Uint8Array()],
  ])('an ID file with %s', (_what, damage) => {
    const scene = written(2)
    scene.storage.objects.set(file, damage(scene.storage.objects.get(file)!))
    const b = readBy(scene, 'b')
    expect(b.answers.get('r')).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining(file) })
    b.patch('p', 'y', 'other')
    scene.run()
    expect(b.answers.get('p')).toMatchObject({ kind: 'stored', ii: 1 })
  })

  test('an ID file that is shorter than it says: it is read once more, and not for ever', () => {
    const scene = written(2)
    const bytes = scene.storage.objects.get(file)!
    for (const length of [bytes.byteLength - 300, 500]) {
      scene.storage.objects.set(file, bytes.slice(0, length))
      const b = readBy(scene, `b${length}`)
      if (b.answers.get('r')?.kind === 'state') continue
      expect(b.answers.get('r')).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining(file) })
      expect(b.reads.filter((name) => name === file).length).toBeLessThanOrEqual(4)
    }
  })

  test('an epoch record of another slot, or of another cycle (rule C4)', () => {
    for (const [slot, cycle] of [
      [SLOT + 1, 1],
      [SLOT, 2],
    ] as const) {
      const scene = written(1)
      const record = { kind: 'epoch', slot: slot as Slot, cycle: cycle as Cycle, leader: 'a' as Incarnation, name: 'p', first: 1 as Seq, predecessor: null } as const
      scene.storage.objects.set(epochName(SLOT, 1 as Cycle), encodeSmall(record))
      expect(readBy(scene, 'b').answers.get('r')).toMatchObject({ kind: 'unavailable', reason: expect.stringContaining(epochName(SLOT, 1 as Cycle)) })
    }
  })
})

/** Two logs, made up: each entry is an interaction of x in the log of its cycle. */
function fabricated(entries: readonly Pick<LogEntry, 'cycle' | 'ii' | 'patch'>[]): Scene {
  const scene = new Scene()
  const { objects } = scene.storage
  for (const [at, incarnation] of (['a', 'b'] as Incarnation[]).entries()) {
    const cycle = (at + 1) as Cycle
    const lines = entries
      .filter((entry) => entry.cycle === cycle)
      .map(({ ii, patch }) =>
        entryLine({ id: IDS.x, cycle, ii, patch, ts: 1, user: 'alice', key: '', bodyDigest: '', creation: ii === 1 ? { domain: 'localhost', owner: 'alice', name: null, reserved: false } : undefined }),
      )
    objects.set(logObjectName(incarnation, 1 as Seq), encodeBundle({ incarnation, seq: 1 as Seq, low: 1 as Seq }, lines))
    objects.set(logObjectName(incarnation, 2 as Seq), encodeSmall({ kind: 'seal', incarnation, seq: 2 as Seq, by: incarnation, waited: true, low: 1 as Seq }))
    objects.set(endName(incarnation), encodeSmall({ kind: 'end', incarnation, seal: 2 as Seq }))
    const predecessor = at === 0 ? null : { incarnation: 'a' as Incarnation, last: 1 as Seq }
    objects.set(epochName(SLOT, cycle), encodeSmall({ kind: 'epoch', slot: SLOT, cycle, leader: incarnation, name: 'p', first: 1 as Seq, predecessor }))
  }
  return scene
}
const add = (cycle: number, ii: number, member: string): Pick<LogEntry, 'cycle' | 'ii' | 'patch'> => ({
  cycle: cycle as Cycle,
  ii: ii as InteractionIndex,
  patch: JSON.stringify([{ op: 'add', path: ['active', member], value: 1 }]),
})

test('rule G2: the parts of all cycles since the checkpoint, in order', () => {
  const scene = fabricated([add(1, 1, 'one'), add(1, 2, 'two'), add(2, 3, 'three')])
  expect(readBy(scene, 'c').answers.get('r')).toMatchObject({ kind: 'state', state: { ii: 3, active: '{"one":1,"two":1,"three":1}' } })
})

test('rule G3: two logs hold different interactions of one index: the later cycle counts, and it is said', () => {
  const scene = fabricated([add(1, 1, 'one'), add(1, 2, 'two'), add(2, 2, 'zwei'), add(2, 3, 'drei')])
  const logged: string[] = []
  const line = scene.line.bind(scene)
  scene.line = (text) => {
    logged.push(text)
    line(text)
  }
  expect(readBy(scene, 'c').answers.get('r')).toMatchObject({ kind: 'state', state: { ii: 3, active: '{"one":1,"zwei":1,"drei":1}' } })
  expect(logged.filter((text) => text.includes('log error: two logs hold different interactions'))).toHaveLength(1)
})

test('the same interaction in two logs is one, and nothing to speak of', () => {
  const scene = fabricated([add(1, 1, 'one'), add(1, 2, 'two'), add(2, 2, 'two'), add(2, 3, 'three')])
  const logged: string[] = []
  scene.line = (text) => void logged.push(text)
  expect(readBy(scene, 'c').answers.get('r')).toMatchObject({ kind: 'state', state: { ii: 3, active: '{"one":1,"two":1,"three":1}' } })
  expect(logged.filter((text) => text.includes('log error'))).toEqual([])
})

test('rule C3: a gap is named with both indices, after a second look; other states of the slot are served', () => {
  const scene = fabricated([add(1, 1, 'one'), add(2, 4, 'four')])
  const c = readBy(scene, 'c')
  expect(c.answers.get('r')).toMatchObject({ kind: 'unavailable', reason: expect.stringMatching(/interactions 2 to 3 of .* are missing/) })
})

test('rule G1: what an ID file holds is not applied again', () => {
  const scene = written(3)
  expect(readBy(scene, 'b').answers.get('r')).toMatchObject({ kind: 'state', state: { ii: 3, active: '{"m1":"p1","m2":"p2","m3":"p3"}' } })
})
