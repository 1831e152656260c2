/** What only the embedded cold storage has: files. Faults are injected one system call at a time, and real ones where a mount is possible. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import type { FileOperations } from '#shared/adapters/embedded/object-writer.ts'
import type { ColdStorage, PutOutcome } from '#shared/ports/cold-storage.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

type Call = { readonly operation: keyof FileOperations; readonly target: string }

let directory: string
let opened: ColdStorage[]

beforeEach(async () => {
  directory = await makeTemporaryFolder()
  opened = []
})
afterEach(async () => {
  await Promise.all(opened.map((each) => each.close()))
  await removeTemporaryFolder(directory)
})

async function open(operations?: FileOperations): Promise<ColdStorage> {
  const storage = await openColdStorage({ directory, threads: 0, ...(operations && { operations }) })
  opened.push(storage)
  return storage
}

/** The real calls, recorded; `fault` may throw in place of one, or after it (then it has happened). */
function faultyOperations(fault: { before?: (call: Call) => string | undefined; after?: (call: Call) => string | undefined; shortWrites?: boolean }): {
  operations: FileOperations
  calls: Call[]
} {
  const calls: Call[] = []
  const paths = new Map<number, string>()
  const relative = (path: string): string => {
    const name = path === directory ? '/' : path.slice(directory.length + 1)
    return name.startsWith('.tmp/') ? 'TEMPORARY' : name
  }
  function run<T>(operation: keyof FileOperations, target: string, real: () => T): T {
    const call = { operation, target }
    calls.push(call)
    const throwing = (code: string | undefined): void => {
      if (code !== undefined) throw Object.assign(new Error(`${code}: injected, ${operation}`), { code })
    }
    throwing(fault.before?.(call))
    const result = real()
    throwing(fault.after?.(call))
    return result
  }
  const of = (descriptor: number): string => paths.get(descriptor) ?? '?'
  const operations: FileOperations = {
    openSync: (path, flags, mode) =>
      run('openSync', relative(path), () => {
        const descriptor = fs.openSync(path, flags, mode)
        paths.set(descriptor, relative(path))
        return descriptor
      }),
    closeSync: (descriptor) => run('closeSync', of(descriptor), () => fs.closeSync(descriptor)),
    writeSync: (descriptor, bytes, offset, length) =>
      run('writeSync', of(descriptor), () => fs.writeSync(descriptor, bytes, offset, fault.shortWrites ? Math.min(length, 3) : length)),
    fdatasyncSync: (descriptor) => run('fdatasyncSync', of(descriptor), () => fs.fdatasyncSync(descriptor)),
    fsyncSync: (descriptor) => run('fsyncSync', of(descriptor), () => fs.fsyncSync(descriptor)),
    linkSync: (from, to) => run('linkSync', relative(to), () => fs.linkSync(from, to)),
    unlinkSync: (path) => run('unlinkSync', relative(path), () => fs.unlinkSync(path)),
    fsync: (descriptor, done) => {
      try {
        run('fsync', directory, () => fs.fsyncSync(descriptor))
        done(null)
      } catch (error) {
        done(error as NodeJS.ErrnoException)
      }
    },
    mkdirSync: (path, mode) => run('mkdirSync', relative(path), () => void fs.mkdirSync(path, mode)),
  }
  return { operations, calls }
}

const durable = (calls: readonly Call[]): string[] =>
  calls.filter(({ operation }) => !['openSync', 'closeSync'].includes(operation)).map(({ operation, target }) => `${operation.replace('Sync', '')} ${target}`)

function temporaries(): string[] {
  return fs.readdirSync(`${directory}/.tmp`)
}

function openDescriptors(): number {
  return fs.readdirSync('/proc/self/fd').length
}

describe('order of a put', () => {
  test('E1 new folders are durable from the top down, the bytes before the name, the name before the outcome', async () => {
    const { operations, calls } = faultyOperations({})
    const storage = await open(operations)
    expect(await storage.put('a/b/1', text('x'))).toEqual({ kind: 'stored' })
    expect(durable(calls)).toEqual([
      'mkdir a',
      'fsync /',
      'mkdir a/b',
      'fsync a',
      'write TEMPORARY',
      'fdatasync TEMPORARY',
      'link a/b/1',
      'fsync a/b',
      'unlink TEMPORARY',
    ])
  })

  test('E2 a known folder costs a write, a sync, a link, a sync', async () => {
    const { operations, calls } = faultyOperations({})
    const storage = await open(operations)
    await storage.put('a/b/1', text('x'))
    calls.length = 0
    expect(await storage.put('a/b/2', text('x'))).toEqual({ kind: 'stored' })
    expect(durable(calls)).toEqual(['write TEMPORARY', 'fdatasync TEMPORARY', 'link a/b/2', 'fsync a/b', 'unlink TEMPORARY'])
  })

  test('E3 a folder that somebody else made is synced in its parent all the same', async () => {
    fs.mkdirSync(`${directory}/a/b`, { recursive: true })
    const { operations, calls } = faultyOperations({})
    await (await open(operations)).put('a/b/1', text('x'))
    expect(durable(calls).slice(0, 4)).toEqual(['mkdir a', 'fsync /', 'mkdir a/b', 'fsync a'])
  })

  test('E4 "exists" is said after a sync of the folder', async () => {
    await (await open()).put('a/1', text('x'))
    const { operations, calls } = faultyOperations({})
    expect(await (await open(operations)).put('a/1', text('y'))).toEqual({ kind: 'exists' })
    expect(durable(calls).slice(-3)).toEqual(['link a/1', 'fsync a', 'unlink TEMPORARY'])
  })

  test('E5 a write that writes a part is continued', async () => {
    const { operations } = faultyOperations({ shortWrites: true })
    const storage = await open(operations)
    expect(await storage.put('a/1', text('0123456789'))).toEqual({ kind: 'stored' })
    expect(await storage.get('a/1')).toEqual({ kind: 'found', bytes: text('0123456789') })
  })

  test('E6 many folders keep a bounded number of descriptors, and close gives all of them back', async () => {
    const before = openDescriptors()
    const storage = await open()
    for (let i = 0; i < 300; i += 1) expect(await storage.put(`ids/${i}/1`, text('x'))).toEqual({ kind: 'stored' })
    expect(openDescriptors() - before).toBeLessThan(100)
    await storage.close()
    expect(openDescriptors()).toBe(before)
    expect(temporaries()).toEqual([])
  })
})

describe('outcomes of a put that fails', () => {
  const target = (operation: Call['operation']): string => ({ linkSync: 'a/2', fsyncSync: 'a', mkdirSync: 'b' })[operation as string] ?? 'TEMPORARY'

  /** A fault at the next such call, once. */
  async function putWithFault(operation: Call['operation'], code: string, when: 'before' | 'after', name = 'a/2'): Promise<{ storage: ColdStorage; outcome: PutOutcome; calls: Call[] }> {
    let armed = false
    const { operations, calls } = faultyOperations({
      [when]: (call: Call) => {
        if (!armed || call.operation !== operation || call.target !== target(operation)) return undefined
        armed = false
        return code
      },
    })
    const storage = await open(operations)
    expect(await storage.put('a/1', text('first'))).toEqual({ kind: 'stored' })
    armed = true
    calls.length = 0
    const outcome = await storage.put(name, text('second'))
    return { storage, outcome, calls }
  }

  test.each([
    ['writeSync', 'ENOSPC'],
    ['writeSync', 'EDQUOT'],
    ['writeSync', 'EIO'],
    ['fdatasyncSync', 'EIO'],
    ['fdatasyncSync', 'ENOSPC'],
    ['linkSync', 'ENOSPC'],
    ['linkSync', 'EROFS'],
    ['linkSync', 'EACCES'],
    ['linkSync', 'EMLINK'],
  ] as const)('E7 %s failing with %s: not stored, nothing left, and the next put writes a new file', async (operation, code) => {
    const { storage, outcome, calls } = await putWithFault(operation, code, 'before')
    expect(outcome).toEqual({ kind: 'not-stored', reason: expect.stringContaining(code) })
    expect(await storage.get('a/2')).toEqual({ kind: 'missing' })
    // The file of the failed put is gone: what is there is the one made ahead.
    expect(calls.filter((call) => call.operation === 'unlinkSync')).toHaveLength(1)
    expect(temporaries()).toHaveLength(1)
    calls.length = 0
    expect(await storage.put('a/2', text('again'))).toEqual({ kind: 'stored' })
    expect(durable(calls).slice(-5)).toEqual(['write TEMPORARY', 'fdatasync TEMPORARY', 'link a/2', 'fsync a', 'unlink TEMPORARY'])
    expect(await storage.get('a/2')).toEqual({ kind: 'found', bytes: text('again') })
  })

  test.each(['EMFILE', 'ENOSPC', 'EROFS'])('E8 a temporary that cannot be made (%s): not stored', async (code) => {
    let armed = true
    const { operations } = faultyOperations({ before: (call) => (armed && call.operation === 'openSync' && call.target === 'TEMPORARY' ? code : undefined) })
    const storage = await open(operations)
    expect(await storage.put('a/1', text('x'))).toEqual({ kind: 'not-stored', reason: expect.stringContaining(code) })
    armed = false
    expect(await storage.put('a/1', text('x'))).toEqual({ kind: 'stored' })
  })

  test.each(['ENOSPC', 'EROFS', 'EACCES'])('E9 a folder that cannot be made (%s): not stored', async (code) => {
    const { storage, outcome } = await putWithFault('mkdirSync', code, 'before', 'b/1')
    expect(outcome).toEqual({ kind: 'not-stored', reason: expect.stringContaining(code) })
    expect(await storage.put('b/1', text('x'))).toEqual({ kind: 'stored' })
  })

  test('E10 a folder whose parent cannot be synced: not stored, and synced again by the next put', async () => {
    let armed = true
    const { operations, calls } = faultyOperations({ before: (call) => (armed && call.operation === 'fsyncSync' && call.target === '/' ? 'EIO' : undefined) })
    const storage = await open(operations)
    expect((await storage.put('a/1', text('x'))).kind).toBe('not-stored')
    armed = false
    calls.length = 0
    expect(await storage.put('a/1', text('x'))).toEqual({ kind: 'stored' })
    expect(durable(calls).slice(0, 2)).toEqual(['mkdir a', 'fsync /'])
  })

  test('E11 the folder cannot be synced after the link: unknown; put again, the name exists, and what is read is whole', async () => {
    const { storage, outcome } = await putWithFault('fsyncSync', 'EIO', 'before')
    expect(outcome).toEqual({ kind: 'unknown', reason: expect.stringContaining('EIO') })
    expect(await storage.put('a/2', text('second'))).toEqual({ kind: 'exists' })
    expect(await storage.get('a/2')).toEqual({ kind: 'found', bytes: text('second') })
  })

  test('E12 the name exists but the folder cannot be synced: unknown, not "exists"', async () => {
    await (await open()).put('a/2', text('theirs'))
    const { storage, outcome } = await putWithFault('fsyncSync', 'EIO', 'before')
    expect(outcome.kind).toBe('unknown')
    expect(await storage.put('a/2', text('second'))).toEqual({ kind: 'exists' })
    expect(await storage.get('a/2')).toEqual({ kind: 'found', bytes: text('theirs') })
  })

  test('E13 a folder that was removed by hand is made again', async () => {
    const storage = await open()
    await storage.put('a/b/1', text('x'))
    fs.rmSync(`${directory}/a`, { recursive: true })
    expect((await storage.put('a/b/2', text('x'))).kind).toBe('not-stored')
    expect(await storage.put('a/b/2', text('x'))).toEqual({ kind: 'stored' })
    expect(await storage.get('a/b/2')).toEqual({ kind: 'found', bytes: text('x') })
    // More of them than descriptors are kept.
    for (let i = 0; i < 100; i += 1) await storage.put(`ids/${i}/1`, text('x'))
    fs.rmSync(`${directory}/ids`, { recursive: true })
    expect((await storage.put('ids/0/2', text('x'))).kind).toBe('not-stored')
    expect(await storage.put('ids/0/2', text('x'))).toEqual({ kind: 'stored' })
  })
})

describe('reading what may not be durable', () => {
  test('E14 an object whose temporary is still there has its folder synced before it is found; if that fails, so does get', async () => {
    let armed = false
    const { operations } = faultyOperations({ before: (call) => (armed && call.operation === 'fsyncSync' && call.target === 'a' ? 'EIO' : undefined) })
    const storage = await open(operations)
    await storage.put('a/1', text('x'))
    armed = true
    expect((await storage.put('a/2', text('y'))).kind).toBe('unknown')
    // The doubt is written down as the second link.
    expect(fs.statSync(`${directory}/a/2`).nlink).toBe(2)
    expect(fs.statSync(`${directory}/a/1`).nlink).toBe(1)
    // And it outlives the process.
    await storage.close()
    let broken = true
    const reading = faultyOperations({ before: (call) => (broken && call.operation === 'fsync' ? 'EIO' : undefined) })
    const again = await open(reading.operations)
    expect(fs.statSync(`${directory}/a/2`).nlink).toBe(2)
    expect(await again.get('a/2')).toEqual({ kind: 'failed', reason: expect.stringContaining('EIO') })
    broken = false
    expect(await again.get('a/2')).toEqual({ kind: 'found', bytes: text('y') })
    expect(reading.calls.filter((call) => call.operation === 'fsync')).toHaveLength(2)
    // The other one is beyond doubt.
    expect(await again.get('a/1')).toEqual({ kind: 'found', bytes: text('x') })
    expect(reading.calls.filter((call) => call.operation === 'fsync')).toHaveLength(2)
  })
})

describe('temporaries', () => {
  /** The pid of a process that has ended. */
  function deadPid(): number {
    return spawnSync(process.execPath, ['-e', '']).pid
  }

  test('E15 leftovers of dead processes are removed at open, those of living ones and of other openings are not', async () => {
    const first = await open()
    await first.put('a/1', text('x'))
    const alive = temporaries()
    expect(alive).toHaveLength(1)
    const dead = `${deadPid()}-0123456789ab-1-1`
    // Left by a process of an earlier life that had our pid, as in a container.
    const namesake = `${process.pid}-0123456789ab-1-1`
    const parent = `${process.ppid}-0123456789ab-1-1`
    for (const name of [dead, namesake, parent]) fs.writeFileSync(`${directory}/.tmp/${name}`, 'x')
    await open()
    expect(temporaries().sort()).toEqual([...alive, parent].sort())
    expect(await first.put('a/2', text('x'))).toEqual({ kind: 'stored' })
  })

  test('E16 a leftover that is the second link of an object is kept until the object is deleted', async () => {
    const storage = await open()
    await storage.put('a/1', text('x'))
    const leftover = `${directory}/.tmp/${deadPid()}-0123456789ab-1-1`
    fs.linkSync(`${directory}/a/1`, leftover)
    await open()
    expect(fs.existsSync(leftover)).toBe(true)
    await storage.delete('a/1')
    await open()
    expect(fs.existsSync(leftover)).toBe(false)
  })
})

describe('real disks', () => {
  const isRoot = process.getuid?.() === 0
  const impossible = whyNoMount()
  const mounted = impossible === undefined ? test : test.skip
  const why = impossible === undefined ? '' : ` (skipped: ${impossible})`
  const unprivileged = isRoot ? test.skip : test

  function mount(target: string): string | undefined {
    const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', target], { encoding: 'utf8' })
    return status === 0 ? undefined : `mount does not work here: ${stderr}`
  }

  function whyNoMount(): string | undefined {
    if (!isRoot) return 'mounting needs root'
    const probe = fs.mkdtempSync(`${tmpdir()}/state-platform-test-`)
    const reason = mount(probe)
    spawnSync('umount', [probe])
    fs.rmdirSync(probe)
    return reason
  }

  afterEach(() => {
    // Lazily: a test that failed has files open.
    if (impossible === undefined) spawnSync('umount', ['-l', directory])
  })

  mounted(`E17 a full disk: not stored with the reason, reading goes on, and so do puts once there is room${why}`, async () => {
    expect(mount(directory)).toBeUndefined()
    const storage = await openColdStorage({ directory })
    opened.push(storage)
    let outcome: PutOutcome = { kind: 'stored' }
    let count = 0
    for (; outcome.kind === 'stored' && count < 100; count += 1) outcome = await storage.put(`a/${count}`, new Uint8Array(100_000).fill(count))
    expect(outcome).toEqual({ kind: 'not-stored', reason: expect.stringContaining('ENOSPC') })
    expect(count).toBeGreaterThan(2)
    expect(await storage.get(`a/${count - 1}`)).toEqual({ kind: 'missing' })
    expect(await storage.get('a/0')).toEqual({ kind: 'found', bytes: new Uint8Array(100_000) })
    await storage.delete('a/0')
    expect(await storage.put(`a/${count - 1}`, new Uint8Array(50_000))).toEqual({ kind: 'stored' })
    await storage.close()
  })

  mounted(`E18 a disk that becomes read-only: not stored with the reason, and reading goes on${why}`, async () => {
    expect(mount(directory)).toBeUndefined()
    const storage = await openColdStorage({ directory, threads: 1 })
    opened.push(storage)
    await storage.put('a/1', text('x'))
    // A file that is open for writing keeps a disk writable; the next temporary is one.
    await storage.close()
    const { status } = spawnSync('mount', ['-o', 'remount,ro', directory])
    expect(status).toBe(0)
    const readOnly = await openColdStorage({ directory, threads: 1 })
    opened.push(readOnly)
    expect(await readOnly.put('a/2', text('x'))).toEqual({ kind: 'not-stored', reason: expect.stringContaining('EROFS') })
    expect(await readOnly.put('b/2', text('x'))).toEqual({ kind: 'not-stored', reason: expect.stringContaining('EROFS') })
    expect(await readOnly.get('a/1')).toEqual({ kind: 'found', bytes: text('x') })
    expect(await readOnly.list('a/')).toEqual({ kind: 'names', names: ['a/1'] })
    expect((await readOnly.delete('a/1')).kind).toBe('failed')
    await readOnly.close()
  })

  unprivileged(`E19 a folder without permission: not stored, failed, never a rejection${isRoot ? ' (skipped: root may write everywhere)' : ''}`, async () => {
    const storage = await openColdStorage({ directory, threads: 1 })
    opened.push(storage)
    await storage.put('a/1', text('x'))
    fs.chmodSync(`${directory}/a`, 0)
    expect((await storage.put('a/2', text('x'))).kind).not.toBe('stored')
    expect((await storage.get('a/1')).kind).toBe('failed')
    expect((await storage.list('a/')).kind).toBe('failed')
    expect((await storage.delete('a/1')).kind).toBe('failed')
    fs.chmodSync(`${directory}/a`, 0o700)
  })
})
