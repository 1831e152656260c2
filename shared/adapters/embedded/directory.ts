/**
 * Directory of the state processes of one machine: the embedded adapter of `shared/ports/directory.ts`.
 *
 * A folder with one file per member's name, each replaced as a whole (temporary, rename) by its own process. No lock is
 * needed for that, so none can be left behind by kill -9: a reader sees the record before or the record after. Rejected:
 * one file for all, which every heartbeat of every process would have to rewrite under a lock.
 *
 * Owns: the records that this process announced, temporaries of theirs.
 * Does not own: judging heartbeats; records of the dead stay until their name comes back.
 * Talks to: the file system. Nothing is synced: after a power cut a record may be missing or broken, and is announced again.
 *
 * Invariants:
 *  I1  A record that does not parse counts as absent, and is reported once per content.
 *  I2  Of one name, announcements reach the disk in the order of the calls; at most one waits, a newer one replaces it
 *      and answers for it. So a disk that hangs piles up nothing.
 *  I3  `leave` never ends with a newer incarnation's record removed.
 *  I4  An error of the disk is an outcome or a fault, never a rejection.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFile as readFileThen, rmSync, watch as watchFolder, type FSWatcher } from 'node:fs'
import { link, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assert } from '#shared/assert.ts'
import type { Incarnation } from '#shared/ids.ts'
import type { Directory, DirectoryOutcome, Member } from '#shared/ports/directory.ts'
import { processLives } from './durable-folder.ts'
import type { OnFault } from './object-writer.ts'
import { errorCode, reasonOf } from './system-error.ts'

export type DirectoryOptions = {
  readonly folder: string
  /** How often all is read again in case the system's notices of changes get lost, or there are none. */
  readonly pollMs?: number
  readonly onFault?: OnFault
}

/** A third of the time of what `node:fs/promises` calls so, and every process reads every heartbeat. */
const readFile = promisify(readFileThen)

const VERSION = 1
const NAME = /^[0-9a-zA-Z][0-9a-zA-Z._-]{0,99}$/
const RECORD = /^([0-9a-zA-Z][0-9a-zA-Z._-]{0,99})\.json$/
const TEMPORARY = /^\.tmp-(\d+)-([0-9a-f]+)-/
/** Larger than any record: what is larger was not written by us. */
const RECORD_CHARACTERS = 4_096

/** Openings of this process that are not closed: their temporaries are no leftovers. */
const openings = new Set<string>()

type Announcement = { member: Member; readonly waiters: ((outcome: DirectoryOutcome) => void)[] }

/** An unwritable folder is no error here: `announce` reports it. */
export function openDirectory(options: DirectoryOptions): Promise<Directory> {
  const { folder, pollMs = 2_000 } = options
  const onFault = options.onFault ?? (() => {})
  const opening = randomBytes(6).toString('hex')
  openings.add(opening)
  let temporaries = 0
  const temporary = (): string => join(folder, `.tmp-${process.pid}-${opening}-${(temporaries += 1)}`)
  /** By name, while a record is being written: what is to be written next, and the end of all of it. */
  const writing = new Map<string, { next: Announcement | undefined; readonly done: Promise<void> }>()
  const reported = new Map<string, string>()
  const watcher = openWatcher({ folder, pollMs, onFault, readAll: readMembers, readOne: readMember })
  let closed = false
  prepareFolder(folder, onFault)

  async function write(member: Member): Promise<DirectoryOutcome> {
    const path = temporary()
    try {
      await writeFile(path, JSON.stringify({ version: VERSION, ...member }), { mode: 0o600, flag: 'wx' })
      await rename(path, join(folder, `${member.name}.json`))
      return { kind: 'done' }
    } catch (error) {
      await rm(path, { force: true }).catch(() => {
        // A leftover of ours is removed at the next start.
      })
      // Removed by hand: the next heartbeat finds it there again.
      if (errorCode(error) === 'ENOENT') prepareFolder(folder, onFault)
      return { kind: 'failed', reason: reasonOf(error) }
    }
  }

  function announce(member: Member): Promise<DirectoryOutcome> {
    assert(NAME.test(member.name), `not a member's name: ${member.name}`)
    if (closed) return Promise.resolve({ kind: 'failed', reason: 'the directory is closed' })
    return new Promise((resolve) => {
      const busy = writing.get(member.name)
      if (busy === undefined) {
        const entry = { next: undefined as Announcement | undefined, done: Promise.resolve() }
        writing.set(member.name, entry)
        entry.done = writeAll(member.name, entry, { member, waiters: [resolve] })
      } else if (busy.next === undefined) {
        busy.next = { member, waiters: [resolve] }
      } else {
        busy.next.member = member
        busy.next.waiters.push(resolve)
      }
    })
  }

  async function writeAll(name: string, entry: { next: Announcement | undefined }, first: Announcement): Promise<void> {
    for (let announcement: Announcement | undefined = first; announcement !== undefined; ) {
      const outcome = await write(announcement.member)
      for (const waiter of announcement.waiters) waiter(outcome)
      announcement = entry.next
      entry.next = undefined
    }
    writing.delete(name)
  }

  async function leave(name: string, incarnation: Incarnation): Promise<DirectoryOutcome> {
    assert(NAME.test(name), `not a member's name: ${name}`)
    await writing.get(name)?.done
    const path = join(folder, `${name}.json`)
    const away = temporary()
    try {
      if ((await readMember(name))?.incarnation !== incarnation) return { kind: 'done' }
      // Another process may have replaced it since: so it is taken away under a name of our own, looked at again, and put
      // back if it is not ours and no newer one has come.
      await rename(path, away)
      const removed = parseMember(await readFile(away, 'utf8'), name)
      if (removed !== undefined && removed.incarnation !== incarnation) {
        await link(away, path).catch((error: unknown) => {
          if (errorCode(error) !== 'EEXIST') throw error
        })
      }
      await rm(away, { force: true })
      return { kind: 'done' }
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return { kind: 'done' }
      return { kind: 'failed', reason: reasonOf(error) }
    }
  }

  /** Undefined: absent, or not a record. */
  async function readMember(name: string): Promise<Member | undefined> {
    let text: string
    try {
      text = await readFile(join(folder, `${name}.json`), 'utf8')
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
    const member = parseMember(text, name)
    if (member !== undefined) {
      reported.delete(name)
    } else if (reported.get(name) !== text.slice(0, RECORD_CHARACTERS)) {
      reported.set(name, text.slice(0, RECORD_CHARACTERS))
      onFault({ what: 'read a member', reason: `${name}.json is no member's record` })
    }
    return member
  }

  async function readMembers(): Promise<Member[]> {
    const members: Member[] = []
    for (const entry of (await readdir(folder)).sort()) {
      const name = RECORD.exec(entry)?.[1]
      if (name === undefined) continue
      const member = await readMember(name)
      if (member !== undefined) members.push(member)
    }
    return members
  }

  return Promise.resolve({
    announce,
    leave,
    async members() {
      try {
        return { kind: 'members', members: await readMembers() }
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return { kind: 'members', members: [] }
        return { kind: 'failed', reason: reasonOf(error) }
      }
    },
    watch: (onChange) => watcher.add(onChange),
    async close() {
      closed = true
      await watcher.close()
      await Promise.all([...writing.values()].map((entry) => entry.done))
      openings.delete(opening)
    },
  })
}

function prepareFolder(folder: string, onFault: OnFault): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (const entry of readdirSync(folder)) {
      const match = TEMPORARY.exec(entry)
      if (match === null) continue
      const pid = Number(match[1])
      const alive = pid === process.pid ? openings.has(match[2]!) : processLives(pid)
      if (!alive) rmSync(join(folder, entry), { force: true })
    }
  } catch (error) {
    onFault({ what: 'prepare the directory', reason: reasonOf(error) })
  }
}

/** The record in `text`, if it is one and is `name`'s. */
function parseMember(text: string, name: string): Member | undefined {
  if (text.length > RECORD_CHARACTERS) return undefined
  let record: unknown
  try {
    record = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof record !== 'object' || record === null) return undefined
  const fields = record as Record<string, unknown>
  const { incarnation, address, pid, state, heartbeat } = fields
  if (fields['version'] !== VERSION || fields['name'] !== name) return undefined
  if (typeof incarnation !== 'string' || incarnation === '' || typeof address !== 'string') return undefined
  if (pid !== undefined && !(Number.isSafeInteger(pid) && (pid as number) > 0)) return undefined
  if (state !== 'joining' && state !== 'active' && state !== 'draining') return undefined
  if (typeof heartbeat !== 'number' || !Number.isFinite(heartbeat)) return undefined
  return { name, incarnation: incarnation as Incarnation, address, pid: pid as number | undefined, state, heartbeat }
}

type Watcher = { add(onChange: (members: readonly Member[]) => void): () => void; close(): Promise<void> }

/** One reader for all who watch. It works only while somebody does. A notice of the system names the record to read; the poll reads all. */
function openWatcher(options: {
  readonly folder: string
  readonly pollMs: number
  readonly onFault: OnFault
  readonly readAll: () => Promise<Member[]>
  readonly readOne: (name: string) => Promise<Member | undefined>
}): Watcher {
  const { folder, pollMs, onFault, readAll, readOne } = options
  /** What each was last told, as JSON; undefined: nothing yet. */
  const watchers = new Map<(members: readonly Member[]) => void, string | undefined>()
  let system: FSWatcher | undefined
  let poll: NodeJS.Timeout | undefined
  /** As last read. */
  const known = new Map<string, Member>()
  /** What is to be read: these names, or all. */
  let stale = new Set<string>()
  let allStale = false
  let reading: Promise<void> | undefined

  function start(): void {
    poll = setInterval(() => {
      if (system === undefined) startSystem()
      refresh(undefined)
    }, pollMs)
    poll.unref()
    startSystem()
  }

  function startSystem(): void {
    try {
      system = watchFolder(folder, { persistent: false }, (_event, file) => {
        const name = file === null ? undefined : RECORD.exec(file)?.[1]
        if (file === null || name !== undefined) refresh(name)
      })
      system.on('error', (error) => {
        onFault({ what: 'watch the directory', reason: reasonOf(error) })
        stopSystem()
      })
    } catch (error) {
      // No more watches to be had, or no folder: the poll finds the changes, and tries again.
      if (errorCode(error) !== 'ENOENT') onFault({ what: 'watch the directory', reason: reasonOf(error) })
    }
  }

  function stopSystem(): void {
    system?.close()
    system = undefined
  }

  function stop(): void {
    clearInterval(poll)
    poll = undefined
    stopSystem()
  }

  /** `name`: only its record has changed; undefined: nobody knows. What changes during a reading is read after it. */
  function refresh(name: string | undefined): void {
    if (name === undefined) allStale = true
    else stale.add(name)
    if (reading !== undefined) return
    reading = readAndTell().finally(() => {
      reading = undefined
      if ((allStale || stale.size > 0) && watchers.size > 0) refresh([...stale][0])
    })
  }

  async function readAndTell(): Promise<void> {
    const names = stale
    const all = allStale
    stale = new Set()
    allStale = false
    try {
      if (all) await relearn()
      else for (const name of names) learn(name, await readOne(name))
    } catch (error) {
      return onFault({ what: 'read the directory', reason: reasonOf(error) })
    }
    const members = [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    const text = JSON.stringify(members)
    for (const [onChange, last] of watchers) {
      if (last === text) continue
      watchers.set(onChange, text)
      onChange(members)
    }
  }

  async function relearn(): Promise<void> {
    const members = await readAll().catch((error: unknown) => {
      if (errorCode(error) !== 'ENOENT') throw error
      return []
    })
    known.clear()
    for (const member of members) known.set(member.name, member)
  }

  function learn(name: string, member: Member | undefined): void {
    if (member === undefined) known.delete(name)
    else known.set(name, member)
  }

  return {
    add(onChange) {
      // A function of its own, so that one that is added twice is told twice.
      const entry = (members: readonly Member[]): void => onChange(members)
      watchers.set(entry, undefined)
      if (watchers.size === 1) start()
      refresh(undefined)
      return () => {
        if (watchers.delete(entry) && watchers.size === 0) stop()
      }
    },
    async close() {
      watchers.clear()
      stop()
      await reading
    },
  }
}
