/**
 * Google's own emulators, where a Google Cloud SDK has them: found, started with plain `java`, stopped.
 *
 * Owns: the processes it starts. Does not own: their data, which they keep in memory. Talks to: `gcloud`, `java`.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unreachable } from '#shared/assert.ts'

export type OfficialName = 'pubsub' | 'firestore'

export type OfficialSearch =
  | { readonly kind: 'found'; readonly arguments: readonly string[] }
  /** `install`: what to do about it, in words. */
  | { readonly kind: 'missing'; readonly install: string }

export type OfficialEmulator = { readonly address: string; stop(): Promise<void> }

const START_MS = 60_000
const LOOK_MS = 200
const ASK_MS = 20_000

/** Its folder, by `gcloud`; undefined where that is not installed. */
export async function cloudSdkFolder(): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('gcloud', ['info', '--format=value(installation.sdk_root)'], { timeout: ASK_MS })
    return stdout.trim() || undefined
  } catch {
    return undefined
  }
}

/** `sdk`: the SDK's folder, if there is one. */
export async function findOfficial(name: OfficialName, sdk: string | undefined): Promise<OfficialSearch> {
  if (sdk === undefined) return { kind: 'missing', install: 'install the Google Cloud SDK (https://cloud.google.com/sdk), or name its folder in CLOUDSDK_ROOT_DIR' }
  const started = jarOf(name, sdk)
  if (started === undefined) return { kind: 'missing', install: `gcloud components install ${componentOf(name)}` }
  const java = await promisify(execFile)('java', ['-version'], { timeout: ASK_MS }).then(() => true, () => false)
  return java ? { kind: 'found', arguments: started } : { kind: 'missing', install: 'install Java 11 or newer, and put java on the PATH' }
}

function componentOf(name: OfficialName): string {
  switch (name) {
    case 'pubsub':
      return 'pubsub-emulator'
    case 'firestore':
      return 'cloud-firestore-emulator'
    default:
      return unreachable(name)
  }
}

/** What `java` is to be given, the address apart. */
function jarOf(name: OfficialName, sdk: string): string[] | undefined {
  const folder = join(sdk, 'platform', componentOf(name))
  switch (name) {
    case 'pubsub': {
      const jar = existsSync(join(folder, 'lib')) ? readdirSync(join(folder, 'lib')).find((file) => /^cloud-pubsub-emulator-.*-all\.jar$/.test(file)) : undefined
      return jar === undefined ? undefined : ['-jar', join(folder, 'lib', jar)]
    }
    case 'firestore': {
      const jar = join(folder, 'cloud-firestore-emulator.jar')
      return existsSync(jar) ? ['-Duser.language=en', '-cp', jar, 'com.google.cloud.datastore.emulator.firestore.CloudFirestore', 'start'] : undefined
    }
    default:
      return unreachable(name)
  }
}

/** `port` 0: any free one. Rejects when it is not ready within a minute. */
export async function startOfficial(found: Extract<OfficialSearch, { readonly kind: 'found' }>, { host, port }: { readonly host: string; readonly port: number }): Promise<OfficialEmulator> {
  const at = port === 0 ? await freePort(host) : port
  const child = spawn('java', [...found.arguments, `--host=${host}`, `--port=${at}`], { stdio: 'ignore' })
  const ended = new Promise<void>((done) => child.once('exit', () => done()).once('error', () => done()))
  const stop = async (): Promise<void> => {
    if (lives(child)) child.kill('SIGTERM')
    await ended
  }
  const deadline = Date.now() + START_MS
  while (!(await isReady(`http://${host}:${at}/`))) {
    if (lives(child) && Date.now() < deadline) {
      await new Promise((done) => setTimeout(done, LOOK_MS))
      continue
    }
    await stop()
    throw new Error(`the official emulator (${found.arguments.at(-1)!}) is not ready at ${host}:${at}`)
  }
  return { address: `${host}:${at}`, stop }
}

const lives = (child: ChildProcess): boolean => child.pid !== undefined && child.exitCode === null && child.signalCode === null

const isReady = (address: string): Promise<boolean> => fetch(address, { signal: AbortSignal.timeout(2_000) }).then(({ ok }) => ok, () => false)

/** Java is told a port, and does not say which one it took. */
function freePort(host: string): Promise<number> {
  return new Promise((done, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, host, () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
