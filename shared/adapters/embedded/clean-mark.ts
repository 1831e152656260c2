/**
 * Whether the last life of a data directory was ended in order: then everything that follows a stored patch was done, too.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { syncFolder } from './durable-folder.ts'

const NAME = 'stopped-in-order'

/** True: it was. From now on it was not, until `leaveCleanMark`. Throws what the file system says. */
export function takeCleanMark(dataDir: string): boolean {
  const path = join(dataDir, NAME)
  if (!existsSync(path)) return false
  rmSync(path)
  syncFolder(dataDir)
  return true
}

export function leaveCleanMark(dataDir: string): void {
  writeFileSync(join(dataDir, NAME), '', { mode: 0o600 })
}
