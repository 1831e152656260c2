/** Children of `npm start`: started again when they die, the directory told, none left after `stop`. */
import { afterEach, expect, test } from '@jest/globals'
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import type { Directory, Member } from '#shared/ports/directory.ts'
import { Supervisor } from '#functions/local/supervisor.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const NAME = 'state-process-0'
const LOOK_MS = 20
const DEADLINE_MS = 20_000

let folder: string
let directory: Directory
let supervisor: Supervisor | undefined
const pids = new Set<number>()

afterEach(async () => {
  await supervisor?.stop()
  for (const pid of pids) if (lives(pid)) process.kill(pid, 'SIGKILL')
  await directory.close()
  await removeTemporaryFolder(folder)
})

const log = { info: () => undefined, warn: () => undefined, error: () => undefined, fatal: () => undefined }

async function supervise(): Promise<Supervisor> {
  folder = await makeTemporaryFolder()
  directory = await openDirectory({ folder: join(folder, 'directory') })
  supervisor = new Supervisor({ names: [NAME], environment: { DATA_DIR: folder, LOG_LEVEL: 'error', GAP_RULE: 'refuse' }, directory, log })
  return supervisor
}

/** The child's record, once it is as `isIt` says. */
async function record(isIt: (member: Member) => boolean): Promise<Member> {
  for (const due = performance.now() + DEADLINE_MS; ; await passed(LOOK_MS)) {
    const known = await directory.members()
    const member = known.kind === 'members' ? known.members.find(({ name }) => name === NAME) : undefined
    if (member?.pid !== undefined) pids.add(member.pid)
    if (member !== undefined && isIt(member)) return member
    if (performance.now() > due) throw new Error(`no such record: ${JSON.stringify(member)}`)
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a child that dies is said to drain, its record stays, and another is started; stop ends it', async () => {
  const supervisor = await supervise()
  const first = await record(({ state }) => state === 'active')
  process.kill(first.pid!, 'SIGKILL')
  await record(({ pid, state }) => pid === first.pid && state === 'draining')
  const second = await record(({ pid, state }) => pid !== first.pid && state === 'active')
  expect(second.incarnation).not.toBe(first.incarnation)
  await supervisor.stop()
  expect([lives(first.pid!), lives(second.pid!)]).toEqual([false, false])
  expect(await directory.members()).toEqual({ kind: 'members', members: [] })
}, 60_000)

test('stop while a child is about to be started again: none comes', async () => {
  const supervisor = await supervise()
  const first = await record(({ pid }) => pid !== undefined)
  process.kill(first.pid!, 'SIGKILL')
  await record(({ pid, state }) => pid === first.pid && state === 'draining')
  await supervisor.stop()
  // Longer than it would wait, and start.
  await passed(1_500)
  const known = await directory.members()
  expect(known).toEqual({ kind: 'members', members: [expect.objectContaining({ pid: first.pid })] })
}, 60_000)
