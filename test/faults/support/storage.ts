/** Cold storage of a data directory as files, for whoever breaks some or counts them. */
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export class StorageFiles {
  readonly #folder: string

  constructor(dataDir: string) {
    this.#folder = join(dataDir, 'cold-storage')
  }

  path(name: string): string {
    return join(this.#folder, name)
  }

  /** Names of objects directly below `prefix`, in order. */
  names(prefix: string): string[] {
    const path = this.path(prefix)
    if (!existsSync(path)) return []
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => prefix + entry.name)
      .sort()
  }

  folders(prefix: string): string[] {
    const path = this.path(prefix)
    if (!existsSync(path)) return []
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${prefix}${entry.name}/`)
      .sort()
  }

  read(name: string): Buffer {
    return readFileSync(this.path(name))
  }

  /** Turns one bit round; `undo` turns it back. */
  flip(name: string, at: number): { undo(): void } {
    const turn = (): void => {
      const bytes = this.read(name)
      if (at < 0 || at >= bytes.length) throw new Error(`${name} has ${bytes.length} bytes, not ${at}`)
      bytes[at]! ^= 1
      writeFileSync(this.path(name), bytes)
    }
    turn()
    return { undo: turn }
  }

  truncate(name: string, length: number): { undo(): void } {
    const bytes = this.read(name)
    if (length >= bytes.length) throw new Error(`${name} has ${bytes.length} bytes only`)
    truncateSync(this.path(name), length)
    return { undo: () => writeFileSync(this.path(name), bytes) }
  }
}
