/**
 * Bundles: many interactions of many states in one object of a leader log. Payload: a line of JSON
 * (the header), then one line an interaction: `JSON array TAB patch`, the patch as the text that came in.
 * JSON holds no raw tab or line feed, so both separate. Appending costs one string per interaction;
 * reading parses a patch only where it is applied.
 */
import type { Cycle, Incarnation, InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import type { HistoryEntry } from '#shared/records/id-file.ts'
import { CorruptRecord, parseJson, unwrapOnly, unwrap, wrap } from '#shared/records/envelope.ts'

/** What a state's first interaction or its creation record (`ii` 0) carries. */
export type CreationData = {
  readonly domain: string
  readonly owner: string
  readonly name: string | null
  readonly reserved: boolean
}

export type LogEntry = {
  readonly id: StateId
  readonly cycle: Cycle
  readonly ii: InteractionIndex
  /** ms since 1970, UTC. */
  readonly ts: number
  readonly user: string
  /** 16 bytes as latin1; empty for a creation record. */
  readonly key: string
  /** 16 bytes as latin1, or empty: the api's own key. */
  readonly bodyDigest: string
  readonly creation: CreationData | undefined
  /** JSON text of the strict ops that were applied. */
  readonly patch: string
}

export type BundleHeader = {
  readonly incarnation: Incarnation
  readonly seq: Seq
  /** Everything this log holds below this number is covered by the checkpoints of its slots. */
  readonly low: Seq
}

const base64 = (latin1: string): string => (latin1 === '' ? '' : Buffer.from(latin1, 'latin1').toString('base64'))
const latin1 = (text: string): string => (text === '' ? '' : Buffer.from(text, 'base64').toString('latin1'))

/** One line of a bundle, line feed included. */
export function entryLine(entry: LogEntry): string {
  const creation = entry.creation === undefined ? '' : `,${JSON.stringify(entry.creation)}`
  return `["${entry.id}",${entry.cycle},${entry.ii},${entry.ts},${JSON.stringify(entry.user)},"${base64(entry.key)}","${base64(entry.bodyDigest)}"${creation}]\t${entry.patch}\n`
}

export function encodeBundle(header: BundleHeader, lines: readonly string[]): Buffer {
  return wrap('bundle', Buffer.from(`${JSON.stringify(header)}\n${lines.join('')}`))
}

export type Bundle = { readonly header: BundleHeader; readonly entries: readonly LogEntry[] }

/** Throws `CorruptRecord`, also when the bundle is not number `seq` of `incarnation`. */
export function decodeBundle(bytes: Uint8Array, incarnation: Incarnation, seq: Seq): Bundle {
  return decodePayload(unwrapOnly('bundle', bytes), incarnation, seq)
}

function decodePayload(payload: Buffer, incarnation: Incarnation, seq: Seq): Bundle {
  const text = payload.toString()
  let lineEnd = text.indexOf('\n')
  if (lineEnd < 0) throw new CorruptRecord('no bundle header')
  const header = parseJson<BundleHeader>(text.slice(0, lineEnd), (h) => typeof h.low === 'number')
  if (header.incarnation !== incarnation || header.seq !== seq)
    throw new CorruptRecord(`bundle ${header.seq} of ${header.incarnation} under another name`)
  const entries: LogEntry[] = []
  for (let start = lineEnd + 1; start < text.length; start = lineEnd + 1) {
    lineEnd = text.indexOf('\n', start)
    if (lineEnd < 0) throw new CorruptRecord('malformed bundle line')
    entries.push(decodeEntryLine(text.slice(start, lineEnd)))
  }
  return { header, entries }
}

/** What `entryLine` made, with or without its line feed. Throws `CorruptRecord`. */
export function decodeEntryLine(line: string): LogEntry {
  const { fields, patch } = splitLine(line)
  return {
    id: fields[0],
    cycle: fields[1],
    ii: fields[2],
    ts: fields[3],
    user: fields[4],
    key: latin1(fields[5]),
    bodyDigest: latin1(fields[6]),
    creation: fields[7],
    patch,
  }
}

/** What history says of an entry line. Throws `CorruptRecord`. */
export function decodeHistoryOf(line: string): HistoryEntry {
  const { fields, patch } = splitLine(line)
  return { ii: fields[2], ts: fields[3], user: fields[4], patch }
}

type Fields = [StateId, Cycle, InteractionIndex, ts: number, user: string, key: string, bodyDigest: string, CreationData?]

function splitLine(line: string): { readonly fields: Fields; readonly patch: string } {
  const tab = line.indexOf('\t')
  if (tab < 0) throw new CorruptRecord('malformed bundle line')
  const fields = parseJson<Fields>(line.slice(0, tab), (f) => Array.isArray(f) && f.length >= 7)
  return { fields, patch: line.slice(tab + 1, line.endsWith('\n') ? -1 : undefined) }
}

/** Bundles `from`..`to` of one log as they were, one after the other. */
export function encodeSegment(incarnation: Incarnation, from: Seq, to: Seq, bundles: readonly Uint8Array[]): Buffer {
  return wrap('segment', Buffer.concat([Buffer.from(`${JSON.stringify({ incarnation, from, to })}\n`), ...bundles]))
}

/** Throws `CorruptRecord` unless it holds every bundle from..to. */
export function decodeSegment(bytes: Uint8Array, incarnation: Incarnation, from: Seq, to: Seq): Bundle[] {
  const payload = unwrapOnly('segment', bytes)
  const lineEnd = payload.indexOf(10)
  const header = parseJson<{ incarnation: string; from: number; to: number }>(payload.toString('utf8', 0, Math.max(0, lineEnd)), () => true)
  if (header.incarnation !== incarnation || header.from !== from || header.to !== to)
    throw new CorruptRecord(`segment ${header.from}-${header.to} of ${header.incarnation} under another name`)
  const bundles: Bundle[] = []
  let offset = lineEnd + 1
  for (let seq = from; seq <= to; seq++) {
    const record = unwrap(payload, offset)
    if (record.type !== 'bundle') throw new CorruptRecord(`a ${record.type} in a segment`)
    bundles.push(decodePayload(record.payload, incarnation, seq))
    offset = record.next
  }
  if (offset !== payload.byteLength) throw new CorruptRecord('bytes behind the last bundle of a segment')
  return bundles
}
