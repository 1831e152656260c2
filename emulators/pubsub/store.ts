/**
 * What the Pub/Sub emulator keeps on disk: topics, subscriptions, and messages as long as a subscription waits for them.
 *
 * Owns: one SQLite file. Does not own: leases and attempts, which a restart forgets, as the real service may.
 * A write is with the operating system when its method returns: it outlives `kill -9`, not the power.
 *
 * Invariants:
 *  I1  A message is there exactly as long as some subscription has it in its backlog.
 *  I2  `seq` goes up for ever, also after the newest messages were removed.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'

export type StoredMessage = {
  readonly seq: number
  readonly data: Uint8Array
  readonly attributes: Readonly<Record<string, string>>
  readonly orderingKey: string
  /** ms since 1970, UTC. */
  readonly publishedMs: number
}

/** `for`: the subscriptions that shall have it. */
export type NewMessage = Omit<StoredMessage, 'seq'> & { readonly for: readonly string[] }

export type BacklogRow = { readonly seq: number; readonly orderingKey: string; readonly bytes: number; readonly publishedMs: number }

export interface PubsubStore {
  resources(kind: 'topic' | 'subscription'): { readonly name: string; readonly json: string }[]
  putResource(kind: 'topic' | 'subscription', name: string, json: string): void
  deleteResource(kind: 'topic' | 'subscription', name: string): void
  /** Their numbers, in order. All or none. */
  add(messages: readonly NewMessage[]): number[]
  backlog(subscription: string): BacklogRow[]
  message(seq: number): StoredMessage | undefined
  remove(subscription: string, seqs: readonly number[]): void
  close(): void
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = OFF;
  CREATE TABLE IF NOT EXISTS resources (kind TEXT NOT NULL, name TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL, attributes TEXT NOT NULL, ordering_key TEXT NOT NULL, bytes INTEGER NOT NULL, published_ms INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS backlog (subscription TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (subscription, seq)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS backlog_seq ON backlog (seq);
`

/** `path`: the file, or `:memory:`. Throws what SQLite says. */
export function openStore(path: string): PubsubStore {
  const db = new DatabaseSync(path)
  db.exec(SCHEMA)
  const sql = {
    resources: db.prepare('SELECT name, json FROM resources WHERE kind = ? ORDER BY name'),
    putResource: db.prepare('INSERT OR REPLACE INTO resources (kind, name, json) VALUES (?, ?, ?)'),
    deleteResource: db.prepare('DELETE FROM resources WHERE kind = ? AND name = ?'),
    addMessage: db.prepare('INSERT INTO messages (data, attributes, ordering_key, bytes, published_ms) VALUES (?, ?, ?, ?, ?)'),
    addBacklog: db.prepare('INSERT INTO backlog (subscription, seq) VALUES (?, ?)'),
    backlog: db.prepare('SELECT m.seq, m.ordering_key, m.bytes, m.published_ms FROM backlog AS b JOIN messages AS m ON m.seq = b.seq WHERE b.subscription = ? ORDER BY m.seq'),
    message: db.prepare('SELECT * FROM messages WHERE seq = ?'),
    removeBacklog: db.prepare('DELETE FROM backlog WHERE subscription = ? AND seq = ?'),
    removeMessage: db.prepare('DELETE FROM messages WHERE seq = ? AND NOT EXISTS (SELECT 1 FROM backlog WHERE seq = ?)'),
  }
  const allOrNothing = <T>(work: () => T): T => {
    db.exec('BEGIN IMMEDIATE')
    try {
      const made = work()
      db.exec('COMMIT')
      return made
    } catch (error) {
      db.exec('ROLLBACK')
      throw error
    }
  }
  const remove = (subscription: string, seqs: readonly number[]): void => {
    for (const seq of seqs) {
      sql.removeBacklog.run(subscription, seq)
      sql.removeMessage.run(seq, seq)
    }
  }
  return {
    resources: (kind) => sql.resources.all(kind) as { name: string; json: string }[],
    putResource: (kind, name, json) => void sql.putResource.run(kind, name, json),
    deleteResource: (kind, name) =>
      allOrNothing(() => {
        if (kind === 'subscription') remove(name, (sql.backlog.all(name) as { seq: number }[]).map(({ seq }) => seq))
        sql.deleteResource.run(kind, name)
      }),
    add: (messages) => allOrNothing(() => messages.map((message) => addOne(sql, message))),
    backlog: (subscription) =>
      sql.backlog.all(subscription).map((row) => ({ seq: Number(row['seq']), orderingKey: String(row['ordering_key']), bytes: Number(row['bytes']), publishedMs: Number(row['published_ms']) })),
    message(seq) {
      const row = sql.message.get(seq)
      if (row === undefined) return undefined
      const attributes = JSON.parse(String(row['attributes'])) as Record<string, string>
      return { seq, data: row['data'] as Uint8Array, attributes, orderingKey: String(row['ordering_key']), publishedMs: Number(row['published_ms']) }
    },
    remove: (subscription, seqs) => {
      if (seqs.length > 0) allOrNothing(() => remove(subscription, seqs))
    },
    close: () => db.close(),
  }
}

type AddStatements = { readonly addMessage: StatementSync; readonly addBacklog: StatementSync; readonly removeMessage: StatementSync }

function addOne(sql: AddStatements, message: NewMessage): number {
  const attributes = JSON.stringify(message.attributes)
  const bytes = message.data.byteLength + attributes.length
  const seq = Number(sql.addMessage.run(message.data, attributes, message.orderingKey, bytes, message.publishedMs).lastInsertRowid)
  for (const subscription of message.for) sql.addBacklog.run(subscription, seq)
  // It has had its number, which is all that a message without subscriptions needs.
  if (message.for.length === 0) sql.removeMessage.run(seq, seq)
  return seq
}
