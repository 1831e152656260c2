import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('group commit: one put carries all that arrived while the last one was under way (P1, rules B2, B3)', () => {
  const scene = new Scene()
  const a = scene.boot('a')

  scene.say('Nothing is under way: what arrives in one turn shares a bundle.')
  a.hold(/leaders/)
  a.patch('p1', 'x', 'one')
  a.patch('p2', 'x', 'two')
  scene.run()
  expect(a.held()).toEqual(['put leaders/a/000000000001'])

  scene.say('While it is under way, more arrive: they gather in the open bundle, and nothing is shown.')
  a.patch('p3', 'x', 'three')
  a.patch('p4', 'y', 'one')
  scene.run()
  a.patch('p5', 'x', 'four')
  scene.run()
  expect([...a.answers.keys()]).toEqual([])
  expect(a.held()).toEqual(['put leaders/a/000000000001'])

  scene.say('The put returns: its interactions are answered, and the open bundle closes.')
  a.finish(/1$/)
  expect([...a.answers.keys()]).toEqual(['p1', 'p2'])
  scene.run()
  expect(a.held()).toEqual(['put leaders/a/000000000002'])

  scene.say('The second carries the three that had gathered.')
  a.finish(/2$/)
  scene.run()
  expect([...a.answers.keys()]).toEqual(['p1', 'p2', 'p3', 'p4', 'p5'])
  scene.compare(import.meta.url)
})
