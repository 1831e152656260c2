/**
 * The data directory of one machine: one process at a time, and the secrets that are made at its first start.
 *
 * Purpose: two processes over one DATA_DIR would not break a promise (cold storage is create-only) but fence each other
 * and fight for ports and Postgres: the second one is told so instead.
 * Owns: the lock's sockets, secret files. Does not own: anything else in the folder.
 * Talks to: the kernel.
 *
 * The lock is held by the kernel, not by a file's content: a pid file lies after kill -9, a power cut, and in containers,
 * where every process has the same pid. Two locks are taken, in this order:
 *
 *  1. Linux: an abstract unix socket named by device and inode of the folder, so that two paths to one folder are one
 *     lock. The kernel drops it with the process, and binding is atomic. It is seen within one network namespace only.
 *  2. A unix socket file `lock` in the folder, seen by every container on this machine that shares the volume. One that a
 *     dead process left refuses connections and is replaced.
 *
 * Not covered: two machines on one network file system; containers whose volume cannot hold sockets (some of Docker
 * Desktop's; the first lock alone holds then); two containers that start within the same few milliseconds over the
 * leftover of a killed one (both may find it dead, and one then replaces the other's socket). Outside Linux there is only
 * the second lock, with the same race between any two processes.
 *
 * Invariants:
 *  I1  Where both see the same abstract names, at most one process has `locked` at a time.
 *  I2  Nothing needs cleaning by hand, however the holder ended.
 *  I3  `secret` gives every caller the same bytes for ever, and they are durable when it returns.
 */
import * as fs from 'node:fs'
import { createHash, randomBytes } from 'node:crypto'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { assert } from '#shared/assert.ts'
import { makeFolderDurable, syncFolder } from './durable-folder.ts'
import { errorCode } from './system-error.ts'

export type DataDirectoryLock =
  | {
      readonly kind: 'locked'
      /** Ends the lock; the process's end does as well. */
      release(): Promise<void>
    }
  /** `by`: who holds it, for the operator, if it answered. */
  | { readonly kind: 'taken'; readonly by?: string }

/** A holder that is stopped (SIGSTOP) accepts connections and says nothing. */
const ANSWER_MS = 500
/** sockaddr_un has 104 bytes on macOS, 108 on Linux. */
const SOCKET_PATH_BYTES = 100

/** Makes the folder (0700). Rejects if that fails, or if the lock fails for another reason than being taken. */
export async function lockDataDirectory(path: string): Promise<DataDirectoryLock> {
  const folder = resolve(path)
  makeFolderDurable(folder)
  const { dev, ino } = fs.statSync(folder, { bigint: true })
  const key = createHash('sha256').update(`state-platform data directory ${dev} ${ino}`).digest('hex').slice(0, 32)

  let abstract: Server | undefined
  if (process.platform === 'linux') {
    const address = `\0state-platform-${key}`
    abstract = await listen(address)
    if (abstract === undefined) return taken(await ask(address))
  }

  // On Linux the folder's descriptor makes a short path of any path.
  const descriptor = process.platform === 'linux' ? fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY) : undefined
  const inFolder = join(folder, 'lock')
  let address = descriptor === undefined ? inFolder : `/proc/self/fd/${descriptor}/lock`
  if (Buffer.byteLength(address) > SOCKET_PATH_BYTES) address = join(tmpdir(), `state-platform-${key}.lock`)
  let file: Server | undefined
  const release = async (): Promise<void> => {
    // Closing a server removes its socket file.
    await closed(file)
    await closed(abstract)
    if (descriptor !== undefined) fs.closeSync(descriptor)
  }

  try {
    file = await listen(address)
    if (file === undefined) {
      const holder = await ask(address)
      if (holder.kind === 'lives') {
        await release()
        return taken(holder)
      }
      fs.rmSync(address, { force: true })
      file = await listen(address)
      if (file === undefined) {
        await release()
        return { kind: 'taken' }
      }
    }
  } catch (error) {
    // A file system without sockets: the abstract one has to do.
    if (abstract === undefined) throw error
  }
  let released: Promise<void> | undefined
  return { kind: 'locked', release: () => (released ??= release()) }
}

type Holder = { readonly kind: 'gone' } | { readonly kind: 'lives'; readonly by: string | undefined }

function taken(holder: Holder): DataDirectoryLock {
  return holder.kind === 'lives' && holder.by !== undefined ? { kind: 'taken', by: holder.by } : { kind: 'taken' }
}

/** Undefined: the address is in use. */
function listen(address: string): Promise<Server | undefined> {
  return new Promise((done, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.end(`process ${process.pid}`)
    })
    // Stays: a connection that could not be accepted is no reason to stop.
    server.on('error', (error) => {
      if (errorCode(error) === 'EADDRINUSE') done(undefined)
      else reject(error)
    })
    // The lock is no reason for a process to stay.
    server.unref()
    server.listen(address, () => done(server))
  })
}

/** Who holds the address. Anything but a refusal counts as alive: in doubt nobody is pushed aside. */
function ask(address: string): Promise<Holder> {
  return new Promise((done) => {
    const socket = connect(address)
    let text = ''
    const answer = (): void => {
      clearTimeout(deadline)
      socket.destroy()
      done({ kind: 'lives', by: text === '' ? undefined : text.slice(0, 100) })
    }
    const deadline = setTimeout(answer, ANSWER_MS)
    socket.setEncoding('latin1')
    socket.on('data', (part: string) => {
      text += part
      if (text.length > 100) answer()
    })
    socket.once('end', answer)
    socket.once('error', (error) => {
      const code = errorCode(error)
      if (code !== 'ECONNREFUSED' && code !== 'ENOENT') return answer()
      clearTimeout(deadline)
      done({ kind: 'gone' })
    })
  })
}

function closed(server: Server | undefined): Promise<void> {
  return new Promise((done) => {
    if (server === undefined) done()
    else server.close(() => done())
  })
}

const SECRET_NAME = /^[0-9a-z][0-9a-z.-]*$/

/**
 * The random secret `name` of `bytes` bytes in the folder `path`: made at the first call, by whoever comes first, the
 * same ever after. Throws what the file system says, and if the file has another length: it is never replaced.
 */
export function secret(path: string, name: string, bytes: number): Uint8Array {
  assert(SECRET_NAME.test(name), `not a secret's name: ${name}`)
  assert(bytes >= 16, 'a secret has 16 bytes or more')
  const file = join(resolve(path), name)
  if (!fs.existsSync(file)) createSecret(file, bytes)
  // Whoever made it, and maybe just now: it is used only when it is durable.
  syncFolder(resolve(path))
  const found = fs.readFileSync(file)
  if (found.length !== bytes) throw new Error(`${file} has ${found.length} bytes instead of ${bytes}: restore it, or remove it to have a new one`)
  return new Uint8Array(found)
}

/** A file that is whole before it has its name, so that a reader never meets a part of it. */
function createSecret(file: string, bytes: number): void {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  const descriptor = fs.openSync(temporary, 'wx', 0o600)
  try {
    fs.writeFileSync(descriptor, randomBytes(bytes))
    fs.fsyncSync(descriptor)
    fs.linkSync(temporary, file)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    fs.closeSync(descriptor)
    fs.rmSync(temporary, { force: true })
  }
}
