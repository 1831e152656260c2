/**
 * Three state processes of their own behind an api in this process, every link through a proxy of the test's.
 *
 * `npm start` composed by hand: what is product code there is product code here, but for the way to other processes and
 * for storage that misbehaves when told. Owns: the children, the proxies, the api's server. I1. Children end with the test.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createApi, type Api } from '#functions/api/index.ts'
import { systemClock } from '#shared/adapters/embedded/clock.ts'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { openDirectory } from '#shared/adapters/embedded/directory.ts'
import { openUploads } from '#shared/adapters/embedded/uploads.ts'
import { DirectoryRoutes } from '#shared/link/directory-routes.ts'
import { RoutedCluster } from '#shared/link/routed-cluster.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { Directory, Member } from '#shared/ports/directory.ts'
import { Bell, within } from './bell.ts'
import { throughProxies, type Command, type StorageFaults } from './proxied-directory.ts'
import { Proxy } from './proxy.ts'
import { memoryRegistry, noDatabase, noProof, noStates, noWorker } from '../../support/no-database.ts'

const START_DEADLINE_MS = 30_000
const ENTRY = new URL('./faulty-process.ts', import.meta.url).pathname
const API = 'api'

const living = new Set<OwnCluster>()
process.on('exit', () => {
  for (const cluster of living) cluster.killAll()
})

/** For `afterEach`. */
export async function closeClusters(): Promise<void> {
  await Promise.all([...living].map((cluster) => cluster.close()))
}

export class OwnCluster {
  readonly names: readonly string[]
  readonly #dataDir: string
  readonly #seed: number
  readonly #bell = new Bell()
  #children = new Map<string, ChildProcess>()
  /** By dialler and by whom it dials. */
  #proxies = new Map<string, Proxy>()
  #addresses = new Map<string, Record<string, string>>()
  #members: readonly Member[] = []
  #directory: Directory | undefined
  #cluster: RoutedCluster | undefined
  #api: Api | undefined
  #server: Server | undefined
  #isOver = false
  /** Children that ended by themselves, and how. */
  readonly fallen: string[] = []
  readonly logged: string[] = []

  private constructor(dataDir: string, seed: number, processes: number) {
    this.#dataDir = dataDir
    this.#seed = seed
    this.names = Array.from({ length: processes }, (_, at) => `state-process-${at}`)
    living.add(this)
  }

  static async start(dataDir: string, options: { readonly seed: number; readonly processes: number }): Promise<OwnCluster> {
    const cluster = new OwnCluster(dataDir, options.seed, options.processes)
    await cluster.#begin()
    return cluster
  }

  get port(): number {
    return (this.#server!.address() as AddressInfo).port
  }

  /** The proxy that `dialler` (a state process, or the api) reaches `target` through. State processes dial greater names only. */
  between(dialler: string, target: string): Proxy {
    const proxy = this.#proxies.get(`${dialler} ${target}`)
    if (proxy === undefined) throw new Error(`${dialler} does not dial ${target}`)
    return proxy
  }

  /** The link between two state processes. */
  link(a: string, b: string): Proxy {
    return a < b ? this.between(a, b) : this.between(b, a)
  }

  pids(): number[] {
    return [...this.#children.values()].map(({ pid }) => pid!)
  }

  storage(name: string, faults: StorageFaults): void {
    this.#children.get(name)!.send({ kind: 'storage', faults } satisfies Command)
  }

  passAll(): void {
    for (const proxy of this.#proxies.values()) proxy.pass()
  }

  killAll(): void {
    this.#isOver = true
    for (const child of this.#children.values()) child.kill('SIGKILL')
  }

  async close(): Promise<void> {
    living.delete(this)
    this.killAll()
    for (const proxy of this.#proxies.values()) proxy.close()
    this.#api?.close()
    this.#cluster?.close()
    this.#server?.closeAllConnections()
    await new Promise((resolve) => this.#server?.close(resolve))
    await this.#directory?.close()
  }

  async #begin(): Promise<void> {
    const directory = await openDirectory({ folder: join(this.#dataDir, 'directory') })
    this.#directory = directory
    directory.watch((members) => {
      this.#members = members
      this.#bell.ring()
    })
    for (const dialler of [API, ...this.names]) {
      const addresses: Record<string, string> = {}
      for (const target of this.names) {
        if (dialler !== API && target <= dialler) continue
        const proxy = new Proxy(() => this.#members.find((member) => member.name === target)?.address)
        this.#proxies.set(`${dialler} ${target}`, proxy)
        addresses[target] = await proxy.listen()
      }
      this.#addresses.set(dialler, addresses)
    }
    const credentials = sharedSecret(secret(this.#dataDir, 'link.key', 32))
    for (const name of this.names) this.#fork(name)
    const proxied = throughProxies(directory, new Map(Object.entries(this.#addresses.get(API)!)))
    const routes = new DirectoryRoutes({ directory: proxied, credentials, name: API, expected: this.names.length })
    this.#cluster = new RoutedCluster(routes, systemClock)
    const note = (fields: object, message: string): void => void this.logged.push(`${message} ${JSON.stringify(fields)}`)
    this.#api = createApi({
      cluster: this.#cluster,
      uploads: openUploads({ folder: join(this.#dataDir, 'uploads'), key: secret(this.#dataDir, 'uploads.key', 32), limitBytes: 2 ** 20, allowsOrigin: () => false, clock: systemClock }),
      settings: { openDomains: true, corsOrigins: [], issuers: [], authorizeDefault: 'deny', clusterInfo: true, publicUrl: undefined, adminDomain: undefined },
      secrets: { bearerKey: secret(this.#dataDir, 'bearer.key', 32), nameKey: secret(this.#dataDir, 'name.key', 32), localIssuerKey: undefined, operatorToken: undefined },
      registry: memoryRegistry(),
      database: noDatabase,
      proof: noProof,
      worker: noWorker,
      survey: noStates,
      clock: systemClock,
      log: { info: note, warn: note, error: note },
    })
    this.#server = createServer(this.#api.handler)
    await new Promise<void>((resolve) => this.#server!.listen(0, '127.0.0.1', resolve))
    const active = (): boolean => this.#members.filter(({ state }) => state === 'active').length === this.names.length && routes.names().length === this.names.length
    const look = setInterval(() => this.#bell.ring(), 50)
    await within(
      this.#bell.until(active, { what: () => `${this.names.length} active members: ${JSON.stringify(this.#members)} ${this.fallen.join(' ')}`, deadlineMs: START_DEADLINE_MS }),
      START_DEADLINE_MS + 1_000,
      'the start',
    ).finally(() => clearInterval(look))
  }

  #fork(name: string): void {
    const inherited = Object.fromEntries(['PATH', 'HOME', 'TMPDIR'].flatMap((variable) => (process.env[variable] === undefined ? [] : [[variable, process.env[variable]]])))
    const child = fork(ENTRY, [], { env: { ...inherited, DATA_DIR: this.#dataDir, PROCESS_NAME: name, FAULT_SEED: String(this.#seed + this.names.indexOf(name)) }, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#children.set(name, child)
    child.stderr!.setEncoding('utf8').on('data', (text: string) => this.logged.push(text))
    child.once('message', () => child.send({ kind: 'addresses', addresses: this.#addresses.get(name)! } satisfies Command))
    child.once('exit', (code, signal) => {
      if (!this.#isOver) this.fallen.push(`${name} ended: ${code} ${signal}\n${this.logged.slice(-20).join('')}`)
    })
  }
}
