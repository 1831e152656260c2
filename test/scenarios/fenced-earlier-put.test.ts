import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('a seal behind an earlier put that is still under way: that one may be stored, and then it counts (P4, P5, rule B2)', () => {
  // Bundles of one interaction, so that several puts are under way.
  const scene = new Scene({ bundleInteractions: 1 })
  const a = scene.boot('a')
  a.patch('p0', 'x', 'zero')
  scene.run()

  scene.say('Puts 2, 3 and 4 are under way. 2 takes effect, its answer is slow; b seals at 3.')
  a.hold(/leaders/)
  a.patch('p1', 'x', 'one')
  a.patch('p2', 'x', 'two')
  a.patch('p3', 'x', 'three')
  scene.run()
  expect(a.held()).toEqual(['put leaders/a/000000000002', 'put leaders/a/000000000003', 'put leaders/a/000000000004'])
  a.land(/2$/)
  const b = scene.boot('b', { previous: 'a' })
  scene.run()

  scene.say('3 meets the seal. 4 is stored behind it and counts for nobody. Neither is answered while 2 is in doubt.')
  a.finish(/3$/)
  scene.run()
  a.finish(/3$/)
  a.finish(/4$/)
  scene.run()
  expect([...a.answers.keys()]).toEqual(['p0'])

  scene.say('The answer of 2 arrives: p1 is acknowledged, the others are certainly not stored.')
  a.finish(/2$/)
  expect(a.answers.get('p1')).toMatchObject({ kind: 'stored', ii: 2 })
  expect(a.answers.get('p2')).toMatchObject({ kind: 'not-leader' })
  expect(a.answers.get('p3')).toMatchObject({ kind: 'not-leader' })

  scene.say('b holds what was acknowledged and nothing else.')
  b.read('r1', 'x')
  scene.run()
  scene.pass(1250)
  expect(b.answers.get('r1')).toMatchObject({ kind: 'state', state: { ii: 2, active: '{"zero":"p0","one":"p1"}' } })
  scene.compare(import.meta.url)
})
