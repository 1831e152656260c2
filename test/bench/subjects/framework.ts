/**
 * functions-framework, with the platform's api on it and with a function that only parses and answers.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, REPOSITORY, type Server, type Workshop } from '../workshop.ts'
import { openSession } from './platform.ts'
import { BARE_BEARER, PROBE, START_DEADLINE_MS, type Subject } from './subject.ts'

const FRAMEWORK = join(REPOSITORY, 'node_modules/@google-cloud/functions-framework/build/src/main.js')
const BARE_FUNCTION = fileURLToPath(new URL('../servers/framework-function.ts', import.meta.url))
const ENTRY = join(REPOSITORY, 'functions', 'index.ts')

export const frameworkBare: Subject = {
  name: 'framework-bare',
  async start(workshop) {
    const server = await startFramework(workshop, 'framework-bare', ['--target=bare', `--source=${BARE_FUNCTION}`], {})
    return { target: { kind: 'http', port: server.port, bearer: BARE_BEARER }, server, dataDirectory: undefined }
  },
}

export const frameworkApi: Subject = {
  name: 'framework-api',
  async start(workshop) {
    if (!existsSync(ENTRY)) throw new Error('functions/index.ts is not there')
    const dataDirectory = workshop.path('data-framework')
    mkdirSync(dataDirectory, { recursive: true })
    // The framework finds functions/index.ts as `main` of package.json.
    const server = await startFramework(workshop, 'framework-api', ['--target=api'], { DATA_DIR: dataDirectory })
    return { target: { kind: 'http', port: server.port, bearer: await openSession(server) }, server, dataDirectory }
  },
}

async function startFramework(workshop: Workshop, name: string, args: readonly string[], env: Record<string, string>): Promise<Server> {
  const port = await freePort()
  return workshop.spawn({
    name,
    command: process.execPath,
    args: [FRAMEWORK, ...args],
    env: { ...env, PORT: String(port), NODE_ENV: 'production', NODE_OPTIONS: `--import ${PROBE}`, BENCH_LOOPBACK: '1' },
    port,
    deadlineMs: START_DEADLINE_MS,
  })
}
