/**
 * `npm run start:emulated`: the whole platform on one machine as Google Cloud runs it: every part a process of its own on the
 * adapters of Google Cloud, the functions on functions-framework, emulators and a Postgres under them.
 *
 * Owns: all these processes, each started again when it dies. I1. What is kept is in the emulators and in nobody's memory.
 */
import { createServer, type AddressInfo } from 'node:net'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { startPostgres } from '#shared/adapters/embedded/postgres-server.ts'
import { openPubsubClient } from '#shared/adapters/gcp/pubsub-client.ts'
import { openStorageClient } from '#shared/adapters/gcp/storage-client.ts'
import type { AdminConnection } from '#shared/adapters/postgres/admin-connection.ts'
import { dieLoudly } from '#shared/die-loudly.ts'
import { limits } from '#shared/limits.ts'
import { openLog } from '#shared/log.ts'
import { readSettings } from '#shared/settings.ts'
import { directoryOf } from '#functions/google-cloud/compose.ts'
import { DataDirectoryTaken, lockPatiently, PRESETS } from '#functions/local/compose.ts'
import { whenOrphaned } from '#functions/local/orphan.ts'
import { BUCKETS, PATCHES, provision } from '#functions/local/provision.ts'
import { Supervisor } from '#functions/local/supervisor.ts'
import { WatchedChild } from '#functions/local/watched-child.ts'

const PROJECT = 'local'
const STATE_PROCESSES = '3'
/** The emulator's listeners hear of a record at once; this is for machines that are busy. */
const REGISTRY_TAKES_MS = '500'
/** As Cloud Scheduler does elsewhere. */
const SCHEDULE_MS = { retention: 3_600_000, 'close-sessions': 60_000 } as const
const STOP_MS = 20_000

const read = readSettings(process.env, { presets: { ...PRESETS, STATE_PROCESSES, REGISTRY_TAKES_MS } })
if (read.kind === 'faults') {
  process.stderr.write(`${read.faults.join('\n')}\n`)
  process.exit(1)
}
const { settings } = read
const log = openLog({ level: settings.LOG_LEVEL, service: 'local' })
dieLoudly(log)

const lock = await lockPatiently(settings.DATA_DIR).catch((error: unknown) => {
  if (!(error instanceof DataDirectoryTaken)) throw error
  process.stderr.write(`${error.message}\n`)
  return process.exit(1)
})
const folder = join(settings.DATA_DIR, 'emulators')
mkdirSync(folder, { recursive: true, mode: 0o700 })
const postgresKey = secret(folder, 'postgres.key', 32)
const isAnyPort = settings.PORT === 0
const postgres = await startPostgres({ dataDir: folder, key: postgresKey, databaseUrl: settings.DATABASE_URL, log })
const ports = process.env['EMULATOR_PORTS'] ?? (isAnyPort ? (await freePorts(4)).join(',') : '8085,8086,8087,8088')
const [pubsubPort, firestorePort, storagePort] = ports.split(',')
const [gatewayPort, apiPort, mirrorPort, retentionPort, closePort] = [...(isAnyPort ? [] : [settings.PORT]), ...(await freePorts(5))] as [number, number, number, number, number]

const environment: Record<string, string> = {
  ...PRESETS,
  ...(process.env as Record<string, string>),
  GOOGLE_CLOUD_PROJECT: PROJECT,
  GOOGLE_APPLICATION_CREDENTIALS: resolve(folder, 'gcs', 'service-account.json'),
  METADATA_SERVER_DETECTION: 'none',
  PUBSUB_EMULATOR_HOST: settings.PUBSUB_EMULATOR_HOST ?? `127.0.0.1:${pubsubPort}`,
  FIRESTORE_EMULATOR_HOST: settings.FIRESTORE_EMULATOR_HOST ?? `127.0.0.1:${firestorePort}`,
  STORAGE_EMULATOR_HOST: settings.STORAGE_EMULATOR_HOST ?? `http://127.0.0.1:${storagePort}`,
  COLD_STORAGE_BUCKET: BUCKETS.coldStorage,
  UPLOADS_BUCKET: BUCKETS.uploads,
  FAN_OUT_TOPIC: PATCHES,
  DATA_DIR: settings.DATA_DIR,
  STATE_PROCESSES: String(settings.STATE_PROCESSES),
  REGISTRY_TAKES_MS: String(settings.REGISTRY_TAKES_MS),
  DATABASE_URL: addressOf(postgres.admin),
  BEARER_KEY: keyText('bearer.key'),
  NAME_KEY: keyText('name.key'),
  DOMAIN_ROLES_KEY: Buffer.from(postgresKey).toString('base64'),
}
Object.assign(process.env, { METADATA_SERVER_DETECTION: 'none' })

const children: WatchedChild[] = []
await emulators()
const pubsub = openPubsubClient({ projectId: PROJECT, emulatorHost: environment['PUBSUB_EMULATOR_HOST'] })
const storage = openStorageClient({ projectId: PROJECT, apiEndpoint: environment['STORAGE_EMULATOR_HOST']! })
const deliveries = [
  { topic: PATCHES, target: 'mirror', url: `http://127.0.0.1:${mirrorPort}/` },
  { topic: 'retention', target: 'retention', url: `http://127.0.0.1:${retentionPort}/` },
  { topic: 'close-sessions', target: 'close-sessions', url: `http://127.0.0.1:${closePort}/` },
]
await provision({ storage, pubsub, deliveries })

const { directory, close: closeDirectory } = directoryOf({ ...settings, GOOGLE_CLOUD_PROJECT: PROJECT, FIRESTORE_EMULATOR_HOST: environment['FIRESTORE_EMULATOR_HOST'] }, log)
const names = Array.from({ length: settings.STATE_PROCESSES }, (_, at) => `state-process-${at}`)
const stateProcesses = new Supervisor({ names, environment, directory, log })
const workerPort = String((await freePorts(1))[0])
environment['DOMAIN_WORKER_URL'] = `127.0.0.1:${workerPort}`
start('domain-worker', '../domain-worker/index.ts', { PORT: workerPort })
start('gateway', '../gateway/index.ts', { PORT: String(gatewayPort), HOST: settings.HOST })
for (const [target, port] of [['api', apiPort], ['mirror', mirrorPort], ['retention', retentionPort], ['close-sessions', closePort]] as const) startFunction(target, port)
const schedules = (['retention', 'close-sessions'] as const).map((job) => setInterval(() => void run(job), SCHEDULE_MS[job]).unref())

let isStopping = false
process.on('SIGTERM', () => void stop()).on('SIGINT', () => void stop())
if (process.env['npm_lifecycle_event'] !== undefined) whenOrphaned(() => void stop())
await Promise.all([untilReady(gatewayPort), untilReady(apiPort)])
const { PUBSUB_EMULATOR_HOST, FIRESTORE_EMULATOR_HOST, STORAGE_EMULATOR_HOST } = environment
log.info({ PUBSUB_EMULATOR_HOST, FIRESTORE_EMULATOR_HOST, STORAGE_EMULATOR_HOST, GOOGLE_CLOUD_PROJECT: PROJECT, api: `http://127.0.0.1:${apiPort}` }, 'emulators for subscribers and functions of your own, and the function api')
process.stdout.write(`ready http://${settings.HOST}:${gatewayPort}\n`)

function start(name: string, entry: string, more: Readonly<Record<string, string>>): void {
  children.push(new WatchedChild({ name, entry: new URL(entry, import.meta.url), environment: { ...environment, ...more }, endBy: name === 'domain-worker' ? 'disconnect' : 'SIGTERM', log }))
}

function startFunction(target: string, port: number): void {
  // Its command: beside what it exports.
  const entry = new URL('main.js', import.meta.resolve('@google-cloud/functions-framework'))
  const args = ['--target', target, '--port', String(port), '--source', fileURLToPath(new URL('../..', import.meta.url))]
  children.push(new WatchedChild({ name: target, entry, args, environment: { ...environment, NODE_ENV: 'production', PORT: String(port) }, endBy: 'SIGTERM', log }))
}

/** Resolves when they listen. */
function emulators(): Promise<void> {
  return new Promise((listening) => {
    const entry = new URL('../../emulators/index.ts', import.meta.url)
    children.push(new WatchedChild({ name: 'emulators', entry, environment: { ...(process.env as Record<string, string>), DATA_DIR: settings.DATA_DIR, EMULATOR_PORTS: ports }, onPort: (port) => port !== undefined && listening(), endBy: 'SIGTERM', log }))
  })
}

async function run(job: string): Promise<void> {
  await pubsub.topic(job).publishMessage({ json: { job } }).catch((error: unknown) => log.warn({ job, reason: String(error) }, 'a job could not be called'))
}

async function untilReady(port: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/ready`).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.status === 200) return
    await new Promise((done) => setTimeout(done, limits.readyLookMs))
  }
}

/** Whoever asks goes before whom it asks. */
async function stop(): Promise<void> {
  if (isStopping) return
  isStopping = true
  setTimeout(() => process.exit(1), STOP_MS).unref()
  for (const schedule of schedules) clearInterval(schedule)
  const [running, ...others] = children
  await Promise.all(others.map((child) => child.stop()))
  await stateProcesses.stop()
  await Promise.all([pubsub.close(), closeDirectory()])
  await running?.stop()
  await postgres.stop()
  await lock.release()
  process.exit(0)
}

function keyText(name: string): string {
  return Buffer.from(secret(settings.DATA_DIR, name, 32)).toString('base64')
}

function addressOf({ server, user, password, database }: AdminConnection): string {
  if (settings.DATABASE_URL !== undefined) return settings.DATABASE_URL
  return `postgres://${encodeURIComponent(user)}:${encodeURIComponent(String(password))}@${server.host}:${server.port}/${database}`
}

/** Free just now, and different from each other. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise<ReturnType<typeof createServer>>((done) => {
      const server = createServer().listen(0, '127.0.0.1', () => done(server))
    })),
  )
  const found = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return found
}
