/**
 * The ids of names. A name's id needs no look-up: it is a keyed hash of (domain, user, name), and it proves
 * by a MAC whose it is, so that nobody else can be first to patch it.
 *
 * Layout, in the 32 hex digits of a UUID of version 3 and variant 10:
 *
 *     hhhhhhhh-hhhh-3hhh-8mmm-mmmmmmmmmmmm
 *
 * `h`: the first 60 bits of HMAC-SHA256(key, "name", domain, user, name, generation);
 * `m`: the first 60 bits of HMAC-SHA256(key, "mac", the 15 digits h, domain, user). The two bits of the
 * variant's digit that UUIDs leave free are 0. Every part of a hashed text is led by its length in bytes
 * (`5:alice`), so that no two lists of parts give one text. Frozen, with golden ids in a test: ids of names
 * are stored everywhere. For the same reason the key never rotates.
 *
 * The table of a user's renames (name-table.ts) has an id of the same form whose hash and MAC are made for
 * another purpose: `verifies` never accepts it, so that no patch of a user's can make it.
 */
import { createHmac, createSecretKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { assert } from '#shared/assert.ts'
import type { StateId } from '#shared/ids.ts'

export type NameOwner = { readonly domain: string; readonly user: string }
export type Name = NameOwner & {
  readonly name: string
  /** 0, or how many times the name was given away by renames before. */
  readonly generation: number
}

const CACHED_IDS = 50_000

function part(text: string): string {
  return `${Buffer.byteLength(text)}:${text}`
}

export class NameIds {
  readonly #key: KeyObject
  readonly #ids = new LRUCache<string, StateId>({ max: CACHED_IDS })
  readonly #verified = new LRUCache<string, boolean>({ max: CACHED_IDS })

  constructor(key: Uint8Array) {
    assert(key.length >= 32, 'the key of names has at least 32 bytes')
    this.#key = createSecretKey(key)
  }

  idOf(of: Name): StateId {
    return this.#cachedId('name', 'mac', of, part(of.name) + part(String(of.generation)))
  }

  /** The id of the reserved state that decides this user's renames. */
  tableId(of: NameOwner): StateId {
    return this.#cachedId('names', 'names mac', of, '')
  }

  /** Whether `id`, a UUID of version 3 in lower case, was made for a name of this user. */
  verifies(id: StateId, of: NameOwner): boolean {
    const owner = part(of.domain) + part(of.user)
    const cacheKey = id + owner
    let verified = this.#verified.get(cacheKey)
    if (verified === undefined) {
      const h = id.slice(0, 8) + id.slice(9, 13) + id.slice(15, 18)
      verified = id === this.#uuid(h, 'mac', owner)
      this.#verified.set(cacheKey, verified)
    }
    return verified
  }

  #cachedId(purpose: string, macPurpose: string, of: NameOwner, rest: string): StateId {
    const owner = part(of.domain) + part(of.user)
    const cacheKey = part(purpose) + owner + rest
    let id = this.#ids.get(cacheKey)
    if (id === undefined) {
      id = this.#uuid(this.#digits(cacheKey), macPurpose, owner)
      this.#ids.set(cacheKey, id)
    }
    return id
  }

  #uuid(h: string, macPurpose: string, owner: string): StateId {
    const m = this.#digits(part(macPurpose) + part(h) + owner)
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-3${h.slice(12)}-8${m.slice(0, 3)}-${m.slice(3)}` as StateId
  }

  /** The first 60 bits of the HMAC of `text`, as 15 hex digits. */
  #digits(text: string): string {
    return createHmac('sha256', this.#key).update(text, 'utf8').digest('hex').slice(0, 15)
  }
}

/** Ids of version 3 are made by us only: whoever patches one first must be whom it verifies for. */
export function isNameId(id: StateId): boolean {
  return id.charCodeAt(14) === 0x33
}
