import { expect, test } from '@jest/globals'
import type { Cycle, InteractionIndex } from '#shared/ids.ts'
import { LeaderLog } from '#shared/protocol/leader-log.ts'
import { Tail } from '#shared/protocol/tail.ts'
import { decodeBundle, type LogEntry } from '#shared/records/bundle.ts'
import { endName, logObjectName } from '#shared/records/names.ts'
import { A, Driver, seq, storeEnd, storeSeal, X } from './drive.ts'

const entry = (n: number): LogEntry => ({ id: X, cycle: 1 as Cycle, ii: n as InteractionIndex, ts: n, user: 'zoë', key: '', bodyDigest: '', creation: undefined, patch: `["größe ${n} 🎈"]` })

function logOn(driver: Driver, options: { readonly low?: () => number } = {}): { log: LeaderLog; tail: Tail; append(n: number): void } {
  const log = new LeaderLog({ context: driver.context, incarnation: A, low: () => seq(options.low?.() ?? 1), covered: () => seq(options.low?.() ?? 1), onStored: () => undefined, onFenced: () => undefined })
  const tail = new Tail()
  const append = (n: number): void => {
    const at = log.append(entry(n), () => undefined)
    tail.logged(n as InteractionIndex, at, log.appendedAt, log.appendedBytes)
  }
  return { log, tail, append }
}

test('an interaction is read back from where it stands: open, under way, or stored', () => {
  const driver = new Driver()
  const { log, tail, append } = logOn(driver)
  const all = (): number[] => [...tail.entries(log, 1, 99)].map(({ ii, patch, user }) => (patch === `["größe ${ii} 🎈"]` && user === 'zoë' ? ii : -1))
  for (const n of [1, 2, 3]) append(n)
  expect(all()).toEqual([1, 2, 3])
  log.turn()
  for (const n of [4, 5]) append(n)
  expect([tail.lastUpTo(seq(0)), tail.lastUpTo(seq(1)), tail.lastUpTo(seq(2))]).toEqual([0, 3, 5])
  expect(all()).toEqual([1, 2, 3, 4, 5])
  driver.run()
  expect(all()).toEqual([1, 2, 3, 4, 5])
  expect([...tail.entries(log, 2, 3)].map(({ ii }) => ii)).toEqual([2, 3])
  tail.dropTo(4 as InteractionIndex)
  expect([tail.length, tail.firstSeq, all()]).toEqual([1, 2, [5]])
})

test('what checkpoints cover is forgotten, what is not stored is kept', () => {
  const driver = new Driver()
  let low = 1
  const { log, append } = logOn(driver, { low: () => low })
  for (const n of [1, 2, 3]) {
    append(n)
    log.turn()
    driver.run()
  }
  const sizes = [1, 2, 3].map((n) => driver.storage.objects.get(logObjectName(A, seq(n)))!.byteLength)
  expect(log.keptBytes).toBe(sizes.reduce((sum, size) => sum + size, 0))
  low = 3
  log.trim()
  expect(log.keptBytes).toBe(sizes[2])
  expect(() => log.kept(seq(2))).toThrow('no longer in memory')
  expect(log.kept(seq(3)).bytes.byteLength).toBe(sizes[2])
  append(4)
  log.turn()
  low = 5
  log.trim()
  expect(log.kept(seq(4)).bytes.byteLength).toBe(log.keptBytes)
  driver.run()
  log.trim()
  expect(log.keptBytes).toBe(0)
})

test('rule K4: every bundle carries the low of the moment it closes', () => {
  const driver = new Driver()
  let low = 1
  const { log, append } = logOn(driver, { low: () => low })
  for (const n of [1, 2]) {
    append(n)
    low = n
    log.turn()
    driver.run()
    expect(decodeBundle(driver.storage.objects.get(logObjectName(A, seq(n)))!, A, seq(n)).header).toEqual({ incarnation: A, seq: n, low: n })
  }
})

test('rule B5: behind a bundle of many the next one waits for most of as many, or for the pace; behind one of few it does not wait', () => {
  const driver = new Driver({ paceInteractions: 8, paceMs: 2 })
  const { log, append } = logOn(driver)
  let n = 0
  const add = (count: number): void => {
    for (let i = 0; i < count; i++) append((n += 1))
  }
  /** Whether the core asked to be told when what is at hand has been handed over. */
  const asksForTurn = (): boolean => {
    const effects = driver.context.takeEffects()
    for (const effect of effects) driver.context.emit(effect)
    return effects.some(({ kind }) => kind === 'turn')
  }
  const timers: number[] = []
  const store = (): void => {
    for (const effect of driver.context.takeEffects()) {
      if (effect.kind === 'put') driver.context.resume(driver.storage.perform(effect))
    }
    for (const effect of driver.context.takeEffects()) {
      if (effect.kind === 'timer') timers.push(effect.token)
      else if (effect.kind !== 'turn') driver.context.emit(effect)
    }
  }
  add(7)
  log.turn()
  store()
  expect(timers).toHaveLength(0)
  add(1)
  expect(asksForTurn()).toBe(true)
  add(7)
  log.turn()
  store()
  expect(timers).toHaveLength(1)
  // Eight were stored: six are waited for.
  add(5)
  expect(asksForTurn()).toBe(false)
  log.turn()
  expect(log.nextSeq).toBe(3)
  add(1)
  expect(asksForTurn()).toBe(true)
  log.turn()
  expect(log.nextSeq).toBe(4)
  add(2)
  store()
  expect(timers).toHaveLength(2)
  expect(log.nextSeq).toBe(4)
  // The pace of the bundle before is over, and says nothing any more.
  driver.context.resume({ kind: 'timer', token: timers[0]! })
  expect(log.nextSeq).toBe(4)
  driver.context.resume({ kind: 'timer', token: timers[1]! })
  expect(log.nextSeq).toBe(5)
})

test('rules L1, D1: a number that was put and is missing proves nothing, where the log has `end`: it was stored, and deleted', () => {
  const driver = new Driver()
  const { log, append } = logOn(driver)
  append(1)
  log.turn()
  // Slept since: the put took effect, the log was sealed, checkpoints covered the bundle, retention deleted it.
  driver.context.takeEffects()
  storeSeal(driver.storage, A, 2)
  storeEnd(driver.storage, A, 2)
  let proven = false
  log.whenProven(() => (proven = true))
  driver.run()
  expect(driver.operations).toEqual([`get ${logObjectName(A, seq(1))}`, `get ${endName(A)}`])
  expect(proven).toBe(false)
})

test('rule L1: a number that was put, is missing, and whose log has no `end`, proves that no seal stood', () => {
  const driver = new Driver()
  const { log, append } = logOn(driver)
  append(1)
  log.turn()
  driver.context.takeEffects()
  let proven = false
  log.whenProven(() => (proven = true))
  driver.run()
  expect(proven).toBe(true)
})
