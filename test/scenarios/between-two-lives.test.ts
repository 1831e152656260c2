import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('a link leads to another life than the one that it is taken for: that one does not answer for the other (rule H3)', () => {
  const { scene, a, b } = Scene.ofTwo()

  scene.say('a leads x, and is over.')
  a.patch('p1', 'x', 'one')
  scene.run()
  expect(a.answers.get('p1')).toMatchObject({ kind: 'stored', ii: 1 })
  b.step({ kind: 'link-down', peer: a.incarnation })
  a.crash()

  scene.say("Another life of a's process begins, which b takes for a, and asks to hand over. It is another that answers: a's log is sealed.")
  const next = scene.boot('next-a')
  scene.members(b, next)
  scene.mistake(b, next, a)
  b.patch('p2', 'x', 'two')
  scene.run()
  scene.pass(4_000)
  expect(b.answers.get('p2')).toMatchObject({ kind: 'stored', ii: 2 })
  scene.compare(import.meta.url)
})
