import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('a planned stop leaves nothing to wait for and nothing to read (rules S4, L3, K3)', () => {
  const scene = new Scene()
  const a = scene.boot('a')
  a.patch('p1', 'x', 'one')
  a.follow('f1', 'x')
  scene.run()

  scene.say('It flushes, checkpoints, seals its own log; what comes meanwhile is not taken.')
  a.stop()
  a.patch('p2', 'x', 'two')
  scene.run()
  scene.pass(100)
  expect(a.answers.get('p2')).toMatchObject({ kind: 'not-leader' })
  expect(scene.storage.objects.has('leaders/a/end')).toBe(true)

  scene.say('The next life answers at once.')
  const b = scene.boot('b', { previous: 'a' })
  b.read('r1', 'x')
  scene.run()
  expect(b.answers.get('r1')).toMatchObject({ kind: 'state', state: { ii: 1 } })

  scene.say('c seals the log of b while b runs: c has to wait for the lease of b.')
  const c = scene.boot('c', { previous: 'b' })
  c.read('r2', 'x')
  scene.run()
  scene.pass(1100)
  expect(c.answers.has('r2')).toBe(false)

  scene.say('Stopped before that is over, c passes the wait on: d must not believe that nobody else may still answer.')
  c.stop()
  scene.pass(100)
  const d = scene.boot('d', { previous: 'c' })
  d.read('r3', 'x')
  scene.run()
  expect(d.answers.has('r3')).toBe(false)
  scene.pass(1250)
  expect(d.answers.get('r3')).toMatchObject({ kind: 'state', state: { ii: 1 } })
  scene.compare(import.meta.url)
})
