/**
 * The platform on one machine, as its users start it.
 */
import { mkdirSync } from 'node:fs'
import type { HttpTarget } from '../load/http-channel.ts'
import type { Server, Workshop } from '../workshop.ts'
import { PROBE, type Running, START_DEADLINE_MS, type Subject } from './subject.ts'

export type PlatformOptions = {
  readonly name: string
  /** Words of the command that starts it. */
  readonly start: readonly string[]
  readonly stateProcesses?: number
  /** Data of an earlier start; a new directory otherwise. */
  readonly dataDirectory?: string
  /** Lets `figures/memory.ts` ask for its heap. */
  readonly probe?: boolean
  /** A session of an earlier start. */
  readonly bearer?: string
}

export type RunningPlatform = Running & { readonly target: HttpTarget; readonly dataDirectory: string }

export function platform(start: readonly string[]): Subject {
  return { name: 'npm start', start: (workshop) => startPlatform(workshop, { name: 'platform', start }) }
}

export async function startPlatform(workshop: Workshop, options: PlatformOptions): Promise<RunningPlatform> {
  const dataDirectory = options.dataDirectory ?? workshop.path(`data-${options.name}`)
  mkdirSync(dataDirectory, { recursive: true })
  const [command = 'npm', ...args] = options.start
  const server = await workshop.spawn({
    name: options.name,
    command,
    args,
    env: {
      PORT: '0',
      DATA_DIR: dataDirectory,
      STATE_PROCESSES: String(options.stateProcesses ?? 1),
      ...(options.probe === true ? { NODE_OPTIONS: `--import ${PROBE}`, BENCH_PROBE_DIRECTORY: workshop.directory } : {}),
    },
    deadlineMs: START_DEADLINE_MS,
  })
  const bearer = options.bearer ?? (await openSession(server))
  return { target: { kind: 'http', port: server.port, bearer }, server, dataDirectory }
}

export async function openSession(server: Server): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${server.port}/v1/sessions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token: 'anonymous', domain: 'bench.localhost' }),
  })
  const body = (await answer.json()) as { token?: string; detail?: string }
  if (answer.status !== 201 || body.token === undefined) throw new Error(`no session: status ${answer.status} ${body.detail ?? ''}`)
  return body.token
}
