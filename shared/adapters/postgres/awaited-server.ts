/**
 * A Postgres that is started or looked for beside everything else, and tried again until it is there.
 *
 * Owns: the server, if it is one of ours. Does not own: connections to it. Talks to: whatever starts or finds it.
 *
 * I1. Nothing waits for it but what needs it: patches of domains without a configuration never do.
 */
import type { Log } from '#shared/log.ts'

const RETRY_MS = 5_000

type Server<A> = { readonly admin: A; stop(): Promise<void> }
export type AwaitedServerOptions<A> = { readonly start: () => Promise<Server<A>>; readonly log: Log }

export class AwaitedServer<A> {
  readonly admin: Promise<A>
  readonly #options: AwaitedServerOptions<A>
  readonly #starting: Promise<Server<A> | undefined>
  #isStopping = false
  #wake: () => void = () => undefined

  constructor(options: AwaitedServerOptions<A>) {
    this.#options = options
    const admin = Promise.withResolvers<A>()
    this.admin = admin.promise
    this.#starting = this.#start((server) => admin.resolve(server.admin))
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    this.#wake()
    await (await this.#starting)?.stop()
  }

  async #start(onStarted: (server: Server<A>) => void): Promise<Server<A> | undefined> {
    while (!this.#isStopping) {
      try {
        const server = await this.#options.start()
        onStarted(server)
        return server
      } catch (error) {
        this.#options.log.error({ reason: error instanceof Error ? error.message : String(error) }, 'Postgres is not there: domains with a configuration cannot be served until it does')
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, RETRY_MS).unref()
          this.#wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    }
    return undefined
  }
}
