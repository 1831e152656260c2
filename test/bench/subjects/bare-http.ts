import { fileURLToPath } from 'node:url'
import type { Workshop } from '../workshop.ts'
import { BARE_BEARER, type Running, START_DEADLINE_MS, type Subject } from './subject.ts'

const SERVER = fileURLToPath(new URL('../servers/bare-server.ts', import.meta.url))

/** `node:http` that parses and answers the JSON: the limit of any server in Node. */
export const bareHttp: Subject = { name: 'bare-http', start: (workshop) => startBareServer(workshop, 'bare-http', []) }

export async function startBareServer(workshop: Workshop, name: string, args: readonly string[]): Promise<Running> {
  const server = await workshop.spawn({ name, command: process.execPath, args: [SERVER, ...args], deadlineMs: START_DEADLINE_MS })
  return { target: { kind: 'http', port: server.port, bearer: BARE_BEARER }, server, dataDirectory: undefined }
}
