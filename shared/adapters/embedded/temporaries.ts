/**
 * A folder of temporary files, which objects are written to before they get their names (by hard link).
 *
 * Owns: the leftovers of dead processes. Does not own: temporaries of those that live, in this process or another one.
 */
import * as fs from 'node:fs'
import { randomBytes } from 'node:crypto'
import type { OnFault } from './object-writer.ts'
import { processLives } from './durable-folder.ts'
import { reasonOf } from './system-error.ts'

export type Temporaries = {
  /** How the path of every temporary of this opening begins. */
  readonly prefix: string
  /** What is left behind this prefix is a leftover from now on. */
  close(): void
}

const TEMPORARY = /^(\d+)-([0-9a-f]+)-/

/** Openings of this process that are not closed: their temporaries are no leftovers, although the pid is ours. */
const openings = new Set<string>()

/** Makes the folder and clears it of leftovers. Throws if the folder cannot be made. */
export function openTemporaries(folder: string, onFault: OnFault): Temporaries {
  const opening = randomBytes(6).toString('hex')
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  openings.add(opening)
  removeLeftovers(folder, onFault)
  return { prefix: `${folder}/${process.pid}-${opening}-`, close: () => void openings.delete(opening) }
}

/**
 * Removes temporaries of processes that are gone. One with a second link is kept: it says that the object's name may
 * not be durable. It takes no space of its own, and goes when the object has been deleted.
 */
function removeLeftovers(folder: string, onFault: OnFault): void {
  try {
    for (const entry of fs.readdirSync(folder)) {
      const match = TEMPORARY.exec(entry)
      if (match === null) continue
      const pid = Number(match[1])
      // In a container every process has the same pid again and again: ours does not mean that it is alive.
      const alive = pid === process.pid ? openings.has(match[2]!) : processLives(pid)
      if (alive) continue
      const path = `${folder}/${entry}`
      const stats = fs.lstatSync(path, { throwIfNoEntry: false })
      if (stats !== undefined && stats.nlink === 1) fs.rmSync(path, { force: true })
    }
  } catch (error) {
    onFault({ what: 'remove leftovers', reason: reasonOf(error) })
  }
}
