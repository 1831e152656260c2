/**
 * Cold storage in a directory of one machine: the embedded adapter of `shared/ports/cold-storage.ts`.
 *
 * A name is a file below the directory; temporaries are in `.tmp`, which no name can reach. How a put becomes durable is
 * in object-writer.ts; here is who does it when, and reading.
 *
 * Puts run in threads of their own, synchronously, one put per thread at a time: the main thread pays two messages
 * instead of six trips to the thread pool, and a put needs one turn of a busy event loop instead of four.
 * Measured (1 KiB, Node 24, ext4): callbacks of node:fs 70 us of main thread per put, and 1.5 ms p50 at 3 in flight
 * beside a busy event loop; this 25 us and 0.8 ms; total CPU is lower. Rejected as well: write and link called
 * synchronously in the main thread, which stalls it for as long as the file system's journal is being written.
 *
 * Owns: the threads, the queue before them.
 * Does not own: the meaning of names, retries, and the lock against a second process (data-directory.ts). Several
 * processes may nevertheless share the directory.
 * Talks to: the file system.
 *
 * Invariants:
 *  I1  What `get` finds is durable under its name: an object with a second link (object-writer.ts, I3) has its directory
 *      synced before it is handed out. So nothing can be read that a power cut takes back.
 *  I2  No top-level folder has all threads: a flood of ID files leaves one for the bundles, on which answers wait.
 *  I3  `close` resolves when nothing is under way any more.
 *
 * Directories that have become empty stay: removing one would race with a put into it. A deletion is not synced: after a
 * power cut the object may be back, which whoever deletes by age or by checkpoint meets by deleting it again.
 */
import * as fs from 'node:fs'
import { getCompileCacheDir } from 'node:module'
import { dirname, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { assert, unreachable } from '#shared/assert.ts'
import type { ColdStorage, DeleteOutcome, GetOutcome, ListOutcome, PutOutcome } from '#shared/ports/cold-storage.ts'
import { makeFolderDurable } from './durable-folder.ts'
import { openObjectWriter, type FileOperations, type ObjectWriter, type OnFault } from './object-writer.ts'
import type { FromThread, ThreadData, ToThread } from './object-writer-thread.ts'
import { reasonOf } from './system-error.ts'
import { openTemporaries } from './temporaries.ts'

export type ColdStorageOptions = {
  readonly directory: string
  /**
   * Threads that puts run in, started as they are needed (16 to 30 MB each, see `threadEnvironment`). 0: puts block the calling thread, which is
   * for tests that need `operations`.
   */
  readonly threads?: number
  /** The file system as tests want it to be; with `threads: 0` only. */
  readonly operations?: FileOperations
  readonly onFault?: OnFault
}

/** As many as bundles and ID files are put at once without waiting for each other much. */
const THREADS = 4
/** Puts that wait for a thread. Callers bound theirs; this is for the sum of uploads. */
const WAITING_PUTS = 1_024

const NAME = /^[0-9a-z-]+(?:\/[0-9a-z-]+)*$/
const PREFIX = /^(?:[0-9a-z-]+\/)+$/
const TEMPORARIES = '.tmp'

type WaitingPut = {
  readonly name: string
  readonly bytes: Uint8Array
  readonly resolve: (outcome: PutOutcome) => void
}

/** Rejects only if the directory cannot be made: then there is nothing to start with. */
export async function openColdStorage(options: ColdStorageOptions): Promise<ColdStorage> {
  const threads = options.threads ?? THREADS
  const onFault = options.onFault ?? (() => {})
  assert(options.operations === undefined || threads === 0, 'file operations cannot be sent to a thread')
  const directory = resolve(options.directory)
  const { fsync } = options.operations ?? fs
  makeFolderDurable(directory)
  const temporaries = openTemporaries(`${directory}/${TEMPORARIES}`, onFault)
  const temporaryPrefix = temporaries.prefix
  const writers: Writers =
    threads === 0
      ? inlineWriters(openObjectWriter({ directory, temporaryPrefix, onFault, ...(options.operations && { operations: options.operations }) }))
      : threadWriters({ directory, temporaryPrefix, threads, onFault })

  let closing: Promise<void> | undefined
  let underWay = 0
  let idle: (() => void) | undefined

  /** Counts `call` as under way until it resolves. */
  async function tracked<T>(call: Promise<T>): Promise<T> {
    underWay += 1
    try {
      return await call
    } finally {
      underWay -= 1
      if (underWay === 0) idle?.()
    }
  }

  return {
    put(name, bytes) {
      assert(NAME.test(name), `not an object name: ${name}`)
      if (closing !== undefined) return Promise.resolve({ kind: 'not-stored', reason: 'the storage is closed' })
      return writers.put(name, bytes)
    },
    get(name, range) {
      assert(NAME.test(name), `not an object name: ${name}`)
      assert(range === undefined || (range.from >= 0 && range.from <= range.to), 'a range goes forward')
      if (closing !== undefined) return Promise.resolve({ kind: 'failed', reason: 'the storage is closed' })
      return tracked(getObject(`${directory}/${name}`, range, fsync))
    },
    list(prefix, listOptions) {
      assert(PREFIX.test(prefix), `not a prefix: ${prefix}`)
      if (closing !== undefined) return Promise.resolve({ kind: 'failed', reason: 'the storage is closed' })
      return tracked(listObjects(directory, prefix, listOptions?.after))
    },
    delete(name) {
      assert(NAME.test(name), `not an object name: ${name}`)
      if (closing !== undefined) return Promise.resolve({ kind: 'failed', reason: 'the storage is closed' })
      return tracked(deleteObject(`${directory}/${name}`))
    },
    close() {
      closing ??= (async () => {
        await writers.close()
        if (underWay > 0) await new Promise<void>((done) => (idle = done))
        temporaries.close()
      })()
      return closing
    },
  }
}

// Writing

type Writers = {
  put(name: string, bytes: Uint8Array): Promise<PutOutcome>
  /** Resolves when all that was put has its outcome and the threads have ended. */
  close(): Promise<void>
}

function inlineWriters(writer: ObjectWriter): Writers {
  return {
    put(name, bytes) {
      const outcome = writer.put(name, bytes)
      writer.tidy()
      return Promise.resolve(outcome)
    },
    close() {
      writer.close()
      return Promise.resolve()
    },
  }
}

type Thread = { readonly worker: Worker; put: WaitingPut | undefined; readonly ended: Promise<void> }

function threadWriters(options: ThreadData & { readonly threads: number; readonly onFault: OnFault }): Writers {
  const { directory, temporaryPrefix, onFault } = options
  /** The last one to become idle is the first to be used: its directories and its memory are warm. */
  const idle: Thread[] = []
  const all = new Set<Thread>()
  /** Puts under way by top-level folder. */
  const perFolder = new Map<string, number>()
  let waiting: WaitingPut[] = []
  let started = 0
  let quiet: (() => void) | undefined

  function start(): Thread {
    const data: ThreadData = { directory, temporaryPrefix: `${temporaryPrefix}${(started += 1)}-` }
    const worker = new Worker(new URL('./object-writer-thread.ts', import.meta.url), {
      workerData: data,
      // Not the flags of this process: a test runner's do not suit it.
      execArgv: [],
      env: threadEnvironment(),
      // It holds one object at a time, outside the heap.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    })
    const thread: Thread = { worker, put: undefined, ended: new Promise((done) => worker.once('exit', () => done())) }
    all.add(thread)
    worker.on('message', (message: FromThread) => {
      switch (message.kind) {
        case 'outcome':
          return settle(thread, message.outcome)
        case 'fault':
          return onFault(message)
        default:
          unreachable(message)
      }
    })
    worker.on('error', (error) => onFault({ what: 'a thread of cold storage', reason: reasonOf(error) }))
    worker.once('exit', () => {
      all.delete(thread)
      const index = idle.indexOf(thread)
      if (index >= 0) idle.splice(index, 1)
      // It may have come as far as the link.
      if (thread.put !== undefined) settle(thread, { kind: 'unknown', reason: 'the thread of cold storage ended' })
    })
    return thread
  }

  function settle(thread: Thread, outcome: PutOutcome): void {
    const put = thread.put
    assert(put !== undefined, 'an outcome without a put')
    thread.put = undefined
    const folder = topFolder(put.name)
    const left = perFolder.get(folder)! - 1
    if (left === 0) perFolder.delete(folder)
    else perFolder.set(folder, left)
    if (all.has(thread)) idle.push(thread)
    put.resolve(outcome)
    if (waiting.length > 0) {
      const retry = waiting
      waiting = []
      for (const next of retry) if (!canStart() || !dispatch(next)) waiting.push(next)
    }
    if (perFolder.size === 0 && waiting.length === 0) quiet?.()
  }

  function canStart(): boolean {
    return idle.length > 0 || all.size < options.threads
  }

  /** False: it has to wait. */
  function dispatch(put: WaitingPut): boolean {
    const folder = topFolder(put.name)
    const count = perFolder.get(folder) ?? 0
    if (count > 0 && count >= options.threads - 1 && options.threads > 1) return false
    const thread = idle.pop() ?? (all.size < options.threads ? start() : undefined)
    if (thread === undefined) return false
    perFolder.set(folder, count + 1)
    thread.put = put
    // Copied and handed over: the caller keeps its bytes for a retry, and a clone would take along the whole buffer that
    // they may be a small part of.
    const bytes = new Uint8Array(put.bytes)
    const message: ToThread = { kind: 'put', name: put.name, bytes }
    thread.worker.postMessage(message, [bytes.buffer])
    return true
  }

  // One is started ahead: a thread takes some 30 ms to start, which the first put would pay.
  idle.push(start())

  return {
    put: (name, bytes) =>
      new Promise<PutOutcome>((resolve) => {
        const put: WaitingPut = { name, bytes, resolve }
        if (dispatch(put)) return
        if (waiting.length >= WAITING_PUTS) return resolve({ kind: 'not-stored', reason: 'too many puts wait for storage' })
        waiting.push(put)
      }),
    async close() {
      if (perFolder.size > 0 || waiting.length > 0) await new Promise<void>((done) => (quiet = done))
      const message: ToThread = { kind: 'close' }
      await Promise.all(
        [...all].map((thread) => {
          thread.worker.postMessage(message)
          return thread.ended
        }),
      )
    },
  }
}

/**
 * Nothing of this process's environment but its compile cache, where the entry has enabled one: it halves what a thread
 * costs to start (60 -> 30 ms, 30 -> 16 MB), because the thread then need not load the compiler that strips types.
 */
function threadEnvironment(): NodeJS.ProcessEnv {
  const cache = getCompileCacheDir()
  // It names a folder per version inside the one that was asked for.
  return cache === undefined ? {} : { NODE_COMPILE_CACHE: dirname(cache) }
}

function topFolder(name: string): string {
  const slash = name.indexOf('/')
  return slash < 0 ? '' : name.slice(0, slash)
}

// Reading: callbacks of node:fs, as values. The promises of node:fs cost a file handle object each.

type Result<T> = { readonly error: NodeJS.ErrnoException; readonly value?: undefined } | { readonly error?: undefined; readonly value: T }

function call<T>(begin: (done: (error: NodeJS.ErrnoException | null, value: T) => void) => void): Promise<Result<T>> {
  return new Promise((resolve) => begin((error, value) => resolve(error ? { error } : { value })))
}

function failed(error: NodeJS.ErrnoException): { readonly kind: 'failed'; readonly reason: string } {
  return { kind: 'failed', reason: error.message }
}

/** A name below an object (`a/b` where `a` is one) is as missing as any other. */
function isMissing(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ENOENT' || error.code === 'ENOTDIR'
}

type Range = { readonly from: number; readonly to: number } | undefined

async function getObject(path: string, range: Range, fsync: FileOperations['fsync']): Promise<GetOutcome> {
  const opened = await call<number>((done) => fs.open(path, 'r', done))
  if (opened.error) return isMissing(opened.error) ? { kind: 'missing' } : failed(opened.error)
  try {
    return await readObject(opened.value, path, range, fsync)
  } finally {
    fs.close(opened.value, () => {
      // Nothing was written through it.
    })
  }
}

async function readObject(descriptor: number, path: string, range: Range, fsync: FileOperations['fsync']): Promise<GetOutcome> {
  const stats = await call<fs.Stats>((done) => fs.fstat(descriptor, done))
  if (stats.error) return failed(stats.error)
  // The prefix of other objects.
  if (stats.value.isDirectory()) return { kind: 'missing' }
  if (stats.value.nlink > 1) {
    const error = await syncDirectoryOf(path, fsync)
    if (error) return failed(error)
  }
  const size = stats.value.size
  const from = Math.min(range?.from ?? 0, size)
  const to = Math.min(range?.to ?? size, size)
  const bytes = new Uint8Array(to - from)
  for (let offset = 0; offset < bytes.length; ) {
    const read = await call<number>((done) => fs.read(descriptor, bytes, offset, bytes.length - offset, from + offset, done))
    if (read.error) return failed(read.error)
    // Objects do not change: somebody else's hand was here.
    if (read.value === 0) return { kind: 'failed', reason: `${path} is shorter than its size` }
    offset += read.value
  }
  return { kind: 'found', bytes }
}

async function syncDirectoryOf(path: string, fsync: FileOperations['fsync']): Promise<NodeJS.ErrnoException | undefined> {
  const opened = await call<number>((done) => fs.open(dirname(path), 'r', done))
  if (opened.error) return opened.error
  const synced = await call<void>((done) => fsync(opened.value, (error) => done(error)))
  fs.close(opened.value, () => {
    // Nothing was written through it.
  })
  return synced.error
}

async function listObjects(directory: string, prefix: string, after: string | undefined): Promise<ListOutcome> {
  const names: string[] = []
  const folders = [prefix]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const path = `${directory}/${folder}`
    const read = await call<fs.Dirent[]>((done) => fs.readdir(path, { withFileTypes: true }, done))
    if (read.error) {
      if (isMissing(read.error)) continue
      return failed(read.error)
    }
    for (const entry of read.value) {
      const name = folder + entry.name
      if (entry.isDirectory()) {
        const below = `${name}/`
        // All names below are smaller than `after` if their common beginning is, unless `after` is one of them.
        if (after === undefined || below > after || after.startsWith(below)) folders.push(below)
      } else if (after === undefined || name > after) {
        names.push(name)
      }
    }
  }
  // Names are ASCII, so the order of strings is the order of bytes.
  return { kind: 'names', names: names.sort() }
}

async function deleteObject(path: string): Promise<DeleteOutcome> {
  const unlinked = await call<void>((done) => fs.unlink(path, (error) => done(error)))
  if (!unlinked.error || isMissing(unlinked.error)) return { kind: 'deleted' }
  // The prefix of other objects: there is no object of this name.
  if (unlinked.error.code === 'EISDIR' || unlinked.error.code === 'EPERM') {
    const stats = await call<fs.Stats>((done) => fs.lstat(path, done))
    if (stats.value?.isDirectory()) return { kind: 'deleted' }
  }
  return failed(unlinked.error)
}
