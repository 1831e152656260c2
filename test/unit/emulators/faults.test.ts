import { describe, expect, test } from '@jest/globals'
import { Faults, parseFaultRule } from '../../../emulators/faults.ts'

const call = { service: 'pubsub', operation: 'Publish', resource: 'projects/p/topics/t' } as const

describe('faults', () => {
  test('a rule comes true as often as it says, for what it says', () => {
    const faults = new Faults()
    expect(faults.next(call)).toBeUndefined()
    faults.add({ service: 'pubsub', operation: 'Publish', resource: 'topics/t', fault: { kind: 'aborted' }, times: 2 })
    faults.add({ service: 'storage', fault: { kind: 'unavailable' } })
    expect(faults.next({ ...call, operation: 'Pull' })).toBeUndefined()
    expect(faults.next({ ...call, resource: 'projects/p/topics/u' })).toBeUndefined()
    expect([faults.next(call), faults.next(call), faults.next(call)]).toEqual([{ kind: 'aborted' }, { kind: 'aborted' }, undefined])
    expect(faults.next({ service: 'storage', operation: 'x', resource: '' })).toEqual({ kind: 'unavailable' })
    faults.clear()
    expect(faults.next({ service: 'storage', operation: 'x', resource: '' })).toBeUndefined()
  })

  test('rules from outside are checked', () => {
    expect(parseFaultRule('{"service":"pubsub","fault":{"kind":"slow","delayMs":5},"times":1}')).toEqual({ service: 'pubsub', fault: { kind: 'slow', delayMs: 5 }, times: 1 })
    for (const wrong of ['', '[]', '{"service":"x","fault":{"kind":"aborted"}}', '{"service":"pubsub","fault":{"kind":"slow"}}', '{"service":"pubsub","fault":{"kind":"aborted"},"times":0}', '{"service":"pubsub"}']) {
      expect(parseFaultRule(wrong)).toBeUndefined()
    }
  })
})
