/** Followings through the core: rule F1, and that none is forgotten or lives on. */
import { expect, test } from '@jest/globals'
import { Scene } from '../../../scenarios/scene.ts'

function traced(scene: Scene): string[] {
  const lines: string[] = []
  scene.line = (text) => void lines.push(text)
  return lines
}
const seen = (lines: readonly string[], follower: string): string[] => lines.filter((line) => line.includes('> ') && line.includes(follower)).map((line) => line.slice(line.indexOf('> ') + 2))

test('rule F1: every interaction once it is stored, in order, without gap or double', () => {
  const scene = new Scene({ bundleInteractions: 1 })
  const lines = traced(scene)
  const a = scene.boot('a')
  a.patch('p1', 'x', 'one')
  scene.run()
  a.hold(/leaders/)
  a.patch('p2', 'x', 'two')
  a.follow('f1', 'x')
  a.follow('f2', 'x', 1)
  a.patch('p3', 'x', 'three')
  a.follow('f3', 'x', 3)
  scene.run()
  // The later one is stored first: nobody sees it before the earlier one.
  a.finish(/3$/)
  expect([seen(lines, 'f1'), seen(lines, 'f2'), seen(lines, 'f3')]).toEqual([[], ['f2 sees 1'], []])
  a.finish(/2$/)
  scene.run()
  expect(seen(lines, 'f1')).toEqual(['f1 sees {"one":"p1","two":"p2"} at 2', 'f2, f1, f3 sees 3'].map((line) => (line.startsWith('f1') ? line : expect.stringContaining('sees 3'))))
  expect(seen(lines, 'f2').map((line) => line.replace(/.*sees /, ''))).toEqual(['1', '2', '3'])
  expect(seen(lines, 'f3').map((line) => line.replace(/.*sees /, ''))).toEqual(['3'])
})

test('one that asks from an index that is not at hand any more gets the state', () => {
  const scene = new Scene({ slotTailInteractions: 2 })
  const lines = traced(scene)
  const a = scene.boot('a')
  for (const [at, member] of ['one', 'two', 'three'].entries()) {
    a.patch(`p${at}`, 'x', member)
    scene.run()
  }
  a.follow('old', 'x', 1)
  a.follow('ahead', 'x', 9)
  scene.run()
  expect(seen(lines, 'old')).toEqual([expect.stringContaining('at 3')])
  expect(seen(lines, 'ahead')).toEqual([expect.stringContaining('at 3')])
})

test('taken back, it sees nothing more', () => {
  const scene = new Scene()
  const lines = traced(scene)
  const a = scene.boot('a')
  const token = a.follow('f1', 'x')
  scene.run()
  a.unfollow(token)
  a.patch('p1', 'x', 'one')
  scene.run()
  expect(seen(lines, 'f1')).toEqual(['f1 sees unwritten'])
})

test('taken back before the slot is led, it never begins', () => {
  const scene = new Scene()
  const lines = traced(scene)
  const a = scene.boot('a')
  const token = a.follow('f1', 'x')
  a.unfollow(token)
  scene.run()
  a.patch('p1', 'x', 'one')
  scene.run()
  expect(seen(lines, 'f1')).toEqual([])
})

test('an incarnation that is fenced ends every following, also one that has not begun', () => {
  const scene = new Scene()
  const lines = traced(scene)
  const a = scene.boot('a')
  a.patch('p1', 'x', 'one')
  a.follow('begun', 'x')
  scene.run()
  // The slot of y is on its way: its epoch record is slow.
  a.hold(/slots\/0997|leaders/)
  a.follow('waiting', 'y')
  a.patch('p2', 'x', 'two')
  scene.run()
  scene.boot('b', { previous: 'a' })
  scene.run()
  a.finish(/leaders/)
  scene.run()
  a.finish(/leaders/)
  expect(lines).toContain('a  > fenced')
  expect(seen(lines, 'begun').at(-1)).toBe('begun ends')
  expect(seen(lines, 'waiting')).toEqual(['waiting ends'])
})
