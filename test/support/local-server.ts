/** The real `npm start`, or `npm run start:emulated`: a process of its own on a folder of its own. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { LOCAL_KEY_BYTES, LOCAL_KEY_NAME, signLocalIdToken } from '#shared/sessions/local-issuer.ts'
import type { TestServer } from '../api/fixture.ts'

const START_MS = 30_000

/** A failure of the tests' own process must not leave them running. */
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export function startLocalServer(settings: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  return startServer('index.ts', settings)
}

/** Emulators, functions and services, on ports of their own. */
export function startEmulatedServer(settings: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  return startServer('emulated.ts', settings)
}

async function startServer(entry: 'index.ts' | 'emulated.ts', settings: Readonly<Record<string, string>>): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'api-local-'))
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../../functions/local', entry)], {
    env: { ...process.env, PORT: '0', DATA_DIR: folder, LOG_LEVEL: 'warn', UPLOAD_LIMIT_MIB: '1', ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  children.add(child)
  void exited.then(() => children.delete(child))
  const url = await Promise.race([readyLine(child.stdout), exited.then(() => undefined), deadline()])
  if (url === undefined) {
    child.kill('SIGKILL')
    throw new Error('npm start did not become ready')
  }
  return {
    url,
    port: Number(new URL(url).port),
    tokenOf: (user, { validMs = 3_600_000 } = {}) =>
      signLocalIdToken({ key: secret(folder, LOCAL_KEY_NAME, LOCAL_KEY_BYTES), user, nowMs: Date.now(), validMs }),
    stop: async () => {
      child.kill('SIGTERM')
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function readyLine(stdout: NodeJS.ReadableStream): Promise<string | undefined> {
  for await (const line of createInterface({ input: stdout })) {
    const match = /^ready (http:\S+)$/.exec(line)
    if (match !== null) return match[1]
  }
  return undefined
}

function deadline(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, START_MS, undefined).unref())
}
