/** What functions-framework and Google Cloud load: every function target, each imported when its first request or event comes. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { cloudEvent, http } from '@google-cloud/functions-framework'
import { AssertionError } from '#shared/assert.ts'

type Handler = (req: IncomingMessage, res: ServerResponse) => void
type CloudEvent = { readonly id?: string | undefined; readonly data?: unknown }
type Listener = (event: CloudEvent) => Promise<void>

const api = later<Handler>(async () => (await import('#functions/api/target.ts')).openApiTarget())
const mirror = later<Listener>(async () => (await import('#functions/mirror/target.ts')).openMirrorTarget())
const retention = later<Listener>(async () => (await import('#functions/scheduled/target.ts')).openRetentionTarget())
const closeSessions = later<Listener>(async () => (await import('#functions/scheduled/target.ts')).openCloseSessionsTarget())

http('api', (req, res) => void api().then((handle) => handle(req, res)))
cloudEvent('mirror', async (event: CloudEvent) => (await mirror())(event))
cloudEvent('retention', async (event: CloudEvent) => (await retention())(event))
cloudEvent('close-sessions', async (event: CloudEvent) => (await closeSessions())(event))

// A child of `npm run start:emulated`, which is gone.
process.on('disconnect', () => process.exit(0))

/** What is imported and composed once, for the first call. */
function later<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined
  return () => {
    // What cannot be composed cannot serve: the instance ends, and says why.
    opened ??= open().catch((error: unknown) => {
      process.stderr.write(`${JSON.stringify({ severity: 'CRITICAL', message: error instanceof Error ? error.message : 'cannot start' })}\n`)
      return process.exit(error instanceof AssertionError ? 70 : 1)
    })
    return opened
  }
}
