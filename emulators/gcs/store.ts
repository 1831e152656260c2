/**
 * What the Cloud Storage emulator keeps: buckets, metadata of objects, and their content.
 *
 * Owns: one SQLite file with the metadata, one file of content for each generation of an object.
 * Does not own: HTTP; preconditions are handed in as a function and judged here, in one turn with the write.
 * Talks to: the file system.
 *
 * Invariants:
 *  I1  A row names only content that was written and synced before; a row that was answered for outlives a crash.
 *  I2  Between the judgement of a precondition and the write nothing else is done: of many racers one wins.
 *  I3  Content is never changed. What no row names (cut uploads, replaced and deleted objects) is removed, at the next start at the latest.
 */
import { createHash, randomUUID } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { crc32c } from '@node-rs/crc32'

export type Bucket = { readonly name: string; readonly created: number; readonly metageneration: number; readonly fields: Readonly<Record<string, unknown>> }

export type ObjectRow = {
  readonly bucket: string
  readonly name: string
  readonly generation: number
  readonly metageneration: number
  readonly bytes: number
  readonly crc32c: string
  readonly md5: string
  /** ms since 1970, UTC. */
  readonly created: number
  /** contentType and whatever else the client may set. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Name of the file with the content. */
  readonly content: string
}

export type NewObject = Pick<ObjectRow, 'bucket' | 'name' | 'bytes' | 'crc32c' | 'md5' | 'fields' | 'content'>

/** Throws to refuse; `current`: the object that has the name now. */
export type Judge = (current: ObjectRow | undefined) => void

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created INTEGER NOT NULL, metageneration INTEGER NOT NULL, fields TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL, bytes INTEGER NOT NULL, crc32c TEXT NOT NULL,
    md5 TEXT NOT NULL, created INTEGER NOT NULL, fields TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (bucket, name)
  ) WITHOUT ROWID;
`

export class GcsStore {
  readonly #folder: string
  readonly #db: DatabaseSync
  readonly #now: () => number
  #lastGeneration: number

  /** Throws what the file system says. */
  constructor(folder: string, now: () => number) {
    this.#folder = join(folder, 'content')
    this.#now = now
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    this.#db = new DatabaseSync(join(folder, 'storage.sqlite'))
    this.#db.exec(SCHEMA)
    this.#lastGeneration = Number(this.#db.prepare('SELECT coalesce(max(generation), 0) AS last FROM objects').get()!['last'])
    this.#removeOrphans()
  }

  #removeOrphans(): void {
    const named = new Set(this.#db.prepare('SELECT content FROM objects').all().map((row) => String(row['content'])))
    for (const file of readdirSync(this.#folder)) if (!named.has(file)) rmSync(join(this.#folder, file), { force: true })
  }

  bucket(name: string): Bucket | undefined {
    const row = this.#db.prepare('SELECT * FROM buckets WHERE name = ?').get(name)
    if (row === undefined) return undefined
    return { name, created: Number(row['created']), metageneration: Number(row['metageneration']), fields: JSON.parse(String(row['fields'])) as Record<string, unknown> }
  }

  buckets(): Bucket[] {
    return this.#db.prepare('SELECT name FROM buckets ORDER BY name').all().map((row) => this.bucket(String(row['name']))!)
  }

  putBucket(name: string, fields: Readonly<Record<string, unknown>>): Bucket {
    const present = this.bucket(name)
    const [created, metageneration] = [present?.created ?? this.#now(), (present?.metageneration ?? 0) + 1]
    this.#db.prepare('INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?)').run(name, created, metageneration, JSON.stringify(fields))
    return { name, created, metageneration, fields }
  }

  object(bucket: string, name: string): ObjectRow | undefined {
    const row = this.#db.prepare('SELECT * FROM objects WHERE bucket = ? AND name = ?').get(bucket, name)
    return row === undefined ? undefined : rowOf(row)
  }

  /** In ascending byte order of the names, from `from` (inclusive), below `prefix`. */
  list(bucket: string, { prefix, from, most }: { readonly prefix: string; readonly from: string; readonly most: number }): ObjectRow[] {
    const start = from > prefix ? from : prefix
    const rows = this.#db.prepare('SELECT * FROM objects WHERE bucket = ? AND name >= ? AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?').all(bucket, start, prefix, prefix, most)
    return rows.map(rowOf)
  }

  put(object: NewObject, judge: Judge): ObjectRow {
    const current = this.object(object.bucket, object.name)
    try {
      judge(current)
    } catch (error) {
      this.#discard(object.content)
      throw error
    }
    // Microseconds, as Cloud Storage has them, and never twice.
    const generation = Math.max(this.#now() * 1000, this.#lastGeneration + 1)
    this.#lastGeneration = generation
    const row: ObjectRow = { ...object, generation, metageneration: 1, created: this.#now() }
    this.#db
      .prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(row.bucket, row.name, generation, 1, row.bytes, row.crc32c, row.md5, row.created, JSON.stringify(row.fields), row.content)
    if (current !== undefined) this.#discard(current.content)
    return row
  }

  delete(bucket: string, name: string, judge: Judge): void {
    const current = this.object(bucket, name)
    judge(current)
    if (current === undefined) return
    this.#db.prepare('DELETE FROM objects WHERE bucket = ? AND name = ?').run(bucket, name)
    this.#discard(current.content)
  }

  /** A file for content to come. */
  async begin(): Promise<Incoming> {
    const file = randomUUID()
    return new Incoming(file, await open(join(this.#folder, file), 'wx', 0o600), this.#folder)
  }

  read(row: ObjectRow): Promise<FileHandle> {
    return open(join(this.#folder, row.content), 'r')
  }

  /** Content that no row names, or is to name no longer. Whoever has it open reads on. */
  #discard(content: string): void {
    rmSync(join(this.#folder, content), { force: true })
  }

  close(): void {
    this.#db.close()
  }
}

/** Content on its way to a file, with its checksums. Ends with `finish` or `discard`. */
export class Incoming {
  readonly content: string
  readonly #handle: FileHandle
  readonly #folder: string
  readonly #md5 = createHash('md5')
  #crc = 0
  bytes = 0

  constructor(content: string, handle: FileHandle, folder: string) {
    this.content = content
    this.#handle = handle
    this.#folder = folder
  }

  async write(part: Uint8Array): Promise<void> {
    if (part.length === 0) return
    this.#md5.update(part)
    this.#crc = crc32c(part as Buffer, this.#crc)
    this.bytes += part.length
    await this.#handle.writeFile(part)
  }

  /** Durable, folder included. */
  async finish(): Promise<{ readonly content: string; readonly bytes: number; readonly crc32c: string; readonly md5: string }> {
    await this.#handle.datasync()
    await this.#handle.close()
    const folder = openSync(this.#folder, 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(this.#crc >>> 0)
    return { content: this.content, bytes: this.bytes, crc32c: crc.toString('base64'), md5: this.#md5.digest('base64') }
  }

  async discard(): Promise<void> {
    await this.#handle.close()
    await rm(join(this.#folder, this.content), { force: true })
  }
}

function rowOf(row: Record<string, unknown>): ObjectRow {
  return {
    bucket: String(row['bucket']),
    name: String(row['name']),
    generation: Number(row['generation']),
    metageneration: Number(row['metageneration']),
    bytes: Number(row['bytes']),
    crc32c: String(row['crc32c']),
    md5: String(row['md5']),
    created: Number(row['created']),
    fields: JSON.parse(String(row['fields'])) as Record<string, unknown>,
    content: String(row['content']),
  }
}
