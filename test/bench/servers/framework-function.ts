/**
 * The bare limit of functions-framework: a function that only takes the body its parsers made and answers
 * JSON of the platform's shape, past Express's `res.json`.
 */
import { Buffer } from 'node:buffer'
import { http } from '@google-cloud/functions-framework'

const interactionIndexes = new Map<string, number>()

http('bare', (request, response) => {
  const patch = (request.body as { patch?: unknown } | undefined)?.patch
  const id = request.url.slice('/v1/states/'.length)
  const ii = (interactionIndexes.get(id) ?? 0) + (Array.isArray(patch) ? 1 : 0)
  interactionIndexes.set(id, ii)
  const text = JSON.stringify({ id, ii, updated: Date.now() })
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
})
