/**
 * Ids that follow from what they are made for, so that whoever makes them again makes the same: UUIDs of version 4 from a
 * keyed hash. Keyed, because an id that others can foresee is one that they can write first.
 */
import { createHmac, createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { StateId } from '#shared/ids.ts'
import { versionedUuid } from '#shared/sessions/uuid.ts'

export type Purpose =
  /** The state of an upload whose id the client left to us. */
  | 'upload'
  /** What an upload's address leads to. */
  | 'object'
  /** The states that the short routes patch, one a user. */
  | 'uploads of'
  | 'downloads of'
  | 'queries of'
  | 'claims of'
  | 'configs of'
  /** What a claim or a configuration reports in, unless the client named a state. */
  | 'report'
  /** What a domain shows, so that who claims it is known to speak for it. */
  | 'claim token'
  /** What a handler makes without saying which. */
  | 'agent'
  /** What a browser is known by: who its last user was. */
  | 'browser'
  /** What is kept of a published agent's session for whichever process its client comes to next. */
  | 'kept session'
  /** This deployment, for its published agents. */
  | 'deployment'
  /** The upload of a configuration that came as a body. */
  | 'config'

export class EffectIds {
  readonly #key: KeyObject

  /** `secret`: must never change, as that of names. */
  constructor(secret: Uint8Array) {
    this.#key = createSecretKey(new Uint8Array(hkdfSync('sha256', secret, '', 'state-platform effect ids', 32)))
  }

  of(purpose: Purpose, ...parts: readonly string[]): StateId {
    const digest = createHmac('sha256', this.#key).update(JSON.stringify([purpose, ...parts])).digest()
    return versionedUuid(digest, 4) as StateId
  }
}
