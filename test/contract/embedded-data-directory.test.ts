import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { spawn, type ChildProcess } from 'node:child_process'
import * as fs from 'node:fs'
import { lockDataDirectory, secret, type DataDirectoryLock } from '#shared/adapters/embedded/data-directory.ts'
import { within } from './eventually.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const module = new URL('../../shared/adapters/embedded/data-directory.ts', import.meta.url).href

let folder: string
let children: ChildProcess[]
let locks: DataDirectoryLock[]

beforeEach(async () => {
  folder = await makeTemporaryFolder()
  children = []
  locks = []
})
afterEach(async () => {
  for (const lock of locks) if (lock.kind === 'locked') await lock.release()
  await Promise.all(children.map((child) => end(child, 'SIGKILL')))
  await removeTemporaryFolder(folder)
})

async function lock(path: string): Promise<DataDirectoryLock> {
  const outcome = await lockDataDirectory(path)
  locks.push(outcome)
  return outcome
}

async function end(child: ChildProcess, how: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill(how)
  await within(ended, 'the end of a child')
}

/** A process that locks `path`, says what came of it, and lives on. */
async function lockInChild(path: string, prefix: readonly string[] = []): Promise<{ child: ChildProcess; outcome: { kind: string } }> {
  const script = `
    const { lockDataDirectory } = await import(${JSON.stringify(module)})
    process.stdout.write(JSON.stringify(await lockDataDirectory(${JSON.stringify(path)})))
    setInterval(() => {}, 1000)`
  const [command, ...rest] = [...prefix, process.execPath, '--input-type=module', '-e', script]
  const child = spawn(command!, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const line = await within(new Promise<Buffer>((done) => child.stdout!.once('data', done)), 'the outcome of a lock')
  return { child, outcome: JSON.parse(String(line)) as { kind: string } }
}

describe('lock of the data directory', () => {
  test('L1 makes the folder, 0700, with all above it', async () => {
    const path = `${folder}/a/b`
    expect((await lock(path)).kind).toBe('locked')
    expect(fs.statSync(path).mode & 0o777).toBe(0o700)
  })

  test('L2 is taken while it is held, by whatever path; says by whom; and is free after release', async () => {
    fs.mkdirSync(`${folder}/data`)
    fs.symlinkSync(`${folder}/data`, `${folder}/alias`)
    const first = await lock(`${folder}/data`)
    expect(first.kind).toBe('locked')
    for (const path of [`${folder}/data`, `${folder}/alias`, `${folder}/data/../data/`]) {
      expect(await lock(path)).toEqual({ kind: 'taken', by: `process ${process.pid}` })
    }
    expect((await lock(`${folder}/other`)).kind).toBe('locked')
    if (first.kind === 'locked') {
      await first.release()
      await first.release()
    }
    expect(fs.readdirSync(`${folder}/data`)).toEqual([])
    expect((await lock(`${folder}/alias`)).kind).toBe('locked')
  })

  test('L3 is taken while another process holds it, stopped or not, and free at once after kill -9', async () => {
    const { child, outcome } = await lockInChild(folder)
    expect(outcome.kind).toBe('locked')
    expect(await lock(folder)).toEqual({ kind: 'taken', by: `process ${child.pid}` })
    child.kill('SIGSTOP')
    expect((await lock(folder)).kind).toBe('taken')
    child.kill('SIGCONT')
    await end(child, 'SIGKILL')
    // The socket file is still there: it is dead, and no obstacle.
    expect(fs.readdirSync(folder)).toEqual(['lock'])
    expect((await lock(folder)).kind).toBe('locked')
  })

  test('L4 of many who start at once, over the leftover of a killed one, exactly one has it', async () => {
    const { child } = await lockInChild(folder)
    await end(child, 'SIGKILL')
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => lockInChild(folder)))
    expect(outcomes.map(({ outcome }) => outcome.kind).sort()).toEqual(['locked', ...Array<string>(5).fill('taken')])
  })

  const inContainer = ['unshare', '--net']
  const canUnshare = process.platform === 'linux' && process.getuid?.() === 0
  const namespaces = canUnshare ? test : test.skip
  namespaces(`L5 is seen across network namespaces, as of containers that share a volume${canUnshare ? '' : ' (skipped: needs root on Linux)'}`, async () => {
    const { child } = await lockInChild(folder, inContainer)
    expect((await lock(folder)).kind).toBe('taken')
    await end(child, 'SIGKILL')
    expect((await lock(folder)).kind).toBe('locked')
    expect((await lockInChild(folder, inContainer)).outcome.kind).toBe('taken')
  })

  test('L6 does not mind a long path', async () => {
    expect((await lock(`${folder}/${'x'.repeat(200)}`)).kind).toBe('locked')
    expect(fs.readdirSync(`${folder}/${'x'.repeat(200)}`)).toEqual(['lock'])
    expect((await lock(`${folder}/${'x'.repeat(200)}`)).kind).toBe('taken')
  })

  const onLinux = process.platform === 'linux' ? test : test.skip
  onLinux('L8 is kept, by any path, even if somebody removes the socket file (Linux)', async () => {
    fs.mkdirSync(`${folder}/data`)
    fs.symlinkSync(`${folder}/data`, `${folder}/alias`)
    expect((await lock(`${folder}/data`)).kind).toBe('locked')
    fs.rmSync(`${folder}/data/lock`)
    for (const path of [`${folder}/data`, `${folder}/alias`]) expect(await lock(path)).toEqual({ kind: 'taken', by: `process ${process.pid}` })
  })

  test('L7 rejects where the folder cannot be made', async () => {
    fs.writeFileSync(`${folder}/file`, 'x')
    await expect(lockDataDirectory(`${folder}/file/data`)).rejects.toMatchObject({ code: 'ENOTDIR' })
  })
})

describe('secrets of the data directory', () => {
  test('S1 is made once, random, private, and the same ever after', () => {
    const first = secret(folder, 'token.key', 32)
    expect(first).toHaveLength(32)
    expect(secret(folder, 'token.key', 32)).toEqual(first)
    expect(secret(folder, 'other.key', 32)).not.toEqual(first)
    expect(fs.statSync(`${folder}/token.key`).mode & 0o777).toBe(0o600)
    expect(fs.readdirSync(folder).sort()).toEqual(['other.key', 'token.key'])
  })

  test('S2 of many processes that make it at once all have the same', async () => {
    const script = `
      const { secret } = await import(${JSON.stringify(module)})
      process.stdout.write('ready')
      process.stdin.once('data', () => {
        const made = []
        for (let i = 0; i < 100; i += 1) made.push(Buffer.from(secret(${JSON.stringify(folder)}, 'key' + i, 32)).toString('hex'))
        process.stdout.write(made.join(), () => process.exit())
      })`
    const racers = Array.from({ length: 4 }, () => spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] }))
    children.push(...racers)
    await within(Promise.all(racers.map((child) => new Promise((done) => child.stdout.once('data', done)))), 'all are ready')
    const outputs = racers.map(async (child) => {
      let text = ''
      for await (const part of child.stdout) text += String(part)
      return text
    })
    for (const child of racers) child.stdin.write('go')
    const expected = async (): Promise<string> =>
      Array.from({ length: 100 }, (_, i) => Buffer.from(secret(folder, `key${i}`, 32)).toString('hex')).join()
    const made = await within(Promise.all(outputs), 'all secrets')
    expect(new Set(made)).toEqual(new Set([await expected()]))
    expect(fs.readdirSync(folder)).toHaveLength(100)
  })

  test('S3 one of another length is an error that says what to do, and is not replaced', () => {
    fs.writeFileSync(`${folder}/token.key`, 'short')
    expect(() => secret(folder, 'token.key', 32)).toThrow('has 5 bytes instead of 32')
    expect(fs.readFileSync(`${folder}/token.key`, 'utf8')).toBe('short')
  })

  test('S4 a name that could leave the folder is a programmer’s error', () => {
    for (const name of ['../a', 'a/b', '', '.a', 'A']) expect(() => secret(folder, name, 32)).toThrow('name')
  })
})
