/**
 * Load until the server is killed, and afterwards the question whether all that it acknowledged is there.
 */
import { performance } from 'node:perf_hooks'
import { sleep } from './drive.ts'
import type { HttpTarget } from './http-channel.ts'
import { openChannels } from './open-channels.ts'
import { count, type Faults, type Population } from './population.ts'

/** Kills the process group `groupPid` under load of `clients` after `ms`; resolves when all connections are cut. */
export async function crash(
  population: Population,
  options: { readonly clients: number; readonly ms: number; readonly groupPid: number },
): Promise<{ readonly acknowledged: number; readonly faults: Faults }> {
  const channels = await openChannels(population.target, options.clients, { op: 'replace', keyed: false })
  const faults: Faults = {}
  let acknowledged = 0
  const ended = channels.map(
    (channel, client) =>
      new Promise<void>((resolve) => {
        let at = client
        const send = (): void => {
          channel.patch(population.ids[at]!, population.nextValue(), '', (status, ii) => {
            if (status === 0) return resolve()
            if (population.acknowledge(at, status, ii, faults)) acknowledged += 1
            at = at + options.clients < population.ids.length ? at + options.clients : client
            send()
          })
        }
        send()
      }),
  )
  await sleep(options.ms)
  process.kill(-options.groupPid, 'SIGKILL')
  await Promise.all(ended)
  for (const channel of channels) channel.close()
  return { acknowledged, faults }
}

/** One patch of the first state, sent again until it is acknowledged; ms that it took from the call. */
export async function firstAcknowledgement(population: Population, options: { readonly deadlineMs: number }): Promise<number> {
  const startedAt = performance.now()
  const key = population.nextKey()
  while (performance.now() - startedAt < options.deadlineMs) {
    const [channel] = await openChannels(population.target, 1, { op: 'replace', keyed: true })
    const answer = await new Promise<{ status: number; ii: number }>((resolve) =>
      channel!.patch(population.ids[0]!, population.nextValue(), key, (status, ii) => resolve({ status, ii })),
    )
    channel!.close()
    if (answer.status === 200) return performance.now() - startedAt
    await sleep(10)
  }
  throw new Error(`no acknowledgement within ${options.deadlineMs} ms after the start`)
}

/**
 * Reads every state: at least what was acknowledged must be there, and at most `unacknowledged` more.
 * From here on the population expects what it read.
 */
export async function verify(population: Population, options: { readonly unacknowledged: number }): Promise<Faults> {
  const target = population.target as HttpTarget
  const faults: Faults = {}
  let next = 0
  const reader = async (): Promise<void> => {
    for (let at = next++; at < population.ids.length; at = next++) {
      const answer = await fetch(`http://127.0.0.1:${target.port}/v1/states/${population.ids[at]}`, {
        headers: { authorization: `Bearer ${target.bearer}` },
      })
      const state = (await answer.json()) as { ii?: number }
      if (answer.status !== 200 || state.ii === undefined) {
        count(faults, `reading: status ${answer.status}`)
        continue
      }
      if (state.ii < population.ii[at]!) count(faults, 'acknowledged interaction lost')
      if (state.ii > population.ii[at]! + options.unacknowledged) count(faults, 'more interactions than were sent')
      population.ii[at] = state.ii
    }
  }
  await Promise.all(Array.from({ length: 8 }, reader))
  return faults
}
