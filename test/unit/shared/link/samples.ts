/** One message of every kind that goes over a link, and of every answer and peer message. */
import type { Cycle, Incarnation, InteractionIndex, Seq, Slot, StateId } from '#shared/ids.ts'
import type { LinkMessage } from '#shared/link/messages.ts'
import type { PatchRequest, StateView } from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'

export const ID = '6ba7b810-9dad-11d1-80b4-00c04fd430c8' as StateId
export const A = 'a' as Incarnation
export const ii = (n: number): InteractionIndex => n as InteractionIndex

/** Everything that JSON text can hold and a line could stumble over. */
export const AWKWARD = ['plain', 'tab\tand\nline feed\r', 'ünïcödé 🙂 漢字', '\u2028\u2029\u0000\u001f"\\/', '\ud800 alone', ''] as const

export function patchRequest(value: string): PatchRequest {
  const ops = [{ op: 'add' as const, path: ['active', value], value: { [value]: [value, null, 1.5] } }]
  return {
    id: ID,
    ops,
    text: JSON.stringify(ops),
    user: value,
    domain: 'app.localhost',
    authority: 'owner',
    creation: { name: value, reserved: false },
    key: '\u0000\u007f\u0080\u00ffkeykeykeykey',
    bodyDigest: '',
    expected: ii(7),
    returnState: true,
    lenient: false,
  }
}

export function view(value: string): StateView {
  return { id: ID, ii: ii(7), domain: 'app.localhost', owner: value, name: value, activeType: 'application/json', active: JSON.stringify({ [value]: value }), created: 1, updated: 2, reserved: false }
}

const slot = 5 as Slot
const cycle = 3 as Cycle

export function answers(value: string): Answer[] {
  return [
    { kind: 'stored', ii: ii(7), updated: 1.25, replayed: false, activeType: 'application/json', state: undefined },
    { kind: 'stored', ii: ii(7), updated: 1, replayed: true, activeType: 'application/json', state: view(value) },
    { kind: 'replay', next: ii(8) },
    { kind: 'out-of-sync', ii: ii(8) },
    { kind: 'unprocessable', op: 0, reason: value },
    { kind: 'too-large', limitBytes: 1 },
    { kind: 'forbidden' },
    { kind: 'key-reused' },
    { kind: 'unwritten' },
    { kind: 'unavailable', stored: undefined, reason: value },
    { kind: 'unavailable', stored: false, reason: value },
    { kind: 'state', state: view(value) },
    { kind: 'behind' },
    { kind: 'created', made: true, state: view(value) },
    { kind: 'page', interactions: [{ ii: ii(1), user: value, ts: 1, patch: patchRequest(value).text }], more: true },
    { kind: 'beyond', ii: ii(7) },
    { kind: 'not-leader', leader: undefined, ignoreMe: true },
    { kind: 'not-leader', leader: 'state-process-1', ignoreMe: false },
  ]
}

export function peerMessages(value: string): PeerMessage[] {
  return [
    { kind: 'heartbeat' },
    { kind: 'leading', slots: [[slot, cycle]] },
    { kind: 'leads', slot, cycle },
    { kind: 'leads-not', slot },
    { kind: 'vote-call', slot, number: 4 },
    { kind: 'vote', slot, number: 4, agree: false, leader: { incarnation: A, cycle } },
    { kind: 'vote', slot, number: 4, agree: true, leader: null },
    { kind: 'hand-over-ask', slot, cycle, leader: A },
    { kind: 'hand-over', slot, cycle, by: A, last: 9 as Seq, waitMs: 0.5 },
    { kind: 'hand-over', slot, cycle, by: A, last: null, waitMs: 0 },
    { kind: 'track', id: ID },
    { kind: 'untrack', id: ID },
    { kind: 'tracked-state', id: ID, state: view(value) },
    { kind: 'tracked-state', id: ID, state: null },
    { kind: 'tracked-patch', id: ID, interaction: { ii: ii(8), user: value, ts: 1, patch: patchRequest(value).text } },
    { kind: 'track-end', id: ID },
    { kind: 'take-over', slot },
  ]
}

export function messages(value: string): LinkMessage[] {
  return [
    { kind: 'hello', version: 1, role: 'api', name: value, incarnation: A },
    { kind: 'submit', token: 1, submission: { kind: 'patch', request: patchRequest(value) } },
    { kind: 'submit', token: 2, submission: { kind: 'patch', request: { ...patchRequest(value), creation: undefined, expected: undefined } } },
    { kind: 'submit', token: 9, submission: { kind: 'patch', request: { ...patchRequest(value), imageFor: 'all' } } },
    { kind: 'submit', token: 9, submission: { kind: 'patch', request: { ...patchRequest(value), imageFor: [value, 'text/plain'] } } },
    { kind: 'submit', token: 3, submission: { kind: 'read', request: { id: ID, mode: 'tracked', minIi: undefined } } },
    { kind: 'submit', token: 4, submission: { kind: 'create', request: { id: ID, user: value, domain: value, creation: { name: null, reserved: true } } } },
    { kind: 'submit', token: 5, submission: { kind: 'history', request: { id: ID, from: ii(1), to: undefined } } },
    { kind: 'submit', token: 6, submission: { kind: 'state-at', request: { id: ID, ii: ii(0) } } },
    { kind: 'forget', token: 1 },
    ...answers(value).map((answer, token) => ({ kind: 'answer', token, answer }) as const),
    { kind: 'follow', token: 7, id: ID, from: undefined },
    { kind: 'follow', token: 7, id: ID, from: ii(3) },
    { kind: 'unfollow', token: 7 },
    { kind: 'follow-state', token: 7, state: undefined },
    { kind: 'follow-state', token: 7, state: view(value) },
    { kind: 'follow-patch', token: 7, interaction: { ii: ii(8), user: value, ts: 1, patch: patchRequest(value).text } },
    { kind: 'follow-end', token: 7 },
    ...peerMessages(value).map((message) => ({ kind: 'peer', message }) as const),
    { kind: 'status-ask', token: 8 },
    { kind: 'status', token: 8, leads: [3 as Slot, 5 as Slot], log: { seq: 4, waiting: 5 } },
  ]
}
