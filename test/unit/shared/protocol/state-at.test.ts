import { expect, test } from '@jest/globals'
import { Scene } from '../../../scenarios/scene.ts'

test('the state at 0 of one that is being made meanwhile: nothing is shown that is not stored (P1)', () => {
  const scene = new Scene()
  const a = scene.boot('a')
  a.read('r1', 'x')
  scene.run()
  scene.pass(1_000)
  // "Unwritten" is a statement about the present: it asks storage first. Meanwhile the state is made, not stored yet.
  a.hold(/leaders/)
  a.stateAt('s1', 'x', 0)
  a.create('c1', 'x', 'Groceries')
  scene.run()
  expect(a.held()).toEqual(['get leaders/a/000000000001', 'put leaders/a/000000000001'])
  a.finish(/1$/)
  expect(a.answers.get('s1')).toEqual({ kind: 'unwritten' })
  a.letGo()
  scene.run()
  a.stateAt('s2', 'x', 0)
  scene.run()
  expect(a.answers.get('s2')).toMatchObject({ kind: 'state', state: { ii: 0, name: 'Groceries', active: '{}' } })
})

test('the state at every index, from ID files and from memory, is what it was', () => {
  const scene = new Scene({ slotTailInteractions: 3, historyPageInteractions: 2 })
  const a = scene.boot('a')
  for (let n = 1; n <= 8; n++) {
    a.patch(`p${n}`, 'x', `m${n}`)
    scene.run()
  }
  for (let n = 0; n <= 8; n++) a.stateAt(`s${n}`, 'x', n)
  a.stateAt('beyond', 'x', 9)
  scene.run()
  for (let n = 0; n <= 8; n++) {
    const active = JSON.stringify(Object.fromEntries(Array.from({ length: n }, (_, at) => [`m${at + 1}`, `p${at + 1}`])))
    expect(a.answers.get(`s${n}`)).toMatchObject({ kind: 'state', state: { ii: n, active } })
  }
  expect(a.answers.get('beyond')).toEqual({ kind: 'beyond', ii: 8 })
})
