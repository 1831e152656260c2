/** `npm run emulators`: everything that stands in for Google Cloud on one machine, in one process, until SIGTERM or SIGINT. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { Faults } from './faults.ts'
import { cloudSdkFolder, findOfficial, startOfficial, type OfficialName } from './official.ts'
import { startFirestore } from './firestore/server.ts'
import { startGcs } from './gcs/server.ts'
import { startPubsub } from './pubsub/server.ts'

type Running = { readonly variables: Readonly<Record<string, string>>; stop(): Promise<void> }

const HOST = '127.0.0.1'

const environment: Readonly<Record<string, string | undefined>> = process.env
/** The ports that gcloud's emulators take as well. */
const { DATA_DIR: dataDir = '.data', EMULATORS: which = 'own', EMULATOR_PORTS: portList = '8085,8086,8087,8088', CLOUDSDK_ROOT_DIR: sdkFolder } = environment
const ports = portList.split(',').map(Number)
const PORTS = { pubsub: ports[0]!, firestore: ports[1]!, storage: ports[2]!, control: ports[3]! }
const faults = new Faults()
const running: Running[] = []

async function startAll(): Promise<void> {
  if (which !== 'own' && which !== 'official') return end(1, `EMULATORS: must be own or official, not ${which}`)
  if (ports.length !== 4 || !ports.every((port) => Number.isInteger(port) && port >= 0 && port <= 65_535)) return end(1, 'EMULATOR_PORTS: must be four ports: of Pub/Sub, Firestore, Cloud Storage and the control of faults')
  if (isMissing('pubsub')) running.push(which === 'official' ? await startOneOfficial('pubsub') : await startOwnPubsub())
  if (isMissing('firestore')) running.push(which === 'official' ? await startOneOfficial('firestore') : await startOwnFirestore())
  // Google has no official one.
  if (isMissing('storage')) running.push(await startStorage())
  running.push(await startControl())
  const variables = Object.assign({ GOOGLE_CLOUD_PROJECT: 'local', METADATA_SERVER_DETECTION: 'none' }, ...running.map((each) => each.variables)) as Record<string, string>
  process.stdout.write(`${Object.entries(variables).map(([name, value]) => `export ${name}=${value}`).join('\n')}\n`)
  process.stderr.write('emulators are ready\n')
  process.send?.({ port: PORTS.control })
}

const VARIABLES = { pubsub: 'PUBSUB_EMULATOR_HOST', firestore: 'FIRESTORE_EMULATOR_HOST', storage: 'STORAGE_EMULATOR_HOST' } as const satisfies Record<OfficialName | 'storage', string>

/** One that the environment names already is used instead. */
const isMissing = (name: keyof typeof VARIABLES): boolean => (environment[VARIABLES[name]] ?? '') === ''

async function startOwnPubsub(): Promise<Running> {
  const emulator = await startPubsub({ host: HOST, port: PORTS.pubsub, folder: join(dataDir, 'emulators', 'pubsub'), faults })
  return { variables: { [VARIABLES.pubsub]: emulator.address }, stop: () => emulator.stop() }
}

async function startOwnFirestore(): Promise<Running> {
  const emulator = await startFirestore({ host: HOST, port: PORTS.firestore, folder: join(dataDir, 'emulators', 'firestore'), faults })
  return { variables: { [VARIABLES.firestore]: emulator.address }, stop: () => emulator.stop() }
}

/** The key file is made up, and good for signed addresses of this emulator only. */
async function startStorage(): Promise<Running> {
  const emulator = await startGcs({ host: HOST, port: PORTS.storage, folder: join(dataDir, 'emulators', 'gcs'), faults })
  return { variables: { [VARIABLES.storage]: emulator.url, GOOGLE_APPLICATION_CREDENTIALS: resolve(emulator.credentialsFile) }, stop: () => emulator.stop() }
}

async function startOneOfficial(name: OfficialName): Promise<Running> {
  const found = await findOfficial(name, sdkFolder ?? (await cloudSdkFolder()))
  if (found.kind === 'missing') throw new Error(`no official ${name} emulator here: ${found.install}`)
  const emulator = await startOfficial(found, { host: HOST, port: PORTS[name] })
  return { variables: { [VARIABLES[name]]: emulator.address }, stop: () => emulator.stop() }
}

/** `POST /faults` and the like: see `faults.ts`. */
async function startControl(): Promise<Running> {
  const server = createServer((req, res) => faults.handleControl(req, res))
  await new Promise<void>((done, reject) => server.once('error', reject).listen(PORTS.control, HOST, done))
  const { port } = server.address() as AddressInfo
  const stop = (): Promise<void> => new Promise((done) => server.closeAllConnections() ?? server.close(() => done()))
  return { variables: { EMULATORS_CONTROL: `http://${HOST}:${port}` }, stop }
}

let ending = false
async function end(code: number, why?: string): Promise<void> {
  if (ending) return
  ending = true
  if (why !== undefined) process.stderr.write(`${why}\n`)
  await Promise.all(running.map((each) => each.stop()))
  process.exit(code)
}

process.on('SIGTERM', () => void end(0))
// Ctrl-C reaches the whole group: a parent decides, so that what it runs can still be served.
process.on('SIGINT', () => process.channel === undefined && void end(0))
// Whoever started it is gone.
process.on('disconnect', () => void end(0))
startAll().catch((error: unknown) => end(1, error instanceof Error ? error.message : 'cannot start'))
