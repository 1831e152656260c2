/**
 * Everything that Terraform deploys starts with exactly the variables that Terraform sets (emulators apart): services listen and
 * are well, functions are loaded and composed.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openStorageClient } from '#shared/adapters/gcp/storage-client.ts'
import { Faults } from '../../emulators/faults.ts'
import { startFirestore, type FirestoreEmulator } from '../../emulators/firestore/server.ts'
import { startGcs, type GcsEmulator } from '../../emulators/gcs/server.ts'
import { startPubsub, type PubsubEmulator } from '../../emulators/pubsub/server.ts'
import { variablesByPart } from '../unit/terraform/variables.ts'
import { eventually } from '../support/postgres.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FRAMEWORK = fileURLToPath(new URL('main.js', import.meta.resolve('@google-cloud/functions-framework')))
const told = await variablesByPart()
const key = randomBytes(32).toString('base64')
const VALUES: Readonly<Record<string, string>> = {
  HOST: '127.0.0.1', LOG_LEVEL: 'info', GOOGLE_CLOUD_PROJECT: 'test', COLD_STORAGE_BUCKET: 'cold-storage', UPLOADS_BUCKET: 'uploads', FIRESTORE_DATABASE: 'directory',
  FAN_OUT_TOPIC: 'patches', STATE_PROCESSES: '3', GAP_RULE: 'refuse', LINK_ID_TOKENS: 'true', LINK_CALLERS: 'a@test.iam.gserviceaccount.com', ID_TOKEN_KEYS: 'front',
  ADDRESS: 'https://this.example', PROCESS_NAME: 'state-process-0', DOMAIN_WORKER_URL: 'https://worker.example', UPLOADS_SIGNER: 'signer@test.iam.gserviceaccount.com', UPLOAD_LIMIT_MIB: '10',
  CLOUD_SQL_INSTANCE: 'test:region:mirror', CLOUD_SQL_USER: 'database@test.iam', DATABASE_NAME: 'postgres', MAX_DATABASE_CONNECTIONS: '8', PUBLIC_URL: 'https://api.example', CORS_ORIGINS: '',
  ISSUERS: '[]', AGENT_PROVIDERS: '[]', AGENT_TOKEN_KEY: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), ADMIN_DOMAIN: '', AUTHORIZE_DEFAULT: 'deny', NODE_ENV: 'production', RETENTION_HOURS: '24', OPERATOR_TOKEN: key, BEARER_KEY: key, NAME_KEY: key, DOMAIN_ROLES_KEY: key,
}
const SERVICES = ['state-process', 'domain-worker', 'gateway'] as const
const EVENT_FUNCTIONS = ['mirror', 'close-sessions'] as const

let folder: string
let emulated: Readonly<Record<string, string>>
let running: [FirestoreEmulator, GcsEmulator, PubsubEmulator]
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

beforeAll(async () => {
  folder = await makeTemporaryFolder()
  const options = { host: '127.0.0.1', port: 0, faults: new Faults() }
  running = [await startFirestore({ ...options, folder: undefined }), await startGcs({ ...options, folder }), await startPubsub({ ...options, folder: undefined })]
  const [firestore, gcs, pubsub] = running
  await openStorageClient({ projectId: 'test', apiEndpoint: gcs.url, credentials: gcs.credentials }).createBucket('cold-storage')
  emulated = {
    FIRESTORE_EMULATOR_HOST: firestore.address, STORAGE_EMULATOR_HOST: gcs.url, PUBSUB_EMULATOR_HOST: pubsub.address,
    // An account, as the metadata server has one there.
    GOOGLE_APPLICATION_CREDENTIALS: gcs.credentialsFile, METADATA_SERVER_DETECTION: 'none',
  }
})
afterAll(async () => {
  await Promise.all([...children].map((child) => new Promise<void>((ended) => child.once('exit', () => ended()).kill('SIGKILL'))))
  await Promise.all(running.map((emulator) => emulator.stop()))
  await removeTemporaryFolder(folder)
})

type Started = { readonly url: string; readonly output: () => string; readonly isAlive: () => boolean; stop(): Promise<number | null> }

async function start(part: string, args: readonly string[]): Promise<Started> {
  const port = await freePort()
  const variables = Object.fromEntries(told[part]!.map((name) => [name, VALUES[name]!]))
  const child = spawn(process.execPath, args.map((arg) => (arg === '$PORT' ? String(port) : arg)), { cwd: ROOT, env: { ...variables, ...emulated, PORT: String(port) }, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const exited = new Promise<number | null>((ended) => child.once('exit', (code) => ended(children.delete(child) ? code : null)))
  return {
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    isAlive: () => child.exitCode === null,
    stop: () => (child.kill('SIGTERM'), exited),
  }
}

const startFunction = (target: string): Promise<Started> => start(target, [FRAMEWORK, '--target', target, '--port', '$PORT', '--source', ROOT])

function freePort(): Promise<number> {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => found(port))
    })
  })
}

async function listens({ url }: Started): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect').finally(() => socket.destroy())
}

/** What it says when it does not go on is part of the failure. */
async function well(part: Started, check: () => Promise<void> | void): Promise<void> {
  await eventually(async () => {
    if (!part.isAlive()) throw new Error(`it has ended: ${part.output().slice(-1_000)}`)
    await check()
  }, 20_000)
}

test('every variable has a value here', () => {
  expect([...new Set(Object.values(told).flat())].filter((name) => VALUES[name] === undefined)).toEqual([])
})

test.each(SERVICES)('the service %s listens, is well, and ends at SIGTERM', async (part) => {
  const service = await start(part, [join('functions', part, 'index.ts')])
  await well(service, async () => expect((await fetch(`${service.url}/v1/health`)).status).toBe(200))
  // A state process that has only begun has nothing to hand over: it may just end.
  if (part !== 'state-process') expect(await service.stop()).toBe(0)
})

test('the function api is composed', async () => {
  const api = await startFunction('api')
  const asked = new AbortController()
  await well(api, () => listens(api))
  fetch(`${api.url}/v1/health`, { signal: asked.signal }).catch(() => undefined)
  await well(api, () => expect(api.output()).toContain('composed, and not ready yet'))
  asked.abort()
})

const eventOf = (job: string): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', 'ce-id': '1', 'ce-source': '//pubsub.googleapis.com/t', 'ce-specversion': '1.0', 'ce-type': 'google.cloud.pubsub.topic.v1.messagePublished' },
  body: JSON.stringify({ message: { data: Buffer.from(JSON.stringify({ job })).toString('base64') }, subscription: 's' }),
})

test.each(EVENT_FUNCTIONS)('the function %s is composed', async (target) => {
  const started = await startFunction(target)
  const asked = new AbortController()
  await well(started, () => listens(started))
  fetch(started.url, { ...eventOf(target), signal: asked.signal }).catch(() => undefined)
  await well(started, () => expect(started.output()).toContain('composed, and not ready yet'))
  asked.abort()
})

test('the function retention does its work', async () => {
  const retention = await startFunction('retention')
  await well(retention, async () => expect((await fetch(retention.url, eventOf('retention'))).status).toBe(204))
})
