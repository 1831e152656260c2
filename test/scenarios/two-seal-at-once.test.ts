import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('two who seal at once: `end` names one seal, the log ends at the first (rules S1, S2, S3)', () => {
  const scene = new Scene()
  const a = scene.boot('a')
  a.patch('p1', 'x', 'one')
  scene.run()

  scene.say('b and c find the same number missing.')
  const b = scene.boot('b', { previous: 'a' })
  b.hold(/leaders\/a\/(0|end)/)
  scene.run()
  b.finish(/end$/)
  scene.run()
  expect(b.held()).toEqual(['put leaders/a/000000000002'])
  b.land(/2$/)

  scene.say('c lists when the seal of b stands already, takes it for a bundle, and seals the next number; `end` names that one.')
  const c = scene.boot('c', { previous: 'a' })
  scene.run()
  expect(scene.storage.objects.has('leaders/a/000000000003')).toBe(true)

  scene.say('b finds `end` and goes by it. What a may have stored at 3 and behind would count for nobody.')
  b.letGo()
  scene.run()
  b.read('r1', 'x')
  c.read('r2', 'x')
  scene.run()
  scene.pass(1250)
  scene.pass(1250)
  const answers = [b.answers.get('r1'), c.answers.get('r2')]
  expect(answers).toContainEqual(expect.objectContaining({ kind: 'state', state: expect.objectContaining({ ii: 1, active: '{"one":"p1"}' }) }))
  scene.compare(import.meta.url)
})
