/**
 * Where an own Postgres has its files: in the data directory, or outside where its user cannot enter that. Blocks: for starts.
 *
 * As root the server runs as nobody, who cannot pass the data directory (0700, it holds secrets). Outside, a folder
 * has a name that is derived from the data directory's key, so that another data directory of the same path does not
 * find an old one's rows; and beside it a file says whose it is, so that what belongs to nobody any more can go: it is a mirror.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { BARE_ENVIRONMENT, type RunAs } from './postgres-binaries.ts'
import { errorCode } from './system-error.ts'

export type PostgresFolder = { readonly path: string; readonly outside: boolean }

/** For what cannot stay where it is: the first of these that can be made and is ours. */
export function outsideFolder(): string {
  for (const path of ['/var/lib/state-platform-postgres', join(tmpdir(), 'state-platform-postgres')]) {
    try {
      fs.mkdirSync(path, { recursive: true, mode: 0o711 })
      const { uid } = fs.lstatSync(path)
      // In the folder for temporary files anybody can have made it.
      if (uid === process.getuid?.()) return path
    } catch (error) {
      const code = errorCode(error)
      if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EEXIST') throw error
    }
  }
  throw new Error('there is no folder that Postgres could have: neither in /var/lib nor in the one for temporary files')
}

/** A folder for servers of this key, whose user can enter it: below `dataDir`, else below `outside()`. */
export function postgresFolder(options: { readonly dataDir: string; readonly key: Uint8Array; readonly runAs: RunAs; readonly outside: () => string }): PostgresFolder {
  const { runAs } = options
  const dataDir = resolve(options.dataDir)
  const inside = join(dataDir, 'postgres')
  own(inside, runAs)
  if (canUse(inside, runAs)) return { path: inside, outside: false }
  if (fs.readdirSync(inside).length === 0) fs.rmdirSync(inside)
  const name = createHash('sha256').update('state-platform postgres folder').update(options.key).digest('hex').slice(0, 16)
  const path = join(options.outside(), name)
  fs.writeFileSync(`${path}.of`, dataDir)
  own(path, runAs)
  if (!canUse(path, runAs)) throw new Error(`${path} cannot be entered by the user that runs Postgres (${runAs?.uid})`)
  return { path, outside: true }
}

/** Those below `outside` whose data directory is gone, or has another key by now. */
export function abandonedFolders(outside: string, kept: string): string[] {
  return fs
    .readdirSync(outside)
    .filter((name) => name.endsWith('.of'))
    .map((name) => join(outside, name.slice(0, -3)))
    .filter((path) => path !== kept && !fs.existsSync(fs.readFileSync(`${path}.of`, 'utf8')))
}

export function removeFolder(path: string): void {
  fs.rmSync(path, { recursive: true, force: true })
  fs.rmSync(`${path}.of`, { force: true })
}

function own(path: string, runAs: RunAs): void {
  fs.mkdirSync(path, { recursive: true, mode: 0o700 })
  if (runAs !== undefined) fs.chownSync(path, runAs.uid, runAs.gid)
}

/** The kernel's answer: modes, lists of access rights and mounts are too many rules to know. */
function canUse(path: string, runAs: RunAs): boolean {
  return runAs === undefined || spawnSync('/bin/sh', ['-c', 'cd "$0" && test -w .', path], { ...runAs, cwd: '/', env: BARE_ENVIRONMENT, timeout: 10_000 }).status === 0
}
