import { expect, test } from '@jest/globals'
import { Scene, type Actor } from './scene.ts'

const indexes = (actor: Actor): number[] => actor.published.map(({ ii }) => ii)

test('what a leader had not published when it died, its successor publishes, before anything of its own (rules O1, O2, O3)', () => {
  // A slot is checkpointed at three interactions.
  const scene = new Scene({ slotTailInteractions: 3 })
  const a = scene.boot('a')
  a.patch('p1', 'x', 'one')
  scene.run()
  a.refuseMessages()
  for (const n of [2, 3, 4]) {
    a.patch(`p${n}`, 'x', `m${n}`)
    scene.run()
  }
  scene.say('The checkpoint waits for the fan-out, for a while; then it says that nothing is surely published.')
  scene.pass(2_000)
  scene.run()
  const [checkpoint] = [...scene.storage.objects.keys()].filter((name) => name.includes('checkpoints'))
  expect(checkpoint).toBe('slots/0911/checkpoints/00000001-000000000002-00000000-000000000000')
  a.crash()
  expect(indexes(a)).toEqual([1])

  scene.say('The ID file covers three of the four: b publishes from the mark all the same, from what the log still holds.')
  const b = scene.boot('b', { previous: 'a' })
  scene.run()
  scene.pass(1_250)
  b.patch('p5', 'x', 'm5')
  scene.run()
  expect(indexes(b)).toEqual([1, 2, 3, 4, 5])
  scene.pass(1_000)
  scene.run()
  expect([...scene.storage.objects.keys()].filter((name) => name.includes('checkpoints')).every((name) => /checkpoints\/\d{8}-\d{12}$/.test(name))).toBe(true)
  scene.compare(import.meta.url)
})

test('who seals a log has all its slots led in the background: no tail waits for a request to be published (rule O5)', () => {
  const scene = new Scene()
  const a = scene.boot('a')
  a.refuseMessages()
  a.patch('p1', 'x', 'one')
  a.patch('p2', 'y', 'one')
  scene.run()
  a.crash()
  const b = scene.boot('b', { previous: 'a' })
  scene.run()
  scene.pass(1_250)
  expect(b.published.map(({ id, ii }) => `${id.slice(0, 1)}/${ii}`).sort()).toEqual(['1/1', '2/1'])
})

test('each message carries the active type behind its interaction, also where the log is read again (rule O2)', () => {
  const scene = new Scene({ slotTailInteractions: 3 })
  const a = scene.boot('a')
  a.refuseMessages()
  const typed = (value: string): object => ({ ops: [{ op: 'replace', path: ['active_type'], value }], text: JSON.stringify([{ op: 'replace', path: ['active_type'], value }]) })
  a.patch('p1', 'x', 'one')
  a.patch('p2', 'x', 'two', typed('text/a'))
  a.patch('p3', 'x', 'three')
  scene.run()
  scene.pass(2_000)
  a.patch('p4', 'x', 'four', typed('text/b'))
  scene.run()
  a.crash()
  const b = scene.boot('b', { previous: 'a' })
  scene.run()
  scene.pass(1_250)
  expect(b.published.map(({ ii, activeType }) => `${ii} ${activeType}`)).toEqual(['1 application/json', '2 text/a', '3 text/a', '4 text/b'])
})

test('a fan-out that takes nothing holds nobody up: what finds no room is read from the own log when there is (rule O4)', () => {
  const scene = new Scene({ unpublishedMessages: 2, heldMessages: 1 })
  const a = scene.boot('a')
  a.refuseMessages()
  for (const n of [1, 2, 3, 4, 5, 6]) {
    a.patch(`p${n}`, 'x', `m${n}`)
    scene.run()
    expect(a.answers.get(`p${n}`)).toMatchObject({ kind: 'stored', ii: n })
  }
  expect(indexes(a)).toEqual([])
  a.takeAll()
  scene.run()
  a.patch('p7', 'x', 'm7')
  scene.run()
  expect(indexes(a)).toEqual([1, 2, 3, 4, 5, 6, 7])
})

test('a planned stop waits for the fan-out, and not for one that takes nothing (rule O1)', () => {
  for (const taking of [true, false]) {
    const scene = new Scene({ checkpointPuts: 1 })
    const a = scene.boot('a')
    if (!taking) a.refuseMessages()
    for (const state of ['x', 'y', 'z'] as const) a.patch(`p ${state}`, state, 'one')
    scene.run()
    a.stop()
    scene.run()
    scene.pass(3_000)
    expect(scene.storage.objects.has('leaders/a/end')).toBe(true)
    const marks = [...scene.storage.objects.keys()].filter((name) => name.includes('checkpoints'))
    expect(marks).toHaveLength(3)
    expect(marks.every((name) => name.endsWith('-00000000-000000000000'))).toBe(!taking)
  }
})
