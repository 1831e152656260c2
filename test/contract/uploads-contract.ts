/**
 * What every adapter of `shared/ports/uploads.ts` keeps, by numbered rules. Knows nothing of what is behind the port: it
 * speaks HTTP to the addresses that it was given, as clients do. Where Cloud Storage may choose another refusal than ours
 * (400 for 403 and 413), both pass.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import type { ClientRequest } from 'node:http'
import { createInterface } from 'node:readline'
import type { StateId } from '#shared/ids.ts'
import { uploadName } from '#shared/ports/uploads.ts'
import type { UploadName, Uploads } from '#shared/ports/uploads.ts'

export type OpenedUploads = {
  readonly uploads: Uploads
  readonly baseUrl: string
  /** Of the adapter, if a test can set it. */
  readonly clock?: { aheadMs: number }
  close(): Promise<void>
}

export type UploadsUnderTest = {
  /** A fresh, empty place. */
  place(): Promise<string>
  open(place: string): Promise<OpenedUploads>
  remove(place: string): Promise<void>
  readonly limitBytes: number
  readonly origins: { readonly allowed: string; readonly refused: string }
  /** For tests that need a process to kill. */
  readonly process?: {
    /** A module that exports `open`. */
    readonly module: URL
    /** Resolves when an upload of which `bytes` were sent is in the middle. */
    begun(place: string, bytes: number): Promise<void>
    /** What is there of uploads that did not end. */
    leftovers(place: string): Promise<readonly string[]>
  }
}

const TYPE = 'text/x-poem; charset=utf-8'
const text = (value: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(value))
const bytesOf = (length: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length }, (_, i) => (i * 31) % 256)
const newName = (): UploadName => uploadName({ state: randomUUID() as StateId, object: randomUUID() as StateId })

type Address = { readonly url: string; readonly headers: { readonly [name: string]: string } }

export function uploadsContract(name: string, subject: UploadsUnderTest): void {
  describe(`uploads contract: ${name}`, () => {
    let place: string
    let opened: OpenedUploads

    beforeEach(async () => {
      place = await subject.place()
      opened = await subject.open(place)
    })
    afterEach(async () => {
      await opened.close()
      await subject.remove(place)
    })

    async function reopen(): Promise<void> {
      await opened.close()
      opened = await subject.open(place)
    }

    async function toPut(of: UploadName, type = TYPE): Promise<Address> {
      const address = await opened.uploads.uploadAddress({ name: of, type, baseUrl: opened.baseUrl })
      if (address.kind !== 'signed') throw new Error(address.reason)
      return address
    }

    async function toGet(of: UploadName, disposition = 'attachment'): Promise<string> {
      const address = await opened.uploads.downloadAddress({ name: of, disposition, baseUrl: opened.baseUrl })
      if (address.kind !== 'signed') throw new Error(address.reason)
      return address.url
    }

    const put = async ({ url, headers }: Address, body: NonNullable<RequestInit['body']>, more: object = {}): Promise<number> => {
      const response = await fetch(url, { method: 'PUT', headers: { ...headers }, body, ...more })
      await response.arrayBuffer()
      return response.status
    }

    async function stored(content: Uint8Array<ArrayBuffer>, type = TYPE): Promise<UploadName> {
      const of = newName()
      expect(await put(await toPut(of, type), content)).toBe(200)
      return of
    }

    async function content(of: UploadName): Promise<Uint8Array> {
      const response = await fetch(await toGet(of))
      expect(response.status).toBe(200)
      return new Uint8Array(await response.arrayBuffer())
    }

    async function expectNothing(of: UploadName): Promise<void> {
      expect(await opened.uploads.metadata(of)).toEqual({ kind: 'missing' })
      expect((await fetch(await toGet(of))).status).toBe(404)
    }

    /** A PUT whose headers, and `body`, have been sent and that goes on. */
    async function begin({ url, headers }: Address, length: number, body: Uint8Array): Promise<ClientRequest> {
      const req = request(url, { method: 'PUT', headers: { ...headers, 'Content-Length': length, Expect: '100-continue' } })
      req.on('error', () => {})
      req.flushHeaders()
      await once(req, 'continue')
      await new Promise<void>((done) => req.write(body, () => done()))
      return req
    }

    test('U1 what was put is got, byte for byte, with the type it was signed for, by this and by another opening', async () => {
      const bytes = bytesOf(300_000)
      const before = Date.now()
      const of = await stored(bytes)
      for (let round = 0; round < 2; round += 1) {
        const response = await fetch(await toGet(of))
        expect([response.status, response.headers.get('content-type'), response.headers.get('content-length')]).toEqual([200, TYPE, '300000'])
        expect(Buffer.compare(new Uint8Array(await response.arrayBuffer()), bytes)).toBe(0)
        expect(await opened.uploads.metadata(of)).toEqual({ kind: 'found', type: TYPE, bytes: 300_000, created: expect.any(Number) })
        await reopen()
      }
      const found = await opened.uploads.metadata(of)
      expect(found.kind === 'found' && Math.abs(found.created - before) < 60_000).toBe(true)
    })

    test('U2 what nobody put is not there', async () => {
      const of = await stored(text('x'))
      await expectNothing(newName())
      await expectNothing(uploadName({ state: of.slice(0, 36) as StateId, object: randomUUID() as StateId }))
      expect(await opened.uploads.content(newName(), 10)).toEqual({ kind: 'missing' })
      expect((await fetch(await toGet(newName()), { method: 'HEAD' })).status).toBe(404)
    })

    test('U3 an address is put to once: 412 from then on, from any address of the same upload, and what is there stays', async () => {
      const of = newName()
      const first = await toPut(of)
      expect(await put(first, text('first'))).toBe(200)
      expect(await put(first, text('second'))).toBe(412)
      expect(await put(await toPut(of, 'text/plain'), text('third'))).toBe(412)
      await reopen()
      expect(await put(await toPut(of), text('fourth'))).toBe(412)
      expect(await content(of)).toEqual(text('first'))
      expect(await opened.uploads.metadata(of)).toMatchObject({ type: TYPE, bytes: 5 })
    })

    test('U4 of ten who put at once exactly one has stored, and it is whole', async () => {
      const of = newName()
      const address = await toPut(of)
      const racers = Array.from({ length: 10 }, (_, i) => text(`racer ${i} `.repeat(10_000)))
      const statuses = await Promise.all(racers.map((bytes) => put(address, bytes)))
      expect(statuses.filter((status) => status === 200)).toHaveLength(1)
      expect(statuses.filter((status) => status === 412)).toHaveLength(9)
      expect(await content(of)).toEqual(racers[statuses.indexOf(200)])
    })

    test('U5 of two that began before either ended, the second to end gets 412', async () => {
      const of = newName()
      const address = await toPut(of)
      const slow = await begin(address, 10, text('slow '))
      expect(await put(address, text('fast'))).toBe(200)
      const answered = once(slow, 'response')
      slow.end('slow!')
      const [response] = (await answered) as [{ statusCode: number; resume(): void }]
      response.resume()
      expect(response.statusCode).toBe(412)
      expect(await content(of)).toEqual(text('fast'))
    })

    test.each([['another', { 'Content-Type': 'text/html' }], ['the same without its parameter', { 'Content-Type': 'text/x-poem' }], ['none', {}]])('U6 the content type is the one that was signed: %s is refused', async (_, headers) => {
      const of = newName()
      const { url } = await toPut(of)
      expect([400, 403]).toContain(await put({ url, headers }, text('x')))
      await expectNothing(of)
    })

    test('U7 as long as the deployment allows, and no longer, with a length and without one', async () => {
      const { limitBytes } = subject
      const of = await stored(bytesOf(limitBytes))
      expect((await content(of)).length).toBe(limitBytes)
      const tooLong = newName()
      const address = await toPut(tooLong)
      expect([400, 413]).toContain(await put(address, bytesOf(limitBytes + 1)))
      const inChunks = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const part of [bytesOf(limitBytes), text('x')]) controller.enqueue(part)
          controller.close()
        },
      })
      expect([400, 413]).toContain(await put(address, inChunks, { duplex: 'half' }))
      await expectNothing(tooLong)
      expect(await put(address, bytesOf(10))).toBe(200)
    })

    test('U8 a file may be empty', async () => {
      const of = await stored(new Uint8Array(0))
      expect(await content(of)).toEqual(new Uint8Array(0))
      expect(await opened.uploads.metadata(of)).toMatchObject({ kind: 'found', bytes: 0 })
      expect(await put(await toPut(of), text('x'))).toBe(412)
      expect((await fetch(await toGet(of), { headers: { Range: 'bytes=0-' } })).status).toBe(416)
    })

    test('U9 forged addresses are refused, and nothing is done', async () => {
      const there = await stored(text('there'))
      const of = newName()
      const { url, headers } = await toPut(of)
      const get = await toGet(there)
      const flipped = (address: string, at: number): string => address.slice(0, at) + (address[at] === 'a' ? 'b' : 'a') + address.slice(at + 1)
      const query = url.indexOf('?')
      const later = (address: string): string => address.replace(/(?<=expires=)\d+/i, (digits) => String(Number(digits) + 1))
      // Where the address does not name the type, there is nothing of it to forge.
      const forgedPuts = [
        url.slice(0, query), flipped(url, query - 1), flipped(url, url.length - 2), `${url}x`, url.replaceAll('x-poem', 'html'),
        later(url), get.replace(there, of), url.replace(of, newName()),
      ].filter((forged) => forged !== url)
      expect(forgedPuts.length).toBeGreaterThanOrEqual(7)
      for (const forged of forgedPuts) expect([forged, [400, 403].includes(await put({ url: forged, headers: forged.includes('html') ? { 'Content-Type': TYPE.replace('x-poem', 'html') } : headers }, text('x')))]).toEqual([forged, true])
      await expectNothing(of)
      const other = await stored(text('other'))
      const forgedGets = [get.slice(0, get.indexOf('?')), flipped(get, get.length - 2), get.replace(there, other), get.replace('attachment', 'inline'), (await toPut(there)).url, later(get)]
      for (const forged of forgedGets) {
        const response = await fetch(forged)
        expect([forged, [400, 403].includes(response.status), (await response.text()).includes('there')]).toEqual([forged, true, false])
      }
      expect((await fetch(get)).status).toBe(200)
    })

    test('U10 an address is good for 15 minutes', async () => {
      if (opened.clock === undefined) return
      const of = newName()
      const address = await toPut(of)
      opened.clock.aheadMs = 15 * 60_000 + 1_000
      expect([400, 403]).toContain(await put(address, text('x')))
      opened.clock.aheadMs = 15 * 60_000 - 5_000
      expect(await put(address, text('x'))).toBe(200)
      opened.clock.aheadMs = 0
      const get = await toGet(of)
      opened.clock.aheadMs = 15 * 60_000 - 5_000
      expect((await fetch(get)).status).toBe(200)
      opened.clock.aheadMs = 15 * 60_000 + 1_000
      expect([400, 403]).toContain((await fetch(get)).status)
    })

    test.each([
      ['bytes=0-2', 206, 'abc', 'bytes 0-2/6'],
      ['bytes=2-4', 206, 'cde', 'bytes 2-4/6'],
      ['bytes=4-', 206, 'ef', 'bytes 4-5/6'],
      ['bytes=5-100', 206, 'f', 'bytes 5-5/6'],
      ['bytes=-2', 206, 'ef', 'bytes 4-5/6'],
      ['bytes=-100', 206, 'abcdef', 'bytes 0-5/6'],
      ['bytes=6-', 416, undefined, 'bytes */6'],
      ['bytes=100-200', 416, undefined, 'bytes */6'],
      ['bytes=4-2', 200, 'abcdef', null],
      ['lines=1-2', 200, 'abcdef', null],
      ['bytes=x', 200, 'abcdef', null],
    ])('U11 a single range: %s is %d', async (range, status, expected, contentRange) => {
      const of = await stored(text('abcdef'))
      const response = await fetch(await toGet(of), { headers: { Range: range } })
      const got = await response.text()
      expect([response.status, expected === undefined ? undefined : got, response.headers.get('content-range')]).toEqual([status, expected, contentRange])
      if (status !== 416) expect(response.headers.get('accept-ranges')).toBe('bytes')
    })

    test('U12 a range of a version that one has: If-Range', async () => {
      const of = await stored(text('abcdef'))
      const url = await toGet(of)
      const tag = (await fetch(url)).headers.get('etag')!
      expect((await fetch(url, { headers: { Range: 'bytes=0-1', 'If-Range': tag } })).status).toBe(206)
      expect((await fetch(url, { headers: { Range: 'bytes=0-1', 'If-Range': '"another"' } })).status).toBe(200)
    })

    test('U13 HEAD and ETag', async () => {
      const of = await stored(text('abcdef'))
      const url = await toGet(of)
      const head = await fetch(url, { method: 'HEAD' })
      expect([head.status, head.headers.get('content-length'), head.headers.get('content-type'), await head.text()]).toEqual([200, '6', TYPE, ''])
      const tag = head.headers.get('etag')!
      expect(tag).toMatch(/^".+"$/)
      expect((await fetch(url)).headers.get('etag')).toBe(tag)
      const known = await fetch(url, { headers: { 'If-None-Match': tag } })
      expect([known.status, await known.text()]).toEqual([304, ''])
      expect((await fetch(url, { headers: { 'If-None-Match': '"another"' } })).status).toBe(200)
      expect((await fetch(await toGet(await stored(text('other'))))).headers.get('etag')).not.toBe(tag)
    })

    test('U14 the disposition is the one that was signed', async () => {
      const of = await stored(text('x'))
      for (const disposition of ['inline', `attachment; filename="_.txt"; filename*=UTF-8''%C3%BC.txt`]) {
        expect((await fetch(await toGet(of, disposition))).headers.get('content-disposition')).toBe(disposition)
      }
    })

    test('U15 pages of allowed origins may put and get, others may not read the answer', async () => {
      const { allowed, refused } = subject.origins
      const of = newName()
      const address = await toPut(of)
      const preflight = (origin: string) => fetch(address.url, { method: 'OPTIONS', headers: { Origin: origin, 'Access-Control-Request-Method': 'PUT', 'Access-Control-Request-Headers': 'content-type' } })
      const yes = await preflight(allowed)
      expect([yes.ok, yes.headers.get('access-control-allow-origin')]).toEqual([true, allowed])
      expect(yes.headers.get('access-control-allow-methods')).toContain('PUT')
      expect(yes.headers.get('access-control-allow-headers')!.toLowerCase()).toContain('content-type')
      expect((await preflight(refused)).headers.get('access-control-allow-origin')).toBe(null)
      const answer = await fetch(address.url, { method: 'PUT', headers: { ...address.headers, Origin: allowed }, body: text('x') })
      expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, allowed])
      const url = await toGet(of)
      const seen = async (origin: string) => (await fetch(url, { headers: { Origin: origin } })).headers.get('access-control-allow-origin')
      expect([await seen(allowed), await seen(refused)]).toEqual([allowed, null])
    })

    test('U16 a PUT that breaks off leaves nothing, and the address is good for another', async () => {
      const of = newName()
      const address = await toPut(of)
      const req = await begin(address, 1_000_000, bytesOf(500_000))
      req.destroy()
      // Waits for what is under way.
      await reopen()
      await expectNothing(of)
      expect(await put(await toPut(of), text('again'))).toBe(200)
      expect(await content(of)).toEqual(text('again'))
    })

    test('U17 the platform stores and reads by itself', async () => {
      const of = newName()
      expect(await opened.uploads.store(of, 'application/yaml', text('a: 1'))).toEqual({ kind: 'stored' })
      expect(await opened.uploads.store(of, 'text/plain', text('other'))).toEqual({ kind: 'exists' })
      expect(await put(await toPut(of), text('x'))).toBe(412)
      const found = await opened.uploads.content(of, 4)
      expect(found).toMatchObject({ kind: 'found', type: 'application/yaml' })
      expect(found.kind === 'found' && Buffer.from(found.content).toString()).toBe('a: 1')
      expect(await opened.uploads.content(of, 3)).toEqual({ kind: 'too-large', bytes: 4 })
      expect((await fetch(await toGet(of))).headers.get('content-type')).toBe('application/yaml')
    })

    test('U18 a name is two ids: others are a programmer’s error', async () => {
      const { uploads, baseUrl } = opened
      for (const bad of ['', 'a', '../x', `${randomUUID()}`, `${randomUUID()}/../${randomUUID()}`, `${randomUUID()}/${randomUUID().toUpperCase()}`] as UploadName[]) {
        await expect((async () => uploads.metadata(bad))()).rejects.toThrow('name')
        await expect((async () => uploads.content(bad, 1))()).rejects.toThrow('name')
        await expect((async () => uploads.store(bad, TYPE, text('x')))()).rejects.toThrow('name')
        await expect((async () => uploads.uploadAddress({ name: bad, type: TYPE, baseUrl }))()).rejects.toThrow('name')
        await expect((async () => uploads.downloadAddress({ name: bad, disposition: 'inline', baseUrl }))()).rejects.toThrow('name')
      }
    })

    const { process: killed } = subject
    if (killed === undefined) return
    test('U19 kill -9 in the middle of an upload: nothing of it is there, what was answered before is, and it can be put again', async () => {
      const [whole, half] = [newName(), newName()]
      const child = spawn(process.execPath, [new URL('./uploads-child.ts', import.meta.url).pathname, killed.module.href, place, TYPE, whole, half], { stdio: ['ignore', 'pipe', 'inherit'] })
      const ended = once(child, 'exit')
      try {
        const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
        const [first, second] = JSON.parse(line) as [Address, Address]
        expect(await put(first, text('whole'))).toBe(200)
        await begin(second, 1_000_000, bytesOf(500_000))
        await killed.begun(place, 500_000)
      } finally {
        child.kill('SIGKILL')
        await ended
      }
      expect(await killed.leftovers(place)).toHaveLength(1)
      await reopen()
      expect(await killed.leftovers(place)).toEqual([])
      await expectNothing(half)
      expect(await content(whole)).toEqual(text('whole'))
      expect(await put(await toPut(half), text('again'))).toBe(200)
      expect(await content(half)).toEqual(text('again'))
    })
  })
}
