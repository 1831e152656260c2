/** Routes of an api whose only state process is in its own process. */
import type { Channel } from '#shared/link/channel.ts'
import type { Routes } from '#shared/link/routed-cluster.ts'
import type { StateProcess } from '#functions/state-process/process.ts'

export function localRoutes(name: string, stateProcess: StateProcess): Routes {
  const names = [name]
  const channel: Channel = stateProcess.host
  return {
    names: () => names,
    channel: (asked) => (asked === name ? channel : undefined),
    members: () => Promise.resolve([stateProcess.member()]),
    missing: () => stateProcess.host.status().missing,
    close: () => undefined,
  }
}
