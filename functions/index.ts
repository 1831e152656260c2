/** What functions-framework and Google Cloud load: every function target, each imported when its first request comes. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { http } from '@google-cloud/functions-framework'
import { AssertionError } from '#shared/assert.ts'

type Handler = (req: IncomingMessage, res: ServerResponse) => void

http('api', later(() => import('#functions/api/target.ts').then(({ openApiTarget }) => openApiTarget())))

/** A handler whose parts are imported and opened once, for the first request. */
function later(open: () => Promise<Handler>): Handler {
  let handler: Promise<Handler> | undefined
  return (req, res) => {
    handler ??= open()
    handler.then(
      (handle) => handle(req, res),
      // What cannot be composed cannot serve: the instance ends, and says why.
      (error: unknown) => {
        process.stderr.write(`${JSON.stringify({ severity: 'CRITICAL', message: error instanceof Error ? error.message : 'cannot start' })}\n`)
        process.exit(error instanceof AssertionError ? 70 : 1)
      },
    )
  }
}
