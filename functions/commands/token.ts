/**
 * `npm run token -- --user alice`: prints an ID token of the issuer `local`, so that a named user can be tried
 * without a provider: `POST /v1/sessions {"token": "...", "domain": "localhost"}`.
 */
import { mkdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { secret } from '#shared/adapters/embedded/data-directory.ts'
import { LOCAL_KEY_BYTES, LOCAL_KEY_NAME, signLocalIdToken } from '#shared/sessions/local-issuer.ts'
import { readSettings } from '#shared/settings.ts'

const HOUR_MS = 3_600_000
const MOST_HOURS = 24 * 365
const HELP = `npm run token -- --user <name> [--hours <n>]
  prints a token of the issuer "local" that opens sessions of this user: for 12 hours, or as many as --hours says.
  The key is in DATA_DIR (.data), and made there if it is missing.`

function fail(message: string): never {
  process.stderr.write(`${message}\n\n${HELP}\n`)
  process.exit(1)
}

function readArguments() {
  try {
    return parseArgs({ options: { user: { type: 'string' }, hours: { type: 'string', default: '12' }, help: { type: 'boolean' } } }).values
  } catch (error) {
    return fail((error as Error).message)
  }
}

async function print(user: string, hours: number): Promise<void> {
  const read = readSettings(process.env)
  if (read.kind === 'faults') return fail(read.faults.join('\n'))
  const folder = read.settings.DATA_DIR
  // It may be used before the first start.
  mkdirSync(folder, { recursive: true })
  const key = secret(folder, LOCAL_KEY_NAME, LOCAL_KEY_BYTES)
  process.stdout.write(`${await signLocalIdToken({ key, user, nowMs: Date.now(), validMs: hours * HOUR_MS })}\n`)
}

const { user, hours, help } = readArguments()
const validHours = Number(hours)
if (help === true) process.stdout.write(`${HELP}\n`)
else if (user === undefined || user === '') fail('--user is missing')
else if (!(validHours > 0 && validHours <= MOST_HOURS)) fail(`--hours is a number up to ${MOST_HOURS}`)
else await print(user, validHours)
