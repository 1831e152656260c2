import { expect, test } from '@jest/globals'
import { Scene } from '../../../scenarios/scene.ts'

test('rule B4: more interactions than may wait: certainly not stored; a repeat of one that waits is no new one', () => {
  const scene = new Scene({ waitingInteractions: 2 })
  const a = scene.boot('a')
  a.hold(/leaders/)
  a.patch('p1', 'x', 'one')
  a.patch('p2', 'x', 'two')
  scene.run()
  a.patch('p3', 'x', 'three')
  a.create('c1', 'y', 'name')
  a.patch('p2 again', 'x', 'two', { key: 'key of p2' })
  scene.run()
  for (const label of ['p3', 'c1']) expect(a.answers.get(label)).toMatchObject({ kind: 'unavailable', stored: false })
  expect(a.answers.size).toBe(2)
  a.letGo()
  scene.run()
  expect(a.answers.get('p2 again')).toMatchObject({ kind: 'stored', ii: 2, replayed: true })
  a.patch('p4', 'x', 'four')
  scene.run()
  expect(a.answers.get('p4')).toMatchObject({ kind: 'stored', ii: 3 })
})

test('rule B4: more bytes than may wait', () => {
  const scene = new Scene({ waitingBytes: 500 })
  const a = scene.boot('a')
  a.hold(/leaders/)
  a.patch('p1', 'x', 'm'.repeat(500))
  scene.run()
  a.patch('p2', 'x', 'two')
  expect(a.answers.get('p2')).toMatchObject({ kind: 'unavailable', stored: false })
  a.letGo()
  scene.run()
  a.patch('p3', 'x', 'three')
  scene.run()
  expect(a.answers.get('p3')).toMatchObject({ kind: 'stored', ii: 2 })
})

test('rule B4: more open requests than a process answers at once', () => {
  const scene = new Scene({ requestsOpen: 2 })
  const a = scene.boot('a')
  for (const label of ['r1', 'r2', 'r3']) a.read(label, 'x')
  expect(a.answers.get('r3')).toMatchObject({ kind: 'unavailable', stored: false })
  scene.run()
  expect([...a.answers.keys()]).toEqual(['r3', 'r1', 'r2'])
})

test('rule B4: states in memory; those that are in use, or not covered yet, stay', () => {
  const scene = new Scene({ trackedStates: 2, slotTailInteractions: 1 })
  const a = scene.boot('a')
  for (const [at, state] of (['x', 'y', 'z', 'x', 'y', 'z'] as const).entries()) {
    a.patch(`p${at}`, state, `m${at}`)
    scene.run()
    expect(a.core.status().statesTracked).toBeLessThanOrEqual(3)
  }
  for (const state of ['x', 'y', 'z'] as const) a.read(state, state)
  scene.run()
  for (const state of ['x', 'y', 'z']) expect(a.answers.get(state)).toMatchObject({ kind: 'state', state: { ii: 2 } })
})

test('rule B4: states that no ID file holds: no further ones are made, those go on', () => {
  const scene = new Scene({ trackedStates: 1 })
  const a = scene.boot('a')
  // ID files, not the lists that look for them.
  a.hold(/ids.*\/\d+$/)
  for (const state of ['x', 'y', 'z'] as const) {
    a.patch(state, state, 'one')
    scene.run()
  }
  a.create('z is made', 'z', 'name')
  a.patch('x again', 'x', 'two')
  scene.run()
  for (const label of ['z', 'z is made']) expect(a.answers.get(label)).toMatchObject({ kind: 'unavailable', stored: false })
  expect(a.answers.get('x again')).toMatchObject({ kind: 'stored', ii: 2 })
  a.letGo()
  scene.run()
  // Refused too, but seen to: whoever is refused has ID files written.
  a.patch('z later', 'z', 'one')
  scene.run()
  scene.pass(100)
  a.patch('z again', 'z', 'one')
  scene.run()
  expect(a.answers.get('z again')).toMatchObject({ kind: 'stored', ii: 1 })
})
