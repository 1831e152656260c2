/** The Cloud Storage emulator as an unmodified client, and plain HTTP, meet it. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Storage, type Bucket } from '@google-cloud/storage'
import { Faults } from '../../../emulators/faults.ts'
import { startGcs, type GcsEmulator } from '../../../emulators/gcs/server.ts'

let folder: string
let emulator: GcsEmulator
let bucket: Bucket

async function start(): Promise<void> {
  emulator = await startGcs({ host: '127.0.0.1', port: 0, folder, faults: new Faults() })
  bucket = new Storage({ projectId: 'test', apiEndpoint: emulator.url }).bucket('a-bucket')
}
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'state-platform-test-'))
  await start()
  await bucket.create()
})
afterEach(async () => {
  await emulator.stop()
  await rm(folder, { recursive: true, force: true })
})

const status = async (path: string, init: RequestInit = {}): Promise<number> => (await fetch(emulator.url + path, init)).status

test('a resumable upload, whole and in parts, is what was sent, with checksums that the client agrees with', async () => {
  const content = Buffer.from(Array.from({ length: 700_000 }, (_, i) => i % 251))
  await bucket.file('whole').save(content, { resumable: true, validation: 'crc32c' })
  await bucket.file('parts').save(content, { resumable: true, chunkSize: 256 * 1024, validation: 'crc32c' })
  for (const name of ['whole', 'parts']) expect(Buffer.compare((await bucket.file(name).download({ validation: 'crc32c' }))[0], content)).toBe(0)
})

test('what was stored outlives a restart', async () => {
  await bucket.file('a/b').save('hello', { resumable: false, metadata: { metadata: { x: '1' } } })
  await emulator.stop()
  await start()
  expect(String((await bucket.file('a/b').download())[0])).toBe('hello')
  expect((await bucket.file('a/b').getMetadata())[0]).toMatchObject({ size: '5', metadata: { x: '1' }, crc32c: 'mnG7TA==', md5Hash: 'XUFAKrxLKna5cZ2REBfFkg==' })
})

test('statuses: 404, 409, 412, 304, 416, 400 and 501, by both paths', async () => {
  await bucket.file('a').save('abc', { resumable: false })
  const [{ generation }] = await bucket.file('a').getMetadata()
  for (const at of ['/b/a-bucket/o/a', '/storage/v1/b/a-bucket/o/a']) {
    expect(await status(at)).toBe(200)
    expect(await status(`${at}?ifGenerationMatch=1`)).toBe(412)
    expect(await status(`${at}?ifGenerationNotMatch=${generation}`)).toBe(304)
    expect(await status(`${at}?ifMetagenerationMatch=2`)).toBe(412)
    expect(await status(`${at}?ifGenerationMatch=x`)).toBe(400)
    expect(await status(`${at}?alt=media`, { headers: { Range: 'bytes=3-' } })).toBe(416)
    expect(await status(`${at}?alt=media`, { headers: { Range: 'bytes=1-1' } })).toBe(206)
    expect(await status(`${at}x`)).toBe(404)
    expect(await status(`${at}/rewriteTo/b/a-bucket/o/b`, { method: 'POST' })).toBe(501)
    expect(await status(at, { method: 'PATCH', body: '{}' })).toBe(501)
  }
  expect(await status('/b?project=test', { method: 'POST', body: '{"name":"a-bucket"}' })).toBe(409)
  expect(await status('/a-bucket/a')).toBe(403)
  const error = (await (await fetch(`${emulator.url}/b/a-bucket/o/none`)).json()) as { error: object }
  expect(error.error).toMatchObject({ code: 404, errors: [{ domain: 'global', reason: 'notFound' }] })
})

test('content with another checksum than was announced is refused, and nothing is there', async () => {
  await expect(bucket.file('a').save('abc', { resumable: false, validation: false, metadata: { crc32c: 'AAAAAA==' } })).rejects.toMatchObject({ code: 400 })
  expect((await bucket.file('a').exists())[0]).toBe(false)
})
