import { expect, test } from '@jest/globals'
import { Scene, type Actor } from './scene.ts'

const SEGMENT = 'leaders/a/segments/000000000001-000000000004'
const bundle = (seq: number): string => `leaders/a/${String(seq).padStart(12, '0')}`

/** a writes six bundles and crashes; four of them are merged, two by two. */
function sixBundles(): Scene {
  const scene = new Scene({ looseBundles: 3, segmentFanIn: 2 })
  const a = scene.boot('a')
  for (let n = 1; n <= 6; n++) {
    a.patch(`p${n}`, 'x', `m${n}`)
    scene.run()
  }
  a.crash()
  return scene
}

function recover(scene: Scene): Actor {
  const b = scene.boot('b', { previous: 'a' })
  scene.run()
  b.read('r1', 'x')
  scene.run()
  scene.pass(1250)
  return b
}

const logReads = (actor: Actor): string[] => [...new Set(actor.reads.filter((name) => /^leaders\/a\/(segments\/|0*[1-6]$)/.test(name)))].sort()
const ALL = { kind: 'state', state: { ii: 6, active: '{"m1":"p1","m2":"p2","m3":"p3","m4":"p4","m5":"p5","m6":"p6"}' } }

test('recovery reads the longest segment instead of its bundles (rule S5)', () => {
  const scene = sixBundles()
  expect([...scene.storage.objects.keys()].filter((name) => name.includes('/segments/'))).toContain(SEGMENT)
  scene.say('b reads the segment of four, and two bundles.')
  const b = recover(scene)
  expect(logReads(b)).toEqual([bundle(5), bundle(6), SEGMENT])
  expect(b.answers.get('r1')).toMatchObject(ALL)
  scene.compare(import.meta.url)
})

test('a segment that is corrupt decides nothing: the bundles it was made of do (rule S5)', () => {
  const scene = sixBundles()
  const bytes = scene.storage.objects.get(SEGMENT)!
  bytes[bytes.length - 1]! ^= 1
  const b = recover(scene)
  expect(logReads(b)).toEqual([1, 2, 3, 4, 5, 6].map(bundle).concat(SEGMENT))
  expect(b.answers.get('r1')).toMatchObject(ALL)
})

test('bundles may be gone where a segment holds them (rule S5)', () => {
  const scene = sixBundles()
  for (const seq of [1, 2, 3, 4]) scene.storage.objects.delete(bundle(seq))
  expect(recover(scene).answers.get('r1')).toMatchObject(ALL)
})
