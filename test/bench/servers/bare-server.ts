/**
 * The bare limits: a `node:http` server that parses a PATCH body and answers JSON of the platform's shape;
 * with a log file as its argument it first appends the body there and waits for fdatasync. Group commit: one
 * flush is under way at a time, and all that arrived meanwhile goes with the next.
 *
 * The write is asynchronous like the flush: the limits of architecture.md were set against such a log (0.6 of
 * bare HTTP). With `writeSync` and a flush begun in `setImmediate` it would reach 0.8.
 *
 * No validation, no authentication, no routes: whatever a real server does costs more.
 */
import { Buffer } from 'node:buffer'
import { closeSync, fdatasync, openSync, write } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

type Waiting = { readonly body: Buffer; readonly answer: () => void }

const interactionIndexes = new Map<string, number>()
const logFile = process.argv[2]
const log = logFile === undefined ? undefined : openSync(logFile, 'a')
let waiting: Waiting[] = []
let flushing = false

function flush(fd: number): void {
  const batch = waiting
  waiting = []
  flushing = batch.length > 0
  if (!flushing) return
  const bytes = batch.length === 1 ? batch[0]!.body : Buffer.concat(batch.map((one) => one.body))
  write(fd, bytes, (writeError) => {
    if (writeError !== null) throw writeError
    fdatasync(fd, (syncError) => {
      if (syncError !== null) throw syncError
      for (const one of batch) one.answer()
      flush(fd)
    })
  })
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const { patch } = JSON.parse(body.toString()) as { patch: unknown }
    if (!Array.isArray(patch)) throw new TypeError('the load generator sends patches only')
    const id = request.url!.slice('/v1/states/'.length)
    const ii = (interactionIndexes.get(id) ?? 0) + 1
    interactionIndexes.set(id, ii)
    const answer = (): void => {
      const text = JSON.stringify({ id, ii, updated: Date.now() })
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
      response.end(text)
    }
    if (log === undefined) {
      answer()
      return
    }
    waiting.push({ body, answer })
    if (!flushing) flush(log)
  })
}

const server = createServer(handle)
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
// The benchmark holds the other end: when it is gone, however it went, nobody needs this server.
process.stdin.resume().on('end', () => {
  if (log !== undefined) closeSync(log)
  process.exit(0)
})
