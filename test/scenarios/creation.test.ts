import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('a creation record takes ii 0, is waited for, and is made once (rule A9)', () => {
  const scene = new Scene()
  const a = scene.boot('a')

  scene.say('Made, not stored yet: the second one waits for the first, as does a read.')
  a.hold(/leaders/)
  a.create('c1', 'x', 'Groceries')
  scene.run()
  a.create('c2', 'x', 'Other')
  a.read('r1', 'x')
  scene.run()
  expect(a.answers.size).toBe(0)
  a.finish(/1$/)
  a.letGo()
  scene.run()
  expect(a.answers.get('c1')).toMatchObject({ kind: 'created', made: true, state: { ii: 0, name: 'Groceries' } })
  expect(a.answers.get('c2')).toMatchObject({ kind: 'created', made: false, state: { ii: 0, name: 'Groceries' } })
  expect(a.answers.get('r1')).toMatchObject({ kind: 'state', state: { ii: 0, active: '{}' } })

  scene.say('The first patch is 1, as of any state.')
  a.patch('p1', 'x', 'milk', { expected: 1 as never })
  scene.run()
  expect(a.answers.get('p1')).toMatchObject({ kind: 'stored', ii: 1 })
  a.crash()

  scene.say('Another life knows both.')
  const b = scene.boot('b', { previous: 'a' })
  scene.run()
  b.read('r2', 'x')
  b.create('c3', 'x', 'Third')
  scene.run()
  scene.pass(1250)
  expect(b.answers.get('r2')).toMatchObject({ kind: 'state', state: { ii: 1, name: 'Groceries', active: '{"milk":"p1"}' } })
  expect(b.answers.get('c3')).toMatchObject({ kind: 'created', made: false })
  scene.compare(import.meta.url)
})
