/**
 * A small disk of its own that can be full or read-only: a tmpfs, mounted by root.
 *
 * Read-only is a read-only bind mount over the same path: the kernel does not remount a file system read-only under a
 * process that has files open for writing, and sees this one by the same path as one that does not take writes (EROFS).
 * I1. `remove` undoes all, whatever state it is in, and so does the end of this process (last-will.ts).
 */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { LastWill } from './last-will.ts'
import { temporaryFolder } from './temporary.ts'

const disks = new Set<SmallDisk>()

export function removeDisks(): void {
  for (const disk of disks) disk.remove()
}

function mount(...args: string[]): void {
  execFileSync('mount', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Why there can be no disk here; undefined: there can. */
export function whyNoDisk(): string | undefined {
  if (process.platform !== 'linux') return `no tmpfs on ${process.platform}`
  if (process.getuid?.() !== 0) return 'only root can mount'
  try {
    new SmallDisk(1).remove()
    return undefined
  } catch (error) {
    return `mount: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`
  }
}

export class SmallDisk {
  readonly #path: string
  #mounts = 0
  readonly #will: LastWill

  constructor(megabytes: number) {
    this.#path = join(temporaryFolder(), 'disk')
    mkdirSync(this.#path)
    mount('-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', this.#path)
    this.#mounts = 1
    // The tmpfs, and the read-only one that may lie over it.
    this.#will = new LastWill('umount -l "$1"; umount -l "$1"', this.#path)
    disks.add(this)
  }

  /** A folder on it. */
  get dataDir(): string {
    return join(this.#path, 'data')
  }

  /** Takes every byte that is left, to the last page. */
  fill(): void {
    const descriptor = openSync(join(this.#path, 'ballast'), 'a')
    try {
      for (let size = 1024 * 1024; size >= 1; ) {
        try {
          writeSync(descriptor, Buffer.alloc(size, 1))
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          size = Math.floor(size / 2)
        }
      }
    } finally {
      closeSync(descriptor)
    }
  }

  free(): void {
    rmSync(join(this.#path, 'ballast'))
  }

  readOnly(): void {
    mount('--bind', this.#path, this.#path)
    this.#mounts += 1
    mount('-o', 'remount,bind,ro', this.#path)
  }

  writable(): void {
    this.#unmount()
  }

  remove(): void {
    while (this.#mounts > 0) this.#unmount()
    this.#will.revoke()
    disks.delete(this)
  }

  /** Lazily: whoever has a file open on it keeps it a little longer, and nobody finds it by its path. */
  #unmount(): void {
    execFileSync('umount', ['-l', this.#path])
    this.#mounts -= 1
  }
}
