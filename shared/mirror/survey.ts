/**
 * Which states cold storage holds, and whose: what the index of states is made from where that was lost.
 *
 * Every state that there is has an ID file, or its first interaction in a log: logs are deleted when ID files cover them.
 * Nothing rests on it but rows: what cannot be read is named and passed over.
 */
import type { Incarnation, InteractionIndex, StateId } from '#shared/ids.ts'
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

/** While others write: logs first, since a log is deleted only when ID files cover it. */
export async function* allStates(options: SurveyOptions): AsyncGenerator<FoundState> {
  yield* statesInLogs(options)
  yield* statesInFiles(options)
}

/** States whose first interaction is in a log still. */
export async function* statesInLogs({ coldStorage, onUnread }: SurveyOptions): AsyncGenerator<FoundState> {
  for (const name of await namesOf(coldStorage, LOGS, onUnread)) {
    const incarnation = name.slice(LOGS.length, name.indexOf('/', LOGS.length)) as Incarnation
    const object = parseLogName(incarnation, name)
    if (object.kind === 'end') continue
    const bytes = await bytesOf(coldStorage, name, onUnread)
    if (bytes === undefined) continue
    const bundles = readable(name, onUnread, (): readonly Bundle[] => {
      if (object.kind === 'segment') return decodeSegment(bytes, incarnation, object.from, object.to)
      return logObjectType(bytes) === 'bundle' ? [decodeBundle(bytes, incarnation, object.seq)] : []
    })
    for (const { entries } of bundles ?? []) {
      for (const { id, creation } of entries) if (creation !== undefined) yield { id, domain: creation.domain, reserved: creation.reserved }
    }
  }
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
