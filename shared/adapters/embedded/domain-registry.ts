/**
 * The registry of domains of one machine: the embedded adapter of `shared/ports/domain-registry.ts`.
 *
 * A folder with one file a domain, replaced as a whole: temporary, fsync, rename, fsync of the folder.
 *
 * Owns: all records in memory, and their files: whoever opens it holds the lock of the data directory, so there is no other
 * writer. Does not own: what the records say. Talks to: the file system.
 *
 * Invariants:
 *  I1  "stored" is durable, and `get` never has what is not.
 *  I2  Writes to one record are judged and done one after the other.
 *  I3  A file that does not parse stops the opening and is named: a domain without its admin could be claimed by anybody.
 */
import { open, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '#shared/assert.ts'
import type { DomainRegistry, RecordWriteOutcome } from '#shared/ports/domain-registry.ts'
import { decodeDomainRecord, encodeDomainRecord } from '#shared/records/domain-record.ts'
import type { DomainRecord } from '#shared/records/domain-record.ts'
import { makeFolderDurable, syncFolder } from './durable-folder.ts'
import { reasonOf } from './system-error.ts'

const SUFFIX = '.domain'
const TEMPORARY = '.tmp'

/** Rejects where the folder or a record of it cannot be read. */
export async function openDomainRegistry({ folder }: { readonly folder: string }): Promise<DomainRegistry> {
  makeFolderDurable(folder)
  const records = new Map<string, DomainRecord>()
  for (const file of await readdir(folder)) {
    if (file.endsWith(TEMPORARY)) await rm(join(folder, file), { force: true })
    if (!file.endsWith(SUFFIX)) continue
    const record = await readRecord(join(folder, file))
    records.set(record.domain, record)
  }
  const watchers = new Set<(record: DomainRecord) => void>()
  /** The last write to each record that is under way. */
  const writing = new Map<string, Promise<unknown>>()

  async function store(record: DomainRecord): Promise<RecordWriteOutcome> {
    if ((records.get(record.domain)?.version ?? 0) !== record.version - 1) return { kind: 'conflict' }
    // Domains are letters, digits, hyphens, dots and a colon; no other name leaves this function.
    const path = join(folder, `${encodeURIComponent(record.domain)}${SUFFIX}`)
    try {
      await writeDurable(`${path}${TEMPORARY}`, encodeDomainRecord(record))
      await rename(`${path}${TEMPORARY}`, path)
      syncFolder(folder)
    } catch (error) {
      return { kind: 'failed', reason: reasonOf(error) }
    }
    records.set(record.domain, record)
    for (const watcher of watchers) queueMicrotask(() => watchers.has(watcher) && watcher(record))
    return { kind: 'stored' }
  }

  return {
    takesMs: 0,
    ready: () => Promise.resolve(),
    get: (domain) => records.get(domain),
    all: () => records.values(),
    read: (domain) => {
      const record = records.get(domain)
      return Promise.resolve(record === undefined ? { kind: 'none' } : { kind: 'record', record })
    },
    write: (record) => {
      assert(record.version >= 1, 'records are numbered from 1')
      const work = (writing.get(record.domain) ?? Promise.resolve()).then(() => store(record))
      writing.set(record.domain, work)
      return work.finally(() => {
        if (writing.get(record.domain) === work) writing.delete(record.domain)
      })
    },
    watch: (onChange) => {
      watchers.add(onChange)
      return () => void watchers.delete(onChange)
    },
    close: async () => {
      watchers.clear()
      await Promise.all(writing.values())
    },
  }
}

async function readRecord(path: string): Promise<DomainRecord> {
  try {
    return decodeDomainRecord(await readFile(path))
  } catch (error) {
    throw new Error(`the record of a domain cannot be read: ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

async function writeDurable(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
}
