/** What is kept of sessions of published agents, as it is stored. */
import { expect, test } from '@jest/globals'
import type { StateId } from '#shared/ids.ts'
import type { KeepChange, KeptSubscription } from '#shared/ports/agent-ground.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { apply } from '#shared/patch/apply.ts'
import { activeText, emptyDocument } from '#shared/patch/document.ts'
import type { Document } from '#shared/patch/document.ts'
import { agentOpeningOps, browserOps, browserUser, credentialOf, keepOps, keptOf, resumableUser } from '#shared/sessions/agent-records.ts'

const ID = '11111111-1111-4111-8111-111111111111' as StateId
const WHO = { user: 'u', provider: 'google', info: { name: 'Ann Example', picture: null } }
const follows = (label: string, ii: number): KeptSubscription => ({ id: ID, label, owner: 'o', domain: 'd', ii, si: 4 })

function viewOf(document: Document, ii = 1): StateView {
  return { id: ID, ii, domain: 'd', owner: 'u', name: null, activeType: document.activeType, active: activeText(document), created: 0, updated: 0, reserved: true } as unknown as StateView
}

test('changes are kept one on the other, by the first made, the last stays', () => {
  const document = emptyDocument()
  const changes: KeepChange[] = [
    { by: 'p', subscriptions: [follows('a name', 0), follows(ID, 0)] },
    { by: 'p', ack: 5, subscriptions: [follows('a name', 7)] },
    { by: 'q', dropped: [follows(ID, 0), follows('never kept', 0)] },
  ]
  expect(keptOf(undefined)).toEqual({ version: 0, by: undefined, ack: -1, subscriptions: [], end: undefined })
  for (const [version, change] of changes.entries()) expect(apply(document, keepOps(version, change)).kind).toBe('applied')
  expect(keptOf(viewOf(document, 3))).toEqual({ version: 3, by: 'q', ack: 5, subscriptions: [follows('a name', 7)], end: undefined })
  apply(document, keepOps(3, { by: 'q', end: 'over' }))
  expect(JSON.parse(activeText(document))).toEqual({ by: 'q', ack: 5, subscriptions: { [`${ID} a name`]: { owner: 'o', domain: 'd', ii: 7, si: 4 } }, end: 'over' })
})

test("a session is its browser's only, and so is what is known of its user", () => {
  const document = emptyDocument()
  apply(document, agentOpeningOps({ ...WHO, sid: 'secret', openedMs: 1 }))
  expect(JSON.parse(activeText(document))).toEqual({ session_credential: credentialOf('secret'), user_id: 'u', provider: 'google', sid_encrypted_info: expect.any(String), opened: 1 })
  expect(activeText(document)).not.toMatch(/Ann|secret/)
  expect(resumableUser(viewOf(document), { sid: 'secret', domain: 'd' })).toEqual(WHO)
  expect(resumableUser(viewOf(document), { sid: 'another', domain: 'd' })).toBeUndefined()
  expect(resumableUser(viewOf(document), { sid: 'secret', domain: 'another' })).toBeUndefined()
  apply(document, [{ op: 'add', path: ['active', 'closed'], value: 2 }])
  expect(resumableUser(viewOf(document), { sid: 'secret', domain: 'd' })).toBeUndefined()
  const browser = emptyDocument()
  apply(browser, browserOps(WHO, 'secret'))
  expect(browserUser(viewOf(browser), 'secret')).toEqual(WHO)
  expect(activeText(browser)).not.toMatch(/Ann|secret/)
})
