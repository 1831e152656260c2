/** What every adapter of `shared/ports/domain-registry.ts` keeps, by numbered rules. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { StateId } from '#shared/ids.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import type { DomainRecord } from '#shared/records/domain-record.ts'
import { within } from './eventually.ts'

export type DomainRegistryUnderTest = {
  place(): Promise<string>
  open(place: string): Promise<DomainRegistry>
  remove(place: string): Promise<void>
}

const id = (n: number): StateId => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` as StateId

export function record(domain: string, version: number, changes: Partial<DomainRecord> = {}): DomainRecord {
  return { domain, version, admin: { user: 'alice', domain: 'localhost:8080' }, claim: id(1), config: undefined, applying: undefined, ...changes }
}

export function domainRegistryContract(name: string, subject: DomainRegistryUnderTest): void {
  describe(`domain registry contract: ${name}`, () => {
    let place: string
    let registry: DomainRegistry
    beforeEach(async () => {
      place = await subject.place()
      registry = await subject.open(place)
      await registry.ready()
    })
    afterEach(async () => {
      await registry.close()
      await subject.remove(place)
    })

    test('1. what was stored is read, and is in memory', async () => {
      const source = { state: id(2), object: id(3), report: id(4), sinceMs: 1_700_000_000_000 }
      const one = record('app.example.com:8443', 1, { config: source, applying: { ...source, report: id(5) } })
      expect(await registry.write(one)).toEqual({ kind: 'stored' })
      expect(await registry.read(one.domain)).toEqual({ kind: 'record', record: one })
      expect(registry.get(one.domain)).toEqual(one)
      expect([...registry.all()]).toEqual([one])
      expect(await registry.read('other.example.com')).toEqual({ kind: 'none' })
      expect(registry.get('other.example.com')).toBeUndefined()
    })

    test('2. a version is written once: of many who write it at once one has stored it, and its record stays', async () => {
      const racers = Array.from({ length: 20 }, (_, at) => record('a.example.com', 1, { admin: { user: `user-${at}`, domain: 'localhost' } }))
      const outcomes = await Promise.all(racers.map((racer) => registry.write(racer)))
      expect(outcomes.filter(({ kind }) => kind === 'stored')).toHaveLength(1)
      expect(outcomes.filter(({ kind }) => kind === 'conflict')).toHaveLength(19)
      const winner = racers[outcomes.findIndex(({ kind }) => kind === 'stored')]!
      expect(await registry.read('a.example.com')).toEqual({ kind: 'record', record: winner })
      expect(await registry.write(record('a.example.com', 3))).toEqual({ kind: 'conflict' })
      expect(await registry.write({ ...winner, version: 2 })).toEqual({ kind: 'stored' })
    })

    test('3. watchers hear of what was written', async () => {
      const heard = new Promise<DomainRecord>((resolve) => registry.watch(resolve))
      const one = record('a.example.com', 1)
      await registry.write(one)
      expect(await within(heard, 'the record')).toEqual(one)
    })

    test('4. all of it is there in the next opening', async () => {
      const domains = ['a.example.com', 'b.example.com', 'localhost:3000']
      for (const domain of domains) expect(await registry.write(record(domain, 1))).toEqual({ kind: 'stored' })
      await registry.write(record('a.example.com', 2, { admin: { user: 'bob', domain: 'localhost' } }))
      await registry.close()
      registry = await subject.open(place)
      await registry.ready()
      expect([...registry.all()].map(({ domain }) => domain).toSorted()).toEqual(domains)
      expect(registry.get('a.example.com')).toEqual(record('a.example.com', 2, { admin: { user: 'bob', domain: 'localhost' } }))
    })
  })
}
