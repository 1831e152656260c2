/**
 * Object writer: the create-only put of the embedded cold storage, as synchronous calls in the order that durability
 * asks for. Synchronous because every hop between threads costs more than the calls themselves, see cold-storage.ts.
 *
 * Owns: its temporary files, descriptors of the directories it wrote to.
 * Does not own: names (checked by its caller), the choice of the thread it runs in.
 * Talks to: the file system, through `FileOperations`, so that tests can make any one call fail.
 *
 * Invariants:
 *  I1  A name is linked only to a file whose bytes were all written and synced through one descriptor that never saw an
 *      error. After a failed fsync the kernel may call lost pages clean, and a second fsync would succeed: so the file
 *      is thrown away and a later put writes a new one.
 *  I2  A name's whole path is durable before `stored` or `exists`: its directory was synced after the link was seen, and
 *      each directory above was synced after the one below was made, whoever made it.
 *  I3  A temporary outlives the link until the directory was synced. A second link on an object is therefore the sign
 *      that its name may not be durable yet, which readers (cold-storage.ts) heed.
 *  I4  No call throws for an operating error.
 *
 * A sync of a directory that failed and later succeeds is believed, unlike a file's: names are metadata, and the file
 * systems in question (ext4, XFS, btrfs) stop taking writes altogether when they cannot write those. Nobody but its
 * writers changes the directory: one that is removed and made again behind a writer's back may be synced in vain.
 */
import { dirname } from 'node:path'
import * as nodeFs from 'node:fs'
import type { PutOutcome } from '#shared/ports/cold-storage.ts'
import { errorCode, reasonOf } from './system-error.ts'

/** The calls of `node:fs` that a put is made of, and the one by which reading makes sure (cold-storage.ts, I1). */
export type FileOperations = {
  openSync(path: string, flags: number, mode?: number): number
  closeSync(descriptor: number): void
  writeSync(descriptor: number, bytes: Uint8Array, offset: number, length: number): number
  fdatasyncSync(descriptor: number): void
  fsyncSync(descriptor: number): void
  linkSync(from: string, to: string): void
  unlinkSync(path: string): void
  mkdirSync(path: string, mode: number): void
  fsync(descriptor: number, done: (error: NodeJS.ErrnoException | null) => void): void
}

/** A background call failed that no outcome tells of: cleaning up, or making a file ready ahead. For the log. */
export type OnFault = (fault: { readonly what: string; readonly reason: string }) => void

export type ObjectWriter = {
  /** `name` is a checked object name. Ready for the next call at once; `tidy` may be left for later. */
  put(name: string, bytes: Uint8Array): PutOutcome
  /** What a put leaves to do that its outcome does not depend on. */
  tidy(): void
  close(): void
}

/** Descriptors of directories kept open for syncing: the log's own and those of the ID files at work. */
const OPEN_DIRECTORIES = 64
/** Directories remembered as made and durable. A forgotten one costs one more sync of its parent. */
const KNOWN_DIRECTORIES = 16_384

const { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_WRONLY } = nodeFs.constants

type Temporary = { readonly path: string; readonly descriptor: number }

export function openObjectWriter(options: {
  /** Absolute; there, and durable itself. */
  readonly directory: string
  /** Where temporaries go, on the same file system, and how their names begin. */
  readonly temporaryPrefix: string
  readonly onFault: OnFault
  readonly operations?: FileOperations
}): ObjectWriter {
  const { directory, temporaryPrefix, onFault } = options
  const files: FileOperations = options.operations ?? nodeFs
  /** In the order of last use, the oldest first. */
  const descriptors = new Map<string, number>()
  /** In the order of last use, the oldest first. Each of them, and all above it, are durable. */
  const known = new Set<string>([directory])
  /** A temporary made ahead: creating a file is a third of the calls of a put, and nobody waits for this one. */
  let ready: Temporary | undefined
  let count = 0
  let tidying: (() => void)[] = []

  function makeTemporary(): Temporary {
    const path = `${temporaryPrefix}${(count += 1)}`
    return { path, descriptor: files.openSync(path, O_CREAT | O_EXCL | O_WRONLY, 0o600) }
  }

  function writeAll(descriptor: number, bytes: Uint8Array): void {
    // Node's writeSync may write less than asked for, at the end of a disk for example.
    for (let offset = 0; offset < bytes.length; ) {
      const written = files.writeSync(descriptor, bytes, offset, bytes.length - offset)
      if (written === 0) throw new Error('write: nothing was written')
      offset += written
    }
  }

  function discard(temporary: Temporary): void {
    attempt('close a temporary', () => files.closeSync(temporary.descriptor))
    attempt('remove a temporary', () => files.unlinkSync(temporary.path))
  }

  function attempt(what: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      // A temporary that is gone already is no news: somebody emptied the folder.
      if (errorCode(error) !== 'ENOENT') onFault({ what, reason: reasonOf(error) })
    }
  }

  /** A descriptor of the directory, kept for the next time. Throws what the file system says. */
  function descriptorOf(path: string): number {
    let descriptor = descriptors.get(path)
    if (descriptor === undefined) descriptor = files.openSync(path, O_RDONLY | O_DIRECTORY)
    else descriptors.delete(path)
    descriptors.set(path, descriptor)
    if (descriptors.size > OPEN_DIRECTORIES) {
      const [oldest, oldestDescriptor] = descriptors.entries().next().value!
      descriptors.delete(oldest)
      tidying.push(() => attempt('close a directory', () => files.closeSync(oldestDescriptor)))
    }
    return descriptor
  }

  /** Makes everything durable that `path` lists. Throws what the file system says. */
  function syncDirectory(path: string, descriptor: number): void {
    try {
      files.fsyncSync(descriptor)
    } catch (error) {
      forget(path)
      throw error
    }
  }

  /** Makes `path` and what is above it, durably. Throws what the file system says. */
  function ensureDirectory(path: string): void {
    if (known.has(path)) {
      if (path !== directory) {
        known.delete(path)
        known.add(path)
      }
      return
    }
    const parent = dirname(path)
    ensureDirectory(parent)
    try {
      files.mkdirSync(path, 0o700)
    } catch (error) {
      // Another thread or process made it, and may not have synced the parent yet: so it is synced here all the same.
      if (errorCode(error) !== 'EEXIST') throw error
    }
    syncDirectory(parent, descriptorOf(parent))
    known.add(path)
    if (known.size > KNOWN_DIRECTORIES) {
      for (const oldest of known) {
        if (oldest === directory) continue
        known.delete(oldest)
        break
      }
    }
  }

  /** Something that was there is not: somebody removed it by hand. The next put makes all folders anew. */
  function doubt(error: unknown): void {
    if (errorCode(error) !== 'ENOENT') return
    for (const path of descriptors.keys()) forget(path)
    known.clear()
    known.add(directory)
  }

  function forget(path: string): void {
    if (path !== directory) known.delete(path)
    const descriptor = descriptors.get(path)
    if (descriptor === undefined) return
    descriptors.delete(path)
    attempt('close a directory', () => files.closeSync(descriptor))
  }

  function put(name: string, bytes: Uint8Array): PutOutcome {
    const path = `${directory}/${name}`
    const parent = dirname(path)
    let temporary: Temporary | undefined
    let parentDescriptor: number
    let exists = false
    try {
      ensureDirectory(parent)
      // Opened before the link, so that a lack of descriptors is a certain no.
      parentDescriptor = descriptorOf(parent)
      temporary = ready ?? makeTemporary()
      ready = undefined
      writeAll(temporary.descriptor, bytes)
      files.fdatasyncSync(temporary.descriptor)
    } catch (error) {
      if (temporary !== undefined) discard(temporary)
      doubt(error)
      return { kind: 'not-stored', reason: reasonOf(error) }
    }
    const written = temporary
    try {
      files.linkSync(written.path, path)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') {
        doubt(error)
        discard(written)
        return { kind: 'not-stored', reason: reasonOf(error) }
      }
      exists = true
    }
    try {
      syncDirectory(parent, parentDescriptor)
    } catch (error) {
      if (exists) {
        // The name is taken, so these bytes never get it; but who has it may lose it when the power goes, so "exists"
        // would be believed too early.
        discard(written)
      } else {
        // The temporary stays: it is the second link that makes readers doubt the name (I3).
        attempt('close a temporary', () => files.closeSync(written.descriptor))
      }
      return { kind: 'unknown', reason: reasonOf(error) }
    }
    tidying.push(() => discard(written))
    return exists ? { kind: 'exists' } : { kind: 'stored' }
  }

  function tidy(): void {
    const calls = tidying
    tidying = []
    for (const call of calls) call()
    if (ready !== undefined) return
    try {
      ready = makeTemporary()
    } catch {
      // The next put tries again and reports it.
    }
  }

  function close(): void {
    for (const call of tidying) call()
    tidying = []
    if (ready !== undefined) discard(ready)
    ready = undefined
    for (const descriptor of descriptors.values()) attempt('close a directory', () => files.closeSync(descriptor))
    descriptors.clear()
  }

  return { put, tidy, close }
}
