/** Folders and processes of this machine, as the embedded adapters need them. */
import { mkdirSync, openSync, fsyncSync, closeSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { errorCode } from './system-error.ts'

/** Syncs what `path` lists. Throws what the file system says. */
export function syncFolder(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Makes `path` (0700) and whatever is missing above it; all of it is durable when this returns. For the start of a
 * process: it blocks. Throws what the file system says.
 */
export function makeFolderDurable(path: string): void {
  const absolute = resolve(path)
  // The topmost one that was made; undefined where all was there.
  const made = mkdirSync(absolute, { recursive: true, mode: 0o700 }) ?? absolute
  // One that was there may have been made a moment before the power went: its parent is synced as well.
  for (let folder = absolute; ; folder = dirname(folder)) {
    syncFolder(dirname(folder))
    if (folder === made || folder === dirname(folder)) return
  }
}

/** Whether a process of this id lives; true where it cannot be told. */
export function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}
