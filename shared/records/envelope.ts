/**
 * What every stored record is wrapped in: a line of ASCII `<type>/<version> <crc32c> <length>\n`, then
 * `length` bytes of payload. The checksum (CRC32C, 8 hex digits) covers the payload.
 */
import { crc32c } from '@node-rs/crc32'

export type RecordType = 'bundle' | 'seal' | 'end' | 'segment' | 'epoch' | 'checkpoint' | 'id' | 'domain'

/** A record that does not parse, or whose checksum fails. Never skipped: who reads it says which object is bad. */
export class CorruptRecord extends Error {
  override name = 'CorruptRecord'
}

const VERSION = 1
/** Newest version of each type that has more than one. */
const VERSIONS: Readonly<Record<string, number>> = { checkpoint: 2 }

export function wrap(type: RecordType, payload: Uint8Array, version = VERSION): Buffer {
  const crc = crc32c(payload as Buffer).toString(16).padStart(8, '0')
  const head = `${type}/${version} ${crc} ${payload.byteLength}\n`
  const bytes = Buffer.allocUnsafe(head.length + payload.byteLength)
  bytes.write(head, 0, 'latin1')
  bytes.set(payload, head.length)
  return bytes
}

export type Unwrapped = { readonly type: string; readonly version: number; readonly payload: Buffer; /** Offset behind this record. */ readonly next: number }

/** The record that begins at `offset`. Throws `CorruptRecord`. */
export function unwrap(bytes: Uint8Array, offset = 0): Unwrapped {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const lineEnd = buffer.subarray(offset, offset + 64).indexOf(10)
  if (lineEnd < 0) throw new CorruptRecord('no record header')
  const head = /^([a-z]+)\/(\d+) ([0-9a-f]{8}) (\d+)$/.exec(buffer.toString('latin1', offset, offset + lineEnd))
  if (!head) throw new CorruptRecord('malformed record header')
  const version = Number(head[2])
  if (version < VERSION || version > (VERSIONS[head[1]!] ?? VERSION)) throw new CorruptRecord(`record version ${head[2]} is not known`)
  const start = offset + lineEnd + 1
  const next = start + Number(head[4])
  if (next > buffer.byteLength) throw new CorruptRecord('truncated record')
  const payload = buffer.subarray(start, next)
  if (crc32c(payload) !== parseInt(head[3]!, 16)) throw new CorruptRecord('checksum does not match')
  return { type: head[1]!, version, payload, next }
}

/** The payload of the one record of `type` that `bytes` is. Throws `CorruptRecord`. */
export function unwrapOnly(type: RecordType, bytes: Uint8Array): Buffer {
  const record = unwrap(bytes)
  if (record.type !== type) throw new CorruptRecord(`a ${record.type} where a ${type} belongs`)
  if (record.next !== bytes.byteLength) throw new CorruptRecord('bytes behind the record')
  return record.payload
}

/** Parses JSON from storage; what does not parse, or `check` denies, is corrupt. */
export function parseJson<T>(text: string, check: (value: any) => boolean): T {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new CorruptRecord('payload is not JSON')
  }
  if (typeof value !== 'object' || value === null || !check(value)) throw new CorruptRecord('payload has not the shape of its type')
  return value as T
}
