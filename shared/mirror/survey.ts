/**
 * Which states cold storage holds, and whose: what the index of states is made from where that was lost.
 *
 * Every state that there is has an ID file, or its first interaction in a log: logs are deleted when ID files cover them.
 * Nothing rests on it but rows: what cannot be read is named and passed over.
 */
import type { Incarnation, InteractionIndex, Seq, StateId } from '#shared/ids.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import { decodeBundle, decodeSegment } from '#shared/records/bundle.ts'
import type { Bundle } from '#shared/records/bundle.ts'
import { CorruptRecord } from '#shared/records/envelope.ts'
import { logObjectType } from '#shared/records/fence.ts'
import { decodeIdFileBase, ID_FILE_FIRST_READ_BYTES } from '#shared/records/id-file.ts'
import { parseIdFileName, parseLogName } from '#shared/records/names.ts'

/** `reserved`: of the platform's own. */
export type FoundState = { readonly id: StateId; readonly domain: string; readonly reserved: boolean }

export type SurveyOptions = { readonly coldStorage: ColdStorage; readonly onUnread: (name: string, reason: string) => void }

const LOGS = 'leaders/'
const FILES = 'ids/'

/** Some of them twice. While others write: logs first, since a log is deleted only when ID files cover it. */
export async function* allStates(options: SurveyOptions): AsyncGenerator<FoundState> {
  yield* statesInLogs(options)
  yield* statesInFiles(options)
}

/** States whose first interaction is in a log still; some of them twice. */
export async function* statesInLogs(options: SurveyOptions): AsyncGenerator<FoundState> {
  const names = await namesOf(options.coldStorage, LOGS, options.onUnread)
  for (const [incarnation, ofLog] of Map.groupBy(names, (name) => name.slice(LOGS.length, name.indexOf('/', LOGS.length)) as Incarnation)) yield* statesInLog(options, incarnation, ofLog)
}

/** What a segment holds need not be read again from what it was made of. */
async function* statesInLog({ coldStorage, onUnread }: SurveyOptions, incarnation: Incarnation, names: readonly string[]): AsyncGenerator<FoundState> {
  const read = new Set<number>()
  for (const { name, from, to } of piecesOf(incarnation, names)) {
    if (read.has(from)) continue
    const bytes = await bytesOf(coldStorage, name, onUnread)
    if (bytes === undefined) continue
    const bundles = readable(name, onUnread, (): readonly Bundle[] => {
      if (from !== to) return decodeSegment(bytes, incarnation, from, to)
      return logObjectType(bytes) === 'bundle' ? [decodeBundle(bytes, incarnation, from)] : []
    })
    for (const { header, entries } of bundles ?? []) {
      read.add(header.seq)
      for (const { id, creation } of entries) if (creation !== undefined) yield { id, domain: creation.domain, reserved: creation.reserved }
    }
  }
}

type Piece = { readonly name: string; readonly from: Seq; readonly to: Seq }

/** Bundles and segments, the longest first. */
function piecesOf(incarnation: Incarnation, names: readonly string[]): Piece[] {
  const pieces = names.flatMap((name): Piece[] => {
    const object = parseLogName(incarnation, name)
    if (object.kind === 'end') return []
    return object.kind === 'segment' ? [{ name, from: object.from, to: object.to }] : [{ name, from: object.seq, to: object.seq }]
  })
  return pieces.toSorted((a, b) => b.to - b.from - (a.to - a.from))
}

/** States that have an ID file. */
export async function* statesInFiles({ coldStorage, onUnread }: SurveyOptions): AsyncGenerator<FoundState> {
  let last: string | undefined
  for (const name of await namesOf(coldStorage, FILES, onUnread)) {
    const id = name.slice(FILES.length, name.indexOf('/', FILES.length)) as StateId
    if (id === last) continue
    last = id
    const header = await headerOf(coldStorage, name, id, onUnread)
    if (header !== undefined) yield { id, domain: header.domain, reserved: header.reserved }
  }
}

async function headerOf(coldStorage: ColdStorage, name: string, id: StateId, onUnread: SurveyOptions['onUnread']): Promise<{ readonly domain: string; readonly reserved: boolean } | undefined> {
  const ii: InteractionIndex = parseIdFileName(id, name)
  let to = ID_FILE_FIRST_READ_BYTES
  for (;;) {
    const bytes = await bytesOf(coldStorage, name, onUnread, to)
    const base = bytes && readable(name, onUnread, () => decodeIdFileBase(bytes, id, ii))
    if (base === undefined) return undefined
    if ('header' in base) return base.header
    if (base.needBytes <= to) return undefined
    to = base.needBytes
  }
}

async function namesOf(coldStorage: ColdStorage, prefix: string, onUnread: SurveyOptions['onUnread']): Promise<readonly string[]> {
  const listed = await coldStorage.list(prefix)
  if (listed.kind === 'names') return listed.names
  onUnread(prefix, listed.reason)
  return []
}

async function bytesOf(coldStorage: ColdStorage, name: string, onUnread: SurveyOptions['onUnread'], to?: number): Promise<Uint8Array | undefined> {
  const got = await coldStorage.get(name, to === undefined ? undefined : { from: 0, to })
  switch (got.kind) {
    case 'found':
      return got.bytes
    case 'missing':
      // Deleted since it was listed: an ID file covers it.
      return undefined
    case 'failed':
      onUnread(name, got.reason)
      return undefined
  }
}

function readable<T>(name: string, onUnread: SurveyOptions['onUnread'], decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof CorruptRecord)) throw error
    onUnread(name, error.message)
    return undefined
  }
}
