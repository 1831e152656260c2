import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { LIMIT_BYTES, ORIGINS, open } from './emulated-uploads-module.ts'
import { turns } from './eventually.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'
import { uploadsContract } from './uploads-contract.ts'

/** Content that no object has. */
async function leftovers(place: string): Promise<string[]> {
  const db = new DatabaseSync(join(place, 'storage.sqlite'))
  const named = new Set(db.prepare('SELECT content FROM objects').all().map((row) => String(row['content'])))
  db.close()
  return (await fs.readdir(join(place, 'content'))).filter((file) => !named.has(file))
}

async function begun(place: string, bytes: number): Promise<void> {
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    for (const file of await leftovers(place)) if ((await fs.stat(join(place, 'content', file))).size >= bytes) return
    await turns(1)
  }
  throw new Error('the upload did not begin')
}

uploadsContract('Cloud Storage, emulated', {
  place: makeTemporaryFolder,
  remove: removeTemporaryFolder,
  open,
  limitBytes: LIMIT_BYTES,
  origins: ORIGINS,
  process: { module: new URL('./emulated-uploads-module.ts', import.meta.url), begun, leftovers },
})
