import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { spawn, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { openDirectory, type DirectoryOptions } from '#shared/adapters/embedded/directory.ts'
import type { Directory } from '#shared/ports/directory.ts'
import { directoryContract, member, seen } from './directory-contract.ts'
import { within } from './eventually.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

directoryContract('embedded', {
  place: makeTemporaryFolder,
  remove: removeTemporaryFolder,
  // No poll comes to help: the system's notices must do.
  open: (folder) => openDirectory({ folder, pollMs: 3_600_000 }),
})

describe('embedded directory: files', () => {
  let folder: string
  let opened: Directory[]
  let faults: string[]

  beforeEach(async () => {
    folder = await makeTemporaryFolder()
    opened = []
    faults = []
  })
  afterEach(async () => {
    await Promise.all(opened.map((each) => each.close()))
    await removeTemporaryFolder(folder)
  })

  async function open(options: Partial<DirectoryOptions> = {}): Promise<Directory> {
    const directory = await openDirectory({ folder, onFault: ({ what, reason }) => faults.push(`${what}: ${reason}`), ...options })
    opened.push(directory)
    return directory
  }

  test.each([
    ['an empty file', ''],
    ['half a record', '{"version":1,"name":"b","incarn'],
    ['no object', 'null'],
    ['another version', JSON.stringify({ version: 2, ...member('b', 'i') })],
    ['another name', JSON.stringify({ version: 1, ...member('c', 'i') })],
    ['no incarnation', JSON.stringify({ version: 1, ...member('b', '') })],
    ['an unknown state', JSON.stringify({ version: 1, ...member('b', 'i'), state: 'gone' })],
    ['a heartbeat that is no number', JSON.stringify({ version: 1, ...member('b', 'i'), heartbeat: '1' })],
    ['a pid that is none', JSON.stringify({ version: 1, ...member('b', 'i'), pid: -1 })],
    ['too much', JSON.stringify({ version: 1, ...member('b', 'i'), address: 'x'.repeat(5_000) })],
  ])('DF1 %s counts as absent, is reported once, and is replaced by the next announcement', async (_what, content) => {
    const directory = await open()
    await directory.announce(member('a', 'i'))
    fs.writeFileSync(`${folder}/b.json`, content)
    for (let i = 0; i < 3; i += 1) expect(await directory.members()).toEqual({ kind: 'members', members: [member('a', 'i')] })
    expect(faults).toEqual([expect.stringContaining('b.json')])
    await directory.announce(member('b', 'i2'))
    expect(await directory.members()).toEqual({ kind: 'members', members: [member('a', 'i'), member('b', 'i2')] })
  })

  test('DF2 files that are no records are nothing to it', async () => {
    const directory = await open()
    for (const name of ['.tmp-1-a-1', 'readme', '.json', 'a.json.bak', '..json']) fs.writeFileSync(`${folder}/${name}`, 'x')
    fs.mkdirSync(`${folder}/sub`)
    expect(await directory.members()).toEqual({ kind: 'members', members: [] })
    expect(faults).toEqual([])
  })

  test('DF3 a folder that cannot be written fails as a value, and heals', async () => {
    // A file where the folder should be: this stops root, too.
    fs.rmSync(folder, { recursive: true })
    fs.writeFileSync(folder, 'x')
    const directory = await open()
    expect(await directory.announce(member('a', 'i'))).toEqual({ kind: 'failed', reason: expect.stringContaining('ENOTDIR') })
    expect((await directory.members()).kind).toBe('failed')
    expect((await directory.leave('a', member('a', 'i').incarnation)).kind).toBe('failed')
    fs.rmSync(folder)
    expect((await directory.announce(member('a', 'i'))).kind).toBe('failed')
    expect(await directory.announce(member('a', 'i'))).toEqual({ kind: 'done' })
  })

  test('DF4 without notices of the system the poll finds changes', async () => {
    fs.rmSync(folder, { recursive: true })
    const directory = await open({ pollMs: 10 })
    // What the notices were asked of is gone: another folder of this name is not watched.
    await seen(directory, 'nobody', (all) => all.length === 0)
    const change = seen(directory, 'the change', (all) => all.length === 1)
    fs.rmSync(folder, { recursive: true, force: true })
    fs.mkdirSync(folder)
    fs.writeFileSync(`${folder}/a.json`, JSON.stringify({ version: 1, ...member('a', 'i') }))
    await change
  })

  test('DF5 a process killed amid its heartbeats leaves a whole record, and its leftovers go at the next open', async () => {
    const script = `
      const { openDirectory } = await import(${JSON.stringify(new URL('../../shared/adapters/embedded/directory.ts', import.meta.url).href)})
      const directory = await openDirectory({ folder: ${JSON.stringify(folder)} })
      for (let i = 1; ; i += 1) {
        await directory.announce({ ...${JSON.stringify(member('a', 'i'))}, heartbeat: i })
        if (i === 100) process.stdout.write('going')
      }`
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
      const ended = new Promise((done) => child.once('exit', done))
      await within(new Promise((done) => child.stdout.once('data', done)), 'heartbeats')
      child.kill('SIGKILL')
      await within(ended, 'the end')
      const directory = await open()
      const outcome = await directory.members()
      expect(outcome).toEqual({ kind: 'members', members: [member('a', 'i', { heartbeat: expect.any(Number) as unknown as number })] })
      expect(fs.readdirSync(folder)).toEqual(['a.json'])
    }
    expect(faults).toEqual([])
  })

  test('DF6 leftovers of the dead are removed, those of the living are not', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    const alive = `.tmp-${process.ppid}-0123456789ab-1`
    for (const name of [`.tmp-${dead}-0123456789ab-1`, `.tmp-${process.pid}-0123456789ab-1`, alive]) fs.writeFileSync(`${folder}/${name}`, 'x')
    await open()
    expect(fs.readdirSync(folder)).toEqual([alive])
  })
})
