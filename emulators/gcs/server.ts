/**
 * The Cloud Storage emulator: what an unmodified `@google-cloud/storage` and holders of V4 signed addresses use, over HTTP, kept on disk.
 * Not part of it (501): changing an object's metadata, compose, rewrite, versions, delimiters in lists, ACLs, IAM, notifications, XML lists.
 *
 * Owns: the socket and the store. Does not own: faults that are set. Talks to: clients.
 *
 * I1. What was answered with success is durable. I2. `stop` ends all connections and leaves no content half written under a name.
 */
import { mkdirSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AssertionError } from '#shared/assert.ts'
import type { Faults } from '../faults.ts'
import { JsonApi, routeOf, type ApiRequest, type Route } from './json-api.ts'
import { aborted, missing, Refusal, refusalAsJson, refusalAsText, refusalAsXml, unavailable, type Reply } from './reply.ts'
import { keptServiceAccount, publicKeyOf, type ServiceAccount } from './service-account.ts'
import { isSigned } from './signed-address.ts'
import { GcsStore } from './store.ts'
import { corsHeaders, XmlApi, xmlRouteOf } from './xml-api.ts'

export type GcsEmulator = {
  /** `http://host:port`, as `STORAGE_EMULATOR_HOST` and `apiEndpoint` have it. */
  readonly url: string
  /** Signs addresses that this emulator knows. */
  readonly credentials: ServiceAccount
  /** The same as a key file, for `GOOGLE_APPLICATION_CREDENTIALS`. */
  readonly credentialsFile: string
  stop(): Promise<void>
}

export type GcsOptions = {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly folder: string
  readonly faults: Faults
  readonly now?: () => number
}

/** As Google's front ends do. */
const KEEP_ALIVE_MS = 240_000

/** Rejects where the port or the folder cannot be had. */
export async function startGcs({ host, port, folder, faults, now = Date.now }: GcsOptions): Promise<GcsEmulator> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const credentialsFile = join(folder, 'service-account.json')
  const credentials = keptServiceAccount(credentialsFile)
  const store = new GcsStore(folder, now)
  const door = new Door(store, { faults, keys: new Map([[credentials.client_email, publicKeyOf(credentials)]]), now })
  const server = createServer((req, res) => door.handle(req, res))
  // Node's 5 s would end connections just as a client takes them up again: a put would be unknown for no reason of anybody's.
  server.keepAliveTimeout = KEEP_ALIVE_MS
  try {
    await listen(server, host, port)
  } catch (error) {
    store.close()
    throw error
  }
  let stopping: Promise<void> | undefined
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    credentials,
    credentialsFile,
    stop: () =>
      (stopping ??= (async () => {
        server.closeAllConnections()
        await new Promise((done) => server.close(done))
        await door.close()
        store.close()
      })()),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((done, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.removeListener('error', reject)
      done()
    })
  })
}

type DoorOptions = { readonly faults: Faults; readonly keys: ReadonlyMap<string, string>; readonly now: () => number }

class Door {
  readonly #store: GcsStore
  readonly #faults: Faults
  readonly #json: JsonApi
  readonly #xml: XmlApi
  readonly #underWay = new Set<Promise<void>>()

  constructor(store: GcsStore, { faults, keys, now }: DoorOptions) {
    this.#store = store
    this.#faults = faults
    this.#json = new JsonApi(store)
    this.#xml = new XmlApi(store, keys, now)
  }

  async close(): Promise<void> {
    await Promise.all(this.#underWay)
    await this.#json.close()
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const work = this.#serve(req, res).catch((error: unknown) => {
      const isGone = req.socket.destroyed
      res.destroy()
      // A client that went away is nobody's fault; anything else is the emulator's own, and stops it.
      if (isGone) return
      queueMicrotask(() => {
        throw error instanceof Error ? error : new AssertionError(String(error))
      })
    })
    this.#underWay.add(work)
    void work.finally(() => this.#underWay.delete(work))
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const target = req.url!
    const mark = target.indexOf('?')
    const path = mark < 0 ? target : target.slice(0, mark)
    const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
    const method = req.method!
    const request: ApiRequest = { method, path, query, headers: req.headers, base: `http://${req.headers.host}`, body: req.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array> }
    const json = isSigned(target) ? undefined : routeOf(method, path, query)
    const route = json ?? xmlRouteOf(method, path)
    const origin = req.headers.origin
    const cors = json === undefined ? (isPreflight: boolean, as: string) => corsHeaders(this.#store.bucket(route.bucket), { origin, method: as, isPreflight }) : () => ({})
    if (method === 'OPTIONS') return send(res, { status: 200, headers: cors(true, String(req.headers['access-control-request-method'])), body: '' })
    const { reply, isLost } = await this.#reply(route, async () => (json === undefined ? this.#xml.answer(route, { ...request, target }) : this.#json.answer(route, request)), json === undefined ? refusalAsXml : query.get('alt') === 'media' ? refusalAsText : refusalAsJson)
    // The rest of a body that was refused: without it the answer could not be read.
    if (!req.readableEnded) req.resume()
    if (!isLost) return send(res, { ...reply, headers: { ...reply.headers, ...cors(false, method) } })
    if (typeof reply.body === 'object') await reply.body.file.close()
    res.destroy()
  }

  async #reply(route: Route, answer: () => Promise<Reply>, asReply: (refusal: Refusal) => Reply): Promise<{ readonly reply: Reply; readonly isLost: boolean }> {
    const fault = this.#faults.next({ service: 'storage', operation: route.operation, resource: `${route.bucket}/${route.object}` })
    if (fault?.kind === 'slow') await new Promise((done) => setTimeout(done, fault.delayMs).unref())
    try {
      if (fault?.kind === 'unavailable') throw unavailable()
      if (fault?.kind === 'aborted') throw aborted()
      return { reply: await answer(), isLost: fault?.kind === 'answer-lost' }
    } catch (error) {
      // Deleted between the look at its metadata and the opening of its content.
      const refusal = isMissingFile(error) ? missing(`${route.bucket}/${route.object}`) : error
      if (!(refusal instanceof Refusal)) throw error
      return { reply: asReply(refusal), isLost: fault?.kind === 'answer-lost' }
    }
  }
}

const isMissingFile = (error: unknown): boolean => typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT'

async function send(res: ServerResponse, { status, headers, body }: Reply): Promise<void> {
  res.writeHead(status, { ...headers, ...(typeof body === 'string' ? { 'Content-Length': Buffer.byteLength(body) } : {}) })
  if (typeof body !== 'object') return void res.end(body)
  // The stream closes the file.
  await pipeline(body.file.createReadStream({ start: body.start, end: body.start + body.bytes - 1 }), res)
}
