/**
 * What is kept of published agents' sessions: the session's record, which holds the digest of its browser's secret; a
 * reserved state per browser and domain, which says who its last user was; and a reserved state per session, by which any
 * process can go on with it. The secret itself is stored nowhere.
 *
 *     active_type  application/json;type=session        active  {"session_credential", "user_id", "provider", "sid_encrypted_info", "opened": ms}
 *     active_type  application/json;type=browser        active  {"user_id", "provider", "sid_encrypted_info"}
 *     active_type  application/json;type=user           active  {"provider_id", "provider"}, of the admin domain, for its tables
 *     active_type  application/json;type=kept-session   active  {"by", "ack", "subscriptions": {"ID LABEL": {"owner", "domain", "ii", "si"}}, "end"?}
 */
import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from 'node:crypto'
import type { Op } from '#shared/patch/op.ts'
import type { StateId } from '#shared/ids.ts'
import type { AgentUser, KeepChange, Kept, KeptSubscription, UserInfo } from '#shared/ports/agent-ground.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'
import { SESSION_TYPE } from './session-record.ts'

const BROWSER_TYPE = 'application/json;type=browser'
const USER_TYPE = 'application/json;type=user'
/** Whose the records of users are: no user has this id. */
export const USERS = 'users'
const KEPT_TYPE = 'application/json;type=kept-session'

const NO_INFO: UserInfo = { name: null, picture: null }
const IV_BYTES = 12
const TAG_BYTES = 16

export function credentialOf(sid: string): string {
  return hash('sha256', sid, 'hex')
}

/** Whoever reads the record, or a table made of it, does not learn who the user is: only who has the browser's secret does. */
function sealed(info: UserInfo, sid: string): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', infoKey(sid), iv, { authTagLength: TAG_BYTES })
  const data = Buffer.concat([cipher.update(JSON.stringify(info), 'utf8'), cipher.final()])
  return Buffer.concat([iv, data, cipher.getAuthTag()]).toString('base64')
}

function unsealed(text: unknown, sid: string): UserInfo {
  if (typeof text !== 'string') return NO_INFO
  const bytes = Buffer.from(text, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', infoKey(sid), bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')) as UserInfo
}

function infoKey(sid: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', sid, '', 'state-platform agent info', 32))
}

export function agentOpeningOps(of: AgentUser & { readonly sid: string; readonly openedMs: number }): Op[] {
  return [
    { op: 'add', path: ['active_type'], value: SESSION_TYPE },
    { op: 'add', path: ['active'], value: { session_credential: credentialOf(of.sid), user_id: of.user, provider: of.provider, sid_encrypted_info: sealed(of.info, of.sid), opened: of.openedMs } },
  ]
}

type AgentActive = { readonly session_credential?: string; readonly user_id?: string; readonly provider?: string; readonly sid_encrypted_info?: string; readonly closed?: number }

/** Whose session the browser of `sid` has there; undefined: it is not that browser's, not of `domain`, or has ended. */
export function resumableUser(view: StateView, { sid, domain }: { readonly sid: string; readonly domain: string }): AgentUser | undefined {
  if (!view.reserved || view.activeType !== SESSION_TYPE || view.domain !== domain) return undefined
  const { session_credential: credential, provider, sid_encrypted_info: info, closed } = JSON.parse(view.active) as AgentActive
  if (credential !== credentialOf(sid) || closed !== undefined || provider === undefined) return undefined
  return { user: view.owner, provider, info: unsealed(info, sid) }
}

export function browserOps({ user, provider, info }: AgentUser, sid: string): Op[] {
  return [
    { op: 'add', path: ['active_type'], value: BROWSER_TYPE },
    { op: 'add', path: ['active'], value: { user_id: user, provider, sid_encrypted_info: sealed(info, sid) } },
  ]
}

/** Of the browser whose secret `sid` is. */
export function browserUser(view: StateView | undefined, sid: string): AgentUser | undefined {
  if (view === undefined || !view.reserved || view.activeType !== BROWSER_TYPE) return undefined
  const { user_id: user, provider, sid_encrypted_info: info } = JSON.parse(view.active) as AgentActive
  return { user: user!, provider: provider!, info: unsealed(info, sid) }
}

/** The record of a user, a state of the admin domain: the user's id is the state's. `subject`: what the provider calls the user. */
export function userOps({ provider, subject }: { readonly provider: string; readonly subject: string }): Op[] {
  return [
    { op: 'add', path: ['active_type'], value: USER_TYPE },
    { op: 'add', path: ['active'], value: { provider_id: subject, provider } },
  ]
}

const NOTHING_KEPT: Kept = { version: 0, by: undefined, ack: -1, subscriptions: [], end: undefined }

type KeptActive = {
  readonly by: string
  readonly ack: number
  readonly subscriptions: { readonly [key: string]: { readonly owner: string; readonly domain: string; readonly ii: number; readonly si: number } }
  readonly end?: 'over' | 'lost'
}

/** Of one state under one scope there is one. */
export function subscriptionKey({ id, label }: Pick<KeptSubscription, 'id' | 'label'>): string {
  return `${id} ${label}`
}

export function keptOf(view: StateView | undefined): Kept {
  if (view === undefined || !view.reserved || view.activeType !== KEPT_TYPE) return NOTHING_KEPT
  const { by, ack, subscriptions, end } = JSON.parse(view.active) as KeptActive
  const kept = Object.entries(subscriptions).map(([key, of]): KeptSubscription => {
    const mark = key.indexOf(' ')
    return { id: key.slice(0, mark) as StateId, label: key.slice(mark + 1), ...of }
  })
  return { version: view.ii, by, ack, subscriptions: kept, end }
}

/** `version` 0: the first change, which makes it. */
export function keepOps(version: number, { by, ack, subscriptions = [], dropped = [], end }: KeepChange): Op[] {
  const ops: Op[] =
    version === 0
      ? [
          { op: 'add', path: ['active_type'], value: KEPT_TYPE },
          { op: 'add', path: ['active'], value: { by, ack: ack ?? -1, subscriptions: {} } },
        ]
      : [{ op: 'add', path: ['active', 'by'], value: by }]
  if (version !== 0 && ack !== undefined) ops.push({ op: 'add', path: ['active', 'ack'], value: ack })
  for (const each of subscriptions) {
    const { owner, domain, ii, si } = each
    ops.push({ op: 'add', path: ['active', 'subscriptions', subscriptionKey(each)], value: { owner, domain, ii, si } })
  }
  for (const each of dropped) {
    const path = ['active', 'subscriptions', subscriptionKey(each)]
    // Whether it is there or not.
    ops.push({ op: 'add', path, value: null }, { op: 'remove', path })
  }
  if (end !== undefined) ops.push({ op: 'add', path: ['active', 'end'], value: end })
  return ops
}
