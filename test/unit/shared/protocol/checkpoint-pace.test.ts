/** Checkpoints leave time between ID files, and take it where there is none. */
import { expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import type { Tuning } from '#shared/protocol/context.ts'
import { Scene, type Actor } from '../../../scenarios/scene.ts'

/** Three states in three slots, each due at its first interaction. */
function threeDue(tuning: Partial<Tuning> = {}): { readonly scene: Scene; readonly a: Actor } {
  const scene = new Scene({ slotTailInteractions: 1, ...tuning })
  const a = scene.boot('a')
  for (const state of ['x', 'y', 'z'] as const) a.patch(state, state, 'one')
  scene.run()
  return { scene, a }
}

const files = (scene: Scene): number => [...scene.storage.objects.keys()].filter((name) => name.startsWith('ids/')).length

test('one ID file, a pause, the next', () => {
  const { scene } = threeDue()
  const counts = [files(scene)]
  while (counts.at(-1)! < 3 && scene.nowMs < 1_000) {
    scene.pass(1)
    if (files(scene) > counts.at(-1)!) counts.push(files(scene))
  }
  expect(counts).toEqual([1, 2, 3])
  expect(scene.nowMs).toBeGreaterThanOrEqual(2 * limits.checkpointPauseMs)
})

test('the larger the ID file, the longer the pause, up to a bound', () => {
  const slow = threeDue({ checkpointBytesPerMs: 20 })
  slow.scene.pass(limits.checkpointPauseMs + 1)
  expect(files(slow.scene)).toBe(1)
  const slowest = threeDue({ checkpointBytesPerMs: 0.001, checkpointPauseMaxMs: 10 })
  slowest.scene.pass(11)
  expect(files(slowest.scene)).toBe(2)
})

test.each([{ logTailBytes: 1 }, { trackedStates: 2 }])('at the bound of what waits for ID files there is no pause: %j', (tuning) => {
  const scene = new Scene({ slotTailInteractions: 1, ...tuning })
  const a = scene.boot('a')
  a.hold(/leaders/)
  for (const state of ['x', 'y', 'z'] as const) {
    a.patch(state, state, 'one')
    scene.run()
  }
  a.letGo()
  scene.run()
  expect(files(scene)).toBe(3)
})

test('who stops does not wait for pauses, nor for one that has begun', () => {
  const { scene, a } = threeDue()
  a.stop()
  scene.run()
  expect(files(scene)).toBe(3)
  expect(scene.nowMs).toBe(0)
})
