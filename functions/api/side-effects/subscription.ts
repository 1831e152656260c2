/** `subscription`: answers with the state that a scope leads to. The stream of what comes after it is opened by itself. */
import type { Reading } from '../reading.ts'
import { checkSubscriptionActive, faultOf } from '../schemas.ts'
import { parseScope } from '../scope.ts'
import { stateJson, unwrittenJson } from '../state-json.ts'
import { done, refused } from './side-effect.ts'
import type { EffectAnswer, Occasion, SideEffect } from './side-effect.ts'

export class Subscription implements SideEffect {
  readonly #reading: Reading

  constructor(parts: { readonly reading: Reading }) {
    this.#reading = parts.reading
  }

  async run({ caller, active }: Occasion): Promise<EffectAnswer> {
    if (!checkSubscriptionActive.Check(active)) return refused('bad-request', faultOf(checkSubscriptionActive, active, 'active'))
    const { scope, fault } = parseScope(active.scope, active, caller)
    if (fault !== undefined) return refused('bad-request', `active: ${fault}`)
    const answer = await this.#reading.read(scope, caller)
    switch (answer.kind) {
      case 'view':
        return done({ state: answer.view === undefined ? unwrittenJson(answer.id) : stateJson(answer.view) })
      case 'forbidden':
        return refused('forbidden', 'this state is not for you')
      case 'behind':
        return refused('unavailable', 'behind')
      case 'unavailable':
        return refused('unavailable', answer.reason)
    }
  }
}
