/**
 * What goes over a link, and how: a frame is any number of lines, a line one message: a JSON header, then texts that
 * are JSON already and travel as they are (a patch, an `active`), each behind a tab. JSON holds no raw tab or line
 * feed. So a patch is serialised once, by the api, and goes into the log and to followers as that text.
 *
 * A header is the message as an object, but for the two that a patch costs: these are arrays, which take half the time
 * and half the bytes (`[1,token,...]` a patch, `[2,token,...]` "stored" without a state).
 */
import type { Incarnation, InteractionIndex, Slot, StateId } from '#shared/ids.ts'
import type { Op } from '#shared/patch/op.ts'
import type { Authority, Creation, InteractionView, PatchRequest, StateView } from '#shared/ports/state-cluster.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { Submission } from '#shared/link/channel.ts'
import type { Codec } from '#shared/link/link.ts'

/** Raised with every change that an older process could not read. */
export const LINK_VERSION = 3

export type Hello = {
  readonly kind: 'hello'
  readonly version: number
  readonly role: 'api' | 'peer' | 'domain-worker'
  readonly name: string
  /** An address names a service: this names the life that answers there. */
  readonly incarnation: Incarnation
}

export type LinkMessage =
  | Hello
  | { readonly kind: 'submit'; readonly token: number; readonly submission: Submission }
  | { readonly kind: 'forget'; readonly token: number }
  | { readonly kind: 'answer'; readonly token: number; readonly answer: Answer }
  | { readonly kind: 'follow'; readonly token: number; readonly id: StateId; readonly from: InteractionIndex | undefined }
  | { readonly kind: 'unfollow'; readonly token: number }
  | { readonly kind: 'follow-state'; readonly token: number; readonly state: StateView | undefined }
  | { readonly kind: 'follow-patch'; readonly token: number; readonly interaction: InteractionView }
  | { readonly kind: 'follow-end'; readonly token: number }
  | { readonly kind: 'peer'; readonly message: PeerMessage }
  | { readonly kind: 'status-ask'; readonly token: number }
  | { readonly kind: 'status'; readonly token: number; readonly leads: readonly Slot[]; readonly log: { readonly seq: number; readonly waiting: number } }

/** One line. */
export function encodeMessage(message: LinkMessage): string {
  switch (message.kind) {
    case 'submit':
      if (message.submission.kind === 'patch') {
        const { request } = message.submission
        return `${JSON.stringify(patchHeader(message.token, request))}\t${request.text}\n`
      }
      break
    case 'answer': {
      const { answer } = message
      if ('state' in answer && answer.state !== undefined) {
        const { active, ...state } = answer.state
        return `${JSON.stringify({ ...message, answer: { ...answer, state } })}\t${active}\n`
      }
      if (answer.kind === 'stored') return `${JSON.stringify(storedHeader(message.token, answer))}\n`
      break
    }
    case 'follow-state':
      if (message.state !== undefined) {
        const { active, ...state } = message.state
        return `${JSON.stringify({ ...message, state })}\t${active}\n`
      }
      break
    case 'follow-patch': {
      const { patch, ...interaction } = message.interaction
      return `${JSON.stringify({ kind: 'follow-patch', token: message.token, interaction })}\t${patch}\n`
    }
    default:
      break
  }
  return `${JSON.stringify(message)}\n`
}

const PATCH = 1
const STORED = 2

type PatchHeader = readonly [
  kind: typeof PATCH,
  token: number,
  id: StateId,
  user: string,
  domain: string,
  authority: Authority,
  creation: Creation | null,
  key: string,
  bodyDigest: string,
  expected: InteractionIndex | null,
  returnState: boolean,
  lenient: boolean,
  imageFor: 'all' | readonly string[] | null,
]
type Stored = Extract<Answer, { kind: 'stored' }>
type StoredHeader = readonly [kind: typeof STORED, token: number, ii: InteractionIndex, updated: number, replayed: boolean, activeType: string]

type Carried = 'id' | 'ops' | 'text' | 'user' | 'domain' | 'authority' | 'creation' | 'key' | 'bodyDigest' | 'expected' | 'returnState' | 'lenient' | 'imageFor'
/** `never` once a request has a member that its header does not carry. */
type CarriedRequest = [Exclude<keyof PatchRequest, Carried>] extends [never] ? PatchRequest : never

function patchHeader(token: number, request: CarriedRequest): PatchHeader {
  const { id, user, domain, authority, creation, key, bodyDigest, expected, returnState, lenient, imageFor } = request
  return [PATCH, token, id, user, domain, authority, creation ?? null, key, bodyDigest, expected ?? null, returnState, lenient, imageFor ?? null]
}

function storedHeader(token: number, { ii, updated, replayed, activeType }: Stored): StoredHeader {
  return [STORED, token, ii, updated, replayed, activeType]
}

function patchOf(header: PatchHeader, text: string): LinkMessage {
  const [, token, id, user, domain, authority, creation, key, bodyDigest, expected, returnState, lenient, imageFor] = header
  const request: PatchRequest = {
    id,
    ops: JSON.parse(text) as Op[],
    text,
    user,
    domain,
    authority,
    creation: creation ?? undefined,
    key,
    bodyDigest,
    expected: expected ?? undefined,
    returnState,
    lenient,
  }
  if (imageFor !== null) return { kind: 'submit', token, submission: { kind: 'patch', request: { ...request, imageFor } } }
  return { kind: 'submit', token, submission: { kind: 'patch', request } }
}

function storedOf([, token, ii, updated, replayed, activeType]: StoredHeader): LinkMessage {
  return { kind: 'answer', token, answer: { kind: 'stored', ii, updated, replayed, activeType, state: undefined } }
}

/** The messages of a frame. Throws on what no version of ours sends: the link is closed. */
export function decodeFrame(frame: string): LinkMessage[] {
  const messages: LinkMessage[] = []
  for (let start = 0; start < frame.length; ) {
    let end = frame.indexOf('\n', start)
    if (end < 0) end = frame.length
    const tab = frame.indexOf('\t', start)
    if (tab < 0 || tab > end) messages.push(withoutText(JSON.parse(frame.slice(start, end)) as LinkMessage | StoredHeader))
    else messages.push(withText(JSON.parse(frame.slice(start, tab)) as TextHeader | PatchHeader, frame.slice(tab + 1, end)))
    start = end + 1
  }
  return messages
}

function withoutText(header: LinkMessage | StoredHeader): LinkMessage {
  if (!('length' in header)) return header
  if (header[0] !== STORED) throw new Error('a message that none of ours is')
  return storedOf(header)
}

type TextHeader =
  | { readonly kind: 'answer'; readonly token: number; readonly answer: { readonly kind: 'state'; readonly state: Omit<StateView, 'active'> } }
  | { readonly kind: 'follow-state'; readonly token: number; readonly state: Omit<StateView, 'active'> }
  | { readonly kind: 'follow-patch'; readonly token: number; readonly interaction: Omit<InteractionView, 'patch'> }

function withText(header: TextHeader | PatchHeader, text: string): LinkMessage {
  if ('length' in header) {
    if (header[0] !== PATCH) throw new Error('a message with a text that none of ours has')
    return patchOf(header, text)
  }
  switch (header.kind) {
    case 'answer':
      return { kind: 'answer', token: header.token, answer: { ...header.answer, state: { ...header.answer.state, active: text } } }
    case 'follow-state':
      return { ...header, state: { ...header.state, active: text } }
    case 'follow-patch':
      return { ...header, interaction: { ...header.interaction, patch: text } }
    default:
      throw new Error('a message with a text that none of ours has')
  }
}

/** What state processes and those who ask them say. */
export const stateCodec: Codec<LinkMessage> = { encode: encodeMessage, decode: decodeFrame }
