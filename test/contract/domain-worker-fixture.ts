/** A domain worker in this process, its sandboxes in threads of their own, and a client of it over a real link. */
import type { Incarnation } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { DomainWorkerClient } from '#shared/link/domain-worker-client.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'
import type { AgentAnswer, AgentCall, CallOutcome, DomainModule, Handler } from '#shared/ports/domain-worker.ts'
import { SandboxHost, type HostOptions } from '#functions/domain-worker/host.ts'
import { serveDomainWorker } from '#functions/domain-worker/serve.ts'

export const CREDENTIALS = sharedSecret(Buffer.from('a secret of the test'))

export const OPTIONS: HostOptions = {
  memoryBytes: 64 * 2 ** 20,
  // A test that is about time says so, all others may be on a machine that has none.
  callMs: 30_000,
  sliceMs: 30_000,
  resultBytes: 64 * 1024,
  agentCalls: 20,
  agentBytes: 256 * 1024,
  living: 8,
  running: 2,
  warm: 1,
}

export type Asked = AgentCall
export type Answering = (call: AgentCall) => Promise<AgentAnswer> | AgentAnswer

const NOTHING: Answering = () => ({ ok: 'null' })

export class Workshop {
  readonly sandboxes: SandboxHost
  readonly client: DomainWorkerClient
  readonly port: number
  readonly #close: () => Promise<void>

  private constructor(sandboxes: SandboxHost, client: DomainWorkerClient, port: number, close: () => Promise<void>) {
    this.sandboxes = sandboxes
    this.client = client
    this.port = port
    this.#close = close
  }

  static async open(options: Partial<HostOptions> = {}): Promise<Workshop> {
    const sandboxes = new SandboxHost({ ...OPTIONS, ...options })
    const server = await serveDomainWorker({ sandboxes, host: '127.0.0.1', port: 0, credentials: CREDENTIALS, incarnation: 'life' as Incarnation })
    const client = new DomainWorkerClient({ credentials: CREDENTIALS, name: 'test' })
    client.at(`127.0.0.1:${server.port}`)
    return new Workshop(sandboxes, client, server.port, async () => {
      await client.close()
      sandboxes.close()
      await server.close()
    })
  }

  /** Calls the handler of a module. */
  call(module: DomainModule, handler: Handler, argument: Json = {}, answering: Answering = NOTHING, deadlineMs = Infinity): Promise<CallOutcome> {
    return this.client.call({ module, handler, argument: JSON.stringify(argument), ...(deadlineMs === Infinity ? {} : { deadlineMs }) }, { call: async (call) => answering(call) })
  }

  /** Calls the only handler of a module whose text is the body of its prePersistence. */
  pre(body: string, answering: Answering = NOTHING, deadlineMs?: number): Promise<CallOutcome> {
    return this.call(moduleOf(`export async function prePersistence(change, agent) { ${body} }`), 'prePersistence', { n: 1 }, answering, deadlineMs)
  }

  close(): Promise<void> {
    return this.#close()
  }
}

let count = 0

/** A module of a domain of its own, unless one is named. */
export function moduleOf(source: string, domain = `domain-${(count += 1)}.test`): DomainModule {
  return { domain, key: `key-${(count += 1)}`, source }
}
