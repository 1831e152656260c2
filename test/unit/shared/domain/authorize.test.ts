import { describe, expect, test } from '@jest/globals'
import { authorize, type Action, type Decision } from '#shared/domain/authorize.ts'
import type { AuthorizeRules, Rule } from '#shared/domain/config.ts'

const requested = { id: '7d793037-a076-4f2a-9d6c-4e2e8d1a3b0c', owner: 'alice', domain: 'app.example.com' }
const requesters = {
  owner: { user: 'alice', domain: 'app.example.com' },
  same: { user: 'bob', domain: 'app.example.com' },
  cross: { user: 'bob', domain: 'other.example.com' },
  /** The same name in another domain is somebody else. */
  namesake: { user: 'alice', domain: 'other.example.com' },
}
const none = { sameDomain: undefined, crossDomain: undefined }
const rulesWith = (rules: Partial<AuthorizeRules>): AuthorizeRules => ({ ...none, write: none, ...rules })
const fn = (takes: number): Rule => ({ postgres: 'may', takes })

const decide = (who: keyof typeof requesters, action: Action, rules: AuthorizeRules | undefined, byDefault: 'allow' | 'deny' = 'deny'): Decision =>
  authorize({ requester: requesters[who], requested, action, rules, byDefault })
const ask = (...args: string[]): Decision => ({ kind: 'ask', domain: 'app.example.com', postgres: 'may', args })

describe('authorize', () => {
  test.each(['read', 'write'] as const)('the owner always may %s, whatever is configured', (action) => {
    const deny = { sameDomain: 'deny', crossDomain: 'deny' } as const
    for (const rules of [undefined, rulesWith({}), rulesWith({ ...deny, write: deny })]) expect(decide('owner', action, rules)).toEqual({ kind: 'allow' })
  })

  test.each(['same', 'cross', 'namesake'] as const)('nothing configured: the default for reading, never for writing (%s)', (who) => {
    for (const rules of [undefined, rulesWith({}), rulesWith({ write: none })]) {
      expect(decide(who, 'read', rules, 'deny')).toEqual({ kind: 'deny' })
      expect(decide(who, 'read', rules, 'allow')).toEqual({ kind: 'allow' })
      expect(decide(who, 'write', rules, 'allow')).toEqual({ kind: 'deny' })
    }
  })

  test('what is configured beats the default, each for its own requesters and action', () => {
    const rules = rulesWith({ sameDomain: 'allow', crossDomain: 'deny', write: { sameDomain: 'deny', crossDomain: 'allow' } })
    const kinds = (['same', 'cross'] as const).flatMap((who) => (['read', 'write'] as const).map((action) => decide(who, action, rules, who === 'same' ? 'deny' : 'allow').kind))
    expect(kinds).toEqual(['allow', 'deny', 'deny', 'allow'])
    expect(decide('cross', 'read', rulesWith({ sameDomain: 'allow' }))).toEqual({ kind: 'deny' })
    expect(decide('same', 'read', rulesWith({ sameDomain: 'deny' }), 'allow')).toEqual({ kind: 'deny' })
    expect(decide('same', 'write', rulesWith({ sameDomain: 'allow' }))).toEqual({ kind: 'deny' })
  })

  test('a function is asked in the domain of the state, with what domains.md offers it', () => {
    const rules = rulesWith({ sameDomain: fn(2), crossDomain: fn(3), write: { sameDomain: fn(2), crossDomain: fn(3) } })
    for (const action of ['read', 'write'] as const) {
      expect(decide('same', action, rules, 'allow')).toEqual(ask('bob', requested.id))
      expect(decide('cross', action, rules, 'allow')).toEqual(ask('other.example.com', 'bob', requested.id))
      expect(decide('namesake', action, rules, 'allow')).toEqual(ask('other.example.com', 'alice', requested.id))
    }
  })

  test('one that takes fewer gets the first', () => {
    const rules = rulesWith({ sameDomain: fn(1), crossDomain: fn(1) })
    expect(decide('same', 'read', rules)).toEqual(ask('bob'))
    expect(decide('cross', 'read', rules)).toEqual(ask('other.example.com'))
  })
})
