import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { decodeHead, encodeHead } from '#shared/adapters/embedded/upload-files.ts'
import type { FileCalls } from '#shared/adapters/embedded/upload-files.ts'
import type { StateId } from '#shared/ids.ts'
import { uploadName } from '#shared/ports/uploads.ts'
import type { UploadName } from '#shared/ports/uploads.ts'
import { exchangeRaw } from '../api/client.ts'
import { LIMIT_BYTES, ORIGINS, open } from './embedded-uploads-module.ts'
import { turns } from './eventually.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'
import { uploadsContract } from './uploads-contract.ts'

const temporaries = (place: string): Promise<string[]> => fs.readdir(join(place, '.tmp'))

async function begun(place: string, bytes: number): Promise<void> {
  const deadline = Date.now() + 10_000
  while (Date.now() < deadline) {
    for (const entry of await temporaries(place)) if ((await fs.stat(join(place, '.tmp', entry))).size >= bytes) return
    await turns(1)
  }
  throw new Error('the upload did not begin')
}

uploadsContract('embedded', {
  place: makeTemporaryFolder,
  remove: removeTemporaryFolder,
  open,
  limitBytes: LIMIT_BYTES,
  origins: ORIGINS,
  process: { module: new URL('./embedded-uploads-module.ts', import.meta.url), begun, leftovers: temporaries },
})

describe('embedded uploads', () => {
  let place: string
  let opened: Awaited<ReturnType<typeof open>>
  let faults: object[]
  let name: UploadName

  beforeEach(async () => {
    place = await makeTemporaryFolder()
    faults = []
    name = uploadName({ state: randomUUID() as StateId, object: randomUUID() as StateId })
    opened = await open(place, undefined, faults)
  })
  afterEach(async () => {
    await opened.close()
    await removeTemporaryFolder(place)
  })

  async function reopenWith(calls: FileCalls): Promise<void> {
    await opened.close()
    opened = await open(place, calls, faults)
  }

  const target = async (of: { method: 'PUT' | 'GET' }): Promise<string> => {
    const { uploads } = opened
    const address = of.method === 'PUT' ? await uploads.uploadAddress({ name, type: 'text/plain', baseUrl: '' }) : await uploads.downloadAddress({ name, disposition: 'inline', baseUrl: '' })
    return address.kind === 'signed' ? address.url : ''
  }
  const put = async (body = 'hello'): Promise<Response> => fetch(opened.baseUrl + (await target({ method: 'PUT' })), { method: 'PUT', headers: { 'Content-Type': 'text/plain' }, body })
  const get = async (init: RequestInit = {}): Promise<Response> => fetch(opened.baseUrl + (await target({ method: 'GET' })), init)

  test('addresses are paths of this process; all other paths are for the next handler', async () => {
    expect(await target({ method: 'PUT' })).toMatch(new RegExp(`^/uploads/${name}\\?expires=\\d+&type=text%2Fplain&signature=[\\w-]{43}$`))
    const others = await Promise.all(['/', '/uploads', '/uploadsx/', '/v1/uploads', '/v1/uploads/x'].map(async (path) => (await fetch(opened.baseUrl + path)).headers.get('x-next')))
    expect(others).toEqual(['yes', 'yes', 'yes', 'yes', 'yes'])
    expect((await fetch(`${opened.baseUrl}/uploads/`)).status).toBe(403)
  })

  test('what is served cannot act in our name', async () => {
    await put()
    for (const init of [{}, { method: 'HEAD' }, { headers: { Range: 'bytes=0-1' } }]) {
      const { headers } = await get(init)
      expect([headers.get('x-content-type-options'), headers.get('content-security-policy')]).toEqual(['nosniff', 'sandbox'])
    }
  })

  test('other methods, and refusals as problems', async () => {
    const answer = await fetch(opened.baseUrl + (await target({ method: 'GET' })), { method: 'DELETE' })
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD, PUT, OPTIONS'])
    const missing = await get()
    expect([missing.status, missing.headers.get('content-type'), missing.headers.get('content-disposition')]).toEqual([404, 'application/problem+json', null])
    expect(await missing.json()).toEqual({ type: 'about:blank', title: 'There is no such upload', status: 404 })
  })

  test('what would be too long, is of another type or there already is refused before it is sent', async () => {
    const head = async (headers: string): Promise<string> => `PUT ${await target({ method: 'PUT' })} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`
    const answer = async (headers: string): Promise<string> => (await exchangeRaw(opened.port, await head(headers), (text) => text.includes('"status"'))).slice(0, 12)
    expect(await answer(`Content-Type: text/plain\r\nContent-Length: ${LIMIT_BYTES + 1}\r\n`)).toBe('HTTP/1.1 413')
    expect(await answer('Content-Type: text/html\r\nContent-Length: 10\r\n')).toBe('HTTP/1.1 403')
    expect(await answer('Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n')).toBe('HTTP/1.1 400')
    await put()
    expect(await answer('Content-Type: text/plain\r\nContent-Length: 10\r\n')).toBe('HTTP/1.1 412')
  })

  test.each(['with a length', 'in chunks'])('a refused upload (%s) leaves the connection in order', async (how) => {
    const body = 'x'.repeat(3 * LIMIT_BYTES)
    const length = how === 'in chunks' ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
    const sent = how === 'in chunks' ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body
    const bytes = `PUT ${await target({ method: 'PUT' })} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${length}\r\n\r\n${sent}GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
    const text = await exchangeRaw(opened.port, bytes)
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    expect(text).toContain('HTTP/1.1 204 No Content')
  })

  test('a body that never ends: the connection does', async () => {
    const socket = connect(opened.port, '127.0.0.1')
    socket.on('error', () => {})
    const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve))
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    socket.write(`PUT ${await target({ method: 'PUT' })} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n`)
    const chunk = Buffer.from(`${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`)
    const mostChunks = 4_000
    let chunks = 0
    const write = (): void => {
      while (chunks < mostChunks) {
        chunks += 1
        if (!socket.write(chunk)) return
      }
      socket.destroy()
    }
    socket.on('drain', write)
    write()
    expect(String(await answered)).toMatch(/^HTTP\/1\.1 413 /)
    await closed
    expect(chunks).toBeLessThan(mostChunks)
    expect(await temporaries(place)).toEqual([])
  })

  test('whoever stops waits a while for uploads, then cuts them off', async () => {
    const response = exchangeRaw(opened.port, `PUT ${await target({ method: 'PUT' })} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nhalf`)
    await begun(place, 1)
    await opened.uploads.close()
    expect(await response).toBe('')
    expect(await temporaries(place)).toEqual([])
    expect((await put()).status).toBe(503)
    expect((await get()).status).toBe(503)
  })

  // The real calls, recorded by what they touch; `fail` may throw before one.
  function recorded(fail: (call: string) => boolean = () => false): { calls: FileCalls; log: string[] } {
    const log: string[] = []
    const shown = (path: unknown): string => (String(path).includes('/.tmp/') ? 'temporary' : String(path).includes('.', place.length) ? 'file' : String(path).endsWith('/objects') ? 'objects' : 'folder')
    const note = (call: string): void => {
      log.push(call)
      if (fail(call)) throw Object.assign(new Error(`ENOSPC: injected, ${call}`), { code: 'ENOSPC' })
    }
    const calls: FileCalls = {
      ...fs,
      open: (async (path: string, flags: string, mode?: number) => {
        const handle = await fs.open(path, flags, mode)
        return new Proxy(handle, {
          get(of, member) {
            const value: unknown = Reflect.get(of, member, of)
            if (typeof value !== 'function') return value
            const real = value.bind(of) as (...given: unknown[]) => unknown
            if (!['writeFile', 'datasync', 'sync', 'close'].includes(String(member))) return real
            return async (...given: unknown[]) => {
              note(`${String(member)} ${shown(path)}`)
              return real(...given)
            }
          },
        })
      }) as unknown as FileCalls['open'],
      link: async (from, to) => {
        note(`link ${shown(to)}`)
        await fs.link(from, to)
      },
      unlink: async (path) => {
        note(`unlink ${shown(path)}`)
        await fs.unlink(path)
      },
      mkdir: (async (path: string, options: object) => {
        note(`mkdir ${shown(path)}`)
        return fs.mkdir(path, options)
      }) as FileCalls['mkdir'],
    }
    return { calls, log }
  }

  test('I1, I2, I3. content, then name, then folder, before it is answered', async () => {
    const { calls, log } = recorded()
    await reopenWith(calls)
    expect((await put()).status).toBe(200)
    expect(log.filter((call) => !call.startsWith('close '))).toEqual(['mkdir folder', 'sync objects', 'writeFile temporary', 'writeFile temporary', 'datasync temporary', 'link file', 'sync folder', 'unlink temporary'])
    expect(log.indexOf('close temporary')).toBeLessThan(log.indexOf('link file'))
  })

  test.each(['mkdir folder', 'sync objects', 'writeFile temporary', 'datasync temporary', 'link file'])('a fault before the name is there (%s): 503, nothing is there, the next one passes', async (call) => {
    let isFaulty = true
    await reopenWith(recorded((each) => isFaulty && each === call).calls)
    const answer = await put()
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(faults).toContainEqual(expect.objectContaining({ reason: expect.stringContaining('ENOSPC') }))
    expect((await get()).status).toBe(404)
    expect(await temporaries(place)).toEqual([])
    isFaulty = false
    expect((await put()).status).toBe(200)
  })

  test('I3. a folder that could not be synced: 503, and readers sync it before they hand the file out', async () => {
    let isFaulty = true
    const { calls, log } = recorded((call) => isFaulty && call === 'sync folder')
    await reopenWith(calls)
    expect((await put()).status).toBe(503)
    expect((await get()).status).toBe(503)
    isFaulty = false
    log.length = 0
    expect(await (await get()).text()).toBe('hello')
    expect(log).toContain('sync folder')
    expect((await put()).status).toBe(412)
  })

  test('a file that is none of ours is not served', async () => {
    await put()
    const [folder] = await fs.readdir(join(place, 'objects'))
    const [file] = await fs.readdir(join(place, 'objects', folder!))
    await fs.writeFile(join(place, 'objects', folder!, file!), 'hello')
    expect((await get()).status).toBe(503)
    expect(await opened.uploads.metadata(name)).toMatchObject({ kind: 'failed' })
    expect(await opened.uploads.content(name, 10)).toMatchObject({ kind: 'failed' })
  })

  test('the first line of a file', () => {
    const golden = 'upload 1 {"type":"text/plain; charset=\\"a\\"","created":1700000000000}\n'
    expect(encodeHead({ type: 'text/plain; charset="a"', created: 1_700_000_000_000 }).toString('latin1')).toBe(golden)
    expect(decodeHead(Buffer.from(`${golden}{}\n`, 'latin1'))).toEqual({ type: 'text/plain; charset="a"', created: 1_700_000_000_000, bytes: golden.length })
    for (const bad of ['', 'upload 2 {"type":"a/b","created":1}\n', 'upload 1 {"type":"a/b"}\n', 'upload 1 {x}\n', 'upload 1 {"type":"a/b","created":1}']) expect(decodeHead(Buffer.from(bad))).toBeUndefined()
  })
})
