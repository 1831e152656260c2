import { expect, test } from '@jest/globals'
import { limits } from '#shared/limits.ts'
import { Scene } from './scene.ts'

test('a restart after a crash reads the log from its low on, and the ID files for what lies before (rules K3, K4, G1, G2)', () => {
  // A slot is checkpointed at three interactions.
  const scene = new Scene({ slotTailInteractions: 3 })
  const a = scene.boot('a')
  for (const [at, member] of ['one', 'two', 'three'].entries()) {
    a.patch(`p${at + 1}`, 'x', member)
    scene.run()
  }
  expect([...scene.storage.objects.keys()]).toContain('slots/0911/checkpoints/00000001-000000000002')

  scene.say('The third was behind the number that the checkpoint had fixed; what follows says how far checkpoints are.')
  a.patch('p4', 'x', 'four')
  scene.run()
  a.patch('p5', 'y', 'one')
  scene.run()
  a.crash()

  scene.say('b reads the last bundle, which names the low, and from there on; nothing below it.')
  const b = scene.boot('b', { previous: 'a' })
  b.hold(/nothing/)
  scene.run()
  b.read('r1', 'x')
  b.read('r2', 'y')
  scene.run()
  scene.pass(1250)
  // Between the two ID files.
  scene.pass(limits.checkpointPauseMs + 1)
  expect(b.answers.get('r1')).toMatchObject({ kind: 'state', state: { ii: 4 } })
  expect(b.answers.get('r2')).toMatchObject({ kind: 'state', state: { ii: 1 } })

  scene.say('A repeat of what only the ID file remembers.')
  b.patch('p1 again', 'x', 'one', { key: 'key of p1' })
  scene.run()
  expect(b.answers.get('p1 again')).toMatchObject({ kind: 'stored', ii: 1, replayed: true })
  scene.compare(import.meta.url)
})
