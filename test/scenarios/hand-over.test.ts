import { expect, test } from '@jest/globals'
import { Scene } from './scene.ts'

test('a slot is handed over: all of it is covered, nobody waits, and the answer is final (rules E1, H1, H2)', () => {
  const { scene, a, b } = Scene.ofTwo()

  scene.say('a leads x; a patch is under way when b is invited to take over.')
  a.patch('p1', 'x', 'one')
  scene.run()
  expect(a.answers.get('p1')).toMatchObject({ kind: 'stored', ii: 1 })
  a.hold(/leaders/)
  a.patch('p2', 'x', 'two')
  scene.run()
  scene.invite(a, b, 'x')
  scene.run()

  scene.say('a takes nothing more of x, and says nothing before p2 is stored.')
  a.patch('p3', 'x', 'three')
  expect(a.answers.get('p3')).toMatchObject({ kind: 'not-leader' })
  b.patch('p4', 'x', 'four')
  scene.run()
  expect(b.answers.has('p4')).toBe(false)

  scene.say('p2 is stored: it is answered, covered, and b goes on without any wait.')
  a.letGo()
  scene.run()
  expect(a.answers.get('p2')).toMatchObject({ kind: 'stored', ii: 2 })
  expect(b.answers.get('p4')).toMatchObject({ kind: 'stored', ii: 3 })
  expect([...scene.storage.objects.keys()].filter((name) => name.endsWith('/end'))).toEqual([])

  scene.say('A repeat is known to b; a sends whoever asks on to b.')
  b.patch('p2 again', 'x', 'two', { key: 'key of p2' })
  a.read('r1', 'x')
  scene.run()
  expect(b.answers.get('p2 again')).toMatchObject({ kind: 'stored', ii: 2, replayed: true })
  expect(a.answers.get('r1')).toMatchObject({ kind: 'not-leader', leader: 'b' })
  scene.compare(import.meta.url)
})
