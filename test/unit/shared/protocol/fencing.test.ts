import { describe, expect, test } from '@jest/globals'
import { Fencing, type Broken, type Fenced } from '#shared/protocol/fencing.ts'
import { decodeSmall, encodeSmall, logObjectType } from '#shared/records/fence.ts'
import { endName, logObjectName, segmentName } from '#shared/records/names.ts'
import { A, B, bundle, Driver, seq, storeBundles, storeEnd, storeSeal } from './drive.ts'

function fence(driver: Driver, fencing = new Fencing(driver.context, B)): Fenced | Broken {
  let result: Fenced | Broken | undefined
  fencing.fence(A, (fenced) => (result = fenced))
  driver.run()
  return result!
}
const name = (n: number): string => logObjectName(A, seq(n))
const ended = (driver: Driver): number => decodeSmall('end', driver.storage.objects.get(endName(A))!).seal

describe('rule S2: a seal is created at the first missing number', () => {
  test('of a log that holds nothing', () => {
    const driver = new Driver()
    expect(fence(driver)).toMatchObject({ seal: 1, byItself: false, low: undefined })
    expect(driver.puts()).toEqual([name(1), endName(A)])
  })

  test('behind its bundles', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 3)
    expect(fence(driver)).toMatchObject({ seal: 4 })
    expect(decodeSmall('seal', driver.storage.objects.get(name(4))!)).toEqual({ kind: 'seal', incarnation: A, seq: 4, by: B, waited: false })
    expect(ended(driver)).toBe(4)
  })

  test('in a hole: what lies behind counts for nobody', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    driver.storage.objects.delete(name(3))
    expect(fence(driver)).toMatchObject({ seal: 3 })
    expect(driver.storage.objects.has(name(4))).toBe(true)
  })

  test('rule C5: not in a hole that more bundles lie behind than puts can be under way: that one was stored', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 8)
    driver.storage.objects.delete(name(3))
    const before = driver.storage.objects.size
    expect(fence(driver)).toMatchObject({ object: name(3), reason: expect.stringContaining('missing') })
    expect(driver.storage.objects.size).toBe(before)
  })

  test('rule C5: a wall far ahead says nothing about the hole before it', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 2)
    storeSeal(driver.storage, A, 40)
    expect(fence(driver)).toMatchObject({ seal: 3 })
  })

  test('behind what a segment holds, although the bundles are gone', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 5)
    for (const n of [1, 2, 3, 4]) driver.storage.objects.delete(name(n))
    driver.storage.objects.set(segmentName(A, seq(1), seq(4)), Buffer.from('not read here'))
    expect(fence(driver)).toMatchObject({ seal: 6 })
  })

  test('taken by a bundle: the next number', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 1)
    // a is alive and wins the race for 2 and for 3.
    driver.before = (effect) => {
      if (effect.kind === 'put' && (effect.name === name(2) || effect.name === name(3)) && !driver.storage.objects.has(effect.name)) {
        driver.storage.objects.set(effect.name, bundle(A, effect.name === name(2) ? 2 : 3))
      }
    }
    expect(fence(driver)).toMatchObject({ seal: 4 })
    expect(driver.puts()).toEqual([name(2), name(3), name(4), endName(A)])
  })

  test('taken by a seal: that one', () => {
    const driver = new Driver()
    driver.before = (effect) => {
      if (effect.kind === 'put' && effect.name === name(1)) storeSeal(driver.storage, A, 1, { by: 'c' as never })
    }
    expect(fence(driver)).toMatchObject({ seal: 1 })
    expect(decodeSmall('seal', driver.storage.objects.get(name(1))!).by).toBe('c')
  })

  test('a that keeps winning runs into a seal further ahead, and every number below it is tried', () => {
    const driver = new Driver()
    // Faster than any put of ours, as long as its own number is free.
    let next = 1
    driver.before = (effect) => {
      if (effect.kind !== 'put' || !effect.name.startsWith('leaders/a/0')) return
      if (driver.storage.objects.has(name(next))) return
      driver.storage.objects.set(name(next), bundle(A, next))
      next += 1
    }
    const result = fence(driver) as Fenced
    expect(next).toBe(result.seal)
    expect(logObjectType(driver.storage.objects.get(name(result.seal))!)).toBe('seal')
    for (let n = 1; n < result.seal; n++) expect(logObjectType(driver.storage.objects.get(name(n))!)).toBe('bundle')
    expect(ended(driver)).toBe(result.seal)
  })
})

describe('rule S3: the seal that `end` names counts', () => {
  test('`end` is looked for first, and nothing is written', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 3)
    storeSeal(driver.storage, A, 4, { by: A, waited: true, low: 2 })
    storeEnd(driver.storage, A, 4)
    expect(fence(driver)).toMatchObject({ seal: 4, byItself: true, low: 2 })
    expect(driver.puts()).toEqual([])
  })

  test('another one named its seal first: its word counts', () => {
    const driver = new Driver()
    storeBundles(driver.storage, A, 1)
    driver.before = (effect) => {
      if (effect.kind === 'put' && effect.name === endName(A) && !driver.storage.objects.has(effect.name)) {
        storeSeal(driver.storage, A, 9)
        storeEnd(driver.storage, A, 9)
      }
    }
    expect(fence(driver)).toMatchObject({ seal: 9 })
    expect(ended(driver)).toBe(9)
  })

  test('`end` names a seal that is gone: broken, for seals are never deleted (rule T1)', () => {
    const driver = new Driver()
    storeEnd(driver.storage, A, 4)
    expect(fence(driver)).toMatchObject({ object: name(4) })
  })
})

describe('rule S4: a seal by its own hand', () => {
  test.each([
    ['a waited', { by: A, waited: true }, true],
    ['a had not waited', { by: A, waited: false }, false],
    ['another one', { by: B, waited: false }, false],
    ['another one, whatever it says', { by: B, waited: true }, false],
  ])('%s: nobody need wait is %s', (_who, seal, byItself) => {
    const driver = new Driver()
    storeSeal(driver.storage, A, 1, seal)
    storeEnd(driver.storage, A, 1)
    expect(fence(driver)).toMatchObject({ byItself })
  })
})

test('one fencing serves all who ask, and later ones', () => {
  const driver = new Driver()
  storeBundles(driver.storage, A, 2)
  const fencing = new Fencing(driver.context, B)
  const results: unknown[] = []
  fencing.fence(A, (fenced) => results.push(fenced))
  fencing.fence(A, (fenced) => results.push(fenced))
  driver.run()
  const operations = driver.operations.length
  fencing.fence(A, (fenced) => results.push(fenced))
  driver.run()
  expect(driver.operations.length).toBe(operations)
  expect(results).toHaveLength(3)
  expect(new Set(results).size).toBe(1)
})

test('puts of which nobody knows the outcome are sent again; ours that took effect is ours (rule B1)', () => {
  const driver = new Driver()
  let tries = 0
  driver.before = (effect) => (effect.kind === 'put' && tries++ % 2 === 0 ? (tries % 4 === 1 ? 'silent' : 'lost') : 'done')
  expect(fence(driver)).toMatchObject({ seal: 1 })
  expect(driver.logs.filter((message) => message.includes('put'))).toHaveLength(2)
})

test('reads and lists that fail are tried again', () => {
  const driver = new Driver()
  storeBundles(driver.storage, A, 2)
  const failed = new Set<string>()
  driver.before = (effect) => {
    const what = `${effect.kind} ${effect.kind === 'list' ? effect.prefix : effect.name}`
    if (effect.kind === 'put' || failed.has(what)) return 'done'
    failed.add(what)
    return 'lost'
  }
  expect(fence(driver)).toMatchObject({ seal: 3 })
})

describe('rule C2: what cannot be vouched for is named, and nothing is sealed behind it', () => {
  test('an `end` that does not parse', () => {
    const driver = new Driver()
    driver.storage.objects.set(endName(A), Buffer.from('nonsense'))
    expect(fence(driver)).toMatchObject({ object: endName(A) })
    expect(driver.puts()).toEqual([])
  })

  test('a seal that does not parse', () => {
    const driver = new Driver()
    storeEnd(driver.storage, A, 1)
    driver.storage.objects.set(name(1), Buffer.from('nonsense'))
    expect(fence(driver)).toMatchObject({ object: name(1) })
  })

  test('a number that was taken meanwhile by what does not parse', () => {
    const driver = new Driver()
    driver.before = (effect) => {
      if (effect.kind === 'put' && effect.name === name(1)) driver.storage.objects.set(name(1), Buffer.from('nonsense'))
    }
    expect(fence(driver)).toMatchObject({ object: name(1) })
    expect(driver.storage.objects.has(endName(A))).toBe(false)
  })
})

describe('rule C4: a record under the name of another one is not believed', () => {
  test('the `end` of another log', () => {
    const driver = new Driver()
    storeSeal(driver.storage, A, 1)
    driver.storage.objects.set(endName(A), encodeSmall({ kind: 'end', incarnation: B, seal: seq(1) }))
    expect(fence(driver)).toMatchObject({ object: endName(A) })
  })

  test('the seal of another log, or of another number', () => {
    for (const [incarnation, at] of [
      [B, 1],
      [A, 2],
    ] as const) {
      const driver = new Driver()
      storeEnd(driver.storage, A, 1)
      driver.storage.objects.set(name(1), encodeSmall({ kind: 'seal', incarnation, seq: seq(at), by: B, waited: false, low: undefined }))
      expect(fence(driver)).toMatchObject({ object: name(1) })
    }
  })
})
