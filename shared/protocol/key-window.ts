/**
 * The key window of a state: which idempotency keys its last interactions had.
 *
 * Owns: packed 48-byte entries in order of `ii` (key digest 16, body digest 16, `ii` and `updated` as doubles),
 * the very bytes that an ID file stores; beside a window that has grown past a linear scan, a hash index of entry
 * numbers. All of it is flat memory: a key costs the collector nothing, and there is one for every interaction.
 *
 * I1. Entries are in ascending `ii`. I2. At least the last `limits.keyWindowInteractions`, and those of the last
 * `limits.keyWindowMs`, are there (the api's own keys, which have no body digest, for `limits.mintedKeyWindowMs`).
 */
import type { InteractionIndex } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'

const ENTRY_BYTES = 48
const FIRST_ENTRIES = 4
const SCANNED_ENTRIES = 32
const NO_DIGEST = '\0'.repeat(16)
/** The key that is looked for, as bytes. */
const wanted = Buffer.alloc(16)

export type KnownKey = { readonly ii: InteractionIndex; readonly updated: number; readonly bodyDigest: string }

export class KeyWindow {
  #bytes: Buffer
  /** First entry that counts, and the one behind the last; both as entry numbers. */
  #first = 0
  #end: number
  /** Open addressing, linear probing: 0 is free, else an entry number + 1. Entries below `#first` are passed over. */
  #index: Int32Array | undefined

  constructor(packed?: Buffer) {
    this.#bytes = packed ?? Buffer.alloc(0)
    this.#end = this.#bytes.byteLength / ENTRY_BYTES
  }

  get size(): number {
    return this.#end - this.#first
  }

  find(key: string): KnownKey | undefined {
    if (this.#end === this.#first) return undefined
    wanted.write(key, 0, 16, 'latin1')
    const entry = this.size > SCANNED_ENTRIES ? this.#lookUp() : this.#scan()
    if (entry < 0) return undefined
    const at = entry * ENTRY_BYTES
    const bodyDigest = this.#bytes.toString('latin1', at + 16, at + 32)
    return {
      ii: this.#bytes.readDoubleLE(at + 32) as InteractionIndex,
      updated: this.#bytes.readDoubleLE(at + 40),
      bodyDigest: bodyDigest === NO_DIGEST ? '' : bodyDigest,
    }
  }

  /** Newest first: a repeat is usually a recent one. */
  #scan(): number {
    // Keys of one api process begin alike: their ends tell most of them apart.
    const end = wanted.readInt32LE(12)
    for (let entry = this.#end - 1; entry >= this.#first; entry--) {
      if (this.#bytes.readInt32LE(entry * ENTRY_BYTES + 12) === end && this.#isWanted(entry)) return entry
    }
    return -1
  }

  #lookUp(): number {
    const index = (this.#index ??= this.#makeIndex(this.#bytes.byteLength / ENTRY_BYTES))
    const mask = index.length - 1
    for (let at = hashAt(wanted, 0) & mask; index[at] !== 0; at = (at + 1) & mask) {
      const entry = index[at]! - 1
      if (entry >= this.#first && this.#isWanted(entry)) return entry
    }
    return -1
  }

  #isWanted(entry: number): boolean {
    return this.#bytes.compare(wanted, 0, 16, entry * ENTRY_BYTES, entry * ENTRY_BYTES + 16) === 0
  }

  /** At most half full with `entries`, which is what `#bytes` has room for. */
  #makeIndex(entries: number): Int32Array {
    const index = new Int32Array(2 ** Math.ceil(Math.log2(entries * 2)))
    for (let entry = this.#first; entry < this.#end; entry++) insert(index, hashAt(this.#bytes, entry * ENTRY_BYTES), entry)
    return index
  }

  /** Remembers the key of the interaction after the last one, and forgets what need not be known any longer. */
  add(key: string, bodyDigest: string, ii: InteractionIndex, updated: number): void {
    this.#forget(updated, limits.keyWindowInteractions - 1)
    if ((this.#end + 1) * ENTRY_BYTES > this.#bytes.byteLength) this.#makeRoom()
    const at = this.#end * ENTRY_BYTES
    this.#bytes.write(key, at, 16, 'latin1')
    this.#bytes.write(bodyDigest === '' ? NO_DIGEST : bodyDigest, at + 16, 16, 'latin1')
    this.#bytes.writeDoubleLE(ii, at + 32)
    this.#bytes.writeDoubleLE(updated, at + 40)
    if (this.#index) insert(this.#index, hashAt(this.#bytes, at), this.#end)
    this.#end += 1
  }

  #forget(nowMs: number, keep: number): void {
    while (this.size > keep) {
      const at = this.#first * ENTRY_BYTES
      const minted = this.#bytes.readDoubleLE(at + 16) === 0 && this.#bytes.readDoubleLE(at + 24) === 0
      const age = nowMs - this.#bytes.readDoubleLE(at + 40)
      if (age <= (minted ? limits.mintedKeyWindowMs : limits.keyWindowMs)) return
      this.#first += 1
    }
  }

  /** Moves to larger memory, or to as much again where much was forgotten; entry numbers begin anew. */
  #makeRoom(): void {
    const { size } = this
    // Small windows stay small: most states have a handful of keys, and there are many states.
    const room = size < 256 ? Math.max(FIRST_ENTRIES, size * 2) : Math.ceil(size * 1.5)
    const bytes = Buffer.from(new ArrayBuffer(room * ENTRY_BYTES))
    this.#bytes.copy(bytes, 0, this.#first * ENTRY_BYTES, this.#end * ENTRY_BYTES)
    this.#bytes = bytes
    this.#first = 0
    this.#end = size
    this.#index = size > SCANNED_ENTRIES ? this.#makeIndex(room) : undefined
  }

  /** A copy of the entries, as an ID file stores them, without those that need not be known any longer at `nowMs`. */
  packed(nowMs = 0): Buffer {
    this.#forget(nowMs, limits.keyWindowInteractions)
    return Buffer.from(this.#bytes.subarray(this.#first * ENTRY_BYTES, this.#end * ENTRY_BYTES))
  }
}

/** Digests and the api's own keys: the latter differ in a few bytes only, so all four words are mixed (Murmur3's finaliser). */
function hashAt(bytes: Buffer, at: number): number {
  let h = bytes.readInt32LE(at) ^ Math.imul(bytes.readInt32LE(at + 4), 0x9e3779b1) ^ Math.imul(bytes.readInt32LE(at + 8), 0x85ebca6b) ^ Math.imul(bytes.readInt32LE(at + 12), 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function insert(index: Int32Array, hash: number, entry: number): void {
  const mask = index.length - 1
  let at = hash & mask
  while (index[at] !== 0) at = (at + 1) & mask
  index[at] = entry + 1
}
