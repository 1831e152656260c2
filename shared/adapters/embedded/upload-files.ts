/**
 * Uploaded files on disk: streamed into a temporary, which gets its name when it is whole and durable.
 *
 * A file is one line of JSON in ASCII (`upload 1 {"type":..,"created":..}`), a line feed, and the content: type and content
 * have one name, so that neither can be there without the other.
 *
 * Owns: the folder, its temporaries, files that are open. Does not own: who may read or write which name, HTTP.
 * Talks to: the file system, through `FileCalls`, so that tests can see their order and make one fail.
 *
 * Invariants:
 *  I1  A name is linked only to a file whose bytes were all written and synced; a second link to the name cannot be made.
 *  I2  `stored` and `exists` are said when the name is durable: its folder was synced after the link, and the folder above
 *      after the folder was made.
 *  I3  A temporary outlives the link until the folder was synced. A second link is therefore the sign for readers that the
 *      name may not be durable yet: they sync the folder before they hand the file out.
 *  I4  Whatever ends a stream early (the client, a fault, a crash) leaves no name.
 */
import * as fs from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { StoreOutcome, UploadMetadata, UploadName } from '#shared/ports/uploads.ts'
import { makeFolderDurable } from './durable-folder.ts'
import type { OnFault } from './object-writer.ts'
import { errorCode, reasonOf } from './system-error.ts'
import { openTemporaries } from './temporaries.ts'
import type { Temporaries } from './temporaries.ts'

export type FileCalls = Pick<typeof fs, 'open' | 'link' | 'unlink' | 'mkdir'>

export type UploadFilesOptions = {
  readonly folder: string
  readonly clock: { wallMs(): number }
  readonly onFault: OnFault
  readonly calls?: FileCalls
}

/** A file that is open for reading: whoever found it closes `handle`, or streams it to the end. `start`: where the content begins in it. */
export type FoundFile = UploadMetadata & { readonly kind: 'found'; readonly handle: FileHandle; readonly start: number }
export type FindOutcome = FoundFile | { readonly kind: 'missing' } | { readonly kind: 'failed'; readonly reason: string }

export type StreamOutcome =
  | StoreOutcome
  | { readonly kind: 'too-large' }
  /** The content broke off. */
  | { readonly kind: 'cut' }

/** The first line: no longer than this, whatever the media type is. */
const HEAD_BYTES = 1_024
const HEAD = /^upload 1 (\{.*\})\n/

export function encodeHead(of: { readonly type: string; readonly created: number }): Buffer {
  return Buffer.from(`upload 1 ${JSON.stringify({ type: of.type, created: of.created })}\n`, 'latin1')
}

/** Undefined: not one of ours. `bytes`: its length, the line feed included. */
export function decodeHead(start: Buffer): { readonly type: string; readonly created: number; readonly bytes: number } | undefined {
  const match = HEAD.exec(start.toString('latin1'))
  if (match === null) return undefined
  try {
    const { type, created } = JSON.parse(match[1]!) as { type: unknown; created: unknown }
    return typeof type === 'string' && typeof created === 'number' ? { type, created, bytes: match[0].length } : undefined
  } catch {
    return undefined
  }
}

export class UploadFiles {
  readonly #objects: string
  readonly #temporaries: Temporaries
  readonly #clock: { wallMs(): number }
  readonly #onFault: OnFault
  readonly #calls: FileCalls
  /** Folders that were made, or found, and whose names are durable. */
  readonly #known = new Map<string, Promise<void>>()
  #count = 0

  /** Throws if the folder cannot be made. */
  constructor(options: UploadFilesOptions) {
    const folder = resolve(options.folder)
    this.#objects = join(folder, 'objects')
    this.#clock = options.clock
    this.#onFault = options.onFault
    this.#calls = options.calls ?? fs
    makeFolderDurable(this.#objects)
    this.#temporaries = openTemporaries(join(folder, '.tmp'), options.onFault)
  }

  close(): void {
    this.#temporaries.close()
  }

  /** Reads `content` until it ends, is longer than `limitBytes`, or something fails; ends it in no case. */
  async write(name: UploadName, of: { readonly type: string; readonly content: AsyncIterator<Uint8Array>; readonly limitBytes: number }): Promise<StreamOutcome> {
    const { folder, path } = this.#placeOf(name)
    const temporary = `${this.#temporaries.prefix}${(this.#count += 1)}`
    let handle: FileHandle | undefined
    try {
      await this.#makeFolder(folder)
      handle = await this.#calls.open(temporary, 'wx', 0o600)
      await handle.writeFile(encodeHead({ type: of.type, created: this.#clock.wallMs() }))
      const end = await copy(of.content, handle, of.limitBytes)
      if (end !== 'whole') {
        await this.#discard(temporary, handle)
        return { kind: end }
      }
      await handle.datasync()
      await handle.close()
      handle = undefined
      return await this.#name(temporary, path, folder)
    } catch (error) {
      await this.#discard(temporary, handle)
      return { kind: 'not-stored', reason: reasonOf(error) }
    }
  }

  /** Rejects only where nothing has the name by this call. */
  async #name(temporary: string, path: string, folder: string): Promise<StoreOutcome> {
    let kind: 'stored' | 'exists' = 'stored'
    try {
      await this.#calls.link(temporary, path)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
      kind = 'exists'
    }
    try {
      await this.#sync(folder)
    } catch (error) {
      // The temporary of a name that we made stays: it makes readers doubt the name (I3).
      if (kind === 'exists') await this.#discard(temporary, undefined)
      return { kind: 'unknown', reason: reasonOf(error) }
    }
    await this.#discard(temporary, undefined)
    return { kind }
  }

  async find(name: UploadName): Promise<FindOutcome> {
    const { folder, path } = this.#placeOf(name)
    let handle: FileHandle
    try {
      handle = await this.#calls.open(path, 'r')
    } catch (error) {
      return errorCode(error) === 'ENOENT' ? { kind: 'missing' } : { kind: 'failed', reason: reasonOf(error) }
    }
    try {
      const { nlink, size } = await handle.stat()
      if (nlink > 1) await this.#sync(folder)
      const start = Buffer.alloc(HEAD_BYTES)
      const { bytesRead } = await handle.read(start, 0, HEAD_BYTES, 0)
      const head = decodeHead(start.subarray(0, bytesRead))
      if (head === undefined) throw new Error(`${path} does not begin as an upload does`)
      return { kind: 'found', handle, type: head.type, created: head.created, start: head.bytes, bytes: size - head.bytes }
    } catch (error) {
      await this.#quietly('close an upload', handle.close())
      return { kind: 'failed', reason: reasonOf(error) }
    }
  }

  #placeOf(name: UploadName): { folder: string; path: string } {
    // Random ids: their first digits spread the files evenly.
    const folder = join(this.#objects, name.slice(0, 2))
    return { folder, path: join(folder, name.replace('/', '.')) }
  }

  #makeFolder(folder: string): Promise<void> {
    let made = this.#known.get(folder)
    if (made === undefined) {
      made = (async () => {
        await this.#calls.mkdir(folder, { recursive: true, mode: 0o700 })
        // One that was there may have been made a moment before the power went.
        await this.#sync(this.#objects)
      })()
      this.#known.set(folder, made)
      made.catch(() => this.#known.delete(folder))
    }
    return made
  }

  async #sync(folder: string): Promise<void> {
    const handle = await this.#calls.open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await this.#quietly('close a folder', handle.close())
    }
  }

  async #discard(temporary: string, handle: FileHandle | undefined): Promise<void> {
    if (handle !== undefined) await this.#quietly('close a temporary', handle.close())
    await this.#quietly('remove a temporary', this.#calls.unlink(temporary))
  }

  async #quietly(what: string, call: Promise<void>): Promise<void> {
    try {
      await call
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') this.#onFault({ what, reason: reasonOf(error) })
    }
  }
}

/** Rejects for faults of the file only. */
async function copy(content: AsyncIterator<Uint8Array>, to: FileHandle, limitBytes: number): Promise<'whole' | 'too-large' | 'cut'> {
  let bytes = 0
  for (;;) {
    let part: IteratorResult<Uint8Array>
    try {
      part = await content.next()
    } catch {
      return 'cut'
    }
    if (part.done === true) return 'whole'
    bytes += part.value.length
    if (bytes > limitBytes) return 'too-large'
    // Writes on from where the last one ended, and all of it.
    await to.writeFile(part.value)
  }
}

/** Content that is at hand. */
export async function* only(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
}
