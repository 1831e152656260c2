/**
 * The server under test, as clients see it: an address, and a way to tokens of the issuer `local`. The suites in
 * this folder know nothing else about it: `on-*.test.ts` run them on one composition of the api each.
 * Its settings are those of `npm start`: open domains, the local issuer, cluster info for everybody, `deny`.
 */
import { assert } from '#shared/assert.ts'

export type TestServer = {
  /** Without a slash at its end. */
  readonly url: string
  readonly port: number
  readonly tokenOf: (user: string, options?: { readonly validMs?: number }) => Promise<string>
  readonly stop: () => Promise<void>
}

export type Composition = {
  readonly start: () => Promise<TestServer>
  /** functions-framework: what its own parsers refuse (broken JSON and paths, encodings) is answered by it. */
  readonly parsersInFront: boolean
  /** Addresses of files are Cloud Storage's, which has its own answers at them; else the platform serves them. */
  readonly filesOnCloudStorage?: boolean
}

let chosen: Composition | undefined

/** Before the suites are imported. */
export function runOn(composition: Composition): void {
  chosen = composition
}

export function composition(): Composition {
  assert(chosen !== undefined, 'a suite is run by an on-*.test.ts')
  return chosen
}

export function startServer(): Promise<TestServer> {
  return composition().start()
}

let shared: Promise<TestServer> | undefined
let sharing = 0

/** One for several suites, which keep out of each other's way by domains of their own: each configured one has connections to Postgres. */
export async function shareServer(): Promise<TestServer> {
  sharing += 1
  shared ??= startServer()
  const server = await shared
  return {
    ...server,
    stop: async () => {
      sharing -= 1
      if (sharing > 0) return
      shared = undefined
      await server.stop()
    },
  }
}
