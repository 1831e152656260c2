/**
 * ID-specific patch file: a state at an `ii`, its whole key window, and the history since the ID file before.
 *
 * Layout: the envelope holds a JSON header only; behind it stand three sections, each with its own checksum in
 * the header: `active` (JSON text), `window` (packed keys), `history` (lines `[ii,ts,"user"] TAB patch`).
 * Opening a state reads up to the window; what it costs does not grow with the history.
 */
import { crc32c } from '@node-rs/crc32'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import { CorruptRecord, parseJson, unwrap, wrap } from '#shared/records/envelope.ts'

export type IdFileHeader = {
  readonly id: StateId
  readonly ii: InteractionIndex
  /** History is `from`.. `ii`; the ID file of `from` - 1 is stored, or `from` is 1. */
  readonly from: InteractionIndex
  readonly domain: string
  readonly owner: string
  readonly name: string | null
  readonly initialName: string | null
  readonly reserved: boolean
  readonly activeType: string
  /** `active` was removed; the section holds `null`. */
  readonly removed: boolean
  readonly created: number
  readonly updated: number
}

export type HistoryEntry = { readonly ii: InteractionIndex; readonly ts: number; readonly user: string; readonly patch: string }

type Section = { readonly length: number; readonly crc: number }
type Head = IdFileHeader & { readonly sections: { readonly active: Section; readonly window: Section; readonly history: Section } }

export function encodeIdFile(header: IdFileHeader, active: string, window: Uint8Array, history: readonly HistoryEntry[]): Buffer {
  const activeBytes = Buffer.from(active)
  const historyBytes = Buffer.from(history.map((h) => `[${h.ii},${h.ts},${JSON.stringify(h.user)}]\t${h.patch}\n`).join(''))
  const section = (bytes: Uint8Array): Section => ({ length: bytes.byteLength, crc: crc32c(bytes as Buffer) })
  const head: Head = { ...header, sections: { active: section(activeBytes), window: section(window), history: section(historyBytes) } }
  return Buffer.concat([wrap('id', Buffer.from(JSON.stringify(head))), activeBytes, window, historyBytes])
}

/** Bytes that a first read should ask for. */
export const ID_FILE_FIRST_READ_BYTES = 64 * 1024

export type IdFileBase = { readonly header: IdFileHeader; readonly active: string; readonly window: Buffer }

/**
 * The state and key window from the first bytes of a file, or how many bytes it takes to read them.
 * Throws `CorruptRecord`.
 */
export function decodeIdFileBase(bytes: Uint8Array, id: StateId, ii: InteractionIndex): IdFileBase | { readonly needBytes: number } {
  const { head, start } = decodeHead(bytes, id, ii)
  const { active, window } = head.sections
  const needBytes = start + active.length + window.length
  if (bytes.byteLength < needBytes) return { needBytes }
  return {
    header: head,
    active: checked(bytes, start, active, 'active').toString(),
    // A copy: a slice would keep the whole read alive for as long as the state is tracked.
    window: Buffer.from(checked(bytes, start + active.length, window, 'window')),
  }
}

/** Throws `CorruptRecord`. */
export function decodeIdFileHistory(bytes: Uint8Array, id: StateId, ii: InteractionIndex): { readonly header: IdFileHeader; readonly history: HistoryEntry[] } {
  const { head, start } = decodeHead(bytes, id, ii)
  const { active, window, history } = head.sections
  const text = checked(bytes, start + active.length + window.length, history, 'history').toString()
  const entries: HistoryEntry[] = []
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf('\n', at)
    const tab = text.indexOf('\t', at)
    if (lineEnd < 0 || tab < 0 || tab > lineEnd) throw new CorruptRecord('malformed history line')
    const [entryIi, ts, user] = parseJson<[InteractionIndex, number, string]>(text.slice(at, tab), (f) => Array.isArray(f) && f.length === 3)
    entries.push({ ii: entryIi, ts, user, patch: text.slice(tab + 1, lineEnd) })
    at = lineEnd + 1
  }
  return { header: head, history: entries }
}

function decodeHead(bytes: Uint8Array, id: StateId, ii: InteractionIndex): { head: Head; start: number } {
  const record = unwrap(bytes)
  if (record.type !== 'id') throw new CorruptRecord(`a ${record.type} where an ID file belongs`)
  const head = parseJson<Head>(record.payload.toString(), (h) => typeof h.sections === 'object' && typeof h.owner === 'string')
  if (head.id !== id || head.ii !== ii) throw new CorruptRecord(`ID file ${head.ii} of ${head.id} under another name`)
  return { head, start: record.next }
}

function checked(bytes: Uint8Array, start: number, section: Section, name: string): Buffer {
  const slice = Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.min(section.length, Math.max(0, bytes.byteLength - start)))
  if (slice.byteLength !== section.length) throw new CorruptRecord(`truncated section ${name}`)
  if (crc32c(slice) !== section.crc) throw new CorruptRecord(`checksum of section ${name} does not match`)
  return slice
}
