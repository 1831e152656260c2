/**
 * Documents of the Firestore emulator.
 *
 * Owns: one SQLite file, who listens to commits. Does not own: what a document's fields mean. Talks to: the file system.
 *
 * Invariants:
 *  I1  A commit is judged and written in one turn, whole or not at all, and durable before it is told of.
 *  I2  Times of updates go up for ever, one for each commit.
 */
import { deserialize, serialize } from 'node:v8'
import { DatabaseSync } from 'node:sqlite'
import { RpcError } from '../grpc-status.ts'
import { status as codes } from '@grpc/grpc-js'
import type { Fields } from '../grpc-server.ts'

/** Times in microseconds since 1970, which is as fine as Firestore has them. */
export type StoredDocument = { readonly name: string; readonly fields: Fields; readonly createdUs: number; readonly updatedUs: number }

export type Precondition = { readonly exists: boolean } | { readonly updatedUs: number } | undefined

/** `fields`: from the present document (if there is one) and the time of the commit; undefined: delete it. */
export type DocumentWrite = { readonly name: string; readonly precondition: Precondition; readonly fields: ((current: Fields | undefined, nowUs: number) => Fields) | undefined }

/** `document` undefined: it is gone. */
export type DocumentChange = { readonly name: string; readonly document: StoredDocument | undefined; readonly atUs: number }

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, parent TEXT NOT NULL, fields BLOB NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS documents_parent ON documents (parent, name);
`

export class FirestoreStore {
  readonly #db: DatabaseSync
  readonly #now: () => number
  readonly #listeners = new Set<(changes: readonly DocumentChange[]) => void>()
  #lastUs: number

  /** `path`: a file, or `:memory:`. Throws what SQLite says. */
  constructor(path: string, now: () => number) {
    this.#now = now
    this.#db = new DatabaseSync(path)
    this.#db.exec(SCHEMA)
    this.#lastUs = Number(this.#db.prepare('SELECT coalesce(max(updated), 0) AS last FROM documents').get()!['last'])
  }

  get(name: string): StoredDocument | undefined {
    const row = this.#db.prepare('SELECT * FROM documents WHERE name = ?').get(name)
    return row === undefined ? undefined : documentOf(row)
  }

  /** Of one collection, in the order of the names. */
  list(collection: string): StoredDocument[] {
    return this.#db.prepare('SELECT * FROM documents WHERE parent = ? ORDER BY name').all(collection).map(documentOf)
  }

  nowUs(): number {
    return Math.max(this.#now() * 1000, this.#lastUs)
  }

  /** Throws `RpcError`, and then nothing was written. */
  commit(writes: readonly DocumentWrite[]): { readonly atUs: number } {
    const atUs = Math.max(this.#now() * 1000, this.#lastUs + 1)
    const changes: DocumentChange[] = []
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      for (const write of writes) changes.push(this.#write(write, atUs))
      this.#db.exec('COMMIT')
    } catch (error) {
      this.#db.exec('ROLLBACK')
      throw error
    }
    this.#lastUs = atUs
    for (const listener of this.#listeners) listener(changes)
    return { atUs }
  }

  #write({ name, precondition, fields }: DocumentWrite, atUs: number): DocumentChange {
    const current = this.get(name)
    judge(name, precondition, current)
    if (fields === undefined) {
      this.#db.prepare('DELETE FROM documents WHERE name = ?').run(name)
      return { name, document: undefined, atUs }
    }
    const document: StoredDocument = { name, fields: fields(current?.fields, atUs), createdUs: current?.createdUs ?? atUs, updatedUs: atUs }
    this.#db.prepare('INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)').run(name, name.slice(0, name.lastIndexOf('/')), serialize(document.fields), document.createdUs, atUs)
    return { name, document, atUs }
  }

  listen(listener: (changes: readonly DocumentChange[]) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): void {
    this.#listeners.clear()
    this.#db.close()
  }
}

function judge(name: string, precondition: Precondition, current: StoredDocument | undefined): void {
  if (precondition === undefined) return
  if ('exists' in precondition) {
    if (precondition.exists && current === undefined) throw new RpcError(codes.NOT_FOUND, `No document to update: ${name}`)
    if (!precondition.exists && current !== undefined) throw new RpcError(codes.ALREADY_EXISTS, `Document already exists: ${name}`)
    return
  }
  if (current?.updatedUs !== precondition.updatedUs) throw new RpcError(codes.FAILED_PRECONDITION, `the stored version of ${name} does not match the required base version`)
}

function documentOf(row: Record<string, unknown>): StoredDocument {
  return { name: String(row['name']), fields: deserialize(row['fields'] as Uint8Array) as Fields, createdUs: Number(row['created']), updatedUs: Number(row['updated']) }
}
