import { describe, expect, test } from '@jest/globals'
import { parseStateId } from '#shared/ids.ts'
import { NameIds, isNameId } from '#shared/sessions/names.ts'

const ids = new NameIds(Buffer.alloc(32, 7))
const alice = { domain: 'localhost', user: 'alice' }

describe('ids of names', () => {
  test('golden: they are stored everywhere and must never change', () => {
    expect(ids.idOf({ ...alice, name: 'a', generation: 0 })).toBe('8eca95a8-2ca4-352a-8034-2c51a56bb443')
    expect(ids.idOf({ ...alice, name: 'a', generation: 1 })).toBe('1418c782-031d-3961-86b6-7db3bb1d529e')
    expect(ids.idOf({ domain: 'app.example.com:8080', user: 'ü', name: '𝒳 y', generation: 0 })).toBe('1d633789-7439-3580-8192-4b7ea3df185f')
    expect(ids.tableId(alice)).toBe('6f477c09-754e-3319-827e-a693b1902da6')
  })

  test('are UUIDs of version 3', () => {
    const id = ids.idOf({ ...alice, name: 'x', generation: 0 })
    expect(parseStateId(id)).toBe(id)
    expect(isNameId(id)).toBe(true)
    expect(isNameId('6fa459ea-ee8a-4ca4-894e-db77e160355e' as typeof id)).toBe(false)
  })

  test('no two lists of parts give one id', () => {
    const names = [
      { domain: 'a', user: 'b', name: 'c' }, { domain: 'ab', user: '', name: 'c' }, { domain: 'a', user: '', name: 'bc' }, { domain: 'a', user: 'b1:c', name: '' },
      { domain: 'a', user: 'b', name: 'c1:0' }, { domain: 'a1:b', user: '', name: 'c' }, { domain: 'a', user: 'c', name: 'b' },
    ]
    expect(new Set(names.map((name) => ids.idOf({ ...name, generation: 0 }))).size).toBe(names.length)
  })

  test('another key gives other ids', () => {
    const other = new NameIds(Buffer.alloc(32, 8))
    expect(other.idOf({ ...alice, name: 'a', generation: 0 })).not.toBe(ids.idOf({ ...alice, name: 'a', generation: 0 }))
    expect(other.verifies(ids.idOf({ ...alice, name: 'a', generation: 0 }), alice)).toBe(false)
  })
})

describe('verifies', () => {
  test('for the owner of any name and generation, and nobody else', () => {
    for (const generation of [0, 1, 99]) {
      const id = ids.idOf({ ...alice, name: 'some name', generation })
      expect(ids.verifies(id, alice)).toBe(true)
      expect(ids.verifies(id, { ...alice, user: 'bob' })).toBe(false)
      expect(ids.verifies(id, { ...alice, domain: 'a.localhost' })).toBe(false)
      expect(ids.verifies(id, { domain: 'localhosta', user: 'lice' })).toBe(false)
    }
  })

  test('not for an id of which one digit was changed, nor for one that was made up', () => {
    const id = ids.idOf({ ...alice, name: 'some name', generation: 0 })
    for (let at = 0; at < id.length; at++) {
      if (id[at] === '-' || at === 14) continue
      const changed = id.slice(0, at) + (id[at] === '8' ? '9' : '8') + id.slice(at + 1)
      expect([at, ids.verifies(changed as typeof id, alice)]).toEqual([at, false])
    }
  })

  test('not for the table of renames: no patch of a user can make it', () => {
    expect(ids.verifies(ids.tableId(alice), alice)).toBe(false)
  })
})
